"""`istio-mc config`: the signatures of init, show and schema."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import completers, edge
from istio_mc.cli.api_servers import ApiServerCaOption, ApiServerNameOption, ApiServerOption
from istio_mc.cli.ca import CertsDir

app = typer.Typer(
    name="config",
    help="mesh.yaml: create one, show the effective settings and their source, print its JSON Schema.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(short_help="Write a commented mesh.yaml for the given contexts.")
def init(
    ctx: typer.Context,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print the file instead of writing it.")] = False,
) -> None:
    """Write a commented mesh.yaml for the given contexts: to --config's file, or ./mesh.yaml.

    Reads no cluster. The active lines have the same effect as --contexts; all other settings are comments.

    Examples:

      istio-mc config init --contexts kt,ncloud,nhn

      istio-mc config init --contexts kt,ncloud --config prod/mesh.yaml --force

      istio-mc config init --contexts kt,ncloud,nhn --stdout
    """
    from istio_mc.ops import config
    from istio_mc.present.config import initialised

    options: edge.Options = ctx.obj

    def work(_progress: edge.Progress) -> edge.Report:
        return initialised(config.init(options.inputs(), force=force, to_file=not stdout))

    edge.run("config init", options, work)


@app.command(short_help="Show the effective settings, and the source of each.")
def show(
    ctx: typer.Context,
    *,
    certs_dir: CertsDir = None,
    gateway_address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT=ADDRESS",
            help="As in install; repeatable.",
            autocompletion=completers.context_is,
        ),
    ] = None,
    api_server: ApiServerOption = None,
    api_server_ca: ApiServerCaOption = None,
    api_server_name: ApiServerNameOption = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only settings that differ from their defaults.")
    ] = False,
    istio_version: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="As in install.", autocompletion=completers.istio_versions),
    ] = None,
) -> None:
    """Show the effective settings, and the source of each: flag, file and line, environment, default.

    Accepts install's flags, to show the settings that an install would use. Reads no cluster.

    Examples:

      istio-mc config show

      istio-mc config show --config prod/mesh.yaml -o json

      istio-mc config show --changed

      istio-mc config show --gateway-address kt=203.0.113.7
    """
    import os

    from istio_mc.gateways.host import files
    from istio_mc.ops import config
    from istio_mc.ops.session.inputs import Overrides
    from istio_mc.present.config import shown

    options: edge.Options = ctx.obj

    def work(_progress: edge.Progress) -> edge.Report:
        show_options = config.ShowOptions(
            inputs=options.inputs(),
            overrides=Overrides.of(
                certs_dir, gateway_address, api_server, api_server_ca, api_server_name, istio_version
            ),
            given=frozenset(
                name for name in ("timeout", "concurrency") if getattr(options, name) is not None
            ),
        )
        settings = config.show(show_options, os.environ, files.current_folder(), files.home_folder())
        return shown(settings, changed_only=changed)

    edge.run("config show", options, work)


@app.command()
def schema(ctx: typer.Context) -> None:
    """Print the JSON Schema of mesh.yaml.

    An editor with YAML schema support then completes and checks the file; yaml-language-server reads this
    first line: "# yaml-language-server: $schema=mesh.schema.json".

    Examples:

      istio-mc config schema > mesh.schema.json
    """
    from istio_mc.domain.settings.schema import json_schema
    from istio_mc.present import config

    options: edge.Options = ctx.obj

    edge.run("config schema", options, lambda _progress: config.schema(json_schema()))
