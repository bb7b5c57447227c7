"""`istio-mc verify`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import edge

_LAST_LOOK_S = 60.0
"""How long a run may go on once it has waited: what it then reads ends too."""


@edge.verb
def verify(
    options: edge.Options,
    *,
    only: Annotated[
        str | None, typer.Option(metavar="A,B", help="Ask only these checks or topics, and what they need.")
    ] = None,
    skip: Annotated[str | None, typer.Option(metavar="A,B", help="Leave out these checks or topics.")] = None,
    wait: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Ask what is not true yet again, for so long."),
    ] = None,
    list_checks: Annotated[bool, typer.Option("--list", help="List every check, and ask none.")] = False,
) -> None:
    """Check that the mesh works: what is wrong, in which cluster or between which two, and what mends it.

    Changes nothing in any cluster. Exit code 4 says that checks failed.

    Beside table, json and yaml, -o takes short (one line for each fault), junit (JUnit XML) and github (the
    table, and annotations for GitHub Actions).

    Examples:

      istio-mc verify

      istio-mc verify --contexts kt,ncloud,nhn --wait 5m

      istio-mc verify --only link,trust -o json

      istio-mc verify -o junit > verify.xml
    """
    from dataclasses import replace
    from datetime import UTC, datetime

    from istio_mc.checks.catalogue import ALL
    from istio_mc.checks.runner import select
    from istio_mc.domain.problem import InputError, Problem
    from istio_mc.ops import verify as op
    from istio_mc.ops.session import open_members
    from istio_mc.present.verify import listing, report

    def work(progress: edge.Progress) -> edge.Report:
        checks, unknown = select(ALL, only=edge.names(only or ""), skip=edge.names(skip or ""))
        if unknown:
            raise InputError(
                Problem(
                    code="unknown-check",
                    message="there is no such check or topic",
                    seen=", ".join(unknown),
                    expected="one that istio-mc verify --list shows",
                    hint="istio-mc verify --list",
                )
            )
        if list_checks and options.output in ("junit", "github"):
            raise typer.BadParameter(f"--list has no results to tell as {options.output}")
        if list_checks:
            return listing(checks)
        patience = edge.seconds(wait) if wait else 0.0
        inputs = options.inputs()
        if not options.timeout:
            inputs = replace(inputs, timeout_s=max(inputs.timeout_s, patience + _LAST_LOOK_S))
        with open_members(inputs, progress) as session:
            result = op.verify(session, checks, datetime.now(UTC), wait_s=patience)
            return report(result, session.warnings)

    edge.run("verify", options, work, formats=edge.VERIFY_FORMATS)
