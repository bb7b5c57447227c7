"""What each image holds: one program of ours or the machine's own Debian files, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from lab import debian
from lab.binaries import addon_version, istio_name
from lab.oci import Archive, Entry, Image, Layer, folder, program
from lab.proc import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lab.settings import Versions

PAUSE = "registry.k8s.io/pause:3.10"
CILIUM = "quay.io/cilium/cilium:v1.17.4"
REVIEWS = "docker.io/istio/examples-bookinfo-reviews-{}:1.20.3"
CURL = "docker.io/curlimages/curl:8.16.0"
BUSYBOX = "docker.io/library/busybox:1.36"
_REGISTRIES = {"metallb": "quay.io", "metrics-server": "registry.k8s.io"}
"""Of the images of what `istio-mc addons` installs."""

_ACCOUNTS = [
    Entry("etc/passwd", data=b"root:x:0:0:root:/root:/bin/sh\nistio-proxy:x:1337:1337::/tmp:/bin/sh\n"),
    Entry("etc/group", data=b"root:x:0:\nistio-proxy:x:1337:\n"),
    Entry("etc/nsswitch.conf", data=b"hosts: files dns\n"),
    folder("tmp", 0o1777),
    folder("root", 0o700),
]

_IPTABLES = tuple(
    f"{family}{flavour}{action}"
    for family in ("iptables", "ip6tables")
    for flavour in ("", "-nft", "-legacy")
    for action in ("", "-save", "-restore")
)


def _libraries(programs: list[Path]) -> list[Entry]:
    """Every shared library the programs load, each at the path where the loader looks for it."""
    listed = run(["ldd", *programs], check=False).stdout
    paths = sorted(set(re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x", listed, re.MULTILINE)))
    return [program(path, Path(path).resolve()) for path in paths]


def _shell() -> list[Entry]:
    applets = run([debian.BUSYBOX, "--list"]).stdout.split()
    # Debian's static wget ends with a segmentation fault; one that is not there is plainer.
    links = [Entry(f"bin/{name}", link="busybox") for name in applets if name not in {"busybox", "wget"}]
    return [program("bin/busybox", debian.BUSYBOX), *links, *_ACCOUNTS]


def _network() -> list[Entry]:
    """Give iptables in both flavours, and curl: what kube-proxy, istio-init and a client need."""
    multi = {flavour: Path(f"/usr/sbin/xtables-{flavour}-multi") for flavour in ("nft", "legacy")}
    extensions = sorted(next(Path("/usr/lib").glob("*-linux-gnu/xtables")).glob("*.so"))
    curl = Path("/usr/bin/curl")
    # The flavour without a name in it is the machine's own choice: the nodes' CNI plugins use that one.
    default = "legacy" if "legacy" in Path("/usr/sbin/iptables").resolve().name else "nft"
    entries = [program(f"usr/sbin/{path.name}", path) for path in multi.values()]
    for name in _IPTABLES:
        flavour = "legacy" if "-legacy" in name else "nft" if "-nft" in name else default
        entries.append(Entry(f"usr/sbin/{name}", link=f"xtables-{flavour}-multi"))
    entries += [program(str(path), path) for path in extensions]
    entries += [program("usr/bin/curl", curl), Entry(str(debian.CERTIFICATES), source=debian.CERTIFICATES)]
    return entries + _libraries([*multi.values(), curl, *extensions])


def _envoy(files: Mapping[str, Path]) -> list[Entry]:
    return [
        program("usr/local/bin/envoy", files["envoy"]),
        *_libraries([files["envoy"]]),
        # A sidecar's user writes here; in a pod these are volumes, in a bare container they are not.
        folder("etc/istio/proxy", 0o1777),
        folder("var/lib/istio/data", 0o1777),
    ]


def _agent(files: Mapping[str, Path], version: str) -> list[Entry]:
    bootstrap = files[istio_name(version, "envoy_bootstrap.json")]
    return [
        program("usr/local/bin/pilot-agent", files[istio_name(version, "pilot-agent")]),
        Entry("var/lib/istio/envoy/envoy_bootstrap_tmpl.json", source=bootstrap),
    ]


def kubernetes_names(files: Mapping[str, Path], version: str) -> dict[str, str]:
    """Return the images that kubeadm of this version asks for, by the program in them."""
    listed = run([files["kubeadm"], "config", "images", "list", f"--kubernetes-version=v{version}"]).stdout
    return {name.rpartition(":")[0].rpartition("/")[2]: name for name in listed.split()}


def addons(files: Iterable[str]) -> dict[str, str]:
    """Return the images of what `istio-mc addons` installs, by the file of the program in each."""
    found = [(name, name.partition("/")[0]) for name in files]
    return {
        name: f"{_REGISTRIES[addon]}/{name}:v{addon_version(addon)}"
        for name, addon in found
        if addon in _REGISTRIES
    }


def write(files: Mapping[str, Path], versions: Versions, archive: Archive, scratch: Path) -> None:
    """Write every image of the lab into an archive."""

    def layer(name: str, entries: list[Entry]) -> Layer:
        return Layer.write(scratch / f"{name.replace('/', '-')}.tar", entries)

    def lone(name: str, path: str = "", file: str = "") -> Layer:
        entries = [program(path or f"usr/local/bin/{name}", files[file or name]), *_ACCOUNTS]
        return layer(file or name, entries)

    shell, network = layer("shell", _shell()), layer("network", _network())
    base = [shell, network]
    names = kubernetes_names(files, versions.kubernetes)
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"):
        archive.add(Image(names[name], [lone(name)], [name]))
    archive.add(Image(names["kube-proxy"], [*base, lone("kube-proxy")], ["kube-proxy"]))
    archive.add(Image(names["coredns"], [lone("coredns", "coredns")], ["/coredns"]))
    archive.add(Image(PAUSE, [lone("pause", "pause")], ["/pause"]))

    user = "1337:1337"
    envoy = layer("envoy", _envoy(files))
    for version in versions.istio:
        pilot = [shell, lone("pilot-discovery", file=istio_name(version, "pilot-discovery"))]
        start = ["/usr/local/bin/pilot-discovery"]
        archive.add(Image(f"docker.io/istio/pilot:{version}", pilot, start, user=user))
        proxy = [*base, envoy, layer(istio_name(version, "proxyv2"), _agent(files, version))]
        start = ["/usr/local/bin/pilot-agent"]
        archive.add(Image(f"docker.io/istio/proxyv2:{version}", proxy, start, user=user))

    reviews = [shell, lone("reviews")]
    for version in ("v1", "v2", "v3"):
        env = {"SERVICE_VERSION": version}
        archive.add(Image(REVIEWS.format(version), reviews, ["/usr/local/bin/reviews"], env))
    cilium = [shell, lone("cilium-agent", "usr/bin/cilium-agent")]
    archive.add(Image(CILIUM, cilium, ["/usr/bin/cilium-agent"]))
    for file, image in addons(files).items():
        name = file.rpartition("/")[2]
        archive.add(Image(image, [lone(name, name, file)], [f"/{name}"]))
    archive.add(Image(CURL, base, ["/usr/bin/curl"]))
    archive.add(Image(BUSYBOX, [shell], ["sh"]))
