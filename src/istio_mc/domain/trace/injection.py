"""Sidecars: which pods a webhook gives one, why a pod has none, and which ports go past it."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import product
from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice, Command, kubectl
from istio_mc.domain.istio.proxies import workload_of
from istio_mc.domain.istio.services import MTLS, TLS_MODE_LABEL
from istio_mc.domain.kube.objects import annotations_of, labels_of, selects
from istio_mc.domain.mesh import injection_labels
from istio_mc.domain.trace.model import is_meshed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from istio_mc.domain.hint import Hint
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView

INJECT = "sidecar.istio.io/inject"
_ENABLED, _REVISION = "istio-injection", "istio.io/rev"
_INJECTOR = "sidecar-injector"
_TRAFFIC = "traffic.sidecar.istio.io/"
_INTERCEPTION, _OFF = "sidecar.istio.io/interceptionMode", "NONE"
EXCLUDED_OUT, EXCLUDED_IN = f"{_TRAFFIC}excludeOutboundPorts", f"{_TRAFFIC}excludeInboundPorts"
INCLUDED_IN = f"{_TRAFFIC}includeInboundPorts"
INCLUDED_OUT = f"{_TRAFFIC}includeOutboundPorts"
EXCLUDED_RANGES, INCLUDED_RANGES = f"{_TRAFFIC}excludeOutboundIPRanges", f"{_TRAFFIC}includeOutboundIPRanges"


def injectors(configurations: Iterable[Object]) -> tuple[Object, ...]:
    """The webhooks among MutatingWebhookConfigurations that inject sidecars."""
    return tuple(
        webhook
        for one in configurations
        if labels_of(one).get("app") == _INJECTOR
        for webhook in one.get("webhooks") or []
    )


def is_injected(view: ClusterView, labels: Mapping[str, str], of_pod: Mapping[str, str]) -> bool:
    """Whether a pod that starts now gets a sidecar.

    Args:
        view: The cluster.
        labels: The labels of its namespace.
        of_pod: Its own labels.
    """
    if view.injectors is None:
        return labels.get(_ENABLED) == "enabled" or (_ENABLED not in labels and bool(labels.get(_REVISION)))
    return any(
        selects(one.get("namespaceSelector") or {}, labels)
        and selects(one.get("objectSelector") or {}, of_pod)
        for one in view.injectors
    )


def may_have_sidecar(pod: Object) -> bool:
    """Whether a pod could be injected: one on the network of its node is not."""
    return not pod.get("spec", {}).get("hostNetwork")


def opts_out(pod: Object) -> bool:
    """Whether a pod refuses a sidecar by its label or annotation."""
    return "false" in (labels_of(pod).get(INJECT), annotations_of(pod).get(INJECT))


def _without_mtls(pod: Object) -> bool:
    """Whether a pod says by its label that its sidecar, if it has one, does not accept mTLS."""
    return labels_of(pod).get(TLS_MODE_LABEL) not in (None, MTLS)


def why_not_injected(view: ClusterView, namespace: str, pods: Sequence[Object]) -> str:
    """Why pods have no sidecar, in a few words."""
    if any(not may_have_sidecar(pod) for pod in pods):
        return "hostNetwork: true in the pods: they are never injected"
    if any(opts_out(pod) for pod in pods):
        return f"{INJECT}: false on the pods"
    if modes := [labels_of(pod)[TLS_MODE_LABEL] for pod in pods if _without_mtls(pod)]:
        return f"label {TLS_MODE_LABEL}={modes[0]} on the pods"
    labels = view.namespaces.get(namespace, {})
    if all(is_injected(view, labels, _plain(pod)) for pod in pods):
        return "they started before injection was on"
    shown = ", ".join(f"{key}={value}" for key, value in labels.items() if "istio" in key)
    return f"labels of Namespace {namespace}: {shown or 'none of Istio'}"


def _plain(pod: Object) -> dict[str, str]:
    return {key: value for key, value in labels_of(pod).items() if key != INJECT}


def inject(view: ClusterView, namespace: str, pods: Collection[Object]) -> Hint:
    """What gives pods that have no sidecar one."""
    bare = [pod for pod in pods if not is_meshed(pod)]
    of_node = next((pod for pod in bare if not may_have_sidecar(pod)), None)
    if of_node is not None:
        workload = workload_of(of_node) or f"pod/{of_node['metadata']['name']}"
        return Advice(
            "remove hostNetwork, if it works without: ",
            kubectl(view.context, "-n", namespace, "edit", workload),
        )
    workloads = {workload_of(pod): pod for pod in bare}
    marked = mark(view, namespace, bare)
    if not workloads or "" in workloads or marked is None:
        return Advice(
            "have the pods injected, and restart them: ",
            kubectl(view.context, "-n", namespace, "get", "pods", "--show-labels"),
        )
    changed = {name: removed for name, pod in sorted(workloads.items()) if (removed := _removed(pod))}
    others = sorted(workloads.keys() - changed.keys())
    steps = [*marked, *(patch_template(view, namespace, name, removed) for name, removed in changed.items())]
    if others:
        steps.append(kubectl(view.context, "-n", namespace, "rollout", "restart", *others))
    return replace(steps[0], then=tuple(steps[1:]))


def _removed(pod: Object) -> Mapping[str, Any]:
    """What has to go of a pod's labels and annotations for a sidecar that accepts mTLS."""
    if opts_out(pod):
        return {"labels": {INJECT: None}, "annotations": {INJECT: None}}
    return {"labels": {TLS_MODE_LABEL: None}} if _without_mtls(pod) else {}


