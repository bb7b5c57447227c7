"""Kubernetes objects as plain mappings: what names one, where it is kept, what keeps a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.mesh import MANAGED_BY
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

Object = dict[str, Any]

# Kinds that stand outside namespaces, of those this tool reads or writes.
CLUSTER_SCOPED = frozenset(
    {
        "APIService",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "FelixConfiguration",
        "GatewayClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)


class Kind(NamedTuple):
    """A kind of object as manifests name it: `apps/v1`, `Deployment`."""

    api_version: str
    kind: str

    @property
    def plural(self) -> str:
        """The resource name in URLs: the kind in lower case, in the plural of English."""
        name = self.kind.lower()
        if name.endswith(("s", "x", "ch")):
            return name + "es"
        if name.endswith("y") and name[-2] not in "aeiou":
            return name[:-1] + "ies"
        return name + "s"

    @property
    def namespaced(self) -> bool:
        """Whether objects of this kind live in a namespace."""
        return self.kind not in CLUSTER_SCOPED

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The URL path of one object, or of the collection where no name is given."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{self.api_version}{scope}/{self.plural}" + (f"/{name}" if name else "")


class Ref(NamedTuple):
    """Names one object of a cluster, whatever version of its API served it."""

    group: str
    kind: str
    namespace: str | None
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}"


def kind_of(document: Mapping[str, Any]) -> Kind:
    """The kind a document says it is."""
    return Kind(str(document["apiVersion"]), str(document["kind"]))


def ref_of(document: Mapping[str, Any]) -> Ref:
    """The reference to a document; a namespace on a cluster-scoped kind is not part of its name."""
    kind = kind_of(document)
    metadata = document["metadata"]
    group = kind.api_version.rpartition("/")[0]
    namespace = metadata.get("namespace") if kind.namespaced else None
    return Ref(group, kind.kind, namespace, metadata["name"])


def labels_of(document: Mapping[str, Any] | None) -> Mapping[str, str]:
    """An object's labels; none where there are none, or no object."""
    return (document or {}).get("metadata", {}).get("labels") or {}


def is_object(item: object) -> bool:
    """Whether something that was parsed is an object of Kubernetes: with apiVersion, kind and a name."""
    if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
        return False
    return all(
        isinstance(one, str)
        for one in (item.get("apiVersion"), item.get("kind"), item["metadata"].get("name"))
    )


def is_ours(item: Mapping[str, Any] | None) -> bool:
    """Whether an object has the label of those that this tool made."""
    return MANAGED_BY.items() <= labels_of(item).items()


def annotations_of(document: Mapping[str, Any] | None) -> Mapping[str, str]:
    """An object's annotations; none where there are none, or no object."""
    return (document or {}).get("metadata", {}).get("annotations") or {}


def environment(deployment: Mapping[str, Any] | None) -> dict[str, str]:
    """The variables that a Deployment's containers are given as plain values, by name."""
    template = (deployment or {}).get("spec", {}).get("template", {})
    return {
        variable["name"]: str(variable["value"])
        for container in template.get("spec", {}).get("containers") or []
        for variable in container.get("env") or []
        if variable.get("value")
    }


