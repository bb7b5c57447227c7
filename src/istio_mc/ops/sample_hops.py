"""Why a version does not answer: the first hop on the way that is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.checks import data_path
from istio_mc.checks.catalogue import ALL
from istio_mc.domain.address import seen_addresses
from istio_mc.domain.hint import Advice, Hint, istio_mc
from istio_mc.domain.operator import CROSS_NETWORK_PORT
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.domain.sample import HURRY_S, PATIENCE_S, least_share
from istio_mc.ops.sample_calls import silent_gateway
from istio_mc.ops.verify import look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.checks.model import Result
    from istio_mc.domain.sample import Calls
    from istio_mc.ops.session import Session
    from istio_mc.ops.verify import VerifyResult


def not_as_wanted(
    session: Session, versions: Mapping[str, str], found: Mapping[str, Calls], clients: Mapping[str, str]
) -> list[Problem]:
    """A Problem for each pair that failed, and for each client that gave up though all had answered it.

    Args:
        session: The run.
        versions: The version in each cluster, by context.
        found: What each client got, by context.
        clients: The pods that called, by context.
    """
    pairs = [
        (name, peer)
        for name, calls in found.items()
        for peer, version in versions.items()
        if calls.seldom(version, len(versions))
    ]
    blamed = {name for name, _ in pairs}
    gave_up = [name for name, calls in found.items() if calls.given_up and name not in blamed]
    if not pairs and not gave_up:
        return []
    # What the way to a gateway is like from here says less than what the clients in the clusters find.
    checks = [check for check in ALL if check.topic != data_path.TOPIC]
    hops = _Hops(session, look(session, checks, None), clients)
    seldom = [_too_seldom(name, peer, versions, found[name], hops.first(name, peer)) for name, peer in pairs]
    return [*seldom, *(_unanswered(name, found[name], hops.any_wrong()) for name in gave_up)]


_VERIFY = Advice(istio_mc("verify"))


@dataclass(frozen=True, slots=True)
class _Hop:
    """What is wrong on the way, and what mends it."""

    told: str
    hint: Hint


class _Hops:
    """The checks of one look at the mesh, and what a client itself gets from a gateway."""

    def __init__(self, session: Session, looked: VerifyResult, clients: Mapping[str, str]) -> None:
        self._session = session
        self._facts = looked.facts
        self._clients = clients
        self._wrong = [result for result in looked.root_causes if result.problem]

    def first(self, name: str, peer: str) -> _Hop:
        """The first wrong hop from one cluster to another."""
        for result in self._wrong:
            ends = {result.target.cluster, result.target.peer}
            if ends <= {None, name, peer}:
                return _hop(result)
        addresses = self._addresses(peer) if name != peer else ()
        if address := self._silent(name, addresses):
            return _Hop(
                f"first wrong hop: the gateway of {peer}: nothing comes back to {name} "
                f"from {address}:{CROSS_NETWORK_PORT}",
                Advice(istio_mc("address", contexts=[peer])),
            )
        where = f" at {', '.join(addresses)}" if addresses else ""
        told = f"every hop that can be looked at is right: look at the path to {peer}'s gateway{where}"
        return _Hop(told, _VERIFY)

    def any_wrong(self) -> _Hop:
        """The first wrong hop anywhere, where nothing tells which cluster kept silent."""
        for result in self._wrong:
            return _hop(result)
        return _Hop("every hop that can be looked at is right", _VERIFY)

    def _addresses(self, peer: str) -> tuple[str, ...]:
        cluster = self._facts.clusters.get(peer)
        return seen_addresses(peer, cluster, self._facts.observed) if cluster else ()

    def _silent(self, name: str, addresses: tuple[str, ...]) -> str | None:
        try:
            return silent_gateway(self._session, name, self._clients[name], addresses)
        except ProblemError:
            return None  # the client has gone: nothing can be told of the way


def _hop(result: Result) -> _Hop:
    hint = result.problem.hint if result.problem else None
    return _Hop(f"first wrong hop: {result.check.id} ({result.target})", hint or _VERIFY)


def _too_seldom(name: str, peer: str, versions: Mapping[str, str], calls: Calls, hop: _Hop) -> Problem:
    version = versions[peer]
    answers, least = calls.answered.get(version, 0), least_share(len(versions))
    return Problem(
        code="too-few-answers",
        cluster=name,
        message=f"{version} in {peer} answered {name} in {answers} of {calls.total} calls; {hop.told}",
        seen=_got(calls),
        expected="an answer" if calls.given_up else f"at least {least:.0%} of the calls",
        hint=hop.hint,
        docs="troubleshooting.md#too-few-answers",
    )


def _unanswered(name: str, calls: Calls, hop: _Hop) -> Problem:
    return Problem(
        code="calls-unanswered",
        cluster=name,
        message=f"{name} gave up calling, though every version had answered it; {hop.told}",
        seen=_got(calls),
        expected=f"an answer to each call within {PATIENCE_S} s",
        hint=hop.hint,
        docs="troubleshooting.md#calls-unanswered",
    )


def _got(calls: Calls) -> str:
    statuses = [f"{code}: {times}" for code, times in calls.failed.items() if code != "000"]
    parts = [f"HTTP status {', '.join(statuses)}"] if statuses else []
    if calls.unanswered:
        parts.append(f"no answer within {PATIENCE_S} s, later {HURRY_S} s: {calls.unanswered} calls")
    if calls.given_up:
        parts.append(f"given up after {calls.total} calls")
    return "; ".join(parts) or f"answers by version: {dict(calls.answered)}"
