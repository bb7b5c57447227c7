"""`istio-mc tools`: the signatures of install, list and download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from istio_mc.cli import completers, edge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.domain.istio.choice import IstioChoice
    from istio_mc.domain.tools import Tool
    from istio_mc.ops.session.inputs import Inputs
    from istio_mc.ops.tools.fetch import Choice

app = typer.Typer(
    name="tools",
    help="kubectl, Helm, istioctl and the Gateway API's CRDs: pinned, verified, and found again.",
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
    bool, typer.Option("--dry-run", help="Say what would be fetched, from where; touch nothing.")
]


@app.command(short_help="Bring the programs in place, each verified by its SHA-256.")
@edge.verb
def install(
    options: edge.Options,
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
            metavar="DIR", help="Take them from a folder that tools download filled.", file_okay=False
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Install the programs, each verified by its SHA-256 before it is unpacked.

    A program is run once before it replaces another. HTTPS_PROXY and NO_PROXY are honoured. The other verbs
    look in the cache first.

    Examples:

      istio-mc tools install

      istio-mc tools install kubectl --kubectl 1.31.4 --bin-dir ~/.local/bin

      istio-mc tools install --offline /media/usb/tools
    """
    import os
    from functools import partial

    from istio_mc.domain.tools import Tool
    from istio_mc.gateways.host import files
    from istio_mc.gateways.tools.cache import find_cache
    from istio_mc.gateways.tools.install import Offline
    from istio_mc.ops.tools import fetch as op
    from istio_mc.present.tools import brought

    def work(progress: edge.Progress) -> edge.Report:
        inputs = options.inputs()
        choice, istio = _chosen(
            inputs,
            names or (),
            {
                Tool.KUBECTL: kubectl,
                Tool.HELM: helm,
                Tool.ISTIOCTL: istioctl,
                Tool.GATEWAY_API: gateway_api,
            },
            progress,
            platforms=(platform,) if platform else (),
            bin_dir=files.with_home(bin_dir) if bin_dir else None,
        )
        cache = find_cache(os.environ, files.home_folder())
        search_path = os.environ.get("PATH", "")
        bring = partial(
            op.install,
            choice,
            cache,
            progress=progress,
            search_path=search_path,
            dry_run=dry_run,
            deadline=inputs.deadline,
        )
        if offline:
            result = bring(Offline(offline, cache))
        else:
            with op.online(cache, inputs.deadline, progress) as server:
                result = bring(server)
        return brought(result, dry_run=dry_run, istio=istio)

    edge.run("tools install", options, work)


@app.command(short_help="Fill a folder for a site without internet.")
@edge.verb
def download(
    options: edge.Options,
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
            help="Platform; repeat it [default: this machine's].",
            autocompletion=completers.platforms,
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Fill a folder with the published files and their checksums, for a site without internet.

    Take the folder there, and give it to: istio-mc tools install --offline DIR.

    Examples:

      istio-mc tools download /media/usb/tools

      istio-mc tools download tools --platform darwin/arm64
    """
    import os

    from istio_mc.domain.tools import Tool
    from istio_mc.gateways.host import files
    from istio_mc.gateways.tools.cache import find_cache
    from istio_mc.ops.tools import fetch as op
    from istio_mc.present.tools import brought

    def work(progress: edge.Progress) -> edge.Report:
        inputs = options.inputs()
        choice, istio = _chosen(
            inputs,
            names or (),
            {
                Tool.KUBECTL: kubectl,
                Tool.HELM: helm,
                Tool.ISTIOCTL: istioctl,
                Tool.GATEWAY_API: gateway_api,
            },
            progress,
            platforms=edge.each(platform),
        )
        cache = find_cache(os.environ, files.home_folder())
        with op.online(cache, inputs.deadline, progress) as server:
            result = op.download(choice, folder, server, progress, dry_run=dry_run)
        return brought(result, dry_run=dry_run, istio=istio)

    edge.run("tools download", options, work)


def _chosen(
    inputs: Inputs,
    names: Sequence[str],
    versions: Mapping[Tool, str | None],
    progress: edge.Progress,
    *,
    platforms: Sequence[str],
    bin_dir: Path | None = None,
) -> tuple[Choice, IstioChoice | None]:
    """What is to be brought, and the version of Istio that it is brought for."""
    from datetime import UTC, datetime

    from istio_mc.domain.tools import Tool
    from istio_mc.gateways.host import files
    from istio_mc.gateways.host.settings_file import load_settings
    from istio_mc.gateways.istio.releases import release_table
    from istio_mc.ops.tools import fetch as op
    from istio_mc.ops.tools.listing import settled

    settings, istio = settled(
        inputs,
        load_settings(inputs.config, files.current_folder(), inputs.read),
        names,
        versions[Tool.ISTIOCTL],
        release_table(),
        datetime.now(UTC).date(),
        progress,
    )
    return op.choose(settings, names=names, versions=versions, platforms=platforms, bin_dir=bin_dir), istio


@app.command("list", short_help="Show which programs would be used, and the clusters they fit.")
@edge.verb
def list_(options: edge.Options, *, bin_dir: BinDir = None) -> None:
    """Show which programs would be used, from where, and which clusters they fit.

    DIGEST says what the SHA-256 of each file is compared with: pinned, published with it, or not verified.

    Clusters are those of --contexts or mesh.yaml, else the members; without any, none is asked.

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
