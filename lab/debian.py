"""The machine's own Debian packages: installed where missing, and the source of the images' base."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.errors import LabError
from lab.log import log_line
from lab.proc import run

CNI = Path("/usr/lib/cni")
BUSYBOX = Path("/bin/busybox")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# What must be there, and the package that brings it. Files, not packages, are looked at: a machine with
# another vendor's containerd has what is needed.
_NEEDED: dict[str | Path, str] = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "curl": "curl",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    CNI / "bridge": "containernetworking-plugins",
    CNI / "portmap": "containernetworking-plugins",
    BUSYBOX: "busybox-static",
    CERTIFICATES: "ca-certificates",
}


def _is_there(thing: str | Path) -> bool:
    return thing.exists() if isinstance(thing, Path) else shutil.which(thing) is not None


def missing() -> list[str]:
    """Packages that have to be installed, each once."""
    return sorted({package for thing, package in _NEEDED.items() if not _is_there(thing)})


def ensure() -> None:
    """Install what is missing, and nothing where nothing is."""
    packages = missing()
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise LabError(f"missing here: {', '.join(packages)}; there is no apt-get: install them by hand")
    log_line(f"installing {', '.join(packages)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    if run(install, env=quiet, timeout=900, check=False).returncode:
        run(["apt-get", "update", "-qq"], env=quiet, timeout=600)
        run(install, env=quiet, timeout=900)
    if still := missing():
        raise LabError(f"still missing after apt-get install: {', '.join(still)}; install them by hand")


def versions() -> str:
    """Versions of the packages whose files go into images; one string to tell two states apart."""
    names = ["containerd", "iptables", "busybox-static", "curl", "ca-certificates", "libc6"]
    return run(["dpkg-query", "-W", *names], check=False).stdout
