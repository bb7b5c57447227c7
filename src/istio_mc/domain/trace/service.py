"""Hops at the Service: it is there, alike, exported, read, and has endpoints that can be reached."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, Command, Hint, kubectl
from istio_mc.domain.istio.proxies import workload_of
from istio_mc.domain.kube.objects import annotations_of, labels_of, selects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE, injection_labels
from istio_mc.domain.problem import Problem
from istio_mc.domain.text import few, plural
from istio_mc.domain.trace.matching import is_visible, matches_host
from istio_mc.domain.trace.model import OK, Outcome, Path, State, broken, is_meshed

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    here, there = _ports(client.service), _ports(target.service)
    if here == there:
        return Outcome(State.OK, ", ".join(f"{name or '-'} {port}" for port, name in there.items()))
    if here.get(path.port) == there.get(path.port) and path.port in there:
        return Outcome(State.OK, f"port {path.port} is the same, others differ")
    return broken(
        Problem(
            code=Code.SERVICE_PORTS_DIFFER,
            cluster=client.context,
            message=f"{client.context}: port {path.port} of {path.service} is not that of {target.context}",
            seen=f"{client.context}: {_listed(here)}; {target.context}: {_listed(there)}",
            expected="the same port numbers and port names: endpoints are merged by port name",
            hint=_edit(client, path, "service", path.service.name, "use the same ports and port names: "),
        )
    )


def _absent(path: Path, view: ClusterView, consequence: str) -> Problem:
    other = path.target if view is path.client else path.client
    source = kubectl(
        other.context, "-n", path.service.namespace, "get", "service", path.service.name, "-o", "yaml"
    )
    return Problem(
        code=Code.SERVICE_MISSING,
        cluster=view.context,
        message=f"{view.context} has no Service {path.service}: {consequence}",
        seen=f"no Service {path.service}",
        expected="a Service of this name, with the same ports, in every cluster that calls it",
        hint=Advice(f"create it in {view.context}, like that of {other.context}: ", source),
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


def _edit(view: ClusterView, path: Path, kind: str, name: str, *before: str) -> Advice:
    return Advice(*before, kubectl(view.context, "-n", path.service.namespace, "edit", kind, name))


def injected(path: Path) -> Outcome:
    """The client's cluster has a pod with a sidecar to call from."""
    client, namespace = path.client, path.service.namespace
    if client.client is not None:
        metadata = client.client["metadata"]
        return Outcome(State.OK, f"called from {metadata['namespace']}/{metadata['name']}")
    labels = client.namespaces.get(namespace)
    if labels is None or _is_injected(labels):
        return Outcome(State.UNKNOWN, f"no pod with a sidecar runs in {client.context}: nothing to call from")
    return broken(
        Problem(
            code=Code.NAMESPACE_NOT_INJECTED,
            cluster=client.context,
            message=f"{client.context}: namespace {namespace} is not injected, no pod has a sidecar",
            seen=f"labels of Namespace {namespace}: {_labels(labels)}",
            expected="istio-injection=enabled or istio.io/rev",
            hint=_then(
                _mark(client, namespace),
                kubectl(client.context, "-n", namespace, "rollout", "restart", "deployment"),
            ),
        )
    )


def _is_injected(labels: Mapping[str, str]) -> bool:
    return labels.get("istio-injection") == "enabled" or bool(labels.get("istio.io/rev"))


def _labels(labels: Mapping[str, str]) -> str:
    shown = [f"{key}={value}" for key, value in labels.items() if "istio" in key]
    return ", ".join(shown) or "none of Istio's"


def _then(first: Command, second: Command) -> Command:
    return replace(first, then=(second,))


def _mark(view: ClusterView, namespace: str) -> Command:
    revision = next(
        (found["istio.io/rev"] for found in view.namespaces.values() if found.get("istio.io/rev")), None
    )
    labels = [f"{key}={value}" for key, value in injection_labels(revision).items()]
    return kubectl(view.context, "label", "namespace", namespace, *labels, "--overwrite")


def shared(path: Path) -> Outcome:
    """Calls may leave the cluster: the service is not cluster-local, nor kept on its node."""
    if not path.crosses:
        return OK
    client = path.client
    if _cluster_local(client, path.service.host):
        return Outcome(State.LOCAL, f"cluster-local by meshConfig.serviceSettings of {client.context}")
    service = client.service or path.target.service or {}
    spec = service.get("spec", {})
    if spec.get("internalTrafficPolicy") == "Local":
        patch = json.dumps({"spec": {"internalTrafficPolicy": "Cluster"}})
        name, namespace = path.service.name, path.service.namespace
        return broken(
            Problem(
                code=Code.SERVICE_NODE_LOCAL,
                cluster=client.context,
                message=f"{client.context}: Service {path.service} has internalTrafficPolicy: Local",
                seen="istiod gives each proxy the endpoints of its own node only",
                expected="internalTrafficPolicy: Cluster, where other clusters are to be called",
                hint=kubectl(
                    client.context, "-n", namespace, "patch", "service", name, "--type", "merge", "-p", patch
                ),
            )
        )
    wanted = spec.get("trafficDistribution") or annotations_of(service).get(_DISTRIBUTION) or ""
    if wanted.lower() in _PREFER and client.endpoints:
        return Outcome(
            State.LOCAL,
            f"trafficDistribution: {wanted}: {path.target.context} is called only if no endpoint of "
            f"{client.context} is healthy",
        )
    return OK


