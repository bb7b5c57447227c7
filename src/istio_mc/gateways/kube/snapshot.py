"""Objects of a cluster, and its surroundings of the mesh: read once per run and in parallel."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import calico, cilium, observed
from istio_mc.domain.istio.discovery import ready_addresses
from istio_mc.domain.istio.services import Services, endpoints_of, meshed
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind, Object, kind_of, labels_of, ref_of
from istio_mc.domain.kube.refusal import Reason
from istio_mc.domain.kube.rights import Right
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.observed import ISTIO_CNI, Observed, Surroundings
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.kube.errors import KubeError
from istio_mc.gateways.kube.rights import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from istio_mc.domain.calico import Calico
    from istio_mc.domain.kube.objects import Object, Ref
    from istio_mc.gateways.kube.client import Kube


_METRICS = "v1beta1.metrics.k8s.io"
NEEDED = (
    Right("create", "namespaces", "", ""),
    Right("patch", "namespaces", "", ""),
    *(
        Right(verb, resource, group)
        for verb in ("list", "create", "patch")
        for resource, group in (
            ("secrets", ""),
            ("configmaps", ""),
            ("services", ""),
            ("serviceaccounts", ""),
            ("deployments", "apps"),
            ("horizontalpodautoscalers", "autoscaling"),
            ("poddisruptionbudgets", "policy"),
            ("roles", "rbac.authorization.k8s.io"),
            ("rolebindings", "rbac.authorization.k8s.io"),
        )
    ),
    *(
        Right(verb, resource, group, "")
        for verb in ("list", "create", "patch")
        for resource, group in (
            ("clusterroles", "rbac.authorization.k8s.io"),
            ("clusterrolebindings", "rbac.authorization.k8s.io"),
            ("mutatingwebhookconfigurations", "admissionregistration.k8s.io"),
            ("validatingwebhookconfigurations", "admissionregistration.k8s.io"),
            ("customresourcedefinitions", "apiextensions.k8s.io"),
        )
    ),
    Right("list", "networkpolicies", "networking.k8s.io"),
    *(Right(verb, "leases", "coordination.k8s.io") for verb in ("get", "create", "patch", "delete")),
    # A WebSocket begins with a GET; Kubernetes 1.35 and newer require the other right for it too.
    Right("get", "pods", "", SYSTEM_NAMESPACE, "portforward"),
    Right("create", "pods", "", SYSTEM_NAMESPACE, "portforward"),
)
"""The permissions that an install needs."""


def survey(kube: Kube, daemon_sets: Callable[[], list[Object]] | None = None) -> Surroundings:
    """Reads the surroundings of the mesh: ten requests, more only if a right is missing or Calico runs.

    Args:
        daemon_sets: Returns the DaemonSets, if other parts of this run also use them.

    Raises:
        ProblemError: The cluster is not reachable, or refuses a read.
    """
    calls: dict[str, Callable[[], list[Object]]] = {
        "storage": partial(kube.list, objects.STORAGE_CLASS),
        "nodes": partial(kube.list, objects.NODE),
        "istiods": partial(kube.list, objects.DEPLOYMENT, labels="app=istiod"),
        "daemon sets": daemon_sets or partial(kube.list, objects.DAEMON_SET),
    }
    listed = all_of(calls)
    running = listed["daemon sets"]
    crds = all_of({name: partial(kube.get, objects.CRD, name) for name in objects.GATEWAY_API_VERSIONED})
    metrics = kube.get(objects.API_SERVICE, _METRICS)
    config = kube.get(objects.CONFIG_MAP, cilium.CONFIG, cilium.NAMESPACE)
    return Surroundings(
        storage_classes=observed.storage_classes(listed["storage"]),
        metrics=observed.metrics(metrics),
        architectures=observed.architectures(listed["nodes"]),
        cilium=(config.get("data") or {}) if config else None,
        calico=_calico(kube, running),
        istio_cni=any(one["metadata"]["name"] == ISTIO_CNI for one in running),
        denied=missing(kube, NEEDED),
        control_planes=tuple(observed.control_plane(item) for item in listed["istiods"]),
        gateway_api=observed.bundle_versions([crd for crd in crds.values() if crd]),
        ambient=any(labels_of(one).get("app") == "ztunnel" for one in running),
    )


def _calico(kube: Kube, daemon_sets: Collection[Object]) -> Calico | None:
    """Calico's settings; read only if it runs."""
    node = next((one for one in daemon_sets if one["metadata"]["name"] == calico.DAEMON_SET), None)
    if node is None:
        return None
    try:
        documents = (kube.get(kind, calico.FELIX) for kind in objects.FELIX_CONFIGURATIONS)
        return calico.calico_of(node, next(filter(None, documents), None))
    except KubeError as error:
        if error.reason is not Reason.FORBIDDEN:
            raise
        return calico.calico_of(node, None, is_known=False)


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
    """Reads a cluster: about nineteen parallel requests, each kind listed once.

    Args:
        namespace: istio-system, if this run has read it already.

    Raises:
        ProblemError: The cluster is not reachable, or refuses a read.
    """
    # Read first and alone, so that an unreachable cluster costs one timeout and gives one Problem.
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
    results = all_of(calls)
    gateway_api = bool(results.pop("gateway-api"))
    _share_specs(results[" ".join(objects.CRD)])
    live = {ref_of(item): item for items in results.values() for item in items}
    return Observed(version, live, gateway_api, kube.ahead_s)


