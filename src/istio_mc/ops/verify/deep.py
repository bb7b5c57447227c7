"""verify --deep: a pod with a sidecar in every cluster calls every other one, and all is removed again."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc, kubectl
from istio_mc.domain.istio.pod_faults import Cause, is_ready, pod_fault
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.traffic import probe_pod
from istio_mc.domain.traffic.sample import is_injected
from istio_mc.gateways.host.parallel import poll_rounds
from istio_mc.gateways.host.process import has_ended, holder
from istio_mc.gateways.kube.pods import read_pod_faults

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.traffic.probe_pod import Reply
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.verify.snapshot import MeshSnapshot

READY_S = 90.0
ANSWER_S = 30.0
REMOVE_S = 30.0
_PERMANENT = frozenset({Cause.CRASH, Cause.IMAGE, Cause.CONTAINER, Cause.FAILED})
_PERMANENT_S = 15.0
"""How long a pod is waited for that one of these keeps: a registry may fail once."""

_LAST_S = 5.0
"""What is left of a run's time for its last words once the pods are gone."""

_POLL_S = 0.5
_STEP = "deep"


@dataclass(frozen=True, slots=True)
class Called:
    """What the pods got."""

    replies: Mapping[str, Mapping[str, Reply]] = field(default_factory=dict)
    failures: Failures = field(default_factory=dict)
    left: tuple[Problem, ...] = ()


def call_from_pods(snapshot: MeshSnapshot, image: str) -> Called:
    """Has a pod in each cluster call every other cluster, and takes everything away again.

    Also where it is interrupted: what was made by then is removed before the interrupt goes on.
    """
    run = _Run(snapshot, image)
    try:
        ready, failed = snapshot.session.clusters.each(run.put, snapshot.observed)
        replies, uncalled = snapshot.session.clusters.each(lambda name: run.call(name, tuple(ready)), ready)
        for name in failed | uncalled:
            snapshot.session.run.progress(Event(name, _STEP, State.FAILED))
        left = run.remove(patience_s=min(REMOVE_S, snapshot.session.run.remaining_s))
    except BaseException:
        run.remove(patience_s=0.0)  # the clusters finish what was asked of them
        raise
    return Called(replies, failed | uncalled, left)


