"""`istio-mc explain`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import completers, edge


def explain(
    ctx: typer.Context,
    *,
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE]",
            help="Error code, or ID of a check [default: list all].",
            autocompletion=completers.explained,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Explain an error code or a check: usual causes and fixes. Works offline.

    Examples:

      istio-mc explain cluster-unreachable

      istio-mc explain link.synced

      istio-mc explain
    """
    from istio_mc.ops import explain as op
    from istio_mc.present import explain as present

    options: edge.Options = ctx.obj

    def work(_: edge.Progress) -> edge.Report:
        if code is None:
            return present.listing(op.topics())
        return present.report(op.explain(code))

    edge.run("explain", options, work)