_specs: dict[str, object] = {}


def _share_specs(crds: Iterable[Object]) -> None:
    """Makes equal CRD specs of several clusters share one object: they need most of the memory."""
    for crd in crds:
        spec = crd.get("spec")
        kept = _specs.setdefault(crd["metadata"]["name"], spec)
        if kept == spec:
            crd["spec"] = kept


def completed(kube: Kube, observed: Observed, manifest: Iterable[Object]) -> Observed:
    """Adds the objects of a manifest whose kinds `observe` does not list.

    Most meshes have none. For example, NetworkPolicies exist only with `values.global.networkPolicy`.

    Raises:
        ProblemError: One of them cannot be read.
    """
    listed = {kind.kind for kind in (*_IN_SYSTEM_NAMESPACE, *_CLUSTER_WIDE, objects.NAMESPACE)}
    unread = {ref_of(item): kind_of(item) for item in manifest if item["kind"] not in listed}
    if not unread:
        return observed
    return replace(observed, objects={**observed.objects, **read_each(kube, unread)})


def read_each(kube: Kube, refs: Mapping[Ref, Kind]) -> dict[Ref, Object]:
    """Returns those of the objects that exist, each read by its name, in parallel.

    Raises:
        ProblemError: One of them cannot be read.
    """
    calls = {str(ref): partial(kube.get, kind, ref.name, ref.namespace) for ref, kind in refs.items()}
    found = all_of(calls)
    return {ref: item for ref in refs if (item := found[str(ref)])}


def _one(item: Object | None) -> list[Object]:
    return [item] if item else []


def read_services(kube: Kube, injected: Callable[[], list[Object]]) -> Services:
    """Reads the Services of all namespaces and their endpoints, in two calls.

    Args:
        injected: Returns the pods that use mTLS, which other parts of this run also use.

    Raises:
        ProblemError: The API server refused, or did not respond.
    """
    calls: dict[str, Callable[[], list[Object]]] = {
        "services": partial(kube.list, objects.SERVICE),
        "slices": partial(kube.list, objects.ENDPOINT_SLICE),
        "pods": injected,
    }
    results = all_of(calls)
    offered = meshed(results["services"], results["pods"])
    slices = results["slices"]
    return Services(
        tuple(results["services"]), offered, endpoints_of(slices), ready_addresses(slices), tuple(slices)
    )
