"""The calls of `sample test`: from one client, until all are made or more would only take more time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from istio_mc.domain import sample
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.domain.sample import Calls

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from istio_mc.gateways.kube_stream import Execution
    from istio_mc.ops.session import Session

_STEP = "test"
_POLL_S = 0.5
_EXEC_DEADLINE_S = 120.0
_PROBES_PER_VERSION = 4
_RESERVE_S = 10.0
"""What is kept of the run's time, to look at the hops of what failed."""


def calls_of(
    session: Session, name: str, pod: str, versions: Collection[str], *, calls: int, wait_s: float
) -> Calls:
    """Calls from one cluster's client: first until every version has answered once, then to be counted.

    Args:
        session: The run.
        name: The cluster.
        pod: Its client.
        versions: All there are.
        calls: How many are counted.
        wait_s: How long a version may take to answer for the first time, in seconds.

    Raises:
        ProblemError: The client cannot call at all.
    """
    with session.step(name, _STEP, f"calling {sample.SERVICE}"):
        probed = _probed(session, name, pod, versions, wait_s)
        found = probed if probed.hopeless(versions) else Calls({}, {})
        while found.total < calls:
            if found.hopeless(versions) or session.remaining_s <= _RESERVE_S:
                found += Calls({}, {}, given_up=True)
                break
            found += _called(session, name, pod, calls - found.total, found.each_s)
    return found


def silent_gateway(session: Session, name: str, pod: str, addresses: Iterable[str]) -> str | None:
    """The first of another cluster's gateway addresses from which nothing comes back to this client."""
    for address in addresses:
        if _execute(session, name, pod, sample.knock(address)).exit_code == sample.SWALLOWED:
            return address
    return None


def _probed(session: Session, name: str, pod: str, versions: Collection[str], wait_s: float) -> Calls:
    until = time.monotonic() + wait_s
    found = Calls({}, {})
    told = False
    while True:
        found += _called(session, name, pod, len(versions) * _PROBES_PER_VERSION, found.each_s)
        if found.answered.keys() >= set(versions):
            return found
        if time.monotonic() > until or session.remaining_s <= _RESERVE_S:
            return found
        if not told:
            told = True
            session.progress(Event(name, _STEP, State.WAITING, "for every version to answer once"))
        time.sleep(_POLL_S)


def _called(session: Session, name: str, pod: str, calls: int, each_s: int) -> Calls:
    done = _execute(session, name, pod, sample.command(calls, each_s=each_s))
    found = sample.count(done.stdout)
    if not found.total:
        raise ProblemError(_mute(name, pod, done))
    return found


def _execute(session: Session, name: str, pod: str, command: list[str]) -> Execution:
    kube = session.kubes[name]
    return kube.execute(sample.NAMESPACE, pod, sample.CLIENT, command, timeout_s=_EXEC_DEADLINE_S, reads=True)


def _mute(name: str, pod: str, done: Execution) -> Problem:
    return Problem(
        code="client-cannot-call",
        cluster=name,
        message=f"the client in {name} made no call",
        seen=done.stderr.strip() or f"curl ended with exit code {done.exit_code} and said nothing",
        expected=f"curl in {sample.NAMESPACE}/{pod}",
        hint=Advice(
            kubectl(name, "-n", sample.NAMESPACE, "exec", pod, "-c", sample.CLIENT, "--", "curl", "--version")
        ),
        docs="troubleshooting.md#client-cannot-call",
    )
