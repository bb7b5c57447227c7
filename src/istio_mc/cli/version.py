"""`istio-mc version`: its signature."""

from __future__ import annotations

import typer

from istio_mc.cli import edge


def version(ctx: typer.Context) -> None:
    """Show the version of istio-mc, of Python, and of this machine's system.

    Examples:

      istio-mc version

      istio-mc version -o json
    """
    from istio_mc.present.version import version as shown

    options: edge.Options = ctx.obj

    edge.run("version", options, lambda _: shown())
