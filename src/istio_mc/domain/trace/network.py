"""The hop of NetworkPolicies: from the client's pod to the pods of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT
from istio_mc.domain.kube.network_policies import (
    Direction,
    Flow,
    Outside,
    Pods,
    allowing,
    blocked,
    described,
    pods_of,
)
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.trace.model import OK, Outcome, Path, State, broken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView


def network_policies(path: Path) -> Outcome:
    """No NetworkPolicy blocks the connections of the call, in either cluster."""
    for view, flows in ((path.client, _of_client(path)), (path.target, _of_target(path))):
        if view.network_policies is None:
            return Outcome(State.UNKNOWN, f"the user may not list NetworkPolicies of {view.context}")
        blocks = blocked(view.network_policies, flows)
        if blocks:
            return broken(
                Problem(
                    code=Code.NETWORK_POLICY_BLOCKS,
                    cluster=view.context,
                    message=f"{view.context}: NetworkPolicies block calls of {path.service}",
                    seen=described(blocks),
                    expected="rules that allow them",
                    hint=allowing(view.context, blocks),
                )
            )
    return OK


def _of_client(path: Path) -> Iterator[Flow]:
    """What the client's pod connects to."""
    pod = path.client.client
    if pod is None:
        return
    client = _pods(path.client, pod)
    if path.through_gateway:
        views = path.client.discovery.istiods.values() if path.client.discovery else ()
        addresses = sorted({a for one in views for a in one.addresses_of(path.target.cluster.network)})
        for address in addresses:
            gateway, purpose = Outside((address,)), f"gateway of {path.target.context}"
            yield Flow(Direction.EGRESS, client, gateway, CROSS_NETWORK_PORT, purpose=purpose)
        return
    for peer, port in _targets(path):
        other = Outside(peer.addresses) if path.crosses else peer
        yield Flow(Direction.EGRESS, client, other, port, purpose=f"pods of {path.service}")


def _of_target(path: Path) -> Iterator[Flow]:
    """What connects to the target's pods: its gateway, or the client."""
    if path.through_gateway:
        peer: Pods | Outside = _gateway(path.target)
        purpose = "calls through the gateway"
    elif path.client.client is None:
        return
    else:
        client = _pods(path.client, path.client.client)
        peer, purpose = Outside(client.addresses) if path.crosses else client, "calls of the client"
    for pods, port in _targets(path):
        yield Flow(Direction.INGRESS, pods, peer, port, purpose=purpose)
        if path.through_gateway and isinstance(peer, Pods):
            yield Flow(Direction.EGRESS, peer, pods, port, purpose=f"pods of {path.service}")


def _targets(path: Path) -> Iterator[tuple[Pods, int]]:
    """Pods of the target with a sidecar, and the port that is called."""
    if path.target_port is None:
        return
    for endpoint in path.target.endpoints:
        if endpoint.pod and not endpoint.pod["spec"].get("hostNetwork"):
            yield _pods(path.target, endpoint.pod), path.target_port


def _pods(view: ClusterView, pod: Object) -> Pods:
    return pods_of(pod, view.namespaces.get(pod["metadata"]["namespace"]) or {}, {})


def _gateway(view: ClusterView) -> Pods:
    labels = next((labels_of(pod) for pod in view.gateway_pods), {})
    return Pods(
        SYSTEM_NAMESPACE,
        labels,
        view.namespaces.get(SYSTEM_NAMESPACE) or {},
        selector={"istio": labels["istio"]} if "istio" in labels else {},
    )
