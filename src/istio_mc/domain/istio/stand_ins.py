"""One manifest for many clusters: made for a cluster with values that stand for those of each.

The documents of a mesh's clusters often differ in cluster ID, network and addresses alone. What istioctl
makes of them differs in these values alone, as long as YAML has all of them without quotes.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from istio_mc.domain.istio.operator import istio_operator

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster, Mesh

_ID, _NETWORK = "istio-mc-stands-for-id", "istio-mc-stands-for-network"
_ADDRESSES = tuple(f"198.51.100.{number}" for number in range(201, 210))
"""Of a range that is for documentation alone (RFC 5737); of one length, so that none is a part of another."""

_VALUES = (_ID, _NETWORK, *_ADDRESSES)

_PLAIN = re.compile(r"[A-Za-z][-A-Za-z0-9_.]*")
_NO_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML reads as something else than text: they are written in quotes."""


@dataclass(frozen=True, slots=True)
class Template:
    """The manifest of a stand-in.

    Attributes:
        own: Identities of all parts that have a value of the stand-in somewhere inside.
    """

    manifest: Sequence[Object]
    own: frozenset[int]

    @classmethod
    def of(cls, manifest: Sequence[Object]) -> Template:
        """The template of what istioctl made for a stand-in."""
        own: set[int] = set()
        for item in manifest:
            _add_own(item, own)
        return cls(manifest, frozenset(own))


def _add_own(item: object, own: set[int]) -> bool:
    """Adds a part of a manifest, and the parts inside, as far as they have a value of the stand-in."""
    if isinstance(item, str):
        has_one = any(value in item for value in _VALUES)
    else:
        parts: Iterable[object] = ()
        if isinstance(item, dict):
            parts = (part for pair in item.items() for part in pair)
        elif isinstance(item, list):
            parts = item
        has_one = True in {_add_own(part, own) for part in parts}  # all of them are looked at
    if has_one:
        own.add(id(item))
    return has_one


@dataclass(frozen=True, slots=True)
class StandIn:
    """A cluster that stands for another.

    Attributes:
        document: Its IstioOperator document, as JSON.
        values: What is written in its documents for what of the cluster that it stands for.
    """

    cluster: Cluster
    document: str
    values: Mapping[str, str]

    def filled(self, template: Template) -> list[Object]:
        """The manifest of the cluster that it stands for; what all clusters have alike is the same."""
        return [self._filled(item, template.own) for item in template.manifest]

    def _filled(self, item: Any, own: Container[int]) -> Any:  # noqa: ANN401 - plain data
        if id(item) not in own:
            return item
        if isinstance(item, str):
            for value, its_own in self.values.items():
                item = item.replace(value, its_own)
            return item
        if isinstance(item, dict):
            return {self._filled(key, own): self._filled(value, own) for key, value in item.items()}
        return [self._filled(value, own) for value in item]


def stand_in_of(mesh: Mesh, cluster: Cluster) -> StandIn | None:
    """The cluster that stands for one in documents for istioctl.

    None where a value of it could be written otherwise than a stand-in's (`on` is put in quotes), or where
    its document contains one of the stand-in's.
    """
    addresses = cluster.gateway_addresses
    if not all(_is_plain(name) for name in (cluster.cluster_id, cluster.network)):
        return None
    if len(addresses) > len(_ADDRESSES) or not all(_is_ipv4(address) for address in addresses):
        return None
    stand_ins = _ADDRESSES[: len(addresses)]
    values = {
        _ID: cluster.cluster_id,
        _NETWORK: cluster.network,
        **dict(zip(stand_ins, addresses, strict=True)),
    }
    document = json.dumps(istio_operator(mesh, cluster))
    if any(value in document for value in values):
        return None
    standing = replace(cluster, cluster_id=_ID, network=_NETWORK, gateway_addresses=stand_ins)
    return StandIn(standing, json.dumps(istio_operator(mesh, standing)), values)


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_plain(text: str) -> bool:
    """Whether YAML has a text as it is, without quotes."""
    return bool(_PLAIN.fullmatch(text)) and text.lower() not in _NO_TEXT
