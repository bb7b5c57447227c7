"""Pods that do not become ready, with the events and the end of the log that show the reason."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.istio.istiod import unavailable
from istio_mc.domain.istio.pod_faults import Log, PodFault, deployment_faults, is_observed, pod_fault
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host.parallel import all_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from istio_mc.domain.kube.objects import Object
    from istio_mc.gateways.kube.client import Kube

_MOST_LOGS = 3
_LINES = 20
_LONGEST_LINE = 300
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def read_deployment_faults(
    kube: Kube, namespace: str, deployments: Collection[Object]
) -> dict[str, tuple[PodFault, ...]]:
    """Why Deployments are not available, by name; no request if all of them are available.

    Raises:
        ProblemError: The cluster's pods cannot be listed.
    """
    broken = [one for one in deployments if unavailable(one) and is_observed(one)]
    if not broken:
        return {}
    results = all_of(
        {
            "pods": partial(kube.list, objects.POD, namespace),
            "replica sets": partial(_if_allowed, partial(kube.list, objects.REPLICA_SET, namespace)),
            "events": partial(_events, kube, namespace),
        }
    )
    faults = deployment_faults(broken, results["replica sets"], results["pods"], results["events"])
    return {name: _with_logs(kube, namespace, one) for name, one in faults.items()}


def read_pod_faults(kube: Kube, namespace: str, pods: Collection[Object]) -> tuple[PodFault, ...]:
    """Why pods do not become ready; no request if all of the given pods are ready."""
    broken = [pod for pod in pods if pod_fault(pod)]
    if not broken:
        return ()
    events = _events(kube, namespace)
    faults = tuple(fault for pod in broken if (fault := pod_fault(pod, events)))
    return _with_logs(kube, namespace, faults)


def _events(kube: Kube, namespace: str) -> list[Object]:
    return _if_allowed(partial(kube.list, objects.EVENT, namespace, fields="involvedObject.kind=Pod"))


def _if_allowed(read: Callable[[], list[Object]]) -> list[Object]:
    """Reads optional data; empty if the read is refused or fails."""
    try:
        return read()
    except ProblemError:
        return []


def _with_logs(kube: Kube, namespace: str, faults: tuple[PodFault, ...]) -> tuple[PodFault, ...]:
    first = [fault for fault in faults if fault.log is not Log.NONE][:_MOST_LOGS]
    calls = {str(number): partial(_last_line, kube, namespace, fault) for number, fault in enumerate(first)}
    lines = dict(zip(map(id, first), all_of(calls).values(), strict=True)) if calls else {}
    return tuple(replace(fault, last_line=lines.get(id(fault)) or shown(fault.last_line)) for fault in faults)


def _last_line(kube: Kube, namespace: str, fault: PodFault) -> str:
    path = f"{objects.POD.path(namespace, fault.pod)}/log"
    query = {"container": fault.container, "tailLines": str(_LINES)}
    # The kubelet may have removed the last ended container: then the log before or after it helps most.
    for more in ({"previous": "true"}, {}) if fault.log is Log.PREVIOUS else ({},):
        try:
            text = kube.text(path, query | more)
        except ProblemError:
            continue
        if line := shown(text):
            return line
    return ""


def shown(log: str) -> str:
    """The last line of a log, ready to print: one line, of limited length, without secrets."""
    from istio_mc.domain.redaction.redactor import Redactor  # noqa: PLC0415 - few runs have a log to show

    text = Redactor().text(_ESCAPES.sub(" ", log))  # the whole log, because a key can span several lines
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[-1] if len(lines[-1]) <= _LONGEST_LINE else f"{lines[-1][:_LONGEST_LINE]}…"


_SILENCE_S = 1.0
_REFUSED = "connection refused"


def refuses(kube: Kube, pod: Object, port: int) -> bool:
    """Whether nothing listens on a port of a pod, according to a port-forward; sends nothing.

    A port that accepts the connection is silent; other faults of the stream do not count.
    """
    metadata = pod["metadata"]
    try:
        kube.with_silence(_SILENCE_S).forward(
            metadata["namespace"], metadata["name"], port, lambda tunnel: tunnel.recv(1)
        )
    except ProblemError as error:
        return any(_REFUSED in (problem.seen or "") for problem in error.problems)
    return False
