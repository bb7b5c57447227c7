"""Why a pod does not come up, by its status, its Deployment and its events; and what is not waited for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio.istiod import unavailable
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.kube.refusal import Reason, problem_in_words, read_message
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from istio_mc.domain.hint import Hint
    from istio_mc.domain.kube.objects import Object

Status = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"


class Cause(Enum):
    """What keeps a pod from running, in the order in which they are reported; the values are the codes."""

    REFUSED = None  # the Problem of the refused request has a code
    CRASH = Code.POD_CRASHING
    IMAGE = Code.IMAGE_NOT_PULLED
    CONTAINER = Code.CONTAINER_NOT_CREATED
    UNSCHEDULABLE = Code.POD_UNSCHEDULABLE
    VOLUME = Code.VOLUME_NOT_MOUNTED
    FAILED = Code.POD_FAILED
    NOT_READY = Code.POD_NOT_READY


class Log(StrEnum):
    """Which log of a container has the reason."""

    NONE = "none"
    CURRENT = "current"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class PodFault:
    """One pod that does not come up, or a Deployment whose pods are not created.

    Attributes:
        reason: Kubernetes' word for it, such as `CrashLoopBackOff`.
        detail: Kubernetes' message, or exit code and restarts.
    """

    cause: Cause
    pod: str
    container: str = ""
    reason: str = ""
    detail: str = ""
    restarts: int = 0
    exit_code: int | None = None
    is_down: bool = True
    log: Log = Log.NONE
    last_line: str = ""
    refused: Reason | None = None

    @property
    def where(self) -> str:
        """What it is about."""
        if self.cause is Cause.REFUSED:
            return f"Deployment {self.pod}"
        return f"Pod {self.pod}" + (f", container {self.container}" if self.container else "")

    @property
    def in_short(self) -> str:
        """Where and why, in a few words."""
        return f"{self.where}: {self.reason}"

    def __str__(self) -> str:
        what = ", ".join(filter(None, (self.in_short, self.detail)))
        return what + (f"; last log line: {self.last_line}" if self.last_line else "")

    @property
    def key(self) -> tuple[object, ...]:
        """What stays the same while the fault lasts."""
        return self.cause, self.pod, self.container, self.exit_code, self.refused


# Of containers that wait

_BACK_OFF = "CrashLoopBackOff"
_IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_NO_SUCH_IMAGE = frozenset({"ErrImageNeverPull", "InvalidImageName"})
_STARTING = frozenset({"ContainerCreating", "PodInitializing", ""})
_NOT_FOUND_OR_UNAUTHORIZED = re.compile(
    r"not found|manifest unknown|name unknown|no such image|does not exist|\b404\b|"
    r"unauthorized|access denied|denied:|authentication required|authorization failed|"
    r"no basic auth credentials|\b401\b|\b403\b",
    re.IGNORECASE,
)
_MAY_PASS = re.compile(
    r"time-?out|refused|no such host|server misbehaving|temporary|toomanyrequests|\b429\b|\b5\d\d\b|\bEOF\b|"
    r"connection reset|unreachable|deadline exceeded|x509",
    re.IGNORECASE,
)
_BARE_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"$')
_VOLUME_EVENTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
_SANDBOX_EVENTS = frozenset({"FailedCreatePodSandBox", "NetworkNotReady", "FailedPodSandBoxStatus"})
_PROGRESS_EVENTS = frozenset({"Pulling", "Pulled", "Created", "Started"})
"""Of a pod whose volumes are mounted and whose sandbox is there, whatever went wrong before."""
_PROBE_EVENT = "Unhealthy"
_PULL_EVENT = "Failed"
_PERMANENT_REFUSALS = frozenset({Reason.QUOTA, Reason.ADMISSION, Reason.POD_SECURITY})
_CREATED_LATER = "error looking up service account"
"""Said of each Deployment that is created a moment before its ServiceAccount, as istioctl does."""


def pod_fault(pod: Object, events: Collection[Object] = ()) -> PodFault | None:
    """Why a pod does not come up; None where it is ready or done, or is being deleted."""
    status: Status = pod.get("status") or {}
    name = str(pod["metadata"]["name"])
    phase = status.get("phase")
    if pod["metadata"].get("deletionTimestamp") or phase == "Succeeded" or is_ready(pod):
        return None
    if phase == "Failed":
        detail = str(status.get("message") or "").strip()
        return PodFault(Cause.FAILED, name, reason=str(status.get("reason") or "Failed"), detail=detail)
    mine = [event for event in events if _is_of(event, pod)]
    faults = [
        fault for one, is_init in _containers(pod) if (fault := _container(name, one, mine, is_init=is_init))
    ]
    if faults:
        return min(faults, key=_order)
    return (
        _unschedulable(name, status)
        or (None if _has_started(pod) else _in_events(name, mine))
        or _slow(name, pod, mine)
    )


def _has_started(pod: Object) -> bool:
    """Whether a container has run: then volumes are mounted, whatever older events say."""
    return any({"running", "terminated"} & (one.get("state") or {}).keys() for one, _ in _containers(pod))


def is_ready(document: Object) -> bool:
    """Whether a node's or pod's condition Ready is true."""
    conditions = (document.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _is_of(event: Object, pod: Object) -> bool:
    involved = event.get("involvedObject") or {}
    uid = pod["metadata"].get("uid")
    same = involved.get("kind") == "Pod" and involved.get("name") == pod["metadata"]["name"]
    return same and (not uid or involved.get("uid", uid) == uid)


def _containers(pod: Object) -> Iterator[tuple[Status, bool]]:
    """The statuses of a pod's containers, and whether each has to end before the others start.

    An init container with restartPolicy Always, as injection makes the sidecar since Istio 1.27, runs on.
    """
    status: Status = pod.get("status") or {}
    inits = (pod.get("spec") or {}).get("initContainers") or []
    runs_on = {one["name"] for one in inits if one.get("restartPolicy") == "Always"}
    yield from ((one, one.get("name") not in runs_on) for one in status.get("initContainerStatuses") or [])
    yield from ((one, False) for one in status.get("containerStatuses") or [])


def _container(pod: str, status: Status, events: Collection[Object], *, is_init: bool) -> PodFault | None:
    state: Status = status.get("state") or {}
    waiting: Status = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    name = str(status.get("name"))
    if reason in _IMAGE_REASONS:
        detail = _pull_error(name, str(waiting.get("message") or ""), events)
        return PodFault(Cause.IMAGE, pod, name, reason, detail)
    if crash := _crash(pod, status, reason, is_init=is_init):
        return crash
    if waiting and reason not in _STARTING:
        return PodFault(Cause.CONTAINER, pod, name, reason, str(waiting.get("message") or ""))
    return None


def _crash(pod: str, status: Status, waits_for: str, *, is_init: bool) -> PodFault | None:
    """The fault of a container that has ended, where it should run or should have succeeded."""
    state: Status = status.get("state") or {}
    ended: Status = state.get("terminated") or {}
    before: Status = (status.get("lastState") or {}).get("terminated") or {}
    last = ended or before
    restarts = int(status.get("restartCount") or 0)
    succeeded = is_init and ended.get("exitCode") == 0
    healthy = "running" in state and (status.get("ready") or not restarts)
    if not last or succeeded or healthy or (is_init and status.get("ready")):
        return None
    exit_code = int(last.get("exitCode") or 0)
    ended_as = str(last.get("reason") or "")
    words = [
        ended_as if ended_as not in ("Error", "Completed") else "",
        f"exit code {exit_code}",
        f"{restarts} restart{'' if restarts == 1 else 's'}",
    ]
    message = str(last.get("message") or "").strip()
    return PodFault(
        Cause.CRASH,
        pod,
        str(status.get("name")),
        waits_for if waits_for == _BACK_OFF else "ended",
        ", ".join(filter(None, words)),
        restarts=restarts,
        exit_code=exit_code,
        is_down="running" not in state,
        log=Log.CURRENT if ended else Log.PREVIOUS,
        last_line=message.splitlines()[-1] if message else "",
    )


def _pull_error(container: str, message: str, events: Iterable[Object]) -> str:
    """Why an image was not pulled; before Kubernetes 1.32, only an event has it during the back-off."""
    if message and not _BARE_BACK_OFF.match(message):
        return message
    return _newest(events, {_PULL_EVENT}, container, "pull image") or message


def _newest(events: Iterable[Object], reasons: Collection[str], container: str = "", words: str = "") -> str:
    times = [
        event
        for event in events
        if event.get("reason") in reasons
        and words in str(event.get("message"))
        and container in ("", _container_of(event) or container)
    ]
    return str(max(times, key=_time)["message"]) if times else ""


def _container_of(event: Object) -> str:
    """The container that an event names, as in `spec.containers{discovery}`; empty where it names none."""
    return str((event.get("involvedObject") or {}).get("fieldPath") or "").partition("{")[2].rstrip("}")


def _time(event: Object) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return str(next(filter(None, times), ""))


def _unschedulable(pod: str, status: Status) -> PodFault | None:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            reason = str(condition.get("reason") or "Unschedulable")
            return PodFault(
                Cause.UNSCHEDULABLE, pod, reason=reason, detail=str(condition.get("message") or "")
            )
    return None


def _in_events(pod: str, events: Collection[Object]) -> PodFault | None:
    """What the newest event says that a pod has come to."""
    known = _VOLUME_EVENTS | _SANDBOX_EVENTS | _PROGRESS_EVENTS
    matching = [event for event in events if event.get("reason") in known]
    if not matching:
        return None
    newest = max(matching, key=lambda event: (_time(event), event["reason"] in _PROGRESS_EVENTS))
    reason, message = str(newest["reason"]), str(newest.get("message") or "")
    if reason in _PROGRESS_EVENTS:
        return None if reason != "Pulling" else _slow_in(pod, reason, message)
    cause = Cause.VOLUME if reason in _VOLUME_EVENTS else Cause.CONTAINER
    return PodFault(cause, pod, reason=reason, detail=message)


def _slow_in(pod: str, reason: str, detail: str) -> PodFault:
    return PodFault(Cause.NOT_READY, pod, reason=reason, detail=detail, is_down=False)


def _slow(pod: str, document: Object, events: Collection[Object]) -> PodFault:
    """The fault of a pod of which nothing is known but that it is not ready."""
    for one, is_init in _containers(document):
        state = one.get("state") or {}
        if not one.get("ready") and "terminated" not in state:
            name = str(one.get("name"))
            waits = str((state.get("waiting") or {}).get("reason") or "")
            probe = _newest(events, {_PROBE_EVENT}, name)
            is_running = "running" in state and not is_init
            return PodFault(
                Cause.NOT_READY,
                pod,
                name,
                waits or "not ready",
                probe,
                is_down=False,
                log=Log.CURRENT if is_running else Log.NONE,
            )
    phase = (document.get("status") or {}).get("phase")
    return PodFault(Cause.NOT_READY, pod, reason=str(phase or "Pending"), is_down=False)


def refused_fault(deployment: Object) -> PodFault | None:
    """Why the API server refuses a Deployment's pods; None where it does not."""
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            message = str(condition.get("message") or "")
            return PodFault(
                Cause.REFUSED,
                str(deployment["metadata"]["name"]),
                reason=str(condition.get("reason") or "FailedCreate"),
                detail=message,
                refused=read_message(message)[0],
            )
    return None


