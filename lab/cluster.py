"""One cluster, from an empty folder to a node that is ready."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from lab import files as outputs
from lab import kubeadm, network, node, quirks, settings, template
from lab.errors import LabError
from lab.log import log_line
from lab.proc import run, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lab.settings import Cluster, Versions

# Folders of the machine that the node must see empty, whatever the machine itself has there.
_OWN_ETC = ("kubernetes", "cni", "containerd")
_VAR = ("lib/kubelet", "lib/etcd", "lib/cni", "log/pods", "log/containers", "tmp")

# The order matters: the node's folder lies in /var, so that /var itself comes last.
_MOUNTS = """\
mount -t overlay overlay -o lowerdir=/etc,upperdir={node}/etc,workdir={node}/etc.work /etc
mount --bind {node}/opt /opt
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock
mount --bind {node}/var /var
mount --bind /var/lib/kubelet /var/lib/kubelet
mount --make-rshared /var/lib/kubelet
echo {name} > /proc/sys/kernel/hostname
"""

# mark-control-plane: for clusters of several nodes. addon/coredns: applied by the lab, with its own Corefile.
# Not bootstrap-token, though no node joins: since 1.33 it lets the API server speak to the kubelet.
_SKIPPED = "mark-control-plane,addon/coredns,show-join-command"


def create(cluster: Cluster, versions: Versions, files: Mapping[str, Path], images: Path) -> None:
    """Bring one cluster up."""
    begun = time.monotonic()
    _folders(cluster, versions, files, images)
    inside = node.Inside(node.start_init(cluster.name))
    more = (cluster.gateway,) if cluster.provider is settings.Provider.IP else ()
    network.connect(cluster.name, inside, cluster.address, *more)
    inside.run(["sh", "-ec", _MOUNTS.format(node=cluster.node, name=cluster.name)])
    inside.start(["containerd"], f"{cluster.name}-containerd")
    _init(cluster, inside)
    outputs.write_kubeconfig(cluster)
    quirks.edge(cluster)
    quirks.balancer(cluster)
    kubectl = Kubectl(cluster, files["kubectl"])
    _addons(cluster, inside, kubectl)
    wait_for(f"{cluster.name}: all pods ready", lambda: not kubectl.unready(), timeout=120, every=0.5)
    log_line(f"{cluster.name}: ready after {time.monotonic() - begun:.0f} s")


def _folders(cluster: Cluster, versions: Versions, files: Mapping[str, Path], images: Path) -> None:
    home = cluster.node
    for path in ("etc.work", "opt/lab", "opt/bin", *(f"var/{path}" for path in _VAR)):
        (home / path).mkdir(parents=True, exist_ok=True)
    for path in _OWN_ETC:
        (home / "etc" / path).mkdir(parents=True, exist_ok=True)
        os.setxattr(home / "etc" / path, "trusted.overlay.opaque", b"y")
    (home / "var/run").symlink_to("/run")
    (home / "var/lock").symlink_to("/run/lock")
    (home / "var/tmp").chmod(0o1777)
    (home / "var/lib/kubelet").chmod(0o700)
    for name in ("kubelet", "kubeadm"):
        node.link_or_copy(files[name], home / "opt/bin" / name)
    texts = {
        "etc/containerd/config.toml": kubeadm.CONTAINERD,
        "etc/cni/net.d/10-lab.conflist": kubeadm.cni(cluster),
        "opt/lab/kubeadm.yaml": kubeadm.config(cluster, versions.kubernetes),
        "opt/lab/resolv.conf": "# The lab has no outside to ask.\n",
    }
    for path, text in texts.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text, encoding="utf-8")
    template.copy(images, home / "var/lib/containerd")


def _init(cluster: Cluster, inside: node.Inside) -> None:
    """Run kubeadm, and start the kubelet, which here no systemd starts, as soon as it is configured."""
    home = cluster.node
    wait_for(
        f"{cluster.name}: containerd answers",
        lambda: inside.run(["ctr", "version"], check=False, timeout=20).returncode == 0,
        timeout=60,
    )
    options = ["--ignore-preflight-errors=all", f"--skip-phases={_SKIPPED}"]
    log = settings.LOGS / f"{cluster.name}-kubeadm.log"
    done = home / "opt/lab/kubeadm.exit"
    # In a shell of its own, so that its end is seen while the kubelet is waited for.
    script = (
        f"/opt/bin/kubeadm init --config /opt/lab/kubeadm.yaml {' '.join(options)}; echo $? > /opt/lab/exit"
    )
    script += " && mv /opt/lab/exit /opt/lab/kubeadm.exit"
    inside.start(["sh", "-c", script], log.stem)

    configured = [home / "var/lib/kubelet/config.yaml", home / "etc/kubernetes/kubelet.conf"]
    wait_for(
        f"{cluster.name}: kubeadm configures the kubelet (its log: {log})",
        lambda: done.exists() or all(path.exists() for path in configured),
        timeout=90,
        every=0.1,
    )
    if not done.exists():
        start_kubelet(cluster, inside)
        wait_for(f"{cluster.name}: kubeadm ends (its log: {log})", done.exists, timeout=240)
    if (code := done.read_text(encoding="utf-8").strip()) != "0":
        tail = log.read_text(encoding="utf-8", errors="replace")[-1500:]
        raise LabError(f"{cluster.name}: kubeadm init ended with exit code {code}: {tail}")


_AGAIN = 'while :; do "$@"; echo "the kubelet ended with exit code $?"; sleep 1; done'


def start_kubelet(cluster: Cluster, inside: node.Inside) -> None:
    """Start the kubelet with what kubeadm wrote for it, and again where it ends, as systemd does.

    It can crash: one of 1.33.13 did where a pod was deleted while it was being started (doPodResizeAction).
    """
    options = [
        "--kubeconfig=/etc/kubernetes/kubelet.conf",
        "--config=/var/lib/kubelet/config.yaml",
        "--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
        f"--hostname-override={cluster.name}",
        f"--node-ip={cluster.address}",
    ]
    inside.start(["/bin/sh", "-c", _AGAIN, "again", "/opt/bin/kubelet", *options], f"{cluster.name}-kubelet")


def _addons(cluster: Cluster, inside: node.Inside, kubectl: Kubectl) -> None:
    # CoreDNS asks the API server at its Service's address once, and where nothing answers there yet it
    # waits for half a minute: kube-proxy first.
    rules = ["iptables", "-w", "-t", "nat", "-S", "KUBE-SERVICES"]
    wait_for(
        f"{cluster.name}: kube-proxy has written its rules",
        lambda: "10.96.0.1/32" in inside.run(rules, check=False).stdout,
        timeout=90,
    )
    phase = ["init", "phase", "addon", "coredns", "--config", "/opt/lab/kubeadm.yaml", "--print-manifest"]
    manifests = inside.run(["/opt/bin/kubeadm", *phase]).stdout
    kubectl.apply(kubeadm.coredns(manifests))
    if cluster.cilium:
        kubectl.apply(quirks.cilium())


class Kubectl:
    """kubectl against one cluster."""

    def __init__(self, cluster: Cluster, binary: Path | None = None) -> None:
        self.cluster = cluster
        # Without its own HOME kubectl would leave a cache in the user's.
        home = settings.STATE / "kubectl-cache" / cluster.name
        self._command: list[str | Path] = [
            binary or settings.BIN / "kubectl",
            f"--kubeconfig={cluster.kubeconfig}",
            f"--cache-dir={home}",
            "--request-timeout=10s",
        ]

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Run it and return what it prints."""
        return run([*self._command, *arguments], stdin=stdin, timeout=60).stdout

    def apply(self, manifests: str) -> None:
        """Apply documents."""
        self("apply", "--server-side", "-f", "-", stdin=manifests)

    def unready(self) -> list[str]:
        """Return what of the lab's own is not ready yet ([]: all is)."""
        try:
            listed = json.loads(self("get", "nodes,pods", "-n", "kube-system", "-o", "json"))
        except LabError as error:
            return [f"API server: {error}"]
        return unready(listed["items"], self.cluster)


def unready(items: list[dict[str, Any]], cluster: Cluster) -> list[str]:
    """Tell which of the things every lab cluster has are missing or not ready."""
    ready = {
        item["metadata"]["name"]
        for item in items
        if not item["metadata"].get("deletionTimestamp")
        and any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in item.get("status", {}).get("conditions", [])
        )
    }
    desired = [
        cluster.name,
        *(
            f"{part}-{cluster.name}"
            for part in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
        ),
        "coredns-",
        "kube-proxy-",
        *(["cilium-"] if cluster.cilium else []),
    ]
    return [
        desired
        for desired in desired
        if not any(name == desired or (desired.endswith("-") and name.startswith(desired)) for name in ready)
    ]
