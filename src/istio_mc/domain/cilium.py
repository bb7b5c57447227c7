"""Cilium's settings: what a mesh needs of them, what a cluster runs with, and the steps between.

`bpf-lb-sock-hostns-only` and `cni-exclusive` are what Cilium's own guide to Istio asks for
(Documentation/network/servicemesh/istio.rst, 1.15); `enable-l7-proxy: "false"` is K-PaaS's addition.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from istio_mc.domain import jsontext
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.pod_faults import is_ready, pod_fault
from istio_mc.domain.mesh import MANAGED_BY
from istio_mc.domain.problem import Code, Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from istio_mc.domain.kube.objects import Object


NAMESPACE = "kube-system"
CONFIG = "cilium-config"
DAEMON_SET = "cilium"
BACKUP = "istio-mc-cilium-backup"
KEYS_ANNOTATION = "istio-mc/cilium-keys"
"""On the backup: a JSON list of the keys that fixes have set since it was made."""
TOUCHED_ANNOTATION = "istio-mc/cilium-revert-begun"
RESTARTED_ANNOTATION = "kubectl.kubernetes.io/restartedAt"
"""On the DaemonSet's pod template, as `kubectl rollout restart` has it."""

_HOSTNS_ONLY, _EXCLUSIVE = "bpf-lb-sock-hostns-only", "cni-exclusive"
_NEEDED = {_HOSTNS_ONLY: "true", _EXCLUSIVE: "false"}
_K_PAAS = {"enable-l7-proxy": "false"}
_SOCKET_LB = ("bpf-lb-sock", "enable-host-reachable-services")
_REPLACEMENT = "kube-proxy-replacement"
_REPLACES = frozenset({"true", "strict", "probe"})
"""Values with which the agent turns socket load balancing on by itself, whatever `bpf-lb-sock` says."""


def required_settings(*, k_paas: bool = False) -> dict[str, str]:
    """The settings a mesh needs; with `k_paas`, the one that K-PaaS adds too."""
    return _NEEDED | (_K_PAAS if k_paas else {})


@dataclass(frozen=True, slots=True)
class Need:
    """A setting that matters in one cluster."""

    key: str
    desired: str
    is_met: bool
    why: str


def socket_load_balancing(config: Mapping[str, str]) -> str:
    """The setting with which Cilium translates a Service's address inside the pod; empty: it does not."""
    on = {key: config[key] for key in _SOCKET_LB if config.get(key) == "true"}
    if config.get(_REPLACEMENT) in _REPLACES:
        on[_REPLACEMENT] = config[_REPLACEMENT]
    return ", ".join(f"{key}: {value}" for key, value in on.items())


def needs(config: Mapping[str, str], *, istio_cni: bool) -> tuple[Need, ...]:
    """The settings that matter in a cluster, judged as istioctl does before an install.

    operator/pkg/apis/validation/validation.go, detectCniIncompatibility (1.26.0); that one overlooks that
    kube-proxy-replacement "true" turns socket load balancing on.
    """
    result = []
    if cause := socket_load_balancing(config):
        why = (
            f"socket load balancing is on ({cause}): it selects the backend pod of a Service before the "
            "sidecar sees the request"
        )
        result.append(Need(_HOSTNS_ONLY, "true", config.get(_HOSTNS_ONLY) == "true", why))
    if istio_cni:
        why = "the Istio CNI plugin is used, and Cilium removes its configuration"
        result.append(Need(_EXCLUSIVE, "false", config.get(_EXCLUSIVE) != "true", why))
    return tuple(result)


