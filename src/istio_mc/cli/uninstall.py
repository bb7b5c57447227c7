"""`istio-mc uninstall`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import edge
from istio_mc.cli.ca import CertsDir


@edge.verb
def uninstall(
    options: edge.Options,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go and what would stay; touch nothing.")
    ] = False,
    purge_ca: Annotated[
        bool,
        typer.Option("--purge-ca", help="Remove the mesh's CA with its root key too. It cannot be had back."),
    ] = False,
    certs_dir: CertsDir = None,
) -> None:
    """Take the mesh away again: what install put there, and nothing that others did.

    With --contexts, those clusters leave: the others forget them, replace the tokens they held, and
    stay a mesh. Without it, the whole mesh goes, and its mesh ID must be typed unless --yes is given.
    The root CA stays unless --purge-ca is given.

    Examples:

      istio-mc uninstall --dry-run

      istio-mc uninstall --yes

      istio-mc uninstall --contexts kt
    """
    from istio_mc.ops.ca.folder import ca_store
    from istio_mc.ops.session.session import open_mesh
    from istio_mc.ops.uninstall import purge
    from istio_mc.ops.uninstall import uninstall as op
    from istio_mc.ops.uninstall.plan import prepare
    from istio_mc.present import uninstall as shown

    def work(progress: edge.Progress) -> edge.Report:
        inputs = options.inputs()
        session, named = open_mesh(inputs, progress)
        with session:
            todo = prepare(session, named or None)
            store = session.ca_store() if certs_dir is None else ca_store(inputs, certs_dir, progress)
            ca = purge.fate(store, todo, asked=purge_ca)
            if dry_run:
                planned = op.untouched(todo, session.listed, session.settings.file)
                return shown.report(planned, session.warnings, ca)
            edge.confirm(shown.question(todo, ca), yes=yes, typed=todo.mesh_id if todo.whole else None)
            result = op.uninstall(session, todo)
            if ca and ca.goes and not result.failures:
                ca = purge.purge(store, ca)
            return shown.report(result, session.warnings, ca)

    edge.run("uninstall", options, work)
