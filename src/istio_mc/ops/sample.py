"""sample: reviews in every cluster, and from every cluster every version must answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istio_mc.domain import objects, sample
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc, kubectl
from istio_mc.domain.istiod import unavailable
from istio_mc.domain.mesh import MANAGED_BY
from istio_mc.domain.objects import labels_of
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.domain.terminating import terminating
from istio_mc.ops import topology
from istio_mc.ops.pod_watch import PodWatch
from istio_mc.ops.sample_calls import calls_of
from istio_mc.ops.sample_hops import not_as_wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.sample import Calls
    from istio_mc.gateways.fanout import Failures
    from istio_mc.gateways.kube import Kube
    from istio_mc.ops.session import Session

_POLL_S = 0.5
_STEP = "sample"


@dataclass(frozen=True, slots=True)
class Deployed:
    """What became of a deploy or remove.

    Attributes:
        versions: The version in each cluster, by context.
        failures: Clusters where it failed, and why.
    """

    versions: Mapping[str, str]
    failures: Failures


@dataclass(frozen=True, slots=True)
class Tested:
    """Who was answered by whom.

    Attributes:
        versions: The version in each cluster, by context.
        calls: What each cluster's client got.
        problems: Every pair that failed, with the first hop that is wrong.
    """

    versions: Mapping[str, str]
    calls: Mapping[str, Calls]
    problems: tuple[Problem, ...]


def deploy(session: Session, *, client_image: str | None = None) -> Deployed:
    """Puts the sample into every cluster and waits until its pods run, each with a sidecar.

    Raises:
        ProblemError: Its namespace is being deleted somewhere; nothing was touched.
    """
    mesh = topology.mesh_of(session.settings)
    versions = _assigned(session)
    _refuse_terminating(session)

    def put(name: str) -> None:
        kube = session.kubes[name]
        with session.step(name, _STEP, f"reviews {versions[name]}"):
            for document in sample.documents(mesh, versions[name], client_image=client_image):
                kube.apply(document)
            for deployment in (f"{sample.SERVICE}-{versions[name]}", sample.CLIENT):
                _wait_running(session, kube, deployment)

    _, failures = session.each(session.kubes, put, step=_STEP)
    return Deployed(versions, session.unusable | failures)


def test(session: Session, *, calls: int | None, wait_s: float) -> Tested:
    """Calls reviews from every cluster; every version must answer, none too seldom.

    Args:
        session: The run.
        calls: Calls from each cluster, at least `sample.LEAST_CALLS`; None: so many for each version, for
            Envoy picks at random, and of 60 calls alone a third falls below half its share now and then.
        wait_s: How long a version may take to answer for the first time, in seconds.

    Raises:
        ProblemError: The sample is not deployed.
    """
    versions = _deployed(session)
    clients, failures = session.each(session.kubes, lambda name: _client(session.kubes[name]))

    wanted = frozenset(versions.values())

    def ask(name: str) -> Calls:
        total = calls or sample.LEAST_CALLS * len(wanted)
        return calls_of(session, name, clients[name], wanted, calls=total, wait_s=wait_s)

    found, unasked = session.each(clients, ask)
    problems = [p for ps in (session.unusable | failures | unasked).values() for p in ps]
    problems += not_as_wanted(session, versions, found, clients)
    return Tested(versions, found, tuple(problems))


def remove(session: Session) -> Deployed:
    """Takes the sample away again: its namespace, where it is this tool's."""

    def drop(name: str) -> None:
        kube = session.kubes[name]
        namespace = kube.get(objects.NAMESPACE, sample.NAMESPACE)
        if namespace is None:
            session.progress(Event(name, _STEP, State.UNCHANGED))
            return
        with session.step(name, _STEP, f"namespace {sample.NAMESPACE} is deleted"):
            if not MANAGED_BY.items() <= labels_of(namespace).items():
                raise ProblemError(_foreign(name))
            kube.delete(objects.NAMESPACE, sample.NAMESPACE)
            while kube.get(objects.NAMESPACE, sample.NAMESPACE):
                session.progress(Event(name, _STEP, State.WAITING, "for the namespace to go"))
                if session.remaining_s <= _POLL_S:
                    raise ProblemError(_stuck(name))
                time.sleep(_POLL_S)

    done, failures = session.each(session.kubes, drop, step=_STEP)
    return Deployed(dict.fromkeys(done, ""), session.unusable | failures)


