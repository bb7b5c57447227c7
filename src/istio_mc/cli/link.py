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
        bool, typer.Option("--dry-run", help="Show what would be written; change nothing.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Remove remote secrets of clusters outside the mesh, and misnamed or duplicate ones.",
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
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="LIFETIME",
            help="Lifetime of the new tokens: 90d, 720h or never.",
        ),
    ] = None,
    yes: edge.Yes = False,
    api_server: ApiServerOption = None,
    api_server_ca: ApiServerCaOption = None,
    api_server_name: ApiServerNameOption = None,
) -> None:
    """Create a remote secret for every other cluster in each cluster.

    Correct secrets stay unchanged. `install` does this too. With --rotate the tokens are replaced, one
    cluster after another; with --expires they expire, and a CronJob that renews them is printed.

    Examples:

      istio-mc link

      istio-mc link --prune --dry-run

      istio-mc link --rotate --expires 90d

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
        _rotate(options, canary, _lifetime(expires), dry_run=dry_run)
        return
    if canary is not None or expires is not None:
        raise typer.BadParameter(f"--{'expires' if canary is None else 'canary'} requires --rotate")
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


def _lifetime(text: str | None) -> str:
    from datetime import timedelta

    from istio_mc.domain.links.rotation import MOST_DAYS, NEVER
    from istio_mc.domain.pki.certificates import parse_validity
    from istio_mc.domain.problem import InputError
    from istio_mc.domain.text import printable

    if text is None or text == NEVER:
        return text or ""
    try:
        if parse_validity(text) <= timedelta(days=MOST_DAYS):
            return text.strip()
    except InputError:
        pass
    raise typer.BadParameter(
        f'--expires: invalid lifetime "{printable(text)}"; use for example 90d, 720h or never'
    )


def _rotate(options: edge.Options, canary: str | None, expiry: str, *, dry_run: bool) -> None:
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
            todo = prepare(session, named, now, canary=canary, expiry=expiry)
            if dry_run or todo.problems:
                return report(op.dry_run(todo), session.warnings)
            result = op.rotate(session, todo, now)
            return report(result, (*session.warnings, *result.warnings))

    edge.run("link", options, work)
