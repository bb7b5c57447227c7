"""The IstioOperator document of a cluster: control plane and east-west gateway in one.

One document a cluster, and so one istioctl run, does what the guide's two do in half the time (both forms
were run side by side on Istio 1.26.0). The profile, ports and settings are the guide's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from istio_mc.domain.mesh import EAST_WEST_GATEWAY, NETWORK_LABEL, SYSTEM_NAMESPACE, Cluster, Mesh

if TYPE_CHECKING:
    from istio_mc.domain.kube.objects import Object

GATEWAY_PORTS: tuple[tuple[str, int, int], ...] = (
    ("status-port", 15021, 15021),
    ("http2", 80, 8080),
    ("https", 443, 8443),
    ("tcp", 31400, 31400),
    ("mtls", 15443, 15443),
    ("tcp-istiod", 15012, 15012),
    ("tcp-webhook", 15017, 15017),
)
"""Name, port and target port of each port of the gateway Service, as the guide opens them."""

CROSS_NETWORK_PORT = 15443
STATUS_PORT = 15021


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on it, mapping into mapping; anything else, lists too, is replaced."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merged(old, value)  # noqa: PLW2901 - laid on, not lost
        result[key] = value
    return result


def istio_operator(mesh: Mesh, cluster: Cluster) -> Object:
    """The document that `istioctl install` is given for a cluster.

    The user's values, the mesh's first and then the cluster's, are laid over ours; what they say under
    `meshConfig` goes to the document's own meshConfig, where istioctl reads it.
    """
    overrides = merged(mesh.values, cluster.values)
    own: Mapping[str, Any] = overrides.pop("meshConfig", None) or {}
    spec: Object = {
        "profile": "demo",
        "meshConfig": merged(_mesh_config(), own),
        "components": {
            "egressGateways": [{"name": "istio-egressgateway", "enabled": False}],
            "ingressGateways": [_gateway(cluster)],
        },
        "values": merged(_values(mesh, cluster), overrides),
    }
    optional = {"revision": mesh.revision, "hub": mesh.hub, "tag": mesh.tag}
    spec |= {key: value for key, value in optional.items() if value}
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": operator_name(mesh), "namespace": SYSTEM_NAMESPACE},
        "spec": spec,
    }


def operator_name(mesh: Mesh) -> str:
    """The document's own name; istioctl labels all that it makes of the document with it."""
    return f"istio-mc-{mesh.revision}" if mesh.revision else "istio-mc"


def _mesh_config() -> Object:
    return {
        "enablePrometheusMerge": True,
        "defaultConfig": {
            "proxyMetadata": {
                "ISTIO_META_DNS_CAPTURE": "true",
                # With ISTIO_MULTIROOT_MESH below: the root can be rotated later without an outage, but
                # only where both were there before the first step of the rotation.
                "PROXY_CONFIG_XDS_AGENT": "true",
            }
        },
    }


def _values(mesh: Mesh, cluster: Cluster) -> Object:
    return {
        "global": {
            "meshID": mesh.mesh_id,
            "network": cluster.network,
            "multiCluster": {"clusterName": cluster.cluster_id},
        },
        "pilot": {"env": {"ISTIO_MULTIROOT_MESH": "true"}},
        "sidecarInjectorWebhook": {"rewriteAppHTTPProbe": False},
        # Profile demo turns the gateway's HPA off; the guide's gateway, from profile empty, has it.
        "gateways": {EAST_WEST_GATEWAY: {"autoscaleEnabled": True}},
    }


def _gateway(cluster: Cluster) -> Object:
    service: Object = {
        "ports": [{"name": name, "port": port, "targetPort": target} for name, port, target in GATEWAY_PORTS]
    }
    if cluster.gateway_addresses:
        service["externalIPs"] = list(cluster.gateway_addresses)
    return {
        "name": EAST_WEST_GATEWAY,
        "enabled": True,
        "label": {NETWORK_LABEL: cluster.network},
        "k8s": {
            "env": [
                # Without its own network as view, the gateway would also forward to the other gateways.
                {"name": "ISTIO_META_REQUESTED_NETWORK_VIEW", "value": cluster.network},
                {"name": "ISTIO_META_ROUTER_MODE", "value": "sni-dnat"},
            ],
            # The gateway chart's own defaults (profile demo's 10m would have the HPA scale on a whisper).
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"cpu": "2000m", "memory": "1024Mi"},
            },
            "service": service,
        },
    }
