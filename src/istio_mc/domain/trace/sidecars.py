"""Sidecars: the hop of their egress at the client, and where their ingress sends calls at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.kube.policies import Policies
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.trace.injection import intercepts
from istio_mc.domain.trace.matching import edit, matches_host, patched, ref
from istio_mc.domain.trace.model import OK, Outcome, Path, State, broken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.hint import Hint
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView


def sidecar(path: Path) -> Outcome:
    """The Sidecar that applies to the client lets its proxy have the service."""
    client = path.client
    found = _sidecar_of(client, path.client_namespace, labels_of(client.client))
    egress = (found or {}).get("spec", {}).get("egress")
    if found is None or not egress:
        return OK
    service = path.service
    listeners = [one for one in egress if (one.get("port") or {}).get("number") in (None, 0, path.port)]
    including = [one for one in listeners if _includes(path, found, one)]
    if any(not _bound(path, one) for one in including):
        return Outcome(State.OK, f"{ref(found)} includes it")
    if including:
        return broken(_not_captured(path, found, egress, including[0]))
    hosts = [f"{entry}{_of_port(listener)}" for listener in egress for entry in listener.get("hosts") or []]
    return broken(
        Problem(
            code=Code.SIDECAR_EGRESS,
            cluster=client.context,
            message=f"{client.context}: {ref(found)} leaves out {service}",
            seen=f"egress hosts: {', '.join(map(str, hosts)) or 'none'}",
            expected=f"{service.namespace}/{service.host} among them",
            hint=_include(path, found, egress, listeners),
        )
    )


def _includes(path: Path, found: Object, listener: Mapping[str, Any]) -> bool:
    for entry in listener.get("hosts") or []:
        namespace, _, host = str(entry).rpartition("/")
        if namespace == ".":
            namespace = found["metadata"]["namespace"]
        if namespace in ("*", path.service.namespace, "") and matches_host(host, path.service.host):
            return True
    return False


_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - what a Sidecar binds to, not this program


def _bound(path: Path, listener: Mapping[str, Any]) -> str:
    """Which setting has a listener listen at another address; empty: it gets intercepted calls.

    With captureMode NONE that is 127.0.0.1 unless `bind` names another, and calls of the Service's address
    meet no listener (pilot/pkg/networking/core/listener.go, buildSidecarOutboundListeners, Istio 1.31.0).
    """
    if listener.get("captureMode") == "NONE":
        return "captureMode: NONE"
    bind = str(listener.get("bind") or "")
    address = str((path.client.service or {}).get("spec", {}).get("clusterIP") or "")
    return f"bind: {bind}" if bind not in (*_ANY_ADDRESS, address) else ""


def _not_captured(
    path: Path, found: Object, egress: list[Mapping[str, Any]], listener: Mapping[str, Any]
) -> Problem:
    where = f"/spec/egress/{egress.index(listener)}"
    removed = [
        {"op": "remove", "path": f"{where}/{key}"} for key in ("captureMode", "bind") if key in listener
    ]
    return Problem(
        code=Code.SIDECAR_EGRESS,
        cluster=path.client.context,
        message=f"{path.client.context}: {ref(found)} does not intercept calls of {path.service}",
        seen=f"its listener{_of_port(listener)} has {_bound(path, listener)}",
        expected="captureMode DEFAULT or IPTABLES, and no bind: clients call the address of the Service",
        hint=patched(path.client, found, removed),
    )


def _of_port(listener: Mapping[str, Any]) -> str:
    number = (listener.get("port") or {}).get("number")
    return f" (port {number})" if number else ""


def _include(
    path: Path, found: Object, egress: list[Mapping[str, Any]], listeners: list[Mapping[str, Any]]
) -> Hint:
    """What adds the service to the egress hosts; `~/*` has to go, for it stands for no host at all."""
    host = f"{path.service.namespace}/{path.service.host}"
    if not listeners:
        return edit(path.client, found, f"add {host} to its egress hosts: ")
    where = f"/spec/egress/{egress.index(listeners[0])}/hosts"
    given = [str(one) for one in listeners[0].get("hosts") or []]
    whole = not given or any(one.startswith("~") for one in given)
    operation = {"op": "add", "path": where if whole else f"{where}/-", "value": [host] if whole else host}
    return patched(path.client, found, [operation])


def _sidecar_of(view: ClusterView, namespace: str, labels: Mapping[str, str]) -> Object | None:
    """One with a selector before one without, one of the pod's namespace before the root namespace's."""
    sidecars = Policies.of(view.config.sidecars).selecting((namespace, view.root_namespace), [labels])
    own = [one for one in sidecars if one["metadata"]["namespace"] == namespace]
    for one in own:
        desired = ((one.get("spec") or {}).get("workloadSelector") or {}).get("labels")
        if desired and desired.items() <= labels.items():
            return one
    plain = [one for one in own if not (one.get("spec") or {}).get("workloadSelector")]
    root = [
        one
        for one in sidecars
        if one["metadata"]["namespace"] == view.root_namespace
        and not (one.get("spec") or {}).get("workloadSelector")
    ]
    return next(iter([*plain, *root]), None)


def binds_itself(view: ClusterView, pod: Object, port: int | None) -> bool:
    """Whether a Sidecar has a pod's proxy listen on a port itself: calls need not be intercepted.

    See getBindToPort in pilot/pkg/networking/core/listener_inbound.go, Istio 1.31.0.
    """
    found = _sidecar_of(view, pod["metadata"]["namespace"], labels_of(pod))
    for listener in (found or {}).get("spec", {}).get("ingress") or []:
        if (listener.get("port") or {}).get("number") == port:
            mode = listener.get("captureMode") or "DEFAULT"
            return mode == "NONE" or (mode == "DEFAULT" and not intercepts(pod))
    return False


def forwarding(view: ClusterView, pod: Object, port: int) -> tuple[Object, int] | None:
    """The Sidecar by whose ingress calls of a port of a pod go to another port, and that port; None: none."""
    found = _sidecar_of(view, pod["metadata"]["namespace"], labels_of(pod))
    for listener in (found or {}).get("spec", {}).get("ingress") or []:
        _, colon, number = str(listener.get("defaultEndpoint") or "").rpartition(":")
        if (listener.get("port") or {}).get("number") == port and colon and number.isdigit():
            return (found, int(number)) if found and int(number) != port else None
    return None
