"""`istio-mc install`: its signature."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from istio_mc.cli import completers, edge
from istio_mc.cli.api_servers import ApiServerCaOption, ApiServerNameOption, ApiServerOption
from istio_mc.cli.ca import KeySize, KeyTypeOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from istio_mc.domain.kube.kubeconfig import Context


def install(
    ctx: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and its documents; change nothing.")
    ] = False,
    strict: Annotated[
        bool | None,
        typer.Option(
            "--strict/--no-strict",
            help="Stop on incompatible versions [default: mesh.yaml].",
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
            help="External address of a gateway; repeatable.",
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
            help="Replace this cluster's CA by one of the mesh.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    key_type: KeyTypeOption = None,
    key_size: KeySize = None,
) -> None:
    """Join the given clusters into one Istio mesh; resume or repair it.

    All clusters are read before the first change. Without --contexts and mesh.yaml, it lists the contexts
    on a terminal and asks which ones to join.

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

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        overrides = Overrides.of(
            certs_dir, gateway_address, api_server, api_server_ca, api_server_name, istio_version
        )
        with (
            open_named(options.inputs(), progress, overrides, contexts_to_join) as opened,
            opened.changing("install", dry_run=dry_run, lists_rights=True) as session,
        ):
            store = session.ca_store()
            do = op.dry_run if dry_run else op.install
            made = options_of(session.settings.ca, key_type, key_size)
            now = datetime.now(UTC)
            stop = session.settings.strict if strict is None else strict
            result = do(session, store, made, now, strict=stop, replace_ca=edge.each(replace_ca))
            return report(result, (*session.warnings, *result.warnings))

    edge.run("install", options, work)


def contexts_to_join(contexts: Sequence[Context]) -> tuple[str, ...]:
    """Shows the contexts and asks which ones to join; returns their names in the given order.

    Empty without a terminal, or after Ctrl-D.
    """
    from istio_mc.present.contexts import choices
    from istio_mc.present.output import terminal

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ()

    def question() -> tuple[str, ...]:
        terminal.print_untruncated(terminal.console(stderr=True), choices(contexts))
        known = [context.name for context in contexts]
        chosen: tuple[str, ...] = typer.prompt(
            "Clusters of the mesh (names or numbers, separated by commas)",
            value_proc=lambda text: chosen_of(text, known),
            err=True,
        )
        return chosen

    chosen = edge.prompt(question) or ()
    if chosen:
        edge.print_notice(f"The same without a prompt: --contexts {','.join(chosen)}")
    return chosen


def chosen_of(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Returns the contexts in a user's input, each once: by name, or by number in the list, from 1.

    Raises:
        BadParameter: The input is empty, or a context is not in the list.
    """
    words: list[str] = []
    for part in text.split(","):
        words += [part.strip()] if part.strip() in known else part.split()
    places = {str(place): name for place, name in enumerate(known, 1)} | {name: name for name in known}
    if unknown := [word for word in words if word not in places]:
        raise typer.BadParameter(f"not in the list: {', '.join(unknown)}")
    if not words:
        raise typer.BadParameter("name at least one")
    return tuple(dict.fromkeys(places[word] for word in words))
