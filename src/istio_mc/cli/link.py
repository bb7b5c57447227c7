"""`istio-mc link`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import completers, edge
from istio_mc.cli.api_servers import ApiServerCaOption, ApiServerNameOption, ApiServerOption


def link(
    ctx: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written; touch nothing.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Remove remote secrets of clusters that are no members, and misnamed or double ones.",
        ),
    ] = False,
    rotate: Annotated[
        bool,
        typer.Option("--rotate", help="Replace the tokens of all readers."),
    ] = False,
    canary: Annotated[
        str | None,
        typer.Option(
            metavar="CONTEXT",
            help="Cluster whose token --rotate replaces first.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before something is removed.")] = False,
    api_server: ApiServerOption = None,
    api_server_ca: ApiServerCaOption = None,
    api_server_name: ApiServerNameOption = None,
) -> None:
    """Give every cluster's istiod a remote secret of every other cluster.

    One token is read from each cluster, and all secrets are written at once; those that are right
    already are left alone. `install` does this too.

    With --rotate the tokens are replaced, one cluster after another, while the old ones are accepted. The
    same command goes on after an interruption.

    Examples:

      istio-mc link

      istio-mc link --prune --dry-run

      istio-mc link --rotate --dry-run

      istio-mc link --api-server kt=https://203.0.113.7:6443
    """
    from istio_mc.ops import link as op
    from istio_mc.ops.session.inputs import Overrides
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.link import question, report

    options: edge.Options = ctx.obj

    if rotate:
        if prune or api_server or api_server_ca or api_server_name:
            raise typer.BadParameter("--rotate replaces tokens only; run the other options without it")
        _rotate(options, canary, dry_run=dry_run)
        return
    if canary is not None:
        raise typer.BadParameter("--canary requires --rotate")
    overrides = Overrides.of(
        api_servers=api_server, api_server_cas=api_server_ca, api_server_names=api_server_name
    )

    def work(progress: edge.Progress) -> edge.Report:
        with (
            open_members(options.inputs(), progress, overrides) as opened,
            opened.changing("link", dry_run=dry_run) as session,
        ):
            todo = op.read_links(session, prune=prune)
            if not dry_run and any(todo.stale.values()):
                edge.confirm(question(todo), yes=yes)
            return report(
                op.link_members(session, todo, dry_run=dry_run), (*session.warnings, *todo.warnings)
            )

    edge.run("link", options, work)


def _rotate(options: edge.Options, canary: str | None, *, dry_run: bool) -> None:
    from datetime import UTC, datetime

    from istio_mc.ops.rotation import tokens as op
    from istio_mc.ops.rotation.prepare import prepare
    from istio_mc.ops.session.session import open_mesh
    from istio_mc.present.rotation import report

    def work(progress: edge.Progress) -> edge.Report:
        inputs = options.inputs(timeout="1h")
        now = datetime.now(UTC)
        opened, named = open_mesh(inputs, progress)
        with opened, opened.changing("link --rotate", dry_run=dry_run, lists_rights=True) as session:
            todo = prepare(session, named, now, canary=canary)
            if dry_run or todo.problems:
                return report(op.dry_run(todo), session.warnings)
            return report(op.rotate(session, todo, now), session.warnings)

    edge.run("link", options, work)
