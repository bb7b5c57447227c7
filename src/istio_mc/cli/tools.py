"""`istio-mc tools`: the signatures of install, list and download."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from istio_mc.cli import completers, edge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from istio_mc.domain.tools import Tool
    from istio_mc.gateways.tools.cache import Cache
    from istio_mc.ops.session.inputs import Inputs
    from istio_mc.ops.tools.fetch import Choice, FetchResult

app = typer.Typer(
    name="tools",
    help="kubectl, Helm, istioctl and the Gateway API's CRDs: pinned and verified.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TOOL",
        help="kubectl, helm, istioctl, gateway-api [default: all].",
        show_default=False,
        autocompletion=completers.tools,
    ),
]
BinDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="ISTIO_MC_BIN_DIR",
        help="Folder of the programs [default: mesh.yaml's tools.binDir, else a cache].",
        file_okay=False,
    ),
]
Kubectl = Annotated[str | None, typer.Option(metavar="VERSION", help="[default: mesh.yaml's, else 1.32.3].")]
Helm = Annotated[str | None, typer.Option(metavar="VERSION", help="[default: mesh.yaml's, else 3.16.4].")]
Istioctl = Annotated[
    str | None,
    typer.Option(
        metavar="VERSION",
        help="[default: mesh.yaml's, else the mesh's, else the newest tested one].",
        autocompletion=completers.istio_versions,
    ),
]
GatewayApi = Annotated[
    str | None,
    typer.Option(metavar="VERSION", help="[default: mesh.yaml's, else Istio's]."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the downloads and their sources; change nothing.")
]


@app.command(short_help="Install the programs, each verified by its SHA-256.")
def install(
    ctx: typer.Context,
    *,
    names: Names = None,
    kubectl: Kubectl = None,
    helm: Helm = None,
    istioctl: Istioctl = None,
    gateway_api: GatewayApi = None,
    platform: Annotated[
        str | None,
        typer.Option(
            metavar="OS/ARCH",
            help="linux or darwin, amd64 or arm64 [default: this machine's].",
            autocompletion=completers.platforms,
        ),
    ] = None,
    bin_dir: BinDir = None,
    offline: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Install from a folder that tools download filled.", file_okay=False
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Install the programs, each verified by its SHA-256 before it is unpacked.

    A program runs once before it replaces another one. HTTPS_PROXY and NO_PROXY are used. The other
    commands look in the cache first.

    Examples:

      istio-mc tools install

      istio-mc tools install kubectl --kubectl 1.31.4 --bin-dir ~/.local/bin

      istio-mc tools install --offline /media/usb/tools
    """
    import os

    from istio_mc.domain.tools import Tool
    from istio_mc.gateways.tools.install import Offline
    from istio_mc.ops.tools import fetch as op

    options: edge.Options = ctx.obj

    def fetch_files(choice: Choice, cache: Cache, inputs: Inputs, progress: edge.Progress) -> FetchResult:
        online = op.online(cache, inputs.deadline, progress)
        with nullcontext(Offline(offline, cache)) if offline else online as source:
            return op.install(
                choice,
                cache,
                source,
                progress=progress,
                search_path=os.environ.get("PATH", ""),
                dry_run=dry_run,
                deadline=inputs.deadline,
            )

    _fetch(
        "tools install",
        options,
        {Tool.KUBECTL: kubectl, Tool.HELM: helm, Tool.ISTIOCTL: istioctl, Tool.GATEWAY_API: gateway_api},
        fetch_files,
        names=names,
        platforms=(platform,) if platform else (),
        bin_dir=bin_dir,
        dry_run=dry_run,
    )


