"""Faults of what istiods have of the other clusters: each is synced, and one does not hear of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import faults
from tests.e2e.harness import SYSTEM, get, kubectl, rolled_out
from tests.faults.harness import Fault, fault, of, patch

if TYPE_CHECKING:
    from typing import Any

    from tests.e2e.harness import Site

_ISTIOD = "deployment/istiod"
_GATEWAY = "istio-ingressgateway"


def _istiods(context: str) -> list[dict[str, Any]]:
    """The pods of istiod, the newest last."""
    pods = [pod for pod in get(context, "pods", "-l", "app=istiod")["items"] if pod["status"].get("podIP")]
    return sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def _blind_the_newest(context: str, other: str) -> None:
    faults.blind(context, other, pod=_istiods(context)[-1]["status"]["podIP"])


def _scale(context: str, replicas: int) -> None:
    kubectl(context, "scale", _ISTIOD, "-n", SYSTEM, f"--replicas={replicas}")
    rolled_out(context, _ISTIOD)


def _one_of_two(_site: Site) -> None:
    """The second istiod of kt does not hear of the new pod of ncloud."""
    _scale("kt", 2)
    _blind_the_newest("kt", "ncloud")
    kubectl("ncloud", "rollout", "restart", "deployment/reviews-v2", "-n", "sample")
    rolled_out("ncloud", "deployment/reviews-v2", namespace="sample")


def _one_again(_site: Site) -> None:
    faults.unblind("kt")
    _scale("kt", 1)


def _started_apart(_site: Site) -> None:
    """Istiod of nhn starts while the API server of kt is out of its reach."""
    faults.blind("nhn", "kt")
    kubectl("nhn", "rollout", "restart", _ISTIOD, "-n", SYSTEM)
    rolled_out("nhn", _ISTIOD)


def _another_address(_site: Site) -> None:
    """The gateway of nhn gets the address of its node too, and istiod of ncloud does not hear of it."""
    _blind_the_newest("ncloud", "nhn")
    patch("nhn", "service", _GATEWAY, {"spec": {"externalIPs": ["198.18.0.13"]}})


def _the_first_address_again(_site: Site) -> None:
    faults.unblind("ncloud")
    patch("nhn", "service", _GATEWAY, {"spec": {"externalIPs": None}})


ONE_OF_TWO = fault(
    "one istiod of two is blind",
    of("discovery.endpoints", "kt", "ncloud"),
    make=_one_of_two,
    tidy=_one_again,
    remains=(of("drift.none", "kt"),),
)
STARTED_APART = fault(
    "API server out of reach while istiod starts",
    of("link.synced", "nhn", "kt"),
    make=_started_apart,
    undo=lambda _: faults.unblind("nhn"),
)
ANOTHER_ADDRESS = fault(
    "gateway address changed behind istiod's back",
    of("discovery.gateways", "ncloud", "nhn"),
    make=_another_address,
    tidy=_the_first_address_again,
)

ROUNDS: tuple[tuple[Fault, ...], ...] = ((ONE_OF_TWO, STARTED_APART, ANOTHER_ADDRESS),)
