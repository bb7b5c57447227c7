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
        reasons: Every difference.
        documents: What it will set; for `istio` the IstioOperator document that istioctl is given.
    """

    name: str
    reasons: tuple[str, ...]
    documents: tuple[Object, ...] = field(default=(), repr=False)
    refs: tuple[Ref, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> tuple[str, ...]:
        """The first few reasons, and how many more there are."""
        if len(self.reasons) <= _MOST_REASONS:
            return self.reasons
        return (*self.reasons[:_MOST_REASONS], f"and {len(self.reasons) - _MOST_REASONS} more differences")


@dataclass(frozen=True, slots=True)
class Drift:
    """What an install would do in a cluster of a mesh.

    Attributes:
        steps: The steps; none: the cluster matches its desired state.
    """

    steps: tuple[Step, ...] = ()
    not_compared: str = ""


def apply_step(name: str, desired: Iterable[Object], live: Mapping[Ref, Object]) -> Step | None:
    """The step that applies desired documents; None where the live objects match them."""
    desired = tuple(desired)
    changes = differences(desired, live)
    if not changes:
        return None
    changed = refs_of(changes)
    documents = tuple(document for document in desired if ref_of(document) in changed)
    return Step(name, reasons_of(changes), documents, changed)


def refs_of(changes: Iterable[Difference]) -> tuple[Ref, ...]:
    """The objects that differ, each once."""
    return tuple(dict.fromkeys(difference.ref for difference in changes))


def reasons_of(changes: Iterable[Difference]) -> tuple[str, ...]:
    """A reason for each difference, for people."""
    return tuple(str(difference) for difference in changes)
