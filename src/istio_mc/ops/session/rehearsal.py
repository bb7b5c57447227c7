"""A server-side dry run of what would be applied: what quotas, policies and webhooks would deny."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.kube.refusal import Reason
from istio_mc.domain.kube.rehearsal import documents_of, pods_of
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.kube.errors import KubeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from istio_mc.domain.kube.objects import Object, Ref
    from istio_mc.domain.problem import Problem
    from istio_mc.gateways.kube.client import Kube

_DENIALS = frozenset({Reason.ADMISSION, Reason.POD_SECURITY, Reason.QUOTA, Reason.WEBHOOK_FAILED})
_NOT_REHEARSED = "does not support dry run"


def denials(
    kube: Kube,
    desired: Iterable[Object],
    live: Mapping[Ref, Object],
    namespaces: Collection[str],
    workloads: Iterable[Object] | None = None,
) -> tuple[Problem, ...]:
    """Has the API server judge what would be applied, and the pods that would be made of it.

    Nothing is stored. Secrets are left out, and what is for a namespace that does not exist yet.

    Args:
        desired: What would be applied; of it, what is missing or differs is sent.
        namespaces: Those in which something can be made.
        workloads: What pods are made of, if it is not `desired` itself.

    Returns:
        What is denied, each denial once.

    Raises:
        ProblemError: The API server cannot be reached.
    """
    desired = list(desired)
    calls: dict[str, Callable[[], Problem | None]] = {}
    for document in documents_of(desired, live, namespaces):
        apply = partial(kube.apply, document, dry_run=True)
        calls[f"object {len(calls)}"] = partial(_denial, apply, counts=True)
    for pod, is_new in pods_of(desired if workloads is None else workloads, live, namespaces):
        create = partial(kube.create, pod, dry_run=True)
        calls[f"pod {len(calls)}"] = partial(_denial, create, counts=is_new)
    return tuple(dict.fromkeys(problem for problem in all_of(calls).values() if problem))


def _denial(call: Callable[[], object], *, counts: bool) -> Problem | None:
    """What denies a request; a quota only if it counts."""
    try:
        call()
    except KubeError as error:
        (problem,) = error.problems
        if error.unreachable:
            raise
        if error.reason not in _DENIALS or (error.reason is Reason.QUOTA and not counts):
            return None
        return None if _NOT_REHEARSED in (problem.seen or "") else problem
    return None
