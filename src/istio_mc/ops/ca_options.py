"""What a CA that has to be made is made like: kind of key, size, validity, or a root of the user's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from istio_mc.domain.certificates import DEFAULT_VALIDITY, parse_validity
from istio_mc.domain.identity import DEFAULT_TRUST_DOMAIN
from istio_mc.domain.keys import KeyMaker, KeySpec, KeyType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from istio_mc.domain.settings import CaSettings, Settings
    from istio_mc.ops.ca_root import OwnCa


@dataclass(frozen=True, slots=True, kw_only=True)
class CaOptions:
    """What to make where something has to be made.

    Attributes:
        key: Makes the keys, for the root and for every cluster's CA.
        validity: How long from now; a cluster's CA ends with its issuer at the latest.
        own: A root of the user's own, instead of a new one.
        trust_domains: Those of the mesh's workloads, which a root of the user's own must allow.
    """

    key: KeyMaker = field(default_factory=KeySpec)
    validity: timedelta = DEFAULT_VALIDITY
    own: OwnCa | None = None
    trust_domains: tuple[str, ...] = (DEFAULT_TRUST_DOMAIN,)


def options_of(
    settings: CaSettings,
    key_type: str | None = None,
    key_size: int | None = None,
    validity: str | None = None,
    *,
    own: OwnCa | None = None,
    trust_domains: Iterable[str] = (DEFAULT_TRUST_DOMAIN,),
) -> CaOptions:
    """What to make: what flags say, else the settings.

    Args:
        settings: mesh.yaml's, or the defaults.
        key_type: `rsa` or `ec`. Another one than the settings' has the default size of its own.
        key_size: Bits.
        validity: Such as `87600h`.
        own: A root of the user's own.
        trust_domains: Those of the mesh's workloads.

    Raises:
        InputError: The size does not go with the kind of key, or the validity is none.
    """
    said, _, bits = settings.key.partition("-")
    kind = KeyType(key_type or said)
    size = key_size or (int(bits) if kind == said else None)
    valid = parse_validity(validity or settings.validity)
    return CaOptions(key=KeySpec.of(kind, size), validity=valid, own=own, trust_domains=tuple(trust_domains))


def trust_domains(settings: Settings) -> tuple[str, ...]:
    """The trust domains of the clusters' workloads, as the values for istioctl set them."""
    of_mesh = _trust_domain(settings.values) or DEFAULT_TRUST_DOMAIN
    found = [_trust_domain(cluster.values) or of_mesh for cluster in settings.clusters]
    return tuple(dict.fromkeys(found or [of_mesh]))


def _trust_domain(values: Mapping[str, Any]) -> str:
    for part in ("meshConfig", "global"):
        inner = values.get(part)
        if isinstance(inner, dict) and inner.get("trustDomain"):
            return str(inner["trustDomain"])
    return ""
