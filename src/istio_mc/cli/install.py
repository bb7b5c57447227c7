"""`istio-mc install`: its signature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from istio_mc.cli import completion, edge, prompts
from istio_mc.cli.api_servers import ApiServerCaOption, ApiServerNameOption, ApiServerOption
from istio_mc.cli.ca import KeySize, KeyTypeOption


@edge.verb
def install(
    options: edge.Options,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, with the documents; touch nothing.")
    ] = False,
    strict: Annotated[
        bool | None,
        typer.Option(
            "--strict/--no-strict",
            help="Stop where Istio and Kubernetes versions do not go together [default: mesh.yaml's strict].",
        ),
    ] = None,
    istio_version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Istio's version [default: mesh.yaml's, else the mesh's own, else the newest tested one "
            "that supports every cluster].",
            autocompletion=completion.istio_versions,
        ),
    ] = None,
    certs_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the mesh's CA [default: mesh.yaml's certsDir, else certs].", file_okay=False
        ),
    ] = None,
    gateway_address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT=ADDRESS",
            help="Address in front of a cluster's gateway; repeat it.",
            autocompletion=completion.context_is,
        ),
    ] = None,
    api_server: ApiServerOption = None,
    api_server_ca: ApiServerCaOption = None,
    api_server_name: ApiServerNameOption = None,
    replace_ca: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT",
            help="Give a cluster a CA under the mesh's root in place of another one's; repeat it.",
            autocompletion=completion.contexts,
        ),
    ] = None,
    key_type: KeyTypeOption = None,
    key_size: KeySize = None,
) -> None:
    """Make one Istio mesh of the named clusters: CA, namespace, cacerts, Istio, gateway, links.

    All clusters are looked at before the first change, and worked on at once. What is done already is
    left alone; a run that was interrupted is finished by the next. Where no cluster is named, a terminal
    shows the kubeconfig's contexts and asks which.

    Examples:

      istio-mc install --contexts kt,ncloud,nhn

      istio-mc install --contexts kt,ncloud,nhn --gateway-address kt=203.0.113.7

      istio-mc install --contexts kt,ncloud,nhn --istio-version 1.30.4

      istio-mc install --config mesh.yaml --dry-run

      istio-mc install --contexts kt,ncloud,nhn --replace-ca nhn
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
