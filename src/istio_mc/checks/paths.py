"""The paths of services between clusters, as far as the facts of a run tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.model import cached
from istio_mc.domain.istio.mesh_config import read_mesh_config
from istio_mc.domain.istio.proxies import gateway_pods
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY
from istio_mc.domain.trace.sources import Configuration, Sources

if TYPE_CHECKING:
    from istio_mc.checks.model import Facts


@cached
def sources(facts: Facts) -> dict[str, Sources]:
    """What was read of each cluster, for the traces of its services; clusters that did not respond too."""
    return {name: _sources(facts, name) for name in facts.clusters}


def _sources(facts: Facts, name: str) -> Sources:
    observed = facts.observed.get(name)
    pods = gateway_pods(observed.of(objects.POD), EAST_WEST_GATEWAY) if observed else []
    return Sources(
        cluster=facts.clusters[name],
        istiod=facts.mesh.istiod,
        mesh_config=read_mesh_config(observed, facts.mesh.revision) if observed else {},
        services=facts.services.get(name),
        configuration=facts.configuration.get(name, Configuration()),
        gateway_labels=tuple(labels_of(pod) for pod in pods),
        discovery=facts.discovery.get(name),
    )