def pods_of(deployment: Object, replica_sets: Iterable[Object], pods: Iterable[Object]) -> list[Object]:
    """The pods of a Deployment's newest template; of all, where its ReplicaSets are unknown."""
    selector = (deployment["spec"].get("selector") or {}).get("matchLabels") or {}
    mine = [pod for pod in pods if selector and selector.items() <= labels_of(pod).items()]
    revision = (deployment["metadata"].get("annotations") or {}).get(REVISION)
    newest = {
        one["metadata"].get("uid")
        for one in replica_sets
        if revision
        and (one["metadata"].get("annotations") or {}).get(REVISION) == revision
        and selector.items() <= labels_of(one).items()
    }
    return [pod for pod in mine if newest & {owner.get("uid") for owner in _owners(pod)}] if newest else mine


def _owners(pod: Object) -> Iterable[Mapping[str, Any]]:
    return pod["metadata"].get("ownerReferences") or []


def deployment_faults(
    deployments: Iterable[Object],
    replica_sets: Collection[Object],
    pods: Collection[Object],
    events: Collection[Object],
) -> dict[str, tuple[PodFault, ...]]:
    """Why Deployments are not available, by name in their order; what explains most first.

    Those of which the controller has not seen the last change are left out: their pods are older than it.
    """
    by_deployment: dict[str, tuple[PodFault, ...]] = {}
    for deployment in deployments:
        if not unavailable(deployment) or not is_observed(deployment):
            continue
        mine = [
            fault
            for pod in pods_of(deployment, replica_sets, pods)
            if (fault := pod_fault(pod, events)) is not None
        ]
        refused = refused_fault(deployment)
        faults = (*([refused] if refused else []), *sorted(mine, key=_order))
        if faults:
            by_deployment[str(deployment["metadata"]["name"])] = faults
    return by_deployment


