"""What sets one provider's clusters apart: load balancers, and ncloud's Cilium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from lab import images, network, node, settings
from lab.proc import start
from lab.settings import Provider

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import Cluster

_CONFIG = "/tmp/cilium/config-map"  # noqa: S108 (in the pod, where the real one has it)

# As Cilium's own chart writes them where Cilium replaces kube-proxy: what an Istio mesh needs changed is
# among them, unchanged. The stand-in for the agent has no dataplane, so that kube-proxy stays.
CILIUM_CONFIG = {
    "agent-not-ready-taint-key": "node.cilium.io/agent-not-ready",
    "auto-direct-node-routes": "false",
    "bpf-lb-acceleration": "disabled",
    "bpf-lb-map-max": "65536",
    "bpf-lb-sock": "true",
    "bpf-lb-sock-hostns-only": "false",
    "cluster-id": "0",
    "cluster-name": "default",
    "cluster-pool-ipv4-cidr": "10.202.0.0/24",
    "cluster-pool-ipv4-mask-size": "24",
    "cni-exclusive": "true",
    "cni-log-file": "/var/run/cilium/cilium-cni.log",
    "custom-cni-conf": "false",
    "debug": "false",
    "enable-endpoint-routes": "false",
    "enable-hubble": "true",
    "enable-ipv4": "true",
    "enable-ipv6": "false",
    "enable-l7-proxy": "true",
    "enable-policy": "default",
    "identity-allocation-mode": "crd",
    "ipam": "cluster-pool",
    "kube-proxy-replacement": "true",
    "monitor-aggregation": "medium",
    "routing-mode": "tunnel",
    "tunnel-protocol": "vxlan",
}


def cilium() -> str:
    """Return Cilium's settings and agent: a stand-in for the process, real in how settings reach it."""
    labels = {"k8s-app": "cilium"}
    probe = {"httpGet": {"path": "/healthz", "port": 9879}, "periodSeconds": 2}
    container: dict[str, Any] = {
        "name": "cilium-agent",
        "image": images.CILIUM,
        "imagePullPolicy": "IfNotPresent",
        "command": ["cilium-agent"],
        "args": [f"--config-dir={_CONFIG}"],
        "ports": [{"name": "health", "containerPort": 9879, "hostPort": 9879}],
        "readinessProbe": probe,
        "volumeMounts": [{"name": "cilium-config-path", "mountPath": _CONFIG, "readOnly": True}],
    }
    metadata = {"name": "cilium", "namespace": "kube-system"}
    pod = {
        "serviceAccountName": "cilium",
        "priorityClassName": "system-node-critical",
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "cilium-config-path", "configMap": {"name": "cilium-config"}}],
    }
    documents: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "cilium-config", "namespace": "kube-system"},
            "data": CILIUM_CONFIG,
        },
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {**metadata, "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]
    return yaml.safe_dump_all(documents, sort_keys=False)


def edge(cluster: Cluster) -> None:
    """Set up the box outside the cluster that forwards to its nodePorts."""
    if cluster.edge:
        inside = node.Inside(node.start_init(cluster.edge))
        network.connect(cluster.edge, inside, cluster.gateway)


def balancer(cluster: Cluster) -> None:
    """Start the provider's side of LoadBalancer Services."""
    options = [f"-kubeconfig={cluster.kubeconfig}"]
    host = cluster.name
    if cluster.edge:
        host = cluster.edge
        options += [f"-nat={cluster.gateway}", f"-node={cluster.address}"]
    if cluster.provider is Provider.IP:
        options.append(f"-ip={cluster.gateway}")
    if cluster.provider is Provider.HOSTNAME:
        options.append(f"-hostname={cluster.hostname}")
    pid = node.find_init(host)
    if pid is None:
        return  # the node has just been killed; who asked will see it
    # Only the network of the box: the kubeconfig lies in the machine's own files.
    command: list[str | Path] = ["nsenter", "--target", str(pid), "--net", "--", settings.BALANCER, *options]
    start(command, settings.LOGS / f"{cluster.name}-loadbalancer.log")


def balancer_command(cluster: Cluster) -> list[str]:
    """Return the words a running load balancer is known by."""
    return [str(settings.BALANCER), f"-kubeconfig={cluster.kubeconfig}"]
