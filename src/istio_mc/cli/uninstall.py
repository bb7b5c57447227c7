"""`istio-mc uninstall`: its signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from istio_mc.cli import completers, edge
from istio_mc.cli.ca import CertsDir

if TYPE_CHECKING:
    from collections.abc import Sequence


def uninstall(
    ctx: typer.Context,
    *,
    yes: edge.Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed and what stays; change nothing.")
    ] = False,
    lost: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT",
            help="A lost cluster: the others remove their links to it; repeatable.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    purge_ca: Annotated[
        bool,
        typer.Option("--purge-ca", help="Also remove the mesh's CA with its root key, irreversibly."),
    ] = False,
    certs_dir: CertsDir = None,
) -> None:
    """Remove the mesh: what install created, and nothing that others created.

    With --contexts, only those clusters leave: the others remove their links to them, replace the tokens
    that they had, and stay a mesh. Without it, the whole mesh is removed, and you must type its mesh ID
    unless --yes is given. The root CA stays unless --purge-ca is given. With --lost, the lost cluster is
    not read; if it comes back, it is not a member until `install` joins it again.

    Examples:

      istio-mc uninstall --dry-run

      istio-mc uninstall --yes

      istio-mc uninstall --contexts kt

      istio-mc uninstall --lost nhn
    """
    from istio_mc.ops.ca.folder import ca_store
    from istio_mc.ops.session.session import open_mesh
    from istio_mc.ops.uninstall import purge
    from istio_mc.ops.uninstall import uninstall as op
    from istio_mc.ops.uninstall.plan import prepare
    from istio_mc.present import uninstall as shown

    options: edge.Options = ctx.obj
    if lost:
        if purge_ca or certs_dir:
            raise typer.BadParameter("--lost keeps the CA: the other clusters use it")
        _forget(options, edge.each(lost), yes=yes, dry_run=dry_run)
        return

    def work(progress: edge.Progress) -> edge.Report:
        inputs = options.inputs()
        opened, named = open_mesh(inputs, progress)
        with opened, opened.changing("uninstall", dry_run=dry_run) as session:
            todo = prepare(session, named or None)
            store = session.ca_store() if certs_dir is None else ca_store(inputs, certs_dir, progress)
            ca = purge.prepare_purge(store, todo, requested=purge_ca)
            if dry_run:
                planned = op.untouched(todo, session.listed, session.settings.file)
                return shown.report(planned, session.warnings, ca)
            edge.confirm(
                shown.question(todo, ca), yes=yes, typed=todo.mesh_id if todo.is_whole_mesh else None
            )
            result = op.uninstall(session, todo)
            if ca and ca.is_removed and not result.failures:
                ca = purge.purge(store, ca)
            return shown.report(result, session.warnings, ca)

    edge.run("uninstall", options, work)


def _forget(options: edge.Options, names: Sequence[str], *, yes: bool, dry_run: bool) -> None:
    from istio_mc.ops.session.session import open_mesh
    from istio_mc.ops.uninstall import lost as op
    from istio_mc.present import uninstall as shown

    def work(progress: edge.Progress) -> edge.Report:
        opened, _ = open_mesh(options.inputs(), progress)
        with opened, opened.changing("uninstall --lost", dry_run=dry_run, lists_rights=True) as session:
            todo = op.prepare_lost(session, names)
            if dry_run:
                return shown.report(op.untouched(session, todo), session.warnings, None)
            edge.confirm(shown.question(todo.plan, None), yes=yes)
            return shown.report(op.forget_lost(session, todo), session.warnings, None)

    edge.run("uninstall", options, work)