def mark(view: ClusterView, namespace: str, pods: Collection[Object] = ()) -> list[Command] | None:
    """What labels a namespace so that its pods are injected; nothing where it is; None where none does."""
    labels = view.namespaces.get(namespace, {})
    kinds = [_plain(pod) for pod in pods] or [{}]
    if all(is_injected(view, labels, one) for one in kinds):
        return []
    for given in _choices(view):
        changed = {key: value for key, value in {**labels, **given}.items() if value}
        if all(is_injected(view, changed, one) for one in kinds):
            words = [f"{key}={value}" if value else f"{key}-" for key, value in given.items()]
            return [kubectl(view.context, "label", "namespace", namespace, *words, "--overwrite")]
    return None


def _choices(view: ClusterView) -> list[dict[str, str]]:
    """Labels to try, those of other namespaces first; an empty value is a label that is removed."""
    revisions = [labels[_REVISION] for labels in view.namespaces.values() if labels.get(_REVISION)]
    by_default = injection_labels(None)
    given = [by_default, *(injection_labels(one) for one in dict.fromkeys(revisions))]
    used = [one for one in given if any(one.items() <= labels.items() for labels in view.namespaces.values())]
    ordered = [*used, *(one for one in given if one not in used)]
    return [
        one if _ENABLED in one or not alone else {**one, _ENABLED: ""}
        for alone, one in product((0, 1), ordered)
    ]


def patch_template(view: ClusterView, namespace: str, workload: str, metadata: Mapping[str, Any]) -> Command:
    """What changes labels and annotations of a workload's pods, which are replaced."""
    patch = json.dumps({"spec": {"template": {"metadata": metadata}}})
    return kubectl(view.context, "-n", namespace, "patch", workload, "--type", "merge", "-p", patch)


def intercepts(pod: Object) -> bool:
    """Whether connections of a pod are intercepted for its sidecar."""
    return annotations_of(pod).get(_INTERCEPTION) != _OFF


def bypassed_outbound(pod: Object, port: int, address: str) -> tuple[str, str | None] | None:
    """The annotation by which calls go past the sidecar, and what it is to be without them; None: none does.

    None as the second: a value that is unknown here.
    """
    given = annotations_of(pod)
    if not intercepts(pod):
        return _INTERCEPTION, ""
    if str(port) in (listed := _entries(given.get(EXCLUDED_OUT))):
        return EXCLUDED_OUT, ",".join(one for one in listed if one != str(port))
    ranges = _entries(given.get(EXCLUDED_RANGES))
    if any(_is_within(address, one) for one in ranges):
        return EXCLUDED_RANGES, ",".join(one for one in ranges if not _is_within(address, one))
    if str(port) in _entries(given.get(INCLUDED_OUT)):
        return None
    if INCLUDED_RANGES in given and not any(
        _is_within(address, one) for one in _entries(given[INCLUDED_RANGES])
    ):
        return INCLUDED_RANGES, None
    return None


def bypassed_inbound(pod: Object, port: int | None) -> tuple[str, str | None] | None:
    """The annotation by which calls of a port of the pod go past its sidecar, and what it should be."""
    given, desired = annotations_of(pod), str(port)
    if not intercepts(pod):
        return _INTERCEPTION, ""
    if desired in (listed := _entries(given.get(EXCLUDED_IN))):
        return EXCLUDED_IN, ",".join(one for one in listed if one != desired)
    if INCLUDED_IN in given and port is not None:
        included = _entries(given[INCLUDED_IN])
        if "*" not in included and desired not in included:
            return INCLUDED_IN, ",".join([*included, desired])
    return None


def through_sidecar(view: ClusterView, pod: Object, annotation: str, value: str | None) -> Hint:
    """What has a pod's calls go through its sidecar again: the annotation with another value, or without."""
    namespace, workload = pod["metadata"]["namespace"], workload_of(pod)
    if value is None or not workload:
        shown = kubectl(view.context, "-n", namespace, "get", "pod", pod["metadata"]["name"], "-o", "yaml")
        return Advice(f"correct annotation {annotation} of what runs the pod: ", shown)
    return patch_template(view, namespace, workload, {"annotations": {annotation: value or None}})


def _entries(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _is_within(address: str, block: str) -> bool:
    try:
        return block == "*" or ip_address(address) in ip_network(block, strict=False)
    except ValueError:
        return False
