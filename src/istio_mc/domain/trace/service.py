"""Hops at the Service: it is there, alike, exported, read, and has endpoints that can be reached."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice, Hint, kubectl
from istio_mc.domain.istio.proxies import workload_of
from istio_mc.domain.kube.objects import annotations_of, labels_of
from istio_mc.domain.mesh import NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few, plural
from istio_mc.domain.trace import injection
from istio_mc.domain.trace.authentication import only_mtls
from istio_mc.domain.trace.matching import edit, is_visible, matches_host, ref
from istio_mc.domain.trace.model import OK, Outcome, Path, State, broken, declared_ports, is_meshed
from istio_mc.domain.trace.sidecars import binds_itself, forwarding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView

_EXPORT_TO = "networking.istio.io/exportTo"
_DISTRIBUTION = "networking.istio.io/traffic-distribution"
_PREFER = frozenset({"preferclose", "prefersamezone", "prefersamenode"})
_DNS_CAPTURE = "ISTIO_META_DNS_CAPTURE"
_SHOWN = 5


def exists(path: Path) -> Outcome:
    """The Service is in both clusters, with the same ports."""
    client, target = path.client, path.target
    if target.service is None:
        return broken(_absent(path, target, "its endpoints belong to no Service"))
    if client.service is None:
        if _captures_dns(client):
            return Outcome(State.OK, f"no Service in {client.context}: the proxy resolves its name")
        return broken(_absent(path, client, "its name does not resolve there"))
    return _same_definition(path, client.service, target.service)


def _same_definition(path: Path, of_client: Object, of_target: Object) -> Outcome:
    for view, service in ((path.client, of_client), (path.target, of_target)):
        if (elsewhere := service["spec"].get("externalName")) is not None:
            return broken(_external(path, view, elsewhere))
    here, there = _ports(of_client), _ports(of_target)
    if path.port not in here or here[path.port] != there.get(path.port):
        return broken(_ports_differ(path, here, there))
    if here == there:
        return Outcome(State.OK, ", ".join(f"{name or '-'} {port}" for port, name in there.items()))
    return Outcome(State.OK, f"port {path.port} is the same, others differ")


def _ports_differ(path: Path, here: dict[int, str], there: dict[int, str]) -> Problem:
    """The cluster whose port fewer clusters have, and the first with the port of the others.

    Of equally many it is the cluster that is named later: all paths have the same problem.
    """
    given = {context: _ports(service).get(path.port) for context, service in path.services.items()}
    names, contexts = list(given.values()), list(given)
    ends = {path.client.context: here, path.target.context: there}

    def rank(context: str) -> tuple[bool, int, int]:
        name = ends[context].get(path.port)
        return name is None, -names.count(name), contexts.index(context) if context in contexts else 0

    odd = max(ends, key=rank)
    view = path.client if odd == path.client.context else path.target
    desired = next((name for context, name in given.items() if name not in (None, given.get(odd))), None)
    other = next((context for context, name in given.items() if name == desired), path.target.context)
    shown = _ports(path.services[other]) if other in path.services else there
    return Problem(
        code=Code.SERVICE_PORTS_DIFFER,
        cluster=odd,
        message=f"{odd}: port {path.port} of {path.service} is not that of {other}",
        seen=f"{odd}: {_listed(ends[odd])}; {other}: {_listed(shown)}",
        expected="the same port numbers and port names: endpoints are merged by port name",
        hint=_edit(view, path, "use the same ports and port names: "),
    )


def _absent(path: Path, view: ClusterView, consequence: str) -> Problem:
    other = next(iter(path.services), (path.target if view is path.client else path.client).context)
    source = kubectl(other, "-n", path.service.namespace, "get", "service", path.service.name, "-o", "yaml")
    return Problem(
        code=Code.SERVICE_MISSING,
        cluster=view.context,
        message=f"{view.context} has no Service {path.service}: {consequence}",
        seen=f"no Service {path.service}",
        expected="a Service of this name, with the same ports, in every cluster that calls it",
        hint=Advice(f"create it in {view.context}, like that of {other}: ", source),
    )


def _external(path: Path, view: ClusterView, elsewhere: str) -> Problem:
    return Problem(
        code=Code.SERVICE_MISSING,
        cluster=view.context,
        message=f"{view.context}: Service {path.service} is of type ExternalName",
        seen=f"externalName: {elsewhere}",
        expected="a Service with a selector, of the same ports, in every cluster that calls it",
        hint=_edit(view, path, "use type ClusterIP, with selector and ports: "),
    )


def _captures_dns(view: ClusterView) -> bool:
    metadata = (view.mesh_config.get("defaultConfig") or {}).get("proxyMetadata") or {}
    return str(metadata.get(_DNS_CAPTURE)).lower() == "true"


def _ports(service: Object) -> dict[int, str]:
    return {
        int(port["port"]): str(port.get("name") or "")
        for port in service["spec"].get("ports") or []
        if port.get("protocol", "TCP") == "TCP"
    }


def _listed(ports: dict[int, str]) -> str:
    return ", ".join(f"{name or '(no name)'} {port}" for port, name in ports.items()) or "no TCP port"


def _edit(view: ClusterView, path: Path, before: str) -> Advice:
    service = path.service
    return Advice(before, kubectl(view.context, "-n", service.namespace, "edit", "service", service.name))


def injected(path: Path) -> Outcome:
    """The client's cluster has a pod to call from, with a sidecar that the call goes through."""
    client = path.client
    if client.client is None:
        return _without_client(path)
    pod, metadata = client.client, client.client["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    address = str((client.service or {}).get("spec", {}).get("clusterIP") or "")
    bypassed = injection.bypassed_outbound(pod, path.port, address)
    if bypassed is None:
        return Outcome(State.OK, f"called from {name}")
    annotation, value = bypassed
    return broken(
        Problem(
            code=Code.SIDECAR_BYPASSED,
            cluster=client.context,
            message=f"{client.context}: calls of {path.service} by pod {name} go past its sidecar",
            seen=f"{annotation}: {annotations_of(pod)[annotation]}",
            expected=f"port {path.port} and address {address or 'of the Service'} through the sidecar",
            hint=injection.through_sidecar(client, pod, annotation, value),
        )
    )


def _without_client(path: Path) -> Outcome:
    client, namespace = path.client, path.service.namespace
    bare = [pod for pod in client.other_pods if not is_meshed(pod)]
    bare = bare or [pod for pod in client.pods or () if not is_meshed(pod)]
    labels = client.namespaces.get(namespace)
    is_injected = labels is None or injection.is_injected(client, labels, {})
    if is_injected and not bare:
        return Outcome(State.UNKNOWN, f"no pod with a sidecar runs in {client.context}: nothing to call from")
    return broken(
        Problem(
            code=Code.CLIENT_WITHOUT_SIDECAR if is_injected else Code.NAMESPACE_NOT_INJECTED,
            cluster=client.context,
            message=f"{client.context}: no pod that could call {path.service} has a sidecar"
            if is_injected
            else f"{client.context}: namespace {namespace} is not injected, no pod has a sidecar",
            seen=f"{_named(bare)}: {injection.why_not_injected(client, namespace, bare)}"
            if bare
            else f"Namespace {namespace} has no label for injection",
            expected="a pod with a sidecar: without one, calls stay in their cluster",
            hint=injection.inject(client, namespace, bare),
        )
    )


def _named(pods: Sequence[Object]) -> str:
    names = few([str(pod["metadata"]["name"]) for pod in pods], _SHOWN)
    return f"{plural(len(pods), 'pod')} without: {names}"


def shared(path: Path) -> Outcome:
    """Calls may leave the cluster: the service is not cluster-local, nor kept on its node."""
    if not path.crosses:
        return OK
    client = path.client
    if _cluster_local(client, path.service.host):
        return Outcome(State.LOCAL, f"cluster-local by meshConfig.serviceSettings of {client.context}")
    service = client.service or path.target.service or {}
    spec = service.get("spec", {})
    if problem := _on_node(path, spec):
        return broken(problem)
    if path.through_gateway and spec.get("clusterIP") == "None":
        return _headless(path)
    desired = spec.get("trafficDistribution") or annotations_of(service).get(_DISTRIBUTION) or ""
    if desired.lower() in _PREFER and client.endpoints:
        return Outcome(
            State.LOCAL,
            f"trafficDistribution: {desired}: {path.target.context} is called only if no endpoint of "
            f"{client.context} is healthy",
        )
    return OK


def _on_node(path: Path, spec: Mapping[str, Any]) -> Problem | None:
    """Why calls stay on a node: that of the client, or that of the target's gateway."""
    if spec.get("internalTrafficPolicy") == "Local":
        return _node_local(path, path.client, "istiod gives each proxy the endpoints of its own node only")
    if path.through_gateway and (seen := _apart_from_gateway(path.target)):
        return _node_local(path, path.target, seen)
    return None


def _headless(path: Path) -> Outcome:
    """The name of a headless Service resolves to pods of the client's network, and these are called."""
    client, name, namespace = path.client, path.service.name, path.service.namespace
    if client.endpoints:
        return Outcome(State.LOCAL, f"headless Service: its name resolves to pods of {client.context} only")
    source = kubectl(path.target.context, "-n", namespace, "get", "service", name, "-o", "yaml")
    return broken(
        Problem(
            code=Code.SERVICE_HEADLESS,
            cluster=client.context,
            message=f"{client.context}: headless Service {path.service} resolves to no pod",
            seen=f"clusterIP: None; its pods are in {path.target.context}, on another network",
            expected="a Service with its own address, which calls through gateways need",
            hint=Advice("create another Service for its pods, without clusterIP: None, like this: ", source),
        )
    )


def _apart_from_gateway(view: ClusterView) -> str:
    """Which gateway pod has no endpoint on its own node, where it gets no others; empty: none."""
    if (view.service or {}).get("spec", {}).get("internalTrafficPolicy") != "Local":
        return ""
    nodes = {one.node for one in view.endpoints if one.node}
    apart = [pod for pod in view.gateway_pods if nodes and pod.get("spec", {}).get("nodeName") not in nodes]
    if not apart:
        return ""
    return f"gateway {apart[0]['metadata']['name']} is on another node than all endpoints"


def _node_local(path: Path, view: ClusterView, seen: str) -> Problem:
    patch = json.dumps({"spec": {"internalTrafficPolicy": "Cluster"}})
    name, namespace = path.service.name, path.service.namespace
    return Problem(
        code=Code.SERVICE_NODE_LOCAL,
        cluster=view.context,
        message=f"{view.context}: Service {path.service} has internalTrafficPolicy: Local",
        seen=seen,
        expected="internalTrafficPolicy: Cluster, where other clusters are to be called",
        hint=kubectl(view.context, "-n", namespace, "patch", "service", name, "--type", "merge", "-p", patch),
    )


def _cluster_local(view: ClusterView, host: str) -> bool:
    setting = None
    for entry in view.mesh_config.get("serviceSettings") or []:
        if any(matches_host(str(pattern), host) for pattern in entry.get("hosts") or []):
            setting = bool((entry.get("settings") or {}).get("clusterLocal"))
    return host.endswith(".kube-system.svc.cluster.local") if setting is None else setting


def exported(path: Path) -> Outcome:
    """The Service is exported to the client's namespace and, across networks, to the gateway's."""
    for view, to in _readers(path):
        service = view.service
        if service is None:
            continue
        given = annotations_of(service).get(_EXPORT_TO)
        default = view.mesh_config.get("defaultServiceExportTo") or []
        entries = given.split(",") if given else [str(entry) for entry in default]
        if is_visible(service, entries, to):
            continue
        where = (
            f"annotation {_EXPORT_TO}: {given}" if given else f"meshConfig.defaultServiceExportTo: {default}"
        )
        name, namespace = path.service.name, path.service.namespace
        change = kubectl(
            view.context, "-n", namespace, "annotate", "service", name, f"{_EXPORT_TO}=*", "--overwrite"
        )
        return broken(
            Problem(
                code=Code.SERVICE_NOT_EXPORTED,
                cluster=view.context,
                message=f"{view.context}: Service {path.service} is not exported to namespace {to}",
                seen=where,
                expected=f"an export to {to}"
                + (", where the east-west gateway is" if to == SYSTEM_NAMESPACE else ""),
                hint=change,
            )
        )
    return OK


def _readers(path: Path) -> list[tuple[ClusterView, str]]:
    """The Services, and the namespaces that they must be exported to.

    Of the Services of one name istiod goes by that of its own cluster, where there is one
    (pilot/pkg/serviceregistry/aggregate/controller.go, mergeService, Istio 1.26.0).
    """
    readers = [(path.client if path.client.service else path.target, path.client_namespace)]
    if path.through_gateway:
        readers.append((path.target, SYSTEM_NAMESPACE))
    return readers


def ready(path: Path) -> Outcome:
    """The target has ready endpoints with the port, with sidecars where the gateway calls them."""
    for find_fault in (
        _none_ready,
        _without_port,
        _of_other_network,
        _without_sidecars,
        _past_sidecars,
        _refused,
    ):
        if problem := find_fault(path):
            return broken(problem)
    ready = plural(len(path.called), "ready endpoint")
    if undecided := _bound_under_strict(path):
        return Outcome(State.OK, f"{ready}; {undecided}", is_open=True)
    return Outcome(State.OK, ready)


def _bound_under_strict(path: Path) -> str:
    """What is not decided: a port that a sidecar listens on itself, and that is intercepted too."""
    for pod in (one.pod for one in path.called if one.meshed and one.pod):
        intercepted = injection.bypassed_inbound(pod, path.target_port) is None
        if intercepted and binds_itself(path.target, pod, path.target_port) and only_mtls(path):
            return (
                f"not decided: pod {pod['metadata']['name']} has a Sidecar with captureMode: NONE for port "
                f"{path.target_port}, and accepts mTLS only"
            )
    return ""


def _none_ready(path: Path) -> Problem | None:
    target = path.target
    if target.endpoints:
        return None
    return Problem(
        code=Code.NO_READY_ENDPOINT,
        cluster=target.context,
        message=f"{target.context}: Service {path.service} has no ready endpoint",
        seen=_unready(target),
        expected="at least one ready pod",
        hint=_show_pods(path),
    )


def _without_port(path: Path) -> Problem | None:
    """A target port with a name that no container has: the EndpointSlice has no such port."""
    if path.called:
        return None
    desired = path.port_entry.get("targetPort")
    return Problem(
        code=Code.TARGET_PORT_MISSING,
        cluster=path.target.context,
        message=f"{path.target.context}: no pod of Service {path.service} has target port {desired}",
        seen=f"ports of its containers: {_declared_shown(path)}",
        expected=f"a container port named {desired}",
        hint=_correct_port(path),
    )


def _refused(path: Path) -> Problem | None:
    """Nothing listens on the target port."""
    target = path.target
    if not target.refused:
        return None
    pod = next((one.pod for one in path.called if one.pod), None)
    if pod and path.target_port and (found := forwarding(target, pod, path.target_port)):
        sidecar, port = found
        return Problem(
            code=Code.TARGET_PORT_MISSING,
            cluster=target.context,
            message=f"{target.context}: {ref(sidecar)} sends calls of {path.service} to port {port}",
            seen=f"pod {target.refused} refused the connection",
            expected=f"the port that the container listens on; it declares {_declared_shown(path)}",
            hint=edit(target, sidecar, "correct defaultEndpoint of its ingress: "),
        )
    return Problem(
        code=Code.TARGET_PORT_MISSING,
        cluster=target.context,
        message=f"{target.context}: nothing listens on target port {path.target_port} of {path.service}",
        seen=f"pod {target.refused} refused the connection; ports of its containers: {_declared_shown(path)}",
        expected="the port that the container listens on",
        hint=_correct_port(path),
    )


def _declared(path: Path) -> dict[int, str]:
    pods = [one.pod for one in path.target.endpoints if one.pod]
    return {port: name for pod in pods for port, name in declared_ports(pod).items()}


def _declared_shown(path: Path) -> str:
    return ", ".join(f"{name} {port}".strip() for port, name in _declared(path).items()) or "none"


def _correct_port(path: Path) -> Hint:
    target, declared = path.target, list(_declared(path))
    ports = (target.service or {}).get("spec", {}).get("ports") or []
    index = next((place for place, one in enumerate(ports) if one["port"] == path.port), None)
    if len(declared) != 1 or index is None or declared == [path.target_port]:
        return _edit(target, path, "correct its targetPort: ")
    patch = json.dumps([{"op": "replace", "path": f"/spec/ports/{index}/targetPort", "value": declared[0]}])
    words = ("patch", "service", path.service.name, "--type", "json", "-p", patch)
    return kubectl(target.context, "-n", path.service.namespace, *words)


def _of_other_network(path: Path) -> Problem | None:
    """Pods with the label of another network: the gateway forwards to its own network only."""
    network = path.target.cluster.network
    labels = [labels_of(one.pod).get(NETWORK_LABEL, network) for one in path.called]
    if not path.through_gateway or network in labels:
        return None
    pod = path.called[0].pod or {}
    workload = workload_of(pod)
    removed = {"labels": {NETWORK_LABEL: None}}
    shown = kubectl(path.target.context, "-n", path.service.namespace, "get", "pods", "-L", NETWORK_LABEL)
    return Problem(
        code=Code.PODS_OF_OTHER_NETWORK,
        cluster=path.target.context,
        message=f"{path.target.context}: pods of Service {path.service} have the label of another network",
        seen=f"{NETWORK_LABEL}={labels[0]} on pod {pod['metadata']['name']}",
        expected=f"{network}, or no such label on pods",
        hint=injection.patch_template(path.target, path.service.namespace, workload, removed)
        if workload
        else Advice("remove the label: ", shown),
    )


def _without_sidecars(path: Path) -> Problem | None:
    target, called = path.target, path.called
    if not path.through_gateway or any(one.meshed for one in called):
        return None
    bare = [one.pod for one in called if one.pod] or list(target.pods or ())
    why = f": {injection.why_not_injected(target, path.service.namespace, bare)}" if bare else ""
    return Problem(
        code=Code.ENDPOINTS_WITHOUT_SIDECAR,
        cluster=target.context,
        message=f"{target.context}: no pod of Service {path.service} has a sidecar",
        seen=f"{plural(len(called), 'ready endpoint')}, none with a sidecar{why}",
        expected="pods with a sidecar: the gateway forwards mTLS only",
        hint=injection.inject(target, path.service.namespace, bare),
    )


def _past_sidecars(path: Path) -> Problem | None:
    """Calls of the port go past the sidecar, which accepts mTLS, to the container, which does not."""
    meshed = [one.pod for one in path.called if one.meshed and one.pod]
    by_pod = [
        (pod, None if binds_itself(path.target, pod, path.target_port) else bypassed)
        for pod in meshed
        for bypassed in (injection.bypassed_inbound(pod, path.target_port),)
    ]
    if not by_pod or not all(bypassed for _, bypassed in by_pod):
        return None
    pod, bypassed = by_pod[0]
    annotation, value = bypassed or ("", None)
    target, name = path.target, pod["metadata"]["name"]
    return Problem(
        code=Code.SIDECAR_BYPASSED,
        cluster=target.context,
        message=f"{target.context}: calls of {path.service} go past the sidecar of pod {name}",
        seen=f"{annotation}: {annotations_of(pod)[annotation]}",
        expected=f"port {path.target_port} through the sidecar, which accepts mTLS",
        hint=injection.through_sidecar(target, pod, annotation, value),
    )


def _unready(view: ClusterView) -> str:
    if view.pods is None:
        return "no ready endpoint in its EndpointSlices"
    if not view.pods:
        selector = (view.service or {}).get("spec", {}).get("selector") or {}
        return f"no pod has the labels of its selector: {','.join(f'{k}={v}' for k, v in selector.items())}"
    names = [f"{pod['metadata']['name']}{_waiting(pod)}" for pod in view.pods]
    return f"{plural(len(names), 'pod')}, none ready: {few(names, _SHOWN)}"


def _waiting(pod: Object) -> str:
    """Why a container of a pod waits, such as ` (ImagePullBackOff)`; empty where none does."""
    status = pod.get("status", {})
    states = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    reasons = [str(((one.get("state") or {}).get("waiting") or {}).get("reason") or "") for one in states]
    return next((f" ({reason})" for reason in reasons if reason), "")


def _show_pods(path: Path) -> Hint:
    target = path.target
    selector = (target.service or {}).get("spec", {}).get("selector") or {}
    if target.pods == () and selector:
        return _edit(target, path, "correct its selector, or start its pods: ")
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    words = ("-n", path.service.namespace, "get", "pods", *(("-l", labels) if labels else ()))
    return Advice("see why its pods are not ready: ", kubectl(target.context, *words))
