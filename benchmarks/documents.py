"""The guide's documents, as its scripts give them to istioctl and kubectl: two IstioOperators a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

GATEWAY_PORTS = (
    ("status-port", 15021, 15021),
    ("http2", 80, 8080),
    ("https", 443, 8443),
    ("tcp", 31400, 31400),
    ("mtls", 15443, 15443),
    ("tcp-istiod", 15012, 15012),
    ("tcp-webhook", 15017, 15017),
)
"""Name, port and target port, as the guide opens them."""


@dataclass(frozen=True)
class Settings:
    """What the lab's mesh.yaml says, for both sides alike.

    Attributes:
        mesh_id: Istio's mesh ID.
        hub: Registry of Istio's images.
        tag: Their tag.
        values: IstioOperator values of every cluster; `meshConfig` among them goes to the document's own.
        gateway_api: File with the Gateway API's CRDs.
        addresses: Address in front of a gateway whose LoadBalancer stays pending, by context.
    """

    mesh_id: str
    hub: str
    tag: str
    values: Mapping[str, Any]
    gateway_api: str
    addresses: Mapping[str, str]


def settings_of(mesh: Mapping[str, Any]) -> Settings:
    """Read what both sides need out of a parsed mesh.yaml (KeyError: it does not say so)."""
    clusters = mesh["clusters"]
    return Settings(
        mesh_id=mesh["meshID"],
        hub=mesh["istio"]["hub"],
        tag=mesh["istio"]["tag"],
        values=mesh.get("values") or {},
        gateway_api=mesh["gatewayAPI"]["manifest"],
        addresses={c["context"]: c["gatewayAddress"] for c in clusters if "gatewayAddress" in c},
    )


def laid_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> Document:
    """Lay one mapping over another, mapping into mapping."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[key] = laid_over(old, value)
        else:
            result[key] = value
    return result


def control_plane(settings: Settings, cluster: str, network: str) -> Document:
    """Return the first document: profile demo without its gateways."""
    mesh_config = {
        "enablePrometheusMerge": True,
        "defaultConfig": {"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}},
    }
    components = {
        "egressGateways": [{"name": "istio-egressgateway", "enabled": False}],
        "ingressGateways": [{"name": "istio-ingressgateway", "enabled": False}],
    }
    values = {"sidecarInjectorWebhook": {"rewriteAppHTTPProbe": False}}
    return _operator("control-plane", "demo", settings, (cluster, network), mesh_config, components, values)


def gateway(settings: Settings, cluster: str, network: str) -> Document:
    """Return the second document: one gateway that is ingress and east-west gateway at once."""
    one = {
        "name": "istio-ingressgateway",
        "enabled": True,
        "label": {"topology.istio.io/network": network},
        "k8s": {
            "env": [
                {"name": "ISTIO_META_REQUESTED_NETWORK_VIEW", "value": network},
                {"name": "ISTIO_META_ROUTER_MODE", "value": "sni-dnat"},
            ],
            "service": {
                "ports": [
                    {"name": name, "port": port, "targetPort": target} for name, port, target in GATEWAY_PORTS
                ]
            },
        },
    }
    return _operator("gateway", "empty", settings, (cluster, network), {}, {"ingressGateways": [one]}, {})


def expose() -> Document:
    """Return the Gateway that opens every service of a cluster to the other networks."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "cross-network-gateway"},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [
                {
                    "port": {"number": 15443, "name": "tls", "protocol": "TLS"},
                    "tls": {"mode": "AUTO_PASSTHROUGH"},
                    "hosts": ["*.local"],
                }
            ],
        },
    }


def _operator(
    name: str,
    profile: str,
    settings: Settings,
    place: tuple[str, str],
    mesh_config: Document,
    components: Document,
    values: Document,
) -> Document:
    cluster, network = place
    own = dict(settings.values)
    own_mesh_config = own.pop("meshConfig", {})
    shared = {
        "global": {
            "meshID": settings.mesh_id,
            "multiCluster": {"clusterName": cluster},
            "network": network,
        }
    }
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": name, "namespace": "istio-system"},
        "spec": {
            "profile": profile,
            "hub": settings.hub,
            "tag": settings.tag,
            "meshConfig": laid_over(mesh_config, own_mesh_config),
            "components": components,
            "values": laid_over(laid_over(shared, values), own),
        },
    }