@dataclass(frozen=True, slots=True)
class Change:
    """One key of cilium-config that is to change; None stands for a key that is not there."""

    key: str
    live: str | None
    desired: str | None


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far the DaemonSet's agents are.

    Attributes:
        seen: Whether the DaemonSet's controller has seen its last change.
    """

    desired: int
    updated: int
    ready: int
    seen: bool

    @property
    def complete(self) -> bool:
        """Whether every node that shall carry an agent does; none at all is no success."""
        return self.seen and 0 < self.desired == self.updated == self.ready

    def __str__(self) -> str:
        if not self.seen:
            return "its controller has not processed the last change"
        if not self.desired:
            return "no node runs an agent: no node matches the DaemonSet's nodeSelector or affinity"
        return f"{self.updated} of {self.desired} agents updated, {self.ready} ready"


@dataclass(frozen=True, slots=True)
class Cilium:
    """One cluster's Cilium as it was found.

    Attributes:
        agents: Its pods, without those on their way out.
    """

    config: Object = field(repr=False)
    daemon_set: Object = field(repr=False)
    agents: tuple[Object, ...] = field(default=(), repr=False)
    backup: Object | None = field(default=None, repr=False)
    istio_cni: bool = False

    @property
    def needs(self) -> tuple[Need, ...]:
        """The settings that matter in this cluster."""
        return needs(self.data, istio_cni=self.istio_cni)

    @property
    def data(self) -> dict[str, str]:
        """The live settings."""
        return dict(self.config.get("data") or {})

    @property
    def backed_up(self) -> dict[str, str] | None:
        """The settings as they were before the first fix; None where there is no backup."""
        return None if self.backup is None else dict(self.backup.get("data") or {})

    @property
    def fixed_keys(self) -> tuple[str, ...]:
        """The keys that fixes have set since the backup was made."""
        annotations = (self.backup or {}).get("metadata", {}).get("annotations") or {}
        return tuple(jsontext.load(annotations.get(KEYS_ANNOTATION) or "[]"))

    @property
    def changed_by_others(self) -> tuple[str, ...]:
        """Keys that fixes have not set, but that are not any more as the backup has them."""
        old, live = self.backed_up or {}, self.data
        return tuple(
            key
            for key in sorted(old.keys() | live.keys())
            if key not in self.fixed_keys and old.get(key) != live.get(key)
        )

    @property
    def changed_at(self) -> datetime | None:
        """When the settings last changed, by the API server's clock.

        A key's removal may leave no trace in cilium-config's own managedFields, so that the backup's
        count too: it is written to before every change.
        """
        times = _times(self.config, "f:data") + _times(self.backup, "f:metadata")
        return max(times, default=None)

    @property
    def stale(self) -> tuple[str, ...]:
        """Agents that may not have read the settings since they last changed, by name.

        A pod's creation is compared, not its start: it is the API server's clock that stamps both it and
        the change. Both are whole seconds; the same second does not prove that the pod came later.
        """
        changed = self.changed_at
        return tuple(
            pod["metadata"]["name"]
            for pod in self.agents
            if changed is not None and _time(pod["metadata"]["creationTimestamp"]) <= changed
        )

    @property
    def restarted_since(self) -> bool:
        """Whether the DaemonSet's template has changed since, so that its controller replaces the agents."""
        changed, restarted = self.changed_at, max(_times(self.daemon_set, "f:spec"), default=None)
        return changed is not None and restarted is not None and restarted > changed

    @property
    def rollout(self) -> Rollout:
        """How far the agents are."""
        status = self.daemon_set.get("status") or {}
        return Rollout(
            desired=status.get("desiredNumberScheduled", 0),
            updated=status.get("updatedNumberScheduled", 0),
            ready=status.get("numberReady", 0),
            seen=status.get("observedGeneration", 0) >= self.daemon_set["metadata"].get("generation", 0),
        )

    @property
    def restarts_itself(self) -> bool:
        """Whether a change of the DaemonSet's template replaces its pods."""
        strategy = self.daemon_set["spec"].get("updateStrategy") or {}
        return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done in one cluster.

    Attributes:
        restart: Why the agents are to be restarted; empty: they are not.
    """

    changes: tuple[Change, ...] = ()
    restart: str = ""
    watch: bool = False
    drop_backup: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.changes or self.restart or self.watch or self.drop_backup)


def fix_plan(current: Cilium, settings: Mapping[str, str]) -> Plan:
    """What makes a cluster's agents run with these settings."""
    live = current.data
    return _plan(current, tuple(Change(k, live.get(k), v) for k, v in settings.items() if live.get(k) != v))


def revert_plan(current: Cilium, *, force: bool = False, keep_others: bool = False) -> Plan:
    """What gives a cluster back the settings of its backup.

    Args:
        force: Restore every key, those too that others have changed since the backup.
        keep_others: Restore the keys that fixes have set, and leave the others as they are.

    Raises:
        ProblemError: Others have changed keys since, and neither was asked for.
    """
    old, live = current.backed_up, current.data
    if old is None:
        return Plan()
    if current.changed_by_others and not (force or keep_others):
        raise ProblemError(_changed_by_others(current))
    keys = current.fixed_keys if keep_others else sorted(old.keys() | live.keys())
    changes = tuple(Change(k, live.get(k), old.get(k)) for k in keys if live.get(k) != old.get(k))
    made = _plan(current, changes)
    return Plan(made.changes, made.restart, made.watch, drop_backup=True)


def _plan(current: Cilium, changes: tuple[Change, ...]) -> Plan:
    if changes:
        return Plan(changes, restart="agents read their settings only at start", watch=True)
    if stale := current.stale:
        if current.restarted_since:
            return Plan(watch=True)
        reason = f"{len(stale)} of {len(current.agents)} agents started before the last change of {CONFIG}"
        return Plan(restart=reason, watch=True)
    return Plan(watch=not current.rollout.complete)