def is_observed(deployment: Object) -> bool:
    """Whether the controller of a Deployment has seen its last change."""
    seen = (deployment.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= deployment["metadata"].get("generation", 0))


_ORDER = list(Cause)


def _order(fault: PodFault) -> int:
    return _ORDER.index(fault.cause)


def is_permanent(fault: PodFault) -> bool:
    """Whether waiting does not help, as far as the fault itself shows: `FaultTimer` counts crashes."""
    if fault.cause is Cause.IMAGE:
        known = bool(_NOT_FOUND_OR_UNAUTHORIZED.search(fault.detail)) and not _MAY_PASS.search(fault.detail)
        return known or fault.reason in _NO_SUCH_IMAGE
    is_refused = fault.cause is Cause.REFUSED and fault.refused in _PERMANENT_REFUSALS
    return is_refused and _CREATED_LATER not in fault.detail


def may_pass_at_once(fault: PodFault) -> bool:
    """Whether nearly every pod has it for a moment."""
    return fault.cause is Cause.NOT_READY or _CREATED_LATER in fault.detail


class FaultTimer:
    """How long the faults of a cluster last, and for which of them the wait is over.

    Args:
        lasting_s: How long a fault for which waiting does not help has to last, in seconds.
        crashes: Restarts with the same exit code after which a crashing container counts as such a fault.
        slow_s: How long what nearly every pod has for a moment lasts before it is reported, in seconds.
    """

    def __init__(self, *, lasting_s: float = 60.0, crashes: int = 3, slow_s: float = 8.0) -> None:
        self._lasting_s = lasting_s
        self._crashes = crashes
        self._slow_s = slow_s
        self._since: dict[tuple[object, ...], float] = {}
        self._permanent_since: dict[tuple[object, ...], float] = {}
        self._crashed: dict[tuple[str, str], _Crashed] = {}

    def update(self, faults: Iterable[PodFault], now: float) -> tuple[list[PodFault], list[PodFault]]:
        """Notes the faults of this moment.

        Returns:
            Those to report, and those for which the wait is over.
        """
        faults = list(faults)
        self._since = {fault.key: self._since.get(fault.key, now) for fault in faults}
        self._permanent_since = {
            fault.key: self._permanent_since.get(fault.key, now)
            for fault in faults
            if self._is_permanent(fault)
        }
        due = [
            fault
            for fault in faults
            if not may_pass_at_once(fault) or now - self._since[fault.key] >= self._slow_s
        ]
        over = [
            fault
            for fault in faults
            if fault.is_down and now - self._permanent_since.get(fault.key, now) >= self._lasting_s
        ]
        return due, over

    def _is_permanent(self, fault: PodFault) -> bool:
        if fault.cause is not Cause.CRASH:
            return is_permanent(fault)
        place = (fault.pod, fault.container)
        known = self._crashed.setdefault(place, _Crashed(fault.exit_code, fault.restarts))
        if known.exit_code != fault.exit_code:
            known = self._crashed[place] = _Crashed(fault.exit_code, fault.restarts, is_new=True)
        if known.is_new:
            return fault.restarts - known.restarts >= self._crashes
        # What crashed before the wait began may be in back-off though it is repaired: it has to crash again.
        again = known.restarts < self._crashes or fault.restarts > known.restarts
        return fault.restarts >= self._crashes and again


