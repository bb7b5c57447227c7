"""DaemonSets in a stand-in cluster, and Cilium as one: agents that read their settings once, at start."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from tests.support.store import By

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.kinds import Object

SYSTEM = "kube-system"
CONFIG, AGENTS = "cilium-config", "cilium"
CHART = {
    "bpf-lb-sock-hostns-only": "false",
    "cni-exclusive": "true",
    "debug": "false",
    "enable-l7-proxy": "true",
    "kube-proxy-replacement": "true",
}
"""Of what Cilium's chart sets by default, what the tests look at."""

_KCM = By("kube-controller-manager")
_STATUS = By("kube-controller-manager", subresource="status")
_HASH = "controller-revision-hash"
_READ = "stand-in/settings-at-start"


def daemon_sets(cluster: Cluster) -> None:
    """Rolls DaemonSets out: a pod on each node that fits, of the newest template."""
    for daemon_set in cluster.store.of("DaemonSet"):
        if "deletionTimestamp" not in daemon_set["metadata"]:
            _roll_out(cluster, daemon_set)


def _roll_out(cluster: Cluster, daemon_set: Object) -> None:
    metadata, template = daemon_set["metadata"], daemon_set["spec"]["template"]
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:9]
    fits = 0 if template["spec"].get("nodeSelector") else 1  # the one node has no labels
    pods = [pod for pod in cluster.store.of("Pod", metadata["namespace"]) if _owned(pod, metadata["uid"])]
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    new = [pod for pod in staying if pod["metadata"]["labels"].get(_HASH) == digest][:fits]
    for pod in staying:
        if pod not in new:
            cluster.delete(pod)
    if fits and not new:
        new = [cluster.make(_pod(cluster, daemon_set, digest), _KCM)]
    ready = [pod for pod in new if (pod.get("status") or {}).get("phase") == "Running"]
    status = {
        "observedGeneration": metadata["generation"],
        "desiredNumberScheduled": fits,
        "currentNumberScheduled": len(new),
        "updatedNumberScheduled": len(new),
        "numberReady": len(ready),
        "numberAvailable": len(ready),
        "numberMisscheduled": 0,
    }
    cluster.set_status(daemon_set, status, _STATUS)


def _owned(pod: Object, uid: str) -> bool:
    return any(one["uid"] == uid for one in pod["metadata"].get("ownerReferences") or [])


def _pod(cluster: Cluster, daemon_set: Object, digest: str) -> Object:
    metadata, template = daemon_set["metadata"], daemon_set["spec"]["template"]
    labels = {**template["metadata"].get("labels", {}), _HASH: digest}
    owner = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
    config = cluster.store.find("ConfigMap", CONFIG, SYSTEM)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{metadata['name']}-{uuid.uuid4().hex[:5]}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {_READ: json.dumps((config or {}).get("data") or {})},
            "ownerReferences": [owner],
        },
        "spec": dict(template["spec"]),
    }


class Cilium:
    """Cilium in a stand-in cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def install(self) -> None:
        """Installs it as its chart does."""
        cluster = self.cluster
        labels = {"k8s-app": AGENTS}
        metadata = {"name": CONFIG, "namespace": SYSTEM}
        cluster.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(CHART)})
        cluster.make(
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": {"name": AGENTS, "namespace": SYSTEM, "labels": labels},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "updateStrategy": {"type": "RollingUpdate"},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {"containers": [{"name": "cilium-agent", "image": "cilium:1"}]},
                    },
                },
            }
        )
        cluster.settle()

    @property
    def settings(self) -> dict[str, str]:
        """What the ConfigMap holds."""
        return dict(self.cluster.get("ConfigMap", CONFIG, SYSTEM)["data"])

    @property
    def backup(self) -> dict[str, str] | None:
        """What the backup of the settings holds, where there is one."""
        found = self.cluster.store.find("ConfigMap", "istio-mc-cilium-backup", SYSTEM)
        return dict(found["data"]) if found else None

    @property
    def agent(self) -> str:
        """The name of the one agent."""
        self.cluster.settle()
        (name,) = [name for name in self.cluster.names("Pod", SYSTEM) if name.startswith(f"{AGENTS}-")]
        return name

    @property
    def in_use(self) -> dict[str, str]:
        """What the agent read when it started."""
        pod = self.cluster.get("Pod", self.agent, SYSTEM)
        found: dict[str, str] = json.loads(pod["metadata"]["annotations"][_READ])
        return found

    def set(self, **data: str | None) -> None:
        """Changes settings, as somebody else does; None removes one; `_` stands for `-`."""

        def change(copy: Object) -> None:
            for key, value in data.items():
                name = key.replace("_", "-")
                if value is None:
                    copy["data"].pop(name, None)
                else:
                    copy["data"][name] = value

        self.cluster.edit(self.cluster.get("ConfigMap", CONFIG, SYSTEM), change)

    def edit(self, change: Any) -> None:  # noqa: ANN401 - as Cluster.edit takes it
        """Changes the DaemonSet, as somebody else does."""
        self.cluster.edit(self.cluster.get("DaemonSet", AGENTS, SYSTEM), change)