def _assigned(session: Session) -> dict[str, str]:
    """A version for every cluster; one that has a version already keeps it."""
    have = _live_versions(session)
    free = (
        version
        for index in range(len(session.contexts) + len(have))
        if (version := sample.version_of(index)) not in have.values()
    )
    return {name: have.get(name) or next(free) for name in session.names}


def _refuse_terminating(session: Session) -> None:
    """Stops before the first change where nothing can be created in the sample's namespace."""
    namespaces, failed = session.each(
        session.kubes, lambda name: session.kubes[name].get(objects.NAMESPACE, sample.NAMESPACE)
    )
    problems = [problem for name, found in namespaces.items() if (problem := terminating(name, found))]
    if problems:
        raise ProblemError(*problems)
    for name, unread in failed.items():
        session.unusable[name] = unread
        session.kubes.pop(name).close()


def _deployed(session: Session) -> dict[str, str]:
    have = _live_versions(session)
    missing = [name for name in session.kubes if name not in have]
    if missing:
        raise ProblemError(
            Problem(
                code="sample-not-deployed",
                message="the sample is not deployed everywhere",
                seen=f"no {sample.SERVICE} in {', '.join(missing)}",
                expected="one version in each cluster",
                hint=istio_mc("sample", "deploy", contexts=session.names),
            )
        )
    return {name: have[name] for name in session.names if name in have}


def _live_versions(session: Session) -> dict[str, str]:
    labels = f"app={sample.SERVICE},app.kubernetes.io/managed-by=istio-mc"
    found, failed = session.each(
        session.kubes,
        lambda name: session.kubes[name].list(objects.DEPLOYMENT, sample.NAMESPACE, labels=labels),
    )
    for name, problems in failed.items():
        session.unusable[name] = problems
        session.kubes.pop(name).close()
    return {name: items[0]["metadata"]["labels"]["version"] for name, items in found.items() if items}


def _wait_running(session: Session, kube: Kube, deployment: str) -> None:
    pods = PodWatch(
        kube,
        sample.NAMESPACE,
        [deployment],
        step="sample",
        progress=session.progress,
        timing=session.pod_timing,
    )
    while seen := unavailable(kube.get(objects.DEPLOYMENT, deployment, sample.NAMESPACE)):
        try:
            pods.look_when_due()
        except ProblemError as error:
            raise ProblemError(_kept(_not_running(kube.context, deployment, seen), *error.problems)) from None
        if pods.problem is None:
            session.progress(Event(kube.context, _STEP, State.WAITING, f"{deployment}: {seen}"))
        if session.remaining_s <= _POLL_S:
            raise ProblemError(_kept(_not_running(kube.context, deployment, seen), pods.problem))
        time.sleep(_POLL_S)
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
        code="sample-not-running",
        cluster=context,
        message=f"{deployment} does not run in {context}",
        seen=seen,
        expected="its pod running with a sidecar",
        hint=Advice(kubectl(context, "-n", sample.NAMESPACE, "describe", "pods")),
        docs="troubleshooting.md#sample-not-running",
    )


def _kept(problem: Problem, why: Problem | None) -> Problem:
    """The problem with what keeps the pods, where that is known."""
    return replace(problem, seen=f"{problem.seen}\n{why.seen}", hint=why.hint) if why else problem


def _no_sidecar(context: str, pod: str) -> Problem:
    return Problem(
        code="no-sidecar",
        cluster=context,
        message=f"{pod} in {context} was not given a sidecar",
        seen="no container istio-proxy",
        expected="one, injected by istiod's webhook",
        hint=kubectl(context, "-n", sample.NAMESPACE, "delete", "pod", pod),
        docs="troubleshooting.md#no-sidecar",
    )


def _foreign(context: str) -> Problem:
    return Problem(
        code="not-ours",
        cluster=context,
        message=f"namespace {sample.NAMESPACE} of {context} was not made by istio-mc, and is left alone",
        seen="no label app.kubernetes.io/managed-by=istio-mc",
        expected="the namespace that `sample deploy` makes",
        hint=Advice(kubectl(context, "get", "namespace", sample.NAMESPACE, "--show-labels")),
    )


def _stuck(context: str) -> Problem:
    return Problem(
        code="namespace-stuck",
        cluster=context,
        message=f"namespace {sample.NAMESPACE} of {context} is still going",
        seen="it was there at the deadline",
        expected="gone",
        hint=Advice(kubectl(context, "get", "namespace", sample.NAMESPACE, "-o", "yaml")),
    )
