"""`istio-mc verify`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import completers, edge
from istio_mc.domain.hint import Advice, istio_mc

_LAST_CHECK_S = 60.0
"""Extra time of a run after the wait of --wait, in seconds, for its last reads."""


def verify(
    ctx: typer.Context,
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Run only these checks or topics, and those they require.",
            autocompletion=completers.checks,
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B", help="Skip these checks or topics.", autocompletion=completers.checks),
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Repeat failed checks for up to this long."),
    ] = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also call from a temporary pod in each cluster."),
    ] = False,
    probe_image: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="Their image, with sh, curl and nc [default: curlimages/curl]."),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Also show passed checks and the matrices.")
    ] = False,
    list_checks: Annotated[bool, typer.Option("--list", help="List every check, and run none.")] = False,
) -> None:
    """Check that the mesh works: what is wrong, in which cluster or between which two, and how to fix it.

    Changes nothing in any cluster, unless --deep is given. Exit code 4 means that checks failed.

    In addition to table, json and yaml, -o accepts short (one line per fault), junit (JUnit XML) and github
    (annotations for GitHub Actions).

    Examples:

      istio-mc verify

      istio-mc verify --contexts kt,ncloud,nhn --wait 5m

      istio-mc verify --only link,trust -o json

      istio-mc verify -o junit > verify.xml

      istio-mc verify --deep
    """
    from dataclasses import replace
    from datetime import UTC, datetime

    from istio_mc.checks.catalogue import ALL, EVERY
    from istio_mc.checks.runner import nearest, select
    from istio_mc.domain.problem import Code, InputError
    from istio_mc.domain.traffic.probe_pod import DEFAULT_IMAGE
    from istio_mc.present.verify.summary import listing, report

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        offered = EVERY if deep or list_checks else ALL
        checks, unknown = select(offered, only=edge.each(only), skip=edge.each(skip))
        if unknown:
            near = nearest(unknown, offered)
            meant = ", ".join([*near, "or another"] if near else ["one"])
            only_deep = {check.id for check in EVERY}.issuperset(unknown)
            raise InputError.of(
                code=Code.UNKNOWN_CHECK,
                message="this check requires --deep" if only_deep else "no such check or topic",
                seen=", ".join(unknown),
                expected=f"{meant} from istio-mc verify --list",
                hint=Advice(istio_mc("verify", "--deep" if only_deep else "--list")),
            )
        if not checks:
            raise typer.BadParameter("--only and --skip leave no check to run")
        if probe_image and not deep:
            raise typer.BadParameter("--probe-image is the image of the pods that --deep makes")
        if list_checks and options.output in ("junit", "github"):
            raise typer.BadParameter(f"--list has no results for format {options.output}")
        if list_checks:
            return listing(checks)
        from istio_mc.ops.session.session import open_members
        from istio_mc.ops.verify import verify as op

        patience = edge.seconds(wait, "--wait") if wait else 0.0
        inputs = options.inputs()
        if not options.timeout:
            inputs = replace(inputs, timeout_s=max(inputs.timeout_s, patience + _LAST_CHECK_S))
        image = probe_image or DEFAULT_IMAGE
        with open_members(inputs, progress) as session:
            if deep:
                edge.print_notice(
                    f"--deep creates a namespace istio-mc-probe-… with one pod ({image}) in "
                    f"{', '.join(session.clusters.names)}, and removes it afterwards"
                )
            now = datetime.now(UTC)
            result = op.verify(session, checks, now, wait_s=patience, probe_image=image)
            return report(result, (*session.warnings, *result.warnings), show_all=show_all)

    edge.run("verify", options, work, formats=edge.VERIFY_FORMATS)
