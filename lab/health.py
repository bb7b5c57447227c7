"""Whether the lab that runs is whole: every part of it, looked at."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from lab import network, node, quirks, settings
from lab.cluster import Kubectl
from lab.proc import processes
from lab.settings import CLUSTERS, Cluster


def _cluster(cluster: Cluster) -> list[str]:
    pid = node.find_init(cluster.name)
    if pid is None:
        return ["the node does not run"]
    inside = node.Inside(pid)
    faults = [f"{name} does not run" for name in ("containerd", "kubelet") if inside.find(name) is None]
    if cluster.edge and node.find_init(cluster.edge) is None:
        faults.append("the NAT in front of it does not run")
    words = quirks.balancer_command(cluster)
    if not any(line[: len(words)] == words for _, line in processes()):
        faults.append("the load balancer does not run")
    links = network.links()
    desired = [settings.LINK_PREFIX + name for name in (cluster.name, cluster.edge) if name]
    faults += [f"link {name} is not there" for name in desired if name not in links]
    if not cluster.kubeconfig.exists():
        faults.append(f"{cluster.kubeconfig} is not there")
    # The API server last: where the node is broken, asking it only takes time.
    if not faults:
        faults += [f"{name} is not ready" for name in Kubectl(cluster).unready()]
    return faults


def faults() -> list[str]:
    """Tell what is wrong with the lab ([]: it is up and whole)."""
    if not settings.STATE.exists():
        return ["the lab is not up"]
    found = []
    if settings.BRIDGE not in network.links():
        found.append(f"bridge {settings.BRIDGE} is not there")
    if not settings.STAMP.exists():
        found.append("the last `lab up` did not finish")
    if found:
        return found
    with ThreadPoolExecutor() as pool:
        results = pool.map(_cluster, CLUSTERS)
    return [
        f"{cluster.name}: {fault}" for cluster, many in zip(CLUSTERS, results, strict=True) for fault in many
    ]
