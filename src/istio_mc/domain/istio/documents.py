"""The Kubernetes documents a mesh wants in each cluster, beside those istioctl makes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from istio_mc.domain import yamltext
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT
from istio_mc.domain.kube.objects import is_ours
from istio_mc.domain.mesh import (
    CLUSTER_LABEL,
    CROSS_NETWORK_GATEWAY,
    MANAGED_BY,
    MESH_LABEL,
    NETWORK_LABEL,
    READER_SERVICE_ACCOUNT,
    SYSTEM_NAMESPACE,
    ApiServer,
    Cluster,
    Mesh,
)
from istio_mc.domain.naming import remote_secret_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.kube.objects import Object

MULTI_CLUSTER_LABEL = "istio/multiCluster"
CLUSTER_ANNOTATION = "networking.istio.io/cluster"
SERVICE_ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"
"""Of a Secret with a token: whose token."""

READER_TOKEN_SUFFIX = "-istio-remote-secret-token"  # noqa: S105 - the end of a Secret's name
READER_TOKEN_SECRET = f"{READER_SERVICE_ACCOUNT}{READER_TOKEN_SUFFIX}"
"""The token Secret's name as istioctl gives it (istioctl/pkg/multicluster/remote_secret.go, 1.26.0)."""

FILLED_TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 - the type of a Secret
"""Of a Secret that Kubernetes' controller fills with a token that does not expire."""
BOUND_TOKEN_TYPE = "istio-mc/bound-token"  # noqa: S105 - the type of a Secret
"""Of a Secret that a token which expires is bound to, and that contains it."""
LIFETIME = "istio-mc/token-lifetime"
"""Annotation of such a Secret: the time that was requested, such as `90d`."""
EXPIRES = "istio-mc/token-expires"
"""Annotation of such a Secret: when its token expires, as the API server granted it (ISO 8601)."""


def namespace(mesh: Mesh, cluster: Cluster, live: Mapping[str, Any] | None) -> Object:
    """istio-system, labelled with the network Istio reads, and with what later runs know a member by.

    A namespace that this tool makes, or made, says so too: an uninstall removes no other.
    """
    made_by_tool = live is None or is_ours(live)
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": SYSTEM_NAMESPACE,
            "labels": {
                **(MANAGED_BY if made_by_tool else {}),
                NETWORK_LABEL: cluster.network,
                MESH_LABEL: mesh.mesh_id,
                CLUSTER_LABEL: cluster.cluster_id,
            },
        },
    }


def cacerts(data: Mapping[str, str]) -> Object:
    """The Secret istiod takes its CA from; `data` maps its four keys to base64."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "cacerts", "namespace": SYSTEM_NAMESPACE, "labels": dict(MANAGED_BY)},
        "type": "Opaque",
        "data": dict(data),
    }


def cross_network_gateway() -> Object:
    """Opens every service of the cluster to the other networks, by SNI and without ending TLS.

    It is in the namespace of the pods that it selects: since 1.31 istiod leaves Gateways of other namespaces
    out where a managed Gateway of the Gateway API has the same pods (PILOT_ENABLE_STRICT_GATEWAY_MERGING;
    pilot/pkg/model/push_context.go, filterStrictGatewayMerging).
    """
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": CROSS_NETWORK_GATEWAY, "namespace": SYSTEM_NAMESPACE},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [
                {
                    "port": {"number": CROSS_NETWORK_PORT, "name": "tls", "protocol": "TLS"},
                    "tls": {"mode": "AUTO_PASSTHROUGH"},
                    "hosts": ["*.local"],
                }
            ],
        },
    }


def reader_token_secret(
    suffix: str = "", account: str = READER_SERVICE_ACCOUNT, lifetime: str = ""
) -> Object:
    """The Secret of a reader's token, still empty.

    Without a lifetime Kubernetes' controller fills in a token that does not expire. With one it is a Secret
    that a requested token is bound to (`bound_token_request`), and in which istio-mc keeps that token.

    Args:
        suffix: Makes it another Secret, and so another token, beside the first.
        lifetime: As the annotation has it, such as `90d`.
    """
    marks = {LIFETIME: lifetime} if lifetime else {}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": account + READER_TOKEN_SUFFIX + (f"-{suffix}" if suffix else ""),
            "namespace": SYSTEM_NAMESPACE,
            "annotations": {SERVICE_ACCOUNT_ANNOTATION: account, **marks},
        },
        "type": BOUND_TOKEN_TYPE if lifetime else FILLED_TOKEN_TYPE,
    }


def bound_token_request(secret: Object, seconds: int) -> Object:
    """A TokenRequest for a token that is accepted as long as this Secret exists.

    The API server may grant a shorter time, and returns the time that it granted (Kubernetes,
    pkg/registry/core/serviceaccount/storage/token.go). It compares the Secret's UID each time that the token
    is used (pkg/serviceaccount/claims.go, Validate).
    """
    metadata = secret["metadata"]
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "expirationSeconds": seconds,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Secret",
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def bound_token_data(token: str, ca_data: bytes, expires: str) -> Object:
    """What a requested token changes in its Secret (merge patch)."""
    encoded = {"token": token.encode(), "ca.crt": ca_data}
    return {
        "metadata": {"annotations": {EXPIRES: expires}},
        "data": {key: base64.b64encode(value).decode() for key, value in encoded.items()},
    }


def remote_kubeconfig(cluster_id: str, api_server: ApiServer, token: str, ca_data: bytes) -> Object:
    """The kubeconfig inside a remote secret: one cluster, one user with a token, all named by the ID."""
    entry: Object = {
        "certificate-authority-data": base64.b64encode(api_server.ca_data or ca_data).decode(),
        "server": api_server.server,
    }
    if api_server.tls_server_name:
        entry["tls-server-name"] = api_server.tls_server_name
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": cluster_id, "cluster": entry}],
        "users": [{"name": cluster_id, "user": {"token": token}}],
        "contexts": [{"name": cluster_id, "context": {"cluster": cluster_id, "user": cluster_id}}],
        "current-context": cluster_id,
    }


def remote_secret(cluster_id: str, kubeconfig: Object) -> Object:
    """The Secret by which another cluster's istiod learns of this one, field for field as istioctl's.

    Source: istioctl/pkg/multicluster/remote_secret.go, Istio 1.26.0.
    """
    text = yamltext.dump(kubeconfig, sort_keys=True)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": remote_secret_name(cluster_id),
            "namespace": SYSTEM_NAMESPACE,
            "labels": {MULTI_CLUSTER_LABEL: "true"},
            "annotations": {CLUSTER_ANNOTATION: cluster_id},
        },
        "data": {cluster_id: base64.b64encode(text.encode()).decode()},
    }
