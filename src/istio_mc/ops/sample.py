"""sample: reviews in every cluster, and from every cluster every version must answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.checks import data_path
from istio_mc.checks.catalogue import ALL
from istio_mc.domain.events import Event, State
from istio_mc.domain.gateway.address import used_addresses
from istio_mc.domain.hint import Advice, Hint, istio_mc, kubectl
from istio_mc.domain.istio.istiod import unavailable
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.diff import differences
from istio_mc.domain.kube.objects import is_ours, kind_of, ref_of, terminating
from istio_mc.domain.kube.rehearsal import places
from istio_mc.domain.kube.rights import Right
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.traffic import sample
from istio_mc.domain.traffic.sample import PATIENCE_S, SHORT_TIMEOUT_S, Calls, least_share
from istio_mc.gateways.host.parallel import all_of, poll_rounds
from istio_mc.gateways.kube.snapshot import read_each
from istio_mc.ops.session import rights, topology
from istio_mc.ops.session.pod_watch import PodWatch
from istio_mc.ops.session.rehearsal import denials
from istio_mc.ops.session.wait_report import WaitReport
from istio_mc.ops.trace import TraceQuery, follow
from istio_mc.ops.verify.verify import run_checks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from istio_mc.checks.model import Result
    from istio_mc.domain.kube.objects import Ref
    from istio_mc.domain.trace.model import HopResult, Trace
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.gateways.kube.stream import Execution
    from istio_mc.ops.session.session import Session
    from istio_mc.ops.verify.verify import VerifyResult


_POLL_S = 0.5
_STEP = "sample"


@dataclass(frozen=True, slots=True)
class Deployed:
    """What became of a deploy or remove.

    Attributes:
        versions: The version of each cluster; none where the sample is removed.
        changes: In a dry run what would be applied or deleted, by context; None: it is done.
    """

    versions: Mapping[str, str]
    failures: Failures
    changes: Mapping[str, tuple[Ref, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Tested:
    """Which versions responded to which clients."""

    versions: Mapping[str, str]
    calls: Mapping[str, Calls]
    problems: tuple[Problem, ...]


def deploy(session: Session, *, client_image: str | None = None) -> Deployed:
    """Puts the sample into every cluster and waits until its pods run, each with a sidecar.

    Raises:
        InputError: Rights are missing; nothing was changed.
        ProblemError: Its namespace is being deleted somewhere; nothing was changed.
    """
    versions, desired = _desired(session, client_image)
    needed = {name: rights.to_apply(documents) for name, documents in desired.items()}
    rights.require(session, "sample deploy", needed, lease=False)

    def put(name: str) -> None:
        kube = session.clusters.kubes[name]
        with session.run.step(name, _STEP, f"reviews {versions[name]}"):
            for document in desired[name]:
                kube.apply(document)
            for deployment in (f"{sample.SERVICE}-{versions[name]}", sample.CLIENT):
                _wait_running(session, kube, deployment)

    _, failures = session.clusters.each(put, step=_STEP)
    return Deployed(versions, session.clusters.unusable | failures)


def rehearse(session: Session, *, client_image: str | None = None) -> Deployed:
    """What `deploy` would apply, and what the clusters' admission would deny of it; changes nothing.

    Raises:
        ProblemError: Its namespace is being deleted somewhere.
    """
    versions, desired = _desired(session, client_image)

    def judge(name: str) -> tuple[tuple[Ref, ...], tuple[Problem, ...]]:
        kube = session.clusters.kubes[name]
        live = read_each(kube, {ref_of(one): kind_of(one) for one in desired[name]})
        wrong = dict.fromkeys(one.ref for one in differences(desired[name], live))
        return tuple(wrong), denials(kube, desired[name], live, places(live))

    judged, failures = session.clusters.each(judge)
    denied = {name: problems for name, (_, problems) in judged.items() if problems}
    changes = {name: refs for name, (refs, _) in judged.items()}
    return Deployed(versions, session.clusters.unusable | failures | denied, changes)


def _desired(
    session: Session, client_image: str | None
) -> tuple[dict[str, str], dict[str, list[objects.Object]]]:
    mesh = topology.mesh_of(session.settings)
    versions = _assigned(session)
    _refuse_terminating(session)
    return versions, {
        name: sample.documents(mesh, version, client_image=client_image) for name, version in versions.items()
    }


def test(session: Session, *, calls: int | None, wait_s: float) -> Tested:
    """Calls reviews from every cluster; every version must answer, none too seldom.

    Args:
        calls: Calls from each cluster, at least `sample.LEAST_CALLS`; None: so many for each version, for
            Envoy picks at random, and of 60 calls alone a third falls below half its share now and then.

    Raises:
        ProblemError: The sample is not deployed.
    """
    versions = _deployed(session)
    clients, failures = session.clusters.each(lambda name: _client(session.clusters.kubes[name]))

    desired = frozenset(versions.values())

    def call(name: str) -> Calls:
        total = calls or sample.LEAST_CALLS * len(desired)
        return calls_of(session, name, clients[name], desired, calls=total, wait_s=wait_s)

    results, not_called = session.clusters.each(call, clients)
    problems = [p for ps in (session.clusters.unusable | failures | not_called).values() for p in ps]
    problems += failed_pairs(session, versions, results, clients)
    return Tested(versions, results, tuple(problems))


def preview_removal(session: Session) -> Deployed:
    """What `remove` would delete; changes nothing."""

    def find(name: str) -> tuple[Ref, ...]:
        namespace = session.clusters.kubes[name].get(objects.NAMESPACE, sample.NAMESPACE)
        if namespace is None:
            return ()
        _refuse_foreign(name, namespace)
        return (ref_of(namespace),)

    found, failures = session.clusters.each(find)
    return Deployed(dict.fromkeys(found, ""), session.clusters.unusable | failures, found)


def remove(session: Session) -> Deployed:
    """Takes the sample away again: its namespace, where it is this tool's.

    Raises:
        InputError: Rights are missing; nothing was changed.
    """
    removing = (Right("delete", "namespaces", "", ""),)
    rights.require(session, "sample remove", dict.fromkeys(session.clusters.kubes, removing), lease=False)

    def drop(name: str) -> None:
        kube = session.clusters.kubes[name]
        namespace = kube.get(objects.NAMESPACE, sample.NAMESPACE)
        if namespace is None:
            session.run.progress(Event(name, _STEP, State.UNCHANGED))
            return
        with session.run.step(name, _STEP, f"namespace {sample.NAMESPACE} is deleted"):
            _refuse_foreign(name, namespace)
            kube.delete(objects.NAMESPACE, sample.NAMESPACE)
            waits = WaitReport(session.run.progress, name, _STEP)
            for left_s in poll_rounds(session.run.deadline, _POLL_S):
                if not kube.get(objects.NAMESPACE, sample.NAMESPACE):
                    return
                waits("for the namespace to go", left_s)
            raise ProblemError(_stuck(name))

    done, failures = session.clusters.each(drop, step=_STEP)
    return Deployed(dict.fromkeys(done, ""), session.clusters.unusable | failures)


def _refuse_foreign(name: str, namespace: objects.Object) -> None:
    if not is_ours(namespace):
        raise ProblemError(_foreign(name))


def _assigned(session: Session) -> dict[str, str]:
    """A version for every cluster; one that has a version already keeps it."""
    have = _live_versions(session)
    free = (
        version
        for index in range(len(session.clusters.contexts) + len(have))
        if (version := sample.version_of(index)) not in have.values()
    )
    return {name: have.get(name) or next(free) for name in session.clusters.names}


def _refuse_terminating(session: Session) -> None:
    """Stops before the first change where nothing can be created in the sample's namespace."""
    namespaces, failed = session.clusters.each(
        lambda name: session.clusters.kubes[name].get(objects.NAMESPACE, sample.NAMESPACE)
    )
    problems = [
        problem for name, namespace in namespaces.items() if (problem := terminating(name, namespace))
    ]
    if problems:
        raise ProblemError(*problems)
    session.clusters.mark_unusable(failed)


