"""Plans: what is still to be done in a cluster, step by step, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.kube.diff import Difference, differences
from istio_mc.domain.kube.objects import Object, Ref, ref_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAMESPACE = "namespace"
CACERTS = "cacerts"
RESTART = "restart"
ISTIO = "istio"
EXPOSE = "expose"
GATEWAY_API = "gateway-api"
REMOTE_GATEWAYS = "remote-gateways"
LINK = "link"
READY = "ready"

_MOST_REASONS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a cluster's plan.

    Attributes:
        reasons: Why it is needed, each a sentence for people.
        documents: What it will set; for `istio` the IstioOperator document that istioctl is given.
        refs: The objects that are missing or differ, all of them.
    """

    name: str
    reasons: tuple[str, ...]
    documents: tuple[Object, ...] = field(default=(), repr=False)
    refs: tuple[Ref, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Drift:
    """What an install would do in a cluster of a mesh that stands.

    Attributes:
        steps: The steps; none: the cluster is as it shall be.
        not_compared: What could not be compared, and why; empty: all was.
    """

    steps: tuple[Step, ...] = ()
    not_compared: str = ""


def apply_step(name: str, wanted: Iterable[Object], live: Mapping[Ref, Object]) -> Step | None:
    """The step that makes wanted documents live; None where they are already."""
    wanted = tuple(wanted)
    found = differences(wanted, live)
    if not found:
        return None
    changed = refs_of(found)
    documents = tuple(document for document in wanted if ref_of(document) in changed)
    return Step(name, told(found), documents, changed)


def refs_of(found: Iterable[Difference]) -> tuple[Ref, ...]:
    """The objects that differ, each once."""
    return tuple(dict.fromkeys(difference.ref for difference in found))


def told(found: list[Difference]) -> tuple[str, ...]:
    """Reasons for people: a whole new set of objects is one reason, and a long list is cut."""
    reasons = tuple(str(difference) for difference in found)
    if len(reasons) <= _MOST_REASONS:
        return reasons
    return (*reasons[:_MOST_REASONS], f"and {len(reasons) - _MOST_REASONS} more differences")
