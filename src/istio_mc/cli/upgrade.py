"""`istio-mc upgrade`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import completers, edge


def upgrade(
    ctx: typer.Context,
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Istio version to upgrade to.", autocompletion=completers.istio_versions
        ),
    ] = None,
    back: Annotated[bool, typer.Option("--back", help="Return to the version before the upgrade.")] = False,
    hop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VERSION",
            help="Patch version for a minor in between; repeatable [default: its newest].",
            autocompletion=completers.istio_versions,
        ),
    ] = None,
    canary: Annotated[
        str | None,
        typer.Option(
            metavar="CONTEXT",
            help="The cluster to upgrade first, alone.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of a new control plane beside the old one.",
        ),
    ] = None,
    parallel: Annotated[int, typer.Option(metavar="N", min=1, help="Clusters in parallel.")] = 1,
    restart_workloads: Annotated[
        bool,
        typer.Option("--restart-workloads", help="Restart the workloads that have an older proxy."),
    ] = False,
    yes: edge.Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan with its reasons; change nothing.")
    ] = False,
) -> None:
    """Upgrade the Istio of a mesh, one minor and one cluster at a time; or return to the old version.

    Every hop is checked for every cluster before the first change. In each cluster: control plane, then
    gateway, then workloads on request; old pods serve until new ones are ready. After each cluster, the
    result of `verify` is compared with the one before: a new fault stops the upgrade. The same command
    continues from there, on any machine. The default of --timeout is one hour. With --revision the new
    control plane runs beside the old one, and tags are moved to it.

    Examples:

      istio-mc upgrade --to 1.31.0 --dry-run

      istio-mc upgrade --to 1.31.0 --canary kt

      istio-mc upgrade --back --contexts kt
    """
    from datetime import UTC, datetime

    from istio_mc.domain.tools import Tool, parse_version
    from istio_mc.domain.upgrade.revisions import parse_revision
    from istio_mc.ops.session.session import open_mesh
    from istio_mc.ops.upgrade import upgrade as op
    from istio_mc.ops.upgrade.back import prepare_back
    from istio_mc.ops.upgrade.prepare import prepare
    from istio_mc.present import upgrade as shown

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        if (to is None) == (not back):
            raise typer.BadParameter("give either --to VERSION or --back")
        if back and revision is not None:
            raise typer.BadParameter("--back takes the revision from the record: omit --revision")
        version = parse_version(Tool.ISTIOCTL, to, "--to") if to is not None else ""
        patches = [parse_version(Tool.ISTIOCTL, one, "--hop") for one in edge.each(hop)]
        label = parse_revision(revision) if revision is not None else None
        inputs = options.inputs(timeout="1h")
        now = datetime.now(UTC)
        opened, named = open_mesh(inputs, progress)
        with opened, opened.changing("upgrade", dry_run=dry_run, lists_rights=True) as session:
            todo = (
                prepare_back(session, named, canary=canary)
                if back
                else prepare(
                    session,
                    named,
                    version,
                    now,
                    via=patches,
                    canary=canary,
                    restarts=restart_workloads,
                    revision=label,
                )
            )
            if not dry_run:
                op.refuse_lost_values(todo)
                op.require_rights(session, todo, restarts=restart_workloads)
            if dry_run or todo.problems:
                return shown.report(op.dry_run(todo), session.warnings)
            if restart_workloads and any(one.goals for one in todo.upgrades.values()):
                edge.confirm(shown.question(todo), yes=yes)
            result = op.upgrade(
                session, todo, now, canary=canary, parallel=parallel, restarts=restart_workloads
            )
            return shown.report(result, session.warnings)

    edge.run("upgrade", options, work)