def _deployed(session: Session) -> dict[str, str]:
    have = _live_versions(session)
    missing = [name for name in session.clusters.kubes if name not in have]
    if missing:
        raise ProblemError.of(
            code=Code.SAMPLE_NOT_DEPLOYED,
            message="the sample is not deployed everywhere",
            seen=f"no {sample.SERVICE} in {', '.join(missing)}",
            expected="one version in each cluster",
            hint=istio_mc("sample", "deploy", contexts=session.clusters.names),
        )
    return {name: have[name] for name in session.clusters.names if name in have}


def _live_versions(session: Session) -> dict[str, str]:
    labels = f"app={sample.SERVICE},app.kubernetes.io/managed-by=istio-mc"
    versions, failed = session.clusters.each(
        lambda name: session.clusters.kubes[name].list(objects.DEPLOYMENT, sample.NAMESPACE, labels=labels)
    )
    session.clusters.mark_unusable(failed)
    return {name: items[0]["metadata"]["labels"]["version"] for name, items in versions.items() if items}


def _wait_running(session: Session, kube: Kube, deployment: str) -> None:
    pods = PodWatch(
        kube,
        sample.NAMESPACE,
        [deployment],
        step="sample",
        progress=session.run.progress,
        timing=session.run.pod_timing,
    )
    seen = ""
    waits = WaitReport(session.run.progress, kube.context, _STEP)
    for left_s in poll_rounds(session.run.deadline, _POLL_S):
        if not (seen := unavailable(kube.get(objects.DEPLOYMENT, deployment, sample.NAMESPACE))):
            break
        try:
            pods.check_when_due()
        except ProblemError as error:
            raise ProblemError(_kept(_not_running(kube.context, deployment, seen), *error.problems)) from None
        if pods.problem is None:
            waits(f"{deployment}: {seen}", left_s)
    if seen:
        raise ProblemError(_kept(_not_running(kube.context, deployment, seen), pods.problem))
    app = sample.CLIENT if deployment == sample.CLIENT else sample.SERVICE
    bare = [
        p for p in kube.list(objects.POD, sample.NAMESPACE, labels=f"app={app}") if not sample.is_injected(p)
    ]
    for pod in bare:
        raise ProblemError(_no_sidecar(kube.context, pod["metadata"]["name"]))


