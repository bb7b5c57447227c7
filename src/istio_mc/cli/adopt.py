"""`istio-mc adopt`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import edge
from istio_mc.cli.ca import CertsDir


def adopt(
    ctx: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which clusters would be labelled; change nothing.")
    ] = False,
    certs_dir: CertsDir = None,
) -> None:
    """Take over a mesh that another tool installed, such as the K-PaaS scripts, without a restart.

    Labels istio-system of each cluster, so that verify, link, sample, status and uninstall find the
    members; keeps their cluster IDs, networks, CA and secrets. Reports what an install would change.

    Examples:

      istio-mc adopt --contexts kt,ncloud,nhn --certs-dir certs --dry-run

      istio-mc adopt --contexts kt,ncloud,nhn --certs-dir certs
    """
    from datetime import UTC, datetime

    from istio_mc.ops.ca.options import options_of
    from istio_mc.ops.install import adopt as op
    from istio_mc.ops.session.inputs import Overrides
    from istio_mc.ops.session.session import open_named
    from istio_mc.present.install import adopted

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        with (
            open_named(options.inputs(), progress, Overrides(certs_dir)) as opened,
            opened.changing("adopt", dry_run=dry_run) as session,
        ):
            store = session.ca_store()
            settings = options_of(session.settings.ca)
            result = op.adopt(session, store, settings, datetime.now(UTC), dry_run=dry_run)
            return adopted(result, (*session.warnings, *result.warnings))

    edge.run("adopt", options, work)
