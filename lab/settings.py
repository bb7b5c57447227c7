"""The lab's fixed facts: versions, clusters, addresses, places."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

KUBERNETES = "1.33.13"
ISTIO = ("1.31.0", "1.30.4", "1.26.0")
"""The first is the mesh's own; the others' programs and images are there too."""

COREDNS = "1.12.1"
ENVOY = "1.40.0"

STATE = Path("/var/lib/istio-mc-lab")
LOCK = Path("/run/lock/istio-mc-lab.lock")

BRIDGE = "lab0"
BRIDGE_ADDRESS = "198.18.0.1"
LINK_PREFIX = "lab-"

BIN = STATE / "bin"
"""kubectl and the mesh's own istioctl, for people and tests."""

SBIN = STATE / "sbin"
"""What the lab itself runs; its processes are recognised by this path."""

INIT = SBIN / "lab-init"
BALANCER = SBIN / "loadbalancer"
LOGS = STATE / "logs"
KUBECONFIGS = STATE / "kubeconfigs"
MESH = STATE / "mesh.yaml"
STAMP = STATE / "stamp.json"
SYSCTLS = STATE / "sysctls.json"


class Provider(Enum):
    """How a provider's load balancer behaves."""

    PENDING = "pending"
    """Nothing is written into the Service; a static NAT stands outside the cluster."""

    HOSTNAME = "hostname"
    """A hostname is written; what it resolves to stands outside the cluster."""

    IP = "ip"
    """An address is written; the cluster's own kube-proxy answers on it."""


@dataclass(frozen=True)
class Cluster:
    """One cluster: a node of its own, in namespaces of its own."""

    name: str
    """Of the context, the node and everything on this machine."""

    cluster: str
    """As the kubeconfig and kubeadm call it."""

    index: int
    provider: Provider
    hostname: str = ""
    cilium: bool = False

    @property
    def address(self) -> str:
        """The node's address; the API server listens on its port 6443."""
        return f"198.18.0.1{self.index}"

    @property
    def gateway(self) -> str:
        """The address of the cluster's load balancer (or static NAT)."""
        return f"198.18.0.2{self.index}"

    @property
    def pods(self) -> str:
        """The range of the cluster's pods."""
        return f"10.20{self.index}.0.0/24"

    @property
    def node(self) -> Path:
        """Everything the node writes, as seen from the machine."""
        return STATE / "nodes" / self.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return KUBECONFIGS / f"{self.name}.yaml"

    @property
    def link(self) -> str:
        """The machine's end of the node's cable."""
        return LINK_PREFIX + self.name

    @property
    def edge(self) -> str | None:
        """Name of the box outside the cluster that forwards to it, if there is one."""
        return None if self.provider is Provider.IP else f"{self.name}-edge"


CLUSTERS = (
    Cluster("kt", "kt-k2p", 1, Provider.PENDING),
    Cluster("ncloud", "ncloud-nks", 2, Provider.HOSTNAME, "gw.ncloud.lab.test", cilium=True),
    Cluster("nhn", "nhn-nks", 3, Provider.IP),
)


@dataclass(frozen=True)
class Versions:
    """What a lab is made of."""

    kubernetes: str = KUBERNETES
    istio: tuple[str, ...] = ISTIO

    @property
    def main(self) -> str:
        """The Istio that `lab env` leads to."""
        return self.istio[0]

    @property
    def label(self) -> str:
        """Name of the folder for what is made of these, whatever else goes into it."""
        return "-".join(["kubernetes", self.kubernetes, "istio", *self.istio])

    def do_for(self, required: Versions) -> bool:
        """Whether a lab of these has all that is asked for."""
        return (self.kubernetes, self.main) == (required.kubernetes, required.main) and {*required.istio} <= {
            *self.istio
        }


def istio_home(version: str) -> Path:
    """Folder of one Istio version: its mesh.yaml, Gateway API, and `bin` with its istioctl and kubectl."""
    return STATE / f"istio-{version}"


def find(name: str) -> Cluster:
    """Return the cluster of that name (KeyError: there is none)."""
    return {cluster.name: cluster for cluster in CLUSTERS}[name]


def past_proxies() -> dict[str, str]:
    """Variables that keep a proxy of this machine's environment out of the way to the lab."""
    # Not everybody takes a range: Python's own HTTP client takes names and single addresses.
    single = [address for cluster in CLUSTERS for address in (cluster.address, cluster.gateway)]
    ours = ",".join(["localhost", "127.0.0.1", ".lab.test", "198.18.0.0/24", *single])
    theirs = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    joined = f"{theirs},{ours}" if theirs else ours
    return {"NO_PROXY": joined, "no_proxy": joined}


def cache() -> Path:
    """Folder for what is worth keeping between labs: binaries and images."""
    if chosen := os.environ.get("ISTIO_MC_LAB_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "istio-mc-lab"
