"""`istio-mc trace`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import completers, edge


def trace(
    ctx: typer.Context,
    *,
    service: Annotated[str, typer.Argument(metavar="[NAMESPACE/]SERVICE", help="The service to call.")],
    client: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="CONTEXT",
            help="Trace calls from this cluster only.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="CONTEXT",
            help="Trace calls to this cluster only.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            min=1,
            max=65535,
            help="Port of the Service [default: its first TCP port].",
        ),
    ] = None,
) -> None:
    """Trace calls to a service from every cluster to every other one, hop by hop: where do they fail?

    Deploys nothing and changes nothing. With --from and --to it shows every hop of that path. Exit code 4
    means that a path is broken.

    Examples:

      istio-mc trace sample/reviews

      istio-mc trace sample/reviews --from kt --to nhn

      istio-mc trace reviews --port 9080 -o json
    """
    from datetime import UTC, datetime

    from istio_mc.ops import trace as op
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.trace import report

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        if not service.rpartition("/")[2] or service.count("/") > 1:
            raise typer.BadParameter("give SERVICE or NAMESPACE/SERVICE")
        with open_members(options.inputs(), progress) as session:
            query = op.TraceQuery(service, client, target, port)
            return report(op.trace(session, query, datetime.now(UTC)))

    edge.run("trace", options, work)
