"""`istio-mc status`: its signature."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from istio_mc.cli import edge


def status(
    ctx: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Repeat until Ctrl-C.")] = False,
    every: Annotated[
        str, typer.Option(metavar="DURATION", help="Interval of --watch; --timeout applies to each read.")
    ] = "5s",
) -> None:
    """Show pods, services, deployments, HPAs, gateways, links and proxies of all clusters on one screen.

    With --watch, Ctrl-C ends with the exit code of the last read: 0, or 3 if a cluster did not respond. In
    a pipe each read is one block; with -o json, one envelope on one line.

    Examples:

      istio-mc status

      istio-mc status --watch --every 10s

      istio-mc status -o json
    """
    from istio_mc.ops import status as op
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.status import report

    options: edge.Options = ctx.obj

    def once(progress: edge.Progress) -> edge.Report:
        with open_members(options.inputs(), progress) as session:
            return report(op.status(session))

    def again(_progress: edge.Progress) -> edge.Report:
        from istio_mc.present import status_watch
        from istio_mc.present.output.envelope import Exit

        every_s = edge.seconds(every, "--every")
        readings = op.watch(options.inputs(), every_s=every_s)
        color = edge.colored(options)
        code = status_watch.watch(readings, output=options.output or "table", color=color, every_s=every_s)
        if code is Exit.INTERRUPTED:
            raise KeyboardInterrupt  # nothing was shown yet
        edge.leave(code)

    if watch:
        edge.run("status", replace(options, no_progress=True), again)
    edge.run("status", options, once)
