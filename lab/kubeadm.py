"""The documents a node is set up with."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import yaml

from lab import debian, images, settings

if TYPE_CHECKING:
    from lab.settings import Cluster

CONTAINERD = f"""\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE}"
  # Without CAP_SYS_RESOURCE runc may not lower the score: "can't get final child's PID from pipe".
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{debian.CNI}"
  conf_dir = "/etc/cni/net.d"
"""

COREFILE = """\
.:53 {{
    errors
    health {{
        lameduck 1s
    }}
    ready
    hosts {{
        {hosts}
        ttl 5
        fallthrough
    }}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
    prometheus :9153
    forward . 127.0.0.1:5300
    cache 5
    reload 10s
}}
# There is no world outside the lab to ask: other names do not exist, and that is said at once. In a block
# of its own, because `template` would come before `kubernetes` whatever the order it is written in.
.:5300 {{
    bind 127.0.0.1
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def cni(cluster: Cluster) -> str:
    """Return the node's pod network: a bridge, as the simplest of CNIs has it."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": cluster.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "lab", "plugins": [bridge, ports]})


def _arguments(**values: str) -> list[dict[str, str]]:
    return [{"name": name.replace("_", "-"), "value": value} for name, value in values.items()]


def go_settings(memory: int) -> list[dict[str, str]]:
    """Return how the control plane's programs look for garbage, on a machine of so many bytes.

    Two cores carry three of each, and at Go's own settings an API server that takes Istio's CRDs spends a
    third of its time on garbage. Memory is what there is more of: five times what is in use may be held, up
    to a twelfth of the machine's.
    """
    limit = max(memory // 12, 1 << 30) >> 20
    return [{"name": "GOGC", "value": "400"}, {"name": "GOMEMLIMIT", "value": f"{limit}MiB"}]


def config(cluster: Cluster, kubernetes: str = settings.KUBERNETES) -> str:
    """Return kubeadm's configuration of one cluster."""
    api = "kubeadm.k8s.io/v1beta4"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    plugins = "/var/lib/kubelet/volume-plugins"  # the default, under /usr, would be the machine's own folder
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": api,
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": cluster.address, "bindPort": 6443},
            "nodeRegistration": {
                "name": cluster.name,
                "criSocket": "unix:///run/containerd/containerd.sock",
                "taints": [],
                "imagePullPolicy": "IfNotPresent",
            },
        },
        {
            "apiVersion": api,
            "kind": "ClusterConfiguration",
            "clusterName": cluster.cluster,
            "kubernetesVersion": f"v{kubernetes}",
            "encryptionAlgorithm": "ECDSA-P256",  # quicker to make than RSA
            "networking": {"podSubnet": cluster.pods},
            # A lab's data is worth nothing: no waiting for the disk.
            "etcd": {
                "local": {
                    "dataDir": "/var/lib/etcd",
                    "extraArgs": _arguments(unsafe_no_fsync="true"),
                    "extraEnvs": go_settings(memory),
                }
            },
            "apiServer": {"extraEnvs": go_settings(memory)},
            # There is one of each: nobody to elect a leader against. HPAs look at new metrics sooner than
            # every 15 s, and scale down again within a test's time.
            "controllerManager": {
                "extraArgs": _arguments(
                    leader_elect="false",
                    flex_volume_plugin_dir=plugins,
                    horizontal_pod_autoscaler_sync_period="5s",
                    horizontal_pod_autoscaler_downscale_stabilization="10s",
                ),
                "extraEnvs": go_settings(memory),
            },
            "scheduler": {"extraArgs": _arguments(leader_elect="false"), "extraEnvs": go_settings(memory)},
        },
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": ["none"],  # an empty list is lost on the way
            "failSwapOn": False,
            "failCgroupV1": False,
            "resolvConf": "/opt/lab/resolv.conf",
            "volumePluginDir": plugins,
            # The disk is the machine's, and its owner's business.
            "evictionHard": {
                "imagefs.available": "0%",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100,
        },
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "conntrack": {"maxPerCore": 0},  # a setting of the whole machine
        },
    ]
    return yaml.safe_dump_all(documents, sort_keys=False)


def corefile() -> str:
    """Return cluster DNS's configuration: what is public outside resolves inside too."""
    hosts = [f"{cluster.gateway} {cluster.hostname}" for cluster in settings.CLUSTERS if cluster.hostname]
    return COREFILE.format(hosts="\n        ".join(hosts))


def coredns(manifests: str) -> str:
    """Change kubeadm's own CoreDNS manifests to the lab's configuration, and one replica."""
    documents = [document for document in yaml.safe_load_all(manifests) if document]
    for document in documents:
        if document["kind"] == "ConfigMap":
            document["data"]["Corefile"] = corefile()
        if document["kind"] == "Deployment":
            document["spec"]["replicas"] = 1
    return yaml.safe_dump_all(documents, sort_keys=False)
