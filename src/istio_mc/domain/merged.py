"""Services of equal name and namespace in several clusters: a mesh makes one service of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain.mesh import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.meshed import Services
    from istio_mc.domain.objects import Object

_OWN = frozenset({"kube-system", SYSTEM_NAMESPACE})
"""Namespaces left out: hosts of the first stay in their cluster by default (pilot/pkg/model/cluster_local.go,
Istio 1.26.0); in the second are the control planes, and gateways are called by address."""


@dataclass(frozen=True, slots=True)
class MergedService:
    """A service that has Services in more than one cluster.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        endpoints: Ready endpoints in each cluster that has such a Service, by context.
        ports: Its ports in each, as `name 80/TCP`.
        labels: What its labels say in each, where they disagree, by context.
    """

    namespace: str
    name: str
    endpoints: Mapping[str, int]
    ports: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, Mapping[str, str]]

    @property
    def spreads(self) -> bool:
        """Whether calls go to more than one cluster: more than one has endpoints."""
        return sum(count > 0 for count in self.endpoints.values()) > 1

    @property
    def agrees(self) -> bool:
        """Whether its ports and labels are the same everywhere."""
        return len(set(self.ports.values())) <= 1 and not self.labels

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def disagreement(self) -> str:
        """What is not the same everywhere, in a few words; empty where all is."""
        told = []
        if len(set(self.ports.values())) > 1:
            told.append("; ".join(f"{c}: {', '.join(ports) or 'no port'}" for c, ports in self.ports.items()))
        if self.labels:
            each = (
                f"{c}: {', '.join(f'{k}={v}' for k, v in labels.items()) or 'none'}"
                for c, labels in self.labels.items()
            )
            told.append("labels " + "; ".join(each))
        return "; ".join(told)


def merged(services: Mapping[str, Services]) -> tuple[MergedService, ...]:
    """The services that more than one cluster has, by namespace and name.

    Left out are those that stay in their cluster by default, those of the control planes, and names that
    only point elsewhere.

    Args:
        services: What each cluster has, by context.
    """
    found: dict[tuple[str, str], dict[str, Object]] = {}
    for context, here in services.items():
        for item in here.objects:
            namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
            if namespace in _OWN or (namespace, name) == ("default", "kubernetes"):
                continue
            if item["spec"].get("type") != "ExternalName":
                found.setdefault((namespace, name), {})[context] = item
    return tuple(_one(key, where, services) for key, where in sorted(found.items()) if len(where) > 1)


def _one(
    key: tuple[str, str], where: Mapping[str, Object], services: Mapping[str, Services]
) -> MergedService:
    labels = {context: _told_labels(item) for context, item in where.items()}
    shared = set.intersection(*(set(found.items()) for found in labels.values()))
    differing = {
        context: {k: v for k, v in found.items() if (k, v) not in shared} for context, found in labels.items()
    }
    return MergedService(
        *key,
        endpoints={context: services[context].endpoints.get(key, 0) for context in where},
        ports={context: _ports(item) for context, item in where.items()},
        labels=differing if any(differing.values()) else {},
    )


def _ports(service: Object) -> tuple[str, ...]:
    return tuple(
        f"{port.get('name', '')} {port['port']}/{port.get('protocol', 'TCP')}".strip()
        for port in sorted(service["spec"].get("ports") or [], key=lambda port: int(port["port"]))
    )


_OF_OTHERS = ("app.kubernetes.io/managed-by", "helm.sh/", "kustomize.", "argocd.", "objectset.")


def _told_labels(service: Object) -> dict[str, str]:
    """The labels that say something of the service, and not of what brought it there."""
    found = service["metadata"].get("labels") or {}
    return {key: value for key, value in found.items() if not key.startswith(_OF_OTHERS)}


def endpoints_of(slices: list[Object]) -> dict[tuple[str, str], int]:
    """Ready endpoints of each Service, by namespace and name, out of its EndpointSlices."""
    counted: dict[tuple[str, str], int] = {}
    for item in slices:
        name = (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
        if name:
            ready = sum(
                (endpoint.get("conditions") or {}).get("ready") is not False
                for endpoint in item.get("endpoints") or []
            )
            key = (item["metadata"]["namespace"], name)
            counted[key] = counted.get(key, 0) + ready
    return counted
