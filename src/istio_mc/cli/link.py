"""`istio-mc link`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import edge
from istio_mc.cli.api_servers import ApiServerCaOption, ApiServerNameOption, ApiServerOption


@edge.verb
def link(
    options: edge.Options,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which remote secrets would be written; touch nothing.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Remove remote secrets of clusters that are no members, and misnamed or double ones.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before something is removed.")] = False,
    api_server: ApiServerOption = None,
    api_server_ca: ApiServerCaOption = None,
    api_server_name: ApiServerNameOption = None,
) -> None:
    """Give every cluster's istiod a remote secret of every other cluster.

    One token is read from each cluster, and all secrets are written at once; those that are right
    already are left alone. `install` does this too.

    Examples:

      istio-mc link

      istio-mc link --prune --dry-run

      istio-mc link --api-server kt=https://203.0.113.7:6443
    """
    from istio_mc.ops import link as op
    from istio_mc.ops.session.inputs import Overrides
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.link import question, report

    overrides = Overrides.of(
        api_servers=api_server, api_server_cas=api_server_ca, api_server_names=api_server_name
    )

    def work(progress: edge.Progress) -> edge.Report:
        with open_members(options.inputs(), progress, overrides) as session:
            todo = op.look(session, prune=prune)
            if not dry_run and any(todo.doomed.values()):
                edge.confirm(question(todo), yes=yes)
            return report(
                op.link_members(session, todo, dry_run=dry_run), (*session.warnings, *todo.warnings)
            )

    edge.run("link", options, work)
