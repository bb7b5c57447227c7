"""Faults of a service's path: what users write for one cluster, and calls between clusters end there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.e2e.harness import get, kubectl, rolled_out
from tests.faults.harness import patch

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("kt", "ncloud", "nhn")
HOST = "reviews.sample.svc.cluster.local"


@dataclass(frozen=True)
class PathFault:
    """One way to break paths of sample/reviews.

    Attributes:
        name: What is wrong, in a few words.
        hop: The hop that must be named.
        paths: The paths that must be broken, and no other.
        message: What must be said.
        make: Breaks them.
        undo: Takes it back, where only a person can; None: the hint is a command, and repairs it.
        tidy: Puts back what is no fault any more.
    """

    name: str
    hop: str
    paths: frozenset[str]
    message: str
    make: Callable[[], object]
    undo: Callable[[], object] | None = None
    tidy: Callable[[], object] | None = None

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


class Kept(PathFault):
    """What keeps calls in their cluster because someone set it so: that is no error."""


def between(client: str | None = None, target: str | None = None, *, own: bool = False) -> frozenset[str]:
    """The paths from and to clusters; with `own` also within one."""
    return frozenset(
        f"{one} → {other}"
        for one in NAMES
        for other in NAMES
        if client in (None, one) and target in (None, other) and (own or one != other)
    )


def of_cluster(name: str) -> frozenset[str]:
    """The paths from and to a cluster."""
    return between(client=name) | between(target=name)


def written(
    context: str, group: str, kind: str, spec: object, namespace: str = "sample"
) -> dict[str, Callable[[], object]]:
    """An object named `fault`: what creates it, and what deletes it."""
    metadata = {"name": "fault", "namespace": namespace}
    document = {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}

    def delete() -> None:
        kubectl(context, "delete", kind.lower(), "fault", "-n", namespace, "--ignore-not-found")

    return {"make": lambda: kubectl(context, "apply", "-f", "-", stdin=json.dumps(document)), "undo": delete}


def sample(context: str, kind: str, name: str, body: object) -> Callable[[], object]:
    """What patches an object of the sample."""
    return lambda: patch(context, kind, name, body, namespace="sample")


def _without_sidecar() -> None:
    kubectl("nhn", "label", "namespace", "sample", "istio-injection-")
    kubectl("nhn", "rollout", "restart", "deployment/reviews-v3", "-n", "sample")
    rolled_out("nhn", "deployment/reviews-v3", namespace="sample")


_SELECTORS = """
discoverySelectors:
- matchLabels: {kubernetes.io/metadata.name: istio-system}
- matchLabels: {team: shop}
"""
_mesh_before: dict[str, str] = {}


def mesh_with(context: str, text: str) -> Callable[[], None]:
    """The MeshConfig of a cluster gets some lines more."""

    def change() -> None:
        before = get(context, "configmap", "istio")["data"]["mesh"]
        _mesh_before.setdefault(context, before)
        patch(context, "configmap", "istio", {"data": {"mesh": f"{before}\n{text}\n"}})

    return change


def mesh_again(context: str) -> Callable[[], None]:
    """The MeshConfig of a cluster as it was."""

    def change() -> None:
        if context in _mesh_before:
            patch(context, "configmap", "istio", {"data": {"mesh": _mesh_before.pop(context)}})

    return change


def _unselect() -> None:
    mesh_again("nhn")()
    for context in NAMES:
        kubectl(context, "label", "namespace", "sample", "team-")


SUBSET = {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews", "subset": "own"}}]}]}
_SUBSETS = {"host": "reviews", "subsets": [{"name": "own", "labels": {"version": "v1"}}]}
_SIDECAR = written("kt", "networking", "Sidecar", {"egress": [{"hosts": ["istio-system/*"]}]})
_VIRTUAL_SERVICE = written("kt", "networking", "VirtualService", SUBSET)
_OWN = written("kt", "networking", "DestinationRule", _SUBSETS)

FAULTS = (
    PathFault(
        "port names differ",
        "service",
        of_cluster("kt"),
        "port 9080 of sample/reviews is not that of",
        make=sample("kt", "service", "reviews", {"spec": {"ports": [{"port": 9080, "name": "tcp"}]}}),
        undo=sample("kt", "service", "reviews", {"spec": {"ports": [{"port": 9080, "name": "http"}]}}),
    ),
    PathFault(
        "internalTrafficPolicy is Local",
        "sharing",
        between(client="kt"),
        "kt: Service sample/reviews has internalTrafficPolicy: Local",
        make=sample("kt", "service", "reviews", {"spec": {"internalTrafficPolicy": "Local"}}),
    ),
    PathFault(
        "the Service is exported to its namespace only",
        "export",
        between(target="nhn"),
        "nhn: Service sample/reviews is not exported to namespace istio-system",
        make=lambda: kubectl(
            "nhn", "annotate", "service", "reviews", "-n", "sample", "networking.istio.io/exportTo=."
        ),
        tidy=lambda: kubectl(
            "nhn", "annotate", "service", "reviews", "-n", "sample", "networking.istio.io/exportTo-"
        ),
    ),
    PathFault(
        "discoverySelectors leave the namespace out",
        "selectors",
        of_cluster("nhn") | {"nhn → nhn"},
        "namespace sample is left out by discoverySelectors",
        make=mesh_with("nhn", _SELECTORS),
        tidy=_unselect,
    ),
    PathFault(
        "no pod is ready",
        "endpoints",
        between(target="nhn", own=True),
        "nhn: Service sample/reviews has no ready endpoint",
        make=sample("nhn", "deployment", "reviews-v3", {"spec": {"replicas": 0}}),
        undo=sample("nhn", "deployment", "reviews-v3", {"spec": {"replicas": 1}}),
    ),
    PathFault(
        "pods without a sidecar",
        "endpoints",
        between(target="nhn"),
        "nhn: no pod of Service sample/reviews has a sidecar",
        make=_without_sidecar,
    ),
    PathFault(
        "a Sidecar leaves the service out",
        "sidecar",
        between(client="kt", own=True),
        "kt: Sidecar sample/fault leaves out sample/reviews",
        make=_SIDECAR["make"],
        tidy=_SIDECAR["undo"],
    ),
    PathFault(
        "a ServiceEntry for the host",
        "service-entry",
        between(client="kt", own=True),
        "kt: ServiceEntry sample/fault has the host of Service sample/reviews",
        **written(
            "kt",
            "networking",
            "ServiceEntry",
            {
                "hosts": [HOST],
                "ports": [{"number": 9080, "name": "http", "protocol": "HTTP"}],
                "resolution": "STATIC",
                "endpoints": [{"address": "192.0.2.1"}],
            },
        ),
    ),
    PathFault(
        "a VirtualService routes elsewhere",
        "virtual-service",
        between(client="kt", own=True),
        "kt: VirtualService sample/fault routes sample/reviews elsewhere",
        **written(
            "kt",
            "networking",
            "VirtualService",
            {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "ratings"}}]}]},
        ),
    ),
    PathFault(
        "a subset that only one cluster has",
        "virtual-service",
        between(client="kt"),
        "kt: VirtualService sample/fault routes sample/reviews to subset own, which is empty in",
        make=lambda: (_OWN["make"](), _VIRTUAL_SERVICE["make"]()),
        undo=lambda: (_VIRTUAL_SERVICE["undo"](), _OWN["undo"]()),
    ),
)