NAMESPACE = Kind("v1", "Namespace")
WORKLOAD_ENTRY = Kind("networking.istio.io/v1", "WorkloadEntry")
ENVOY_FILTER = Kind("networking.istio.io/v1alpha3", "EnvoyFilter")
REQUEST_AUTHENTICATION = Kind("security.istio.io/v1", "RequestAuthentication")
WASM_PLUGIN = Kind("extensions.istio.io/v1alpha1", "WasmPlugin")
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute")
SECRET = Kind("v1", "Secret")
SERVICE = Kind("v1", "Service")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount")
CONFIG_MAP = Kind("v1", "ConfigMap")
POD = Kind("v1", "Pod")
NODE = Kind("v1", "Node")
EVENT = Kind("v1", "Event")
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice")
DEPLOYMENT = Kind("apps/v1", "Deployment")
DAEMON_SET = Kind("apps/v1", "DaemonSet")
REPLICA_SET = Kind("apps/v1", "ReplicaSet")
LEASE = Kind("coordination.k8s.io/v1", "Lease")
HPA = Kind("autoscaling/v2", "HorizontalPodAutoscaler")
PDB = Kind("policy/v1", "PodDisruptionBudget")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
INGRESS = Kind("networking.k8s.io/v1", "Ingress")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding")
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole")
CLUSTER_ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding")
MUTATING_WEBHOOK = Kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
VALIDATING_WEBHOOK = Kind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
STORAGE_CLASS = Kind("storage.k8s.io/v1", "StorageClass")
API_SERVICE = Kind("apiregistration.k8s.io/v1", "APIService")
FELIX_CONFIGURATIONS = tuple(
    Kind(group, "FelixConfiguration") for group in ("projectcalico.org/v3", "crd.projectcalico.org/v1")
)
"""Calico's own API server has the first kind, where there is one; its CRDs are the second."""
ISTIO_GATEWAY = Kind("networking.istio.io/v1", "Gateway")
KUBERNETES_GATEWAY = Kind("gateway.networking.k8s.io/v1", "Gateway")
IP_ADDRESS_POOL = Kind("metallb.io/v1beta1", "IPAddressPool")
L2_ADVERTISEMENT = Kind("metallb.io/v1beta1", "L2Advertisement")
BGP_ADVERTISEMENT = Kind("metallb.io/v1beta1", "BGPAdvertisement")
BGP_PEER = Kind("metallb.io/v1beta2", "BGPPeer")

GATEWAY_API_VERSIONED = tuple(
    f"{plural}.gateway.networking.k8s.io" for plural in ("tlsroutes", "tcproutes", "backendtlspolicies")
)
"""CRDs that istiod reads at certain bundle versions only; data/releases.yaml has which."""
GATEWAY_API_SIGN = "gatewayclasses.gateway.networking.k8s.io"
"""The CRD whose being there tells that the Gateway API is installed."""


_PREFIX = "Namespace"


def is_terminating(namespace: Object | None) -> bool:
    """Whether a namespace is being deleted."""
    if namespace is None:
        return False
    phase = (namespace.get("status") or {}).get("phase")
    return bool(namespace["metadata"].get("deletionTimestamp")) or phase == "Terminating"


def deletion_blockers(namespace: Object) -> str:
    """What a namespace waits for before it is gone, in its controller's words; empty where none are there."""
    conditions = (namespace.get("status") or {}).get("conditions") or []
    held = [
        str(condition.get("message") or condition.get("reason"))
        for condition in conditions
        if condition.get("status") == "True" and str(condition.get("type")).startswith(_PREFIX)
    ]
    return "; ".join(held)


def terminating(context: str, namespace: Object | None) -> Problem | None:
    """The Problem of a namespace that is being deleted; None where it is not."""
    if namespace is None or not is_terminating(namespace):
        return None
    name = namespace["metadata"]["name"]
    since = namespace["metadata"].get("deletionTimestamp")
    seen = [f"deletionTimestamp {since}" if since else "phase Terminating", deletion_blockers(namespace)]
    return Problem(
        code=Code.NAMESPACE_TERMINATING,
        cluster=context,
        message=f"namespace {name} of {context} is being deleted: nothing can be created in it",
        seen="; ".join(filter(None, seen)),
        expected="a namespace that is not being deleted",
        hint=Advice(
            "wait until it is gone, then run the same command again; what it waits for: ",
            kubectl(context, "get", "namespace", name, "-o", "yaml"),
        ),
    )


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a Kubernetes LabelSelector selects these labels; an empty one selects everything."""
    selector = selector or {}
    desired = selector.get("matchLabels") or {}
    return desired.items() <= labels.items() and all(
        _expression(one, labels) for one in selector.get("matchExpressions") or []
    )


def _expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
