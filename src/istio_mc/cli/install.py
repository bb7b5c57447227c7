"""`istio-mc install`: its signature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from istio_mc.cli import completers, edge, prompts
from istio_mc.cli.api_servers import ApiServerCaOption, ApiServerNameOption, ApiServerOption
from istio_mc.cli.ca import KeySize, KeyTypeOption


@edge.verb
def install(
    options: edge.Options,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and its documents; change nothing.")
    ] = False,
    strict: Annotated[
        bool | None,
        typer.Option(
            "--strict/--no-strict",
            help="Stop if versions do not fit [default: mesh.yaml].",
        ),
    ] = None,
    istio_version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Version of Istio [default: mesh.yaml's, else the mesh's, else the newest tested one].",
            autocompletion=completers.istio_versions,
        ),
    ] = None,
    certs_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the CA [default: mesh.yaml's, or certs].",
            file_okay=False,
        ),
    ] = None,
    gateway_address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT=ADDRESS",
            help="Address in front of a gateway; repeatable.",
            autocompletion=completers.context_is,
        ),
    ] = None,
    api_server: ApiServerOption = None,
    api_server_ca: ApiServerCaOption = None,
    api_server_name: ApiServerNameOption = None,
    replace_ca: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT",
            help="Replace a cluster's foreign CA by the mesh's.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    key_type: KeyTypeOption = None,
    key_size: KeySize = None,
) -> None:
    """Join the given clusters into one Istio mesh; resume or repair it.

    All clusters are read before the first change. Without --contexts and mesh.yaml, it lists the contexts
    on a terminal and asks which.

    Examples:

      istio-mc install --contexts kt,ncloud,nhn

      istio-mc install --contexts kt,ncloud,nhn --gateway-address kt=203.0.113.7

      istio-mc install --config mesh.yaml --dry-run
    """
    from datetime import UTC, datetime

    from istio_mc.ops.ca.options import options_of
    from istio_mc.ops.install import install as op
    from istio_mc.ops.session.inputs import Overrides
    from istio_mc.ops.session.session import open_named
    from istio_mc.present.install import report

    def work(progress: edge.Progress) -> edge.Report:
        overrides = Overrides.of(
            certs_dir, gateway_address, api_server, api_server_ca, api_server_name, istio_version
        )
        with open_named(options.inputs(), progress, overrides, prompts.contexts_to_join) as session:
            store = session.ca_store()
            do = op.dry_run if dry_run else op.install
            made = options_of(session.settings.ca, key_type, key_size)
            now = datetime.now(UTC)
            stop = session.settings.strict if strict is None else strict
            result = do(session, store, made, now, strict=stop, replace_ca=edge.each(replace_ca))
            return report(result, (*session.warnings, *result.warnings))

    edge.run("install", options, work)
