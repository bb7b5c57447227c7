"""The MeshConfig that an istiod reads from its ConfigMap, and the trust domains in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml

from istio_mc.domain import yamltext
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import selects
from istio_mc.domain.pki.workload import DEFAULT_TRUST_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed


def config_map_name(revision: str) -> str:
    """The name of the ConfigMap with the MeshConfig of a revision."""
    return f"istio-{revision}" if revision else "istio"


def read_mesh_config(observed: Observed, revision: str = "") -> Mapping[str, Any]:
    """The MeshConfig of a cluster's istiod; empty where there is none that can be read."""
    config_map = observed.find(objects.CONFIG_MAP, config_map_name(revision))
    return _in_data(config_map) or {}


def reads_namespace(config: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether an istiod with a MeshConfig reads a namespace, of whichever cluster, with these labels.

    The discoverySelectors of one istiod count in all clusters that it reads; no namespace is exempt, not
    even that of istiod (pkg/kube/namespace/filter.go and pkg/kube/multicluster/cluster.go, Istio 1.31.0).
    """
    selectors = config.get("discoverySelectors") or []
    return not selectors or any(selects(one, labels) for one in selectors)


def _in_data(config_map: Object | None) -> Mapping[str, Any] | None:
    """The MeshConfig of a ConfigMap; None where there is none that can be read."""
    text = ((config_map or {}).get("data") or {}).get("mesh") or ""
    return _parsed(text) if isinstance(text, str) else None


@lru_cache(maxsize=256)  # the clusters of a mesh have the same, and it is looked at for each pair of them
def _parsed(text: str) -> Mapping[str, Any] | None:
    try:
        value = yamltext.load(text)
    except yaml.YAMLError:
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """The trust domain of one cluster."""

    name: str = DEFAULT_TRUST_DOMAIN
    aliases: frozenset[str] = frozenset()

    def accepts(self, other: TrustDomain) -> bool:
        """Whether workloads of this cluster accept those of another one."""
        return other.name == self.name or other.name in self.aliases

    def __str__(self) -> str:
        return self.name + (f" (aliases {', '.join(sorted(self.aliases))})" if self.aliases else "")


def in_mesh_config(config: object) -> TrustDomain:
    """The trust domain that a MeshConfig sets."""
    settings: Mapping[str, Any] = config if isinstance(config, dict) else {}
    aliases = settings.get("trustDomainAliases")
    return TrustDomain(
        str(settings.get("trustDomain") or DEFAULT_TRUST_DOMAIN),
        frozenset(map(str, aliases if isinstance(aliases, list) else ())),
    )


def in_operator(document: Object) -> TrustDomain:
    """The trust domain that an IstioOperator sets; its `values.global.trustDomain` does not reach istiod."""
    return in_mesh_config(document["spec"].get("meshConfig"))


def in_config_map(config_map: Object | None) -> TrustDomain | None:
    """The trust domain that a live istiod reads from its ConfigMap; None where there is none to read."""
    mesh = _in_data(config_map)
    return None if mesh is None else in_mesh_config(mesh)


def not_accepted(domains: Mapping[str, TrustDomain]) -> dict[str, list[str]]:
    """The clusters whose workloads each cluster does not accept, by context; none where all are accepted."""
    others = {
        name: [peer for peer, other in domains.items() if not own.accepts(other)]
        for name, own in domains.items()
    }
    return {name: peers for name, peers in others.items() if peers}