def patch(current: Cilium, changes: Collection[Change]) -> dict[str, Any]:
    """A merge patch of cilium-config that makes the changes, if nobody has written to it in between."""
    version = current.config["metadata"]["resourceVersion"]
    return {
        "metadata": {"resourceVersion": version},
        "data": {change.key: change.desired for change in changes},
    }


def restart_patch(now: datetime) -> dict[str, Any]:
    """A merge patch of the DaemonSet that makes its controller replace the agents, one after another."""
    annotations = {RESTARTED_ANNOTATION: now.isoformat(timespec="microseconds")}
    return {"spec": {"template": {"metadata": {"annotations": annotations}}}}


def backup_document(current: Cilium, changes: Collection[Change]) -> Object:
    """The backup: the settings as they are, and the keys that are about to be set."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": BACKUP,
            "namespace": NAMESPACE,
            "labels": dict(MANAGED_BY),
            "annotations": _keys_annotation(change.key for change in changes),
        },
        "data": current.data,
    }


def backup_patch(current: Cilium, changes: Collection[Change]) -> dict[str, Any] | None:
    """A merge patch that adds keys about to be set to those the backup knows; None: it knows them all.

    The settings it holds are never written to again.
    """
    keys = dict.fromkeys((*current.fixed_keys, *(change.key for change in changes)))
    if keys.keys() == set(current.fixed_keys):
        return None
    return {"metadata": {"annotations": _keys_annotation(keys)}}


def revert_started(now: datetime) -> dict[str, Any]:
    """A merge patch of the backup, written before a revert so that its time says when that began."""
    return {"metadata": {"annotations": {TOUCHED_ANNOTATION: now.isoformat(timespec="microseconds")}}}


def _keys_annotation(keys: Any) -> dict[str, str]:  # noqa: ANN401 - any iterable of str, once
    return {KEYS_ANNOTATION: json.dumps(sorted(keys))}


def _times(document: Object | None, part: str) -> list[datetime]:
    """When a part of an object was last changed by each of its managers; its status does not count."""
    entries = (document or {}).get("metadata", {}).get("managedFields") or []
    return [
        _time(entry["time"])
        for entry in entries
        if entry.get("time") and part in (entry.get("fieldsV1") or {}) and not entry.get("subresource")
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _changed_by_others(current: Cilium) -> Problem:
    old, live = current.backed_up or {}, current.data

    def shown(value: str | None) -> str:
        return "absent" if value is None else json.dumps(value)

    return Problem(
        code=Code.CHANGED_SINCE_BACKUP,
        message=f"{CONFIG} has other keys changed since its backup, which a revert would also undo",
        seen="; ".join(
            f"{k}: {shown(old.get(k))} -> {shown(live.get(k))}" for k in current.changed_by_others
        ),
        expected=f"only {', '.join(current.fixed_keys)} to differ from {NAMESPACE}/{BACKUP}",
        hint=Advice(
            istio_mc("cilium", "revert", "--keep-others"),
            " (leaves them as they are) or --force (restores them too)",
        ),
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """Nodes and pods that were ready at one moment; each by its uid, with the name people know it by."""

    nodes: dict[str, str]
    pods: dict[str, str]


def ready(nodes: Iterable[Object], pods: Iterable[Object]) -> Ready:
    """Those that are ready; pods that are leaving do not count."""
    return Ready(
        {node["metadata"]["uid"]: node["metadata"]["name"] for node in nodes if is_ready(node)},
        {
            pod["metadata"]["uid"]: f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            for pod in pods
            if is_ready(pod) and not pod["metadata"].get("deletionTimestamp")
        },
    )


def lost(before: Ready, nodes: Iterable[Object], pods: Iterable[Object]) -> list[str]:
    """What was ready before, is still there, and is not ready now."""
    nodes, pods = list(nodes), list(pods)
    now = ready(nodes, pods)
    here = {node["metadata"]["uid"] for node in nodes}
    # A pod that is gone or on its way out was taken away; one that has run to its end lost nothing.
    running = {
        pod["metadata"]["uid"]
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        and (pod.get("status") or {}).get("phase") in ("Running", "Pending")
    }
    return [
        *(f"node {name}" for uid, name in before.nodes.items() if uid in here and uid not in now.nodes),
        *(f"pod {name}" for uid, name in before.pods.items() if uid in running and uid not in now.pods),
    ]


def why_not_ready(pod: Object) -> str:
    """Why a pod does not run, in the kubelet's and the scheduler's own words; empty where it does."""
    if since := pod["metadata"].get("deletionTimestamp"):
        return f"Pod {pod['metadata']['name']}: terminating, due by {since}"
    fault = pod_fault(pod)
    return str(fault) if fault else ""