def _cluster_local(view: ClusterView, host: str) -> bool:
    found = None
    for entry in view.mesh_config.get("serviceSettings") or []:
        if any(matches_host(str(pattern), host) for pattern in entry.get("hosts") or []):
            found = bool((entry.get("settings") or {}).get("clusterLocal"))
    return host.endswith(".kube-system.svc.cluster.local") if found is None else found


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
    """The Services, and the namespaces that they must be exported to."""
    found = [(path.client, path.client_namespace), (path.target, path.client_namespace)]
    if path.through_gateway:
        found.append((path.target, SYSTEM_NAMESPACE))
    return found


def selected(path: Path) -> Outcome:
    """Istiod reads the namespace: discoverySelectors of both clusters select it."""
    namespace = path.service.namespace
    for reader, holder in (
        (path.client, path.client),
        (path.client, path.target),
        (path.target, path.target),
    ):
        selectors = reader.mesh_config.get("discoverySelectors") or []
        labels = holder.namespaces.get(namespace)
        if not selectors or labels is None or any(selects(one, labels) for one in selectors):
            continue
        return broken(
            Problem(
                code=Code.NAMESPACE_NOT_SELECTED,
                cluster=holder.context,
                message=f"{holder.context}: namespace {namespace} is left out by discoverySelectors",
                seen=f"meshConfig of {reader.context}: {json.dumps(selectors)}; labels: {dict(labels)}",
                expected="labels that one of the selectors selects",
                hint=Advice(
                    "label the namespace as one of the selectors requires: ",
                    kubectl(holder.context, "label", "namespace", namespace, "KEY=VALUE"),
                ),
            )
        )
    return OK


def ready(path: Path) -> Outcome:
    """The target has ready endpoints, with sidecars where they are called through the gateway."""
    target = path.target
    if not target.endpoints:
        return broken(
            Problem(
                code=Code.NO_READY_ENDPOINT,
                cluster=target.context,
                message=f"{target.context}: Service {path.service} has no ready endpoint",
                seen=_unready(target),
                expected="at least one ready pod",
                hint=_show_pods(path),
            )
        )
    if target.meshed or not path.through_gateway:
        return Outcome(State.OK, plural(len(target.endpoints), "ready endpoint"))
    return broken(
        Problem(
            code=Code.ENDPOINTS_WITHOUT_SIDECAR,
            cluster=target.context,
            message=f"{target.context}: no pod of Service {path.service} has a sidecar",
            seen=f"{plural(len(target.endpoints), 'ready endpoint')}, none with a sidecar",
            expected="pods with a sidecar: the gateway forwards mTLS only",
            hint=_inject_pods(path),
        )
    )


def _unready(view: ClusterView) -> str:
    if view.pods is None:
        return "no ready endpoint in its EndpointSlices"
    if not view.pods:
        return (
            f"no pod has the labels of its selector: {(view.service or {}).get('spec', {}).get('selector')}"
        )
    names = [pod["metadata"]["name"] for pod in view.pods]
    return f"{plural(len(names), 'pod')}, none ready: {few(names, _SHOWN)}"


def _show_pods(path: Path) -> Hint:
    selector = (path.target.service or {}).get("spec", {}).get("selector") or {}
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    words = ("-n", path.service.namespace, "get", "pods", *(("-l", labels) if labels else ()))
    return Advice("see why its pods are not ready: ", kubectl(path.target.context, *words))


def _inject_pods(path: Path) -> Hint:
    view, namespace = path.target, path.service.namespace
    bare = [pod for pod in view.pods or () if not is_meshed(pod)]
    workloads = sorted({workload for pod in bare if (workload := workload_of(pod))})
    if not workloads or any(_opts_out(pod) for pod in bare):
        return Advice(
            "have the pods injected, and restart them: ",
            kubectl(view.context, "-n", namespace, "get", "pods", "--show-labels"),
        )
    restart = kubectl(view.context, "-n", namespace, "rollout", "restart", *workloads)
    if _is_injected(view.namespaces.get(namespace, {})):
        return restart
    return _then(_mark(view, namespace), restart)


def _opts_out(pod: Object) -> bool:
    inject = "sidecar.istio.io/inject"
    return "false" in (labels_of(pod).get(inject), annotations_of(pod).get(inject))
