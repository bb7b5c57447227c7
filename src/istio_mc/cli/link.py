"""`istio-mc link`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import edge


@edge.verb
def link(
    options: edge.Options,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which remote secrets would be written; touch nothing.")
    ] = False,
    api_server: Annotated[
        list[str] | None,
        typer.Option(metavar="CONTEXT=URL", help="API server as the other clusters reach it; repeat it."),
    ] = None,
) -> None:
    """Give every cluster's istiod a remote secret of every other cluster.

    One token is read from each cluster, and all secrets are written at once; those that are right
    already are left alone. `install` does this too.

    Examples:

      istio-mc link

      istio-mc link --contexts kt,ncloud,nhn --api-server kt=https://203.0.113.7:6443
    """
    from istio_mc.ops import link as op
    from istio_mc.ops.inputs import Overrides
    from istio_mc.ops.session import open_members
    from istio_mc.present.link import report

    def work(progress: edge.Progress) -> edge.Report:
        with open_members(
            options.inputs(), progress, Overrides(api_servers=tuple(api_server or ()))
        ) as session:
            return report(op.link_members(session, dry_run=dry_run), session.warnings)

    edge.run("link", options, work)