class _Crashed(NamedTuple):
    """A container's exit code, and its restarts when it was first seen with it.

    Attributes:
        is_new: Whether it had another exit code before.
    """

    exit_code: int | None
    restarts: int
    is_new: bool = False


# As Problems

_FIXES: Mapping[Cause, str] = {
    Cause.CRASH: "fix the error in its log (for a value of Istio: in mesh.yaml): ",
    Cause.IMAGE: "set an image that the cluster can pull (values.global.hub and tag, imagePullSecrets): ",
    Cause.CONTAINER: "create the missing object: ",
    Cause.UNSCHEDULABLE: "add capacity, or change requests, tolerations or affinity in values: ",
    Cause.VOLUME: "create the missing volume, Secret or ConfigMap: ",
    Cause.FAILED: "check why it failed: ",
    Cause.NOT_READY: "check its events: ",
}
_MESSAGES: Mapping[Cause, str] = {
    Cause.CRASH: "{where} crashes",
    Cause.IMAGE: "image of {where} cannot be pulled",
    Cause.CONTAINER: "{where} cannot be created",
    Cause.UNSCHEDULABLE: "{where} cannot be scheduled",
    Cause.VOLUME: "a volume of {where} cannot be mounted",
    Cause.FAILED: "{where} failed",
    Cause.NOT_READY: "{where} is not ready",
}


def problem_of(context: str, namespace: str, faults: Collection[PodFault]) -> Problem | None:
    """The Problem of the first fault, with the others in what was seen; None where there are none."""
    if not faults:
        return None
    first, *_ = faults
    seen = "\n".join(str(fault) for fault in list(faults)[:3])
    if first.cause is Cause.REFUSED:
        made = problem_in_words(context, f"pods of {first.where}", namespace, first.detail)
        return replace(made, seen=seen)
    return Problem(
        code=first.cause.value,
        cluster=context,
        message=_MESSAGES[first.cause].format(where=first.where, context=context),
        seen=seen,
        expected="all replicas updated and available",
        hint=_hint(context, namespace, first),
    )


def _hint(context: str, namespace: str, fault: PodFault) -> Hint:
    if fault.cause is Cause.CRASH:
        previous = ("--previous",) if fault.log is Log.PREVIOUS else ()
        update = kubectl(context, "-n", namespace, "logs", fault.pod, "-c", fault.container, *previous)
    else:
        update = kubectl(context, "-n", namespace, "describe", "pod", fault.pod)
    return Advice(_FIXES[fault.cause], update)