@app.command(short_help="Fill a folder for a site without internet.")
def download(
    ctx: typer.Context,
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to fill.", file_okay=False)],
    names: Names = None,
    kubectl: Kubectl = None,
    helm: Helm = None,
    istioctl: Istioctl = None,
    gateway_api: GatewayApi = None,
    platform: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OS/ARCH",
            help="Platform; repeatable [default: this machine's].",
            autocompletion=completers.platforms,
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Fill a folder with the published files and their checksums, for a site without internet.

    Then copy the folder to that site, and run: istio-mc tools install --offline DIR.

    Examples:

      istio-mc tools download /media/usb/tools

      istio-mc tools download tools --platform darwin/arm64
    """
    from istio_mc.domain.tools import Tool
    from istio_mc.ops.tools import fetch as op

    options: edge.Options = ctx.obj

    def fetch_files(choice: Choice, cache: Cache, inputs: Inputs, progress: edge.Progress) -> FetchResult:
        with op.online(cache, inputs.deadline, progress) as server:
            return op.download(choice, folder, server, progress, dry_run=dry_run)

    _fetch(
        "tools download",
        options,
        {Tool.KUBECTL: kubectl, Tool.HELM: helm, Tool.ISTIOCTL: istioctl, Tool.GATEWAY_API: gateway_api},
        fetch_files,
        names=names,
        platforms=edge.each(platform),
        dry_run=dry_run,
    )


def _fetch(
    command: str,
    options: edge.Options,
    versions: Mapping[Tool, str | None],
    fetch_files: Callable[[Choice, Cache, Inputs, edge.Progress], FetchResult],
    *,
    names: Sequence[str] | None,
    platforms: Sequence[str],
    bin_dir: Path | None = None,
    dry_run: bool,
) -> None:
    """Selects tools and the Istio version, downloads or installs them, and reports the result."""
    import os
    from datetime import UTC, datetime

    from istio_mc.domain.tools import Tool
    from istio_mc.gateways.host import files
    from istio_mc.gateways.host.settings_file import load_settings
    from istio_mc.gateways.istio.releases import release_table
    from istio_mc.gateways.tools.cache import find_cache
    from istio_mc.ops.tools import fetch as op
    from istio_mc.ops.tools.listing import settled
    from istio_mc.present.tools import fetched

    def work(progress: edge.Progress) -> edge.Report:
        inputs = options.inputs()
        chosen = names or ()
        settings, istio = settled(
            inputs,
            load_settings(inputs.config, files.current_folder(), inputs.read),
            chosen,
            versions[Tool.ISTIOCTL],
            release_table(),
            datetime.now(UTC).date(),
            progress,
        )
        folder = files.with_home(bin_dir) if bin_dir else None
        choice = op.choose(settings, names=chosen, versions=versions, platforms=platforms, bin_dir=folder)
        result = fetch_files(choice, find_cache(os.environ, files.home_folder()), inputs, progress)
        return fetched(result, dry_run=dry_run, istio=istio)

    edge.run(command, options, work)


@app.command("list", short_help="Show which programs would be used, and the clusters they fit.")
def list_(ctx: typer.Context, *, bin_dir: BinDir = None) -> None:
    """Show which programs would be used, from where, and which clusters they fit.

    DIGEST shows the reference of each file's SHA-256: pinned, published with it, or not verified.

    The clusters are those of --contexts or mesh.yaml, else the members; without any, none is read.

    Examples:

      istio-mc tools list

      istio-mc tools list --contexts kt,ncloud,nhn -o json
    """
    import os
    from datetime import UTC, datetime

    from istio_mc.gateways.host import files
    from istio_mc.gateways.host.settings_file import load_settings
    from istio_mc.gateways.istio.releases import release_table
    from istio_mc.gateways.tools.cache import find_cache
    from istio_mc.ops.tools import listing as op
    from istio_mc.present.tools import listed

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        inputs = options.inputs()
        settings = load_settings(inputs.config, files.current_folder(), inputs.read)
        result = op.listed(
            inputs,
            settings,
            find_cache(os.environ, files.home_folder()),
            os.environ,
            datetime.now(UTC).date(),
            release_table(),
            bin_dir=bin_dir,
            progress=progress,
        )
        return listed(result)

    edge.run("tools list", options, work)
