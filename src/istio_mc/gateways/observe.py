"""What lives in a cluster, read once a run and all at once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.objects import Kind, Object, kind_of, ref_of
from istio_mc.domain.observed import Observed
from istio_mc.gateways.fanout import all_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from istio_mc.gateways.kube import Kube

_IN_SYSTEM_NAMESPACE = (
    objects.SECRET,
    objects.SERVICE,
    objects.SERVICE_ACCOUNT,
    objects.CONFIG_MAP,
    objects.POD,
    objects.DEPLOYMENT,
    objects.HPA,
    objects.PDB,
    objects.NETWORK_POLICY,
    objects.ROLE,
    objects.ROLE_BINDING,
    objects.ISTIO_GATEWAY,
    objects.KUBERNETES_GATEWAY,
)
_CLUSTER_WIDE = (
    objects.CLUSTER_ROLE,
    objects.CLUSTER_ROLE_BINDING,
    objects.MUTATING_WEBHOOK,
    objects.VALIDATING_WEBHOOK,
    objects.CRD,
)
_MANY = (objects.CLUSTER_ROLE, objects.CLUSTER_ROLE_BINDING, objects.CRD)
_OF_ISTIO = "app.kubernetes.io/part-of=istio"


def observe(kube: Kube, namespace: Object | None = None) -> Observed:
    """Reads a cluster: some nineteen requests at once, each kind listed once.

    Args:
        kube: Its API server.
        namespace: istio-system, where this run has read it before.

    Raises:
        ProblemError: It cannot be reached, or refuses to tell.
    """
    # Asked first and alone: a cluster that does not answer shall cost one timeout and be one Problem.
    version = kube.version()

    def listed(kind: Kind) -> Callable[[], list[Object]]:
        if kind.namespaced:
            return lambda: kube.list(kind, SYSTEM_NAMESPACE)
        return lambda: kube.list(kind, labels=_OF_ISTIO if kind in _MANY else None)

    calls: dict[str, Callable[[], list[Object]]] = {
        " ".join(kind): listed(kind) for kind in (*_IN_SYSTEM_NAMESPACE, *_CLUSTER_WIDE)
    }
    calls["namespace"] = lambda: _one(namespace or kube.get(objects.NAMESPACE, SYSTEM_NAMESPACE))
    calls["gateway-api"] = lambda: _one(kube.get(objects.CRD, objects.GATEWAY_API_SIGN))
    found = all_of(calls)
    gateway_api = bool(found.pop("gateway-api"))
    live = {ref_of(item): item for items in found.values() for item in items}
    return Observed(version, live, gateway_api, kube.ahead_s)


def completed(kube: Kube, observed: Observed, manifest: Iterable[Object]) -> Observed:
    """The same, with what a manifest has of kinds that `observe` does not list.

    Most meshes have none: NetworkPolicies, say, are made where `values.global.networkPolicy` asks for them.

    Raises:
        ProblemError: One of them may not be read.
    """
    listed = {kind.kind for kind in (*_IN_SYSTEM_NAMESPACE, *_CLUSTER_WIDE, objects.NAMESPACE)}
    unread = {ref_of(item): kind_of(item) for item in manifest if item["kind"] not in listed}
    if not unread:
        return observed
    found = all_of(
        {str(ref): partial(kube.get, kind, ref.name, ref.namespace) for ref, kind in unread.items()}
    )
    return replace(
        observed, objects={**observed.objects, **{ref_of(item): item for item in found.values() if item}}
    )


def _one(found: Object | None) -> list[Object]:
    return [found] if found else []