class _Run:
    """One run's pods."""

    def __init__(self, snapshot: MeshSnapshot, image: str) -> None:
        self._session = snapshot.session
        self._mesh = snapshot.mesh
        self._image = image
        self._names = list(snapshot.observed)
        self._ids = [snapshot.clusters[name].cluster_id for name in self._names]
        self._run = secrets.token_hex(3)
        self._namespace = probe_pod.namespace_of(self._run)
        self._until = min(snapshot.session.run.deadline - _LAST_S, time.monotonic() + READY_S)
        self._stop = threading.Event()
        self._locks = {name: threading.Lock() for name in self._names}
        self._made: set[str] = set()

    def put(self, name: str) -> None:
        """Sweeps what killed runs left, makes this run's objects, and waits until the pod can call.

        Raises:
            ProblemError: `probe-not-running` or `no-sidecar`; or the API server refused.
        """
        self._session.run.progress(Event(name, _STEP, State.STARTED, f"a pod in namespace {self._namespace}"))
        self._sweep(name)
        lives = timedelta(seconds=max(60.0, self._session.run.remaining_s + REMOVE_S))
        until = datetime.now(UTC) + lives
        self._make(name, probe_pod.namespace(self._run, self._mesh, holder(), until))
        for document in probe_pod.documents(
            self._run,
            self._mesh,
            self._ids,
            self._names.index(name),
            image=self._image,
            lives_s=int(lives.total_seconds()),
        ):
            self._make(name, document)
        self._wait(name)

    def call(self, name: str, callable_ones: Collection[str]) -> dict[str, Reply]:
        """Calls every other cluster whose pod runs until each has answered, or time is over."""
        kube = self._session.clusters.kubes[name]
        ids = {self._names.index(peer): peer for peer in callable_ones if peer != name}
        replies: dict[int, Reply] = {}
        pending = list(ids)
        until = min(self._session.run.deadline - _LAST_S, time.monotonic() + ANSWER_S)
        for _ in poll_rounds(until, _POLL_S) if pending else ():
            names = ", ".join(ids[number] for number in pending)
            self._session.run.progress(Event(name, _STEP, State.WAITING, f"for a response from {names}"))
            command = probe_pod.command(self._run, pending)
            within_s = probe_pod.CALL_S * 2
            execution = kube.execute(
                self._namespace, probe_pod.POD, probe_pod.POD, command, timeout_s=within_s, reads=True
            )
            replies |= probe_pod.replies(execution.stdout, pending, execution.stderr)
            pending = [number for number in pending if not replies[number].is_from(self._ids[number])]
            if not pending:
                break
        self._session.run.progress(Event(name, _STEP, State.DONE))
        return {ids[number]: reply for number, reply in replies.items()}

    def remove(self, patience_s: float) -> tuple[Problem, ...]:
        """Takes away what was made, and waits as long until it is gone; what stays."""
        self._stop.set()
        left = time.monotonic() + max(patience_s, _LAST_S)

        def drop(name: str) -> None:
            kube = self._session.clusters.kubes[name].until(left + _LAST_S)
            # A call that is on its way could make what has just been removed: it is waited for.
            waited = self._locks[name].acquire(timeout=_LAST_S)
            try:
                kube.delete(objects.NAMESPACE, self._namespace)
            finally:
                if waited:
                    self._locks[name].release()
            for _ in poll_rounds(left, _POLL_S):
                if not (patience_s and kube.get(objects.NAMESPACE, self._namespace)):
                    return
            raise ProblemError(_left(name, self._namespace, "it is still going"))

        self._session.run.progress(Event(None, _STEP, State.WAITING, f"for {self._namespace} to be removed"))
        # The run's deadline may have passed: what was made is removed all the same.
        _, failed = self._session.clusters.each(drop, sorted(self._made), until=left + 2 * _LAST_S)
        self._session.run.progress(Event(None, _STEP, State.DONE, "removed"))
        return tuple(
            _left(name, self._namespace, problems[0].seen or problems[0].message)
            for name, problems in failed.items()
        )

    def _sweep(self, name: str) -> None:
        kube = self._session.clusters.kubes[name]
        for namespace in kube.list(objects.NAMESPACE, labels=probe_pod.SELECTOR):
            if probe_pod.is_left_behind(namespace, datetime.now(UTC), has_ended):
                kube.delete(objects.NAMESPACE, namespace["metadata"]["name"])

    def _make(self, name: str, document: Object) -> None:
        with self._locks[name]:
            if self._stop.is_set():
                raise ProblemError.of(code=Code.INTERRUPTED, message="interrupted")
            self._made.add(name)
            self._session.clusters.kubes[name].create(document)

    def _wait(self, name: str) -> None:
        kube = self._session.clusters.kubes[name]
        begun = time.monotonic()
        pod: Object | None = None
        for _ in poll_rounds(self._until, _POLL_S):
            pod = kube.get(objects.POD, probe_pod.POD, self._namespace)
            if pod and not is_injected(pod):
                raise ProblemError(_bare(name))
            if pod and is_ready(pod):
                return
            fault = pod_fault(pod) if pod else None
            is_permanent = fault is not None and fault.cause in _PERMANENT
            if self._stop.is_set() or (is_permanent and time.monotonic() > begun + _PERMANENT_S):
                break
            why = fault.in_short if fault else "no pod"
            self._session.run.progress(Event(name, _STEP, State.WAITING, f"for its pod: {why}"))
        raise ProblemError(_not_running(name, self._image, self._why(kube, pod)))

    def _why(self, kube: Kube, pod: Object | None) -> str:
        """Why the pod does not run, with what its events and its log say."""
        if pod is None:
            return "no pod"
        faults = read_pod_faults(kube, self._namespace, [pod])
        return str(faults[0]) if faults else str((pod.get("status") or {}).get("phase"))


def _not_running(context: str, image: str, seen: str) -> Problem:
    return Problem(
        code=Code.PROBE_NOT_RUNNING,
        cluster=context,
        message=f"no pod could be run in {context} to call the other clusters from",
        seen=seen,
        expected=f"a pod of image {image}, running with a sidecar",
        hint=Advice(
            "name an image that this cluster can pull, with sh, curl and nc: ",
            istio_mc("verify", "--deep", "--probe-image", "IMAGE"),
        ),
    )


def _bare(context: str) -> Problem:
    return Problem(
        code=Code.PROBE_NOT_RUNNING,
        cluster=context,
        message=f"the pod that was to call from {context} has no sidecar",
        seen="no container istio-proxy",
        expected="one, injected by istiod's webhook",
        hint=Advice(
            "see what the webhook injects: ",
            kubectl(context, "get", "mutatingwebhookconfigurations", "-l", "app=sidecar-injector"),
        ),
    )


def _left(context: str, namespace: str, seen: str) -> Problem:
    return Problem(
        code=Code.PROBE_LEFT,
        cluster=context,
        message=f"namespace {namespace} of {context} could not be removed",
        seen=seen,
        expected="gone",
        hint=kubectl(context, "delete", "namespace", namespace),
    )