def _client(kube: Kube) -> str:
    pods = kube.list(
        objects.POD, sample.NAMESPACE, labels=f"app={sample.CLIENT}", fields="status.phase=Running"
    )
    running = [pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if not running:
        raise ProblemError(_not_running(kube.context, sample.CLIENT, "no running pod"))
    return str(running[0])


def _not_running(context: str, deployment: str, seen: str) -> Problem:
    return Problem(
        code=Code.SAMPLE_NOT_RUNNING,
        cluster=context,
        message=f"{deployment} does not run in {context}",
        seen=seen,
        expected="its pod running with a sidecar",
        hint=Advice(kubectl(context, "-n", sample.NAMESPACE, "describe", "pods")),
    )


def _kept(problem: Problem, why: Problem | None) -> Problem:
    """The problem with what keeps the pods, where that is known."""
    return replace(problem, seen=f"{problem.seen}\n{why.seen}", hint=why.hint) if why else problem


def _no_sidecar(context: str, pod: str) -> Problem:
    return Problem(
        code=Code.NO_SIDECAR,
        cluster=context,
        message=f"{pod} in {context} has no sidecar",
        seen="no container istio-proxy",
        expected="one, injected by istiod's webhook",
        hint=kubectl(context, "-n", sample.NAMESPACE, "delete", "pod", pod),
    )


def _foreign(context: str) -> Problem:
    return Problem(
        code=Code.NOT_OURS,
        cluster=context,
        message=f"namespace {sample.NAMESPACE} of {context} was not created by istio-mc, and is left alone",
        seen="no label app.kubernetes.io/managed-by=istio-mc",
        expected="the namespace that `sample deploy` makes",
        hint=Advice(kubectl(context, "get", "namespace", sample.NAMESPACE, "--show-labels")),
    )


def _stuck(context: str) -> Problem:
    return Problem(
        code=Code.NAMESPACE_STUCK,
        cluster=context,
        message=f"namespace {sample.NAMESPACE} of {context} is still going",
        seen="it was there at the deadline",
        expected="gone",
        hint=Advice(kubectl(context, "get", "namespace", sample.NAMESPACE, "-o", "yaml")),
    )


_TEST_STEP = "test"
_EXEC_DEADLINE_S = 120.0
_PROBES_PER_VERSION = 4
_RESERVE_S = 10.0
"""What is kept of the run's time, to look at the hops of what failed."""


def calls_of(
    session: Session, name: str, pod: str, versions: Collection[str], *, calls: int, wait_s: float
) -> Calls:
    """Calls from one cluster's client: first until every version has answered once, then to be counted.

    The first ones count too where nothing came back from a version all the time: to begin again would only
    take that time once more.

    Raises:
        ProblemError: The client cannot call at all.
    """
    with session.run.step(name, _TEST_STEP, f"calling {sample.SERVICE}"):
        probed = _probed(session, name, pod, versions, wait_s)
        counts = probed.is_conclusive(versions) or probed.lacks_answers(versions)
        calls_made = probed if counts else Calls({}, {})
        waits = WaitReport(session.run.progress, name, _TEST_STEP)
        while calls_made.total < calls:
            if calls_made.is_conclusive(versions) or session.run.remaining_s <= _RESERVE_S:
                calls_made += Calls({}, {}, given_up=True)
                break
            calls_made += _called(session, name, pod, calls - calls_made.total, calls_made.each_s)
            if calls_made.total < calls:
                waits(f"for responses to {calls} requests, some get none", session.run.remaining_s)
    return calls_made


def silent_gateway(session: Session, name: str, pod: str, addresses: Iterable[str]) -> str | None:
    """The first of another cluster's gateway addresses from which nothing comes back to this client."""
    for address in addresses:
        if _execute(session, name, pod, sample.hello_command(address)).exit_code == sample.SWALLOWED:
            return address
    return None


def _probed(session: Session, name: str, pod: str, versions: Collection[str], wait_s: float) -> Calls:
    calls_made = Calls({}, {})
    waits = WaitReport(session.run.progress, name, _TEST_STEP)
    for left_s in poll_rounds(min(time.monotonic() + wait_s, session.run.deadline - _RESERVE_S), _POLL_S):
        calls_made += _called(session, name, pod, len(versions) * _PROBES_PER_VERSION, calls_made.each_s)
        silent = sorted(set(versions) - calls_made.answered.keys())
        if not silent:
            break
        waits(f"for a response from {', '.join(silent)}", left_s)
    return calls_made


def _called(session: Session, name: str, pod: str, calls: int, each_s: int) -> Calls:
    done = _execute(session, name, pod, sample.command(calls, each_s=each_s))
    counted = sample.count(done.stdout)
    if not counted.total:
        raise ProblemError(_no_response(name, pod, done))
    return counted


def _execute(session: Session, name: str, pod: str, command: list[str]) -> Execution:
    kube = session.clusters.kubes[name]
    return kube.execute(sample.NAMESPACE, pod, sample.CLIENT, command, timeout_s=_EXEC_DEADLINE_S, reads=True)


def _no_response(name: str, pod: str, done: Execution) -> Problem:
    return Problem(
        code=Code.CLIENT_CANNOT_CALL,
        cluster=name,
        message=f"the client in {name} made no call",
        seen=done.stderr.strip() or f"curl exited with code {done.exit_code} and no output",
        expected=f"curl in {sample.NAMESPACE}/{pod}",
        hint=Advice(
            kubectl(name, "-n", sample.NAMESPACE, "exec", pod, "-c", sample.CLIENT, "--", "curl", "--version")
        ),
    )


def failed_pairs(
    session: Session,
    versions: Mapping[str, str],
    calls_of_pair: Mapping[str, Calls],
    clients: Mapping[str, str],
) -> list[Problem]:
    """A Problem for each pair that failed, and for each client that gave up though all had answered it."""
    pairs = [
        (name, peer)
        for name, calls in calls_of_pair.items()
        for peer, version in versions.items()
        if calls.too_few(version, len(versions))
    ]
    blamed = {name for name, _ in pairs}
    gave_up = [name for name, calls in calls_of_pair.items() if calls.given_up and name not in blamed]
    if not pairs and not gave_up:
        return []
    # What the way to a gateway is like from here says less than what the clients in the clusters find.
    checks = [check for check in ALL if check.topic != data_path.TOPIC]
    hops = _Hops(session, run_checks(session, checks, None), clients)
    # All at once: a gateway that is silent takes seconds for each client.
    first = all_of({f"{name} {peer}": partial(hops.first, name, peer) for name, peer in pairs})
    too_few = [
        _too_few_answers(name, peer, versions, calls_of_pair[name], first[f"{name} {peer}"])
        for name, peer in pairs
    ]
    return [*too_few, *(_unanswered(name, calls_of_pair[name], hops.any_wrong()) for name in gave_up)]


_VERIFY = Advice(istio_mc("verify"))


@dataclass(frozen=True, slots=True)
class _Hop:
    """What is wrong on the way, and what fixes it."""

    message: str
    hint: Hint


class _Hops:
    """The checks of one look at the mesh, the paths of reviews, and what a client gets from a gateway."""

    def __init__(self, session: Session, results: VerifyResult, clients: Mapping[str, str]) -> None:
        self._session = session
        self._facts = results.facts
        self._clients = clients
        self._wrong = [result for result in results.root_causes if result.problem]
        self._traces = _traces(session, results)

    def first(self, name: str, peer: str) -> _Hop:
        """The first wrong hop from one cluster to another."""
        for result in self._wrong:
            ends = {result.target.cluster, result.target.peer}
            if ends <= {None, name, peer}:
                return _hop(result)
        for one in self._traces:
            if (one.client, one.target) == (name, peer) and one.broken:
                return _broken(one.broken)
        addresses = self._addresses(peer) if name != peer else ()
        if address := self._silent(name, addresses):
            return _Hop(
                f"first failed hop: gateway of {peer}: no response to {name} "
                f"from {address}:{CROSS_NETWORK_PORT}",
                Advice(istio_mc("address", contexts=[peer])),
            )
        where = f" at {', '.join(addresses)}" if addresses else ""
        message = f"no check and no hop failed: look at the path to the gateway of {peer}{where}"
        return _Hop(message, _VERIFY)

    def any_wrong(self) -> _Hop:
        """The first wrong hop anywhere, where nothing tells which cluster kept silent."""
        for result in self._wrong:
            return _hop(result)
        for one in self._traces:
            if one.broken:
                return _broken(one.broken)
        return _Hop("no check and no hop failed", _VERIFY)

    def _addresses(self, peer: str) -> tuple[str, ...]:
        cluster = self._facts.clusters.get(peer)
        return used_addresses(peer, cluster, self._facts.observed) if cluster else ()

    def _silent(self, name: str, addresses: tuple[str, ...]) -> str | None:
        try:
            return silent_gateway(self._session, name, self._clients[name], addresses)
        except ProblemError:
            return None  # the client has gone: nothing can be told of the way


def _hop(result: Result) -> _Hop:
    hint = result.problem.hint if result.problem else None
    return _Hop(f"first failed hop: {result.check.id} ({result.target})", hint or _VERIFY)


def _traces(session: Session, results: VerifyResult) -> tuple[Trace, ...]:
    """The paths of reviews from every cluster to every other one; none where it cannot be read."""
    query = TraceQuery(f"{sample.NAMESPACE}/{sample.SERVICE}", port=sample.PORT)
    try:
        return follow(session, query, results.facts, results.root_causes).traces
    except ProblemError:
        return ()


def _broken(hop: HopResult) -> _Hop:
    problem = hop.outcome.problem
    message = problem.message if problem else hop.outcome.seen
    return _Hop(f"first failed hop: {hop.hop.id}: {message}", (problem and problem.hint) or _VERIFY)


def _too_few_answers(name: str, peer: str, versions: Mapping[str, str], calls: Calls, hop: _Hop) -> Problem:
    version = versions[peer]
    answers, least = calls.answered.get(version, 0), least_share(len(versions))
    return Problem(
        code=Code.TOO_FEW_ANSWERS,
        cluster=name,
        message=f"{answers} of {calls.total} calls were answered by {version} in {peer}",
        seen=f"{_counted(calls)}\n{hop.message}",
        expected="a response" if calls.given_up else f"at least {least:.0%} of the calls",
        hint=hop.hint,
    )


def _unanswered(name: str, calls: Calls, hop: _Hop) -> Problem:
    return Problem(
        code=Code.CALLS_UNANSWERED,
        cluster=name,
        message=f"{name} stopped sending requests, although every version had responded",
        seen=f"{_counted(calls)}\n{hop.message}",
        expected=f"a response to each request within {PATIENCE_S} s",
        hint=hop.hint,
    )


def _counted(calls: Calls) -> str:
    statuses = [f"{code}: {times}" for code, times in calls.failed.items() if code != "000"]
    parts = [f"HTTP status {', '.join(statuses)}"] if statuses else []
    if calls.unanswered:
        parts.append(
            f"no response within {PATIENCE_S} s, later {SHORT_TIMEOUT_S} s: {calls.unanswered} requests"
        )
    if calls.given_up:
        parts.append(f"stopped after {calls.total} requests")
    return "; ".join(parts) or f"responses by version: {_by_version(calls)}"


def _by_version(calls: Calls) -> str:
    return ", ".join(f"{version} {times}" for version, times in sorted(calls.answered.items())) or "none"
