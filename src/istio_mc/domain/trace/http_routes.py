"""HTTPRoutes of the Gateway API whose parent is a Service: istiod makes VirtualServices of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istio_mc.domain.kube.objects import Object

_REDIRECT = "RequestRedirect"
_HOSTNAME = "Hostname"
_EVERY = {"path": {"type": "PathPrefix", "value": "/"}}


def as_virtual_services(route: Object) -> Iterator[Object]:
    """An HTTPRoute as a VirtualService of each Service that is its parent, under its own kind and name.

    One of another namespace than the Service is for clients of its own namespace only
    (pilot/pkg/config/kube/gateway/conversion.go, Istio 1.26.0).
    """
    metadata, spec = route["metadata"], route.get("spec") or {}
    namespace = metadata["namespace"]
    for parent in spec.get("parentRefs") or []:
        if parent.get("kind") != "Service" or parent.get("group") not in ("", "core"):
            continue
        of = parent.get("namespace") or namespace
        http = [_route(rule, namespace, parent.get("port")) for rule in spec.get("rules") or []]
        made: dict[str, Any] = {"hosts": [_host(parent["name"], of)], "http": http}
        if of != namespace:
            made["exportTo"] = ["."]
        yield {**route, "spec": made}


def _route(rule: Mapping[str, Any], namespace: str, port: int | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "route": [
            {"destination": _destination(one, namespace), "weight": one.get("weight", 1)}
            for one in rule.get("backendRefs") or []
        ]
    }
    if any(one.get("type") == _REDIRECT for one in rule.get("filters") or []):
        made["redirect"] = {}
    if timeout := (rule.get("timeouts") or {}).get("request"):
        made["timeout"] = timeout
    matches = rule.get("matches") or []
    of_port = {"port": port} if port else {}
    if matches and _EVERY not in matches:
        made["match"] = [{**one, **of_port} for one in matches]
    elif of_port:
        made["match"] = [of_port]
    return made


def _destination(backend: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    if backend.get("kind") == _HOSTNAME:
        host = backend["name"]
    else:
        host = _host(backend["name"], backend.get("namespace") or namespace)
    return {"host": host, **({"port": {"number": backend["port"]}} if backend.get("port") else {})}


def _host(name: str, namespace: str) -> str:
    return f"{name}.{namespace}.svc.cluster.local"
