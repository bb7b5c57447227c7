"""addons: Metrics Server, MetalLB and a default StorageClass, put into clusters and removed again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from istio_mc.domain.addons import AddonName, AddonState, DefaultClass, Owner, default_patch
from istio_mc.domain.gateway import metallb
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import kind_of, ref_of
from istio_mc.domain.kube.rehearsal import places
from istio_mc.domain.kube.rights import Right
from istio_mc.domain.observed import storage_classes
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.text import few, plural
from istio_mc.gateways.host.parallel import poll_rounds
from istio_mc.gateways.kube.addons import read_state, read_unready
from istio_mc.ops.session import rights
from istio_mc.ops.session.pod_watch import PodWatch
from istio_mc.ops.session.rehearsal import denials
from istio_mc.ops.session.wait_report import WaitReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.domain.addons import Addon, Removal
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

_POLL_S = 0.5
_SHOWN = 5
_STEP = "addons"
_CLASSES = "storage class"
_ALWAYS = "kube-system"
"""The namespace that every cluster has."""


@dataclass(frozen=True, slots=True)
class AddonsResult:
    """What was read, and what was done; by context.

    Attributes:
        contexts: Every cluster of the run, in the user's order.
        addons: The add-ons of the run.
        states: What each cluster had before anything was done.
        finished: Clusters in which everything was done; empty for a status or a dry run.
        removals: What a removal deletes; empty if nothing is removed.
    """

    contexts: tuple[str, ...]
    addons: tuple[Addon, ...]
    states: Mapping[str, tuple[AddonState, ...]]
    failures: Failures
    finished: tuple[str, ...] = ()
    removals: Mapping[str, tuple[Removal, ...]] = field(default_factory=dict)
    dry_run: bool = True


def read(session: Session, addons: Sequence[Addon]) -> AddonsResult:
    """Reads the add-ons of every cluster; changes nothing."""

    def read_cluster(name: str) -> tuple[AddonState, ...]:
        return tuple(read_state(session.clusters.kubes[name], addon) for addon in addons)

    states, failures = session.clusters.each(read_cluster)
    return AddonsResult(session.clusters.names, tuple(addons), states, session.clusters.unusable | failures)


def rehearse(session: Session, before: AddonsResult) -> AddonsResult:
    """What an install would do, with what the clusters' admission would deny of it; changes nothing."""

    def work(name: str) -> tuple[Problem, ...]:
        kube = session.clusters.kubes[name]
        return tuple(
            problem
            for state in before.states[name]
            for problem in denials(kube, state.steps(), state.live, {_ALWAYS, *places(state.live)})
        )

    denied, failed = session.clusters.each(work, before.states)
    failures = before.failures | failed | {name: found for name, found in denied.items() if found}
    return replace(before, failures=failures)


def install(session: Session, before: AddonsResult) -> AddonsResult:
    """Applies what is missing, and waits until it works; on all clusters at once.

    What others installed is left alone.

    Raises:
        InputError: Rights are missing; nothing was changed.
    """
    needed = {
        name: rights.to_apply(one for state in states for one in state.steps())
        for name, states in before.states.items()
    }
    rights.require(session, "addons install", needed)

    def work(name: str) -> None:
        kube = session.clusters.kubes[name]
        for state in before.states[name]:
            if steps := state.steps():
                with session.run.step(name, _STEP, state.reason):
                    for document in steps:
                        kube.apply(document)
            if state.owner is not Owner.OTHERS:
                _wait_ready(session, name, state.addon)

    done, failed = session.clusters.each(work, before.states, step=_STEP)
    return AddonsResult(
        before.contexts, before.addons, before.states, before.failures | failed, tuple(done), dry_run=False
    )


def prepare_removal(session: Session, before: AddonsResult) -> AddonsResult:
    """Decides what a removal deletes; changes nothing.

    Nothing is deleted in a cluster where Services have their address from MetalLB: that is its failure.
    """

    def work(name: str) -> tuple[Problem, ...]:
        states = [one for one in before.states[name] if one.addon.name is AddonName.METALLB]
        pools = [item for one in states for item in one.custom if kind_of(item) == objects.IP_ADDRESS_POOL]
        if not pools or not any(one.removable().objects for one in states):
            return ()
        found = metallb.served(session.clusters.kubes[name].list(objects.SERVICE), pools)
        return (metallb.in_use(name, found),) if found else ()

    used, failed = session.clusters.each(work, before.states)
    failures = before.failures | failed | {name: problems for name, problems in used.items() if problems}
    removals = {
        name: tuple(state.removable() for state in states)
        for name, states in before.states.items()
        if name not in failures
    }
    return replace(before, failures=failures, removals=removals)


def remove(session: Session, planned: AddonsResult) -> AddonsResult:
    """Deletes what this tool installed, on all clusters at once, and waits until it is gone.

    Raises:
        InputError: Rights are missing; nothing was changed.
    """
    needed = {
        name: rights.to_delete(one for each in removals for one in (*each.custom, *each.objects))
        for name, removals in planned.removals.items()
    }
    rights.require(session, "addons remove", needed)

    def work(name: str) -> None:
        kube = session.clusters.kubes[name]
        for removal in planned.removals[name]:
            going = (*removal.custom, *removal.objects)
            if not going:
                continue
            with session.run.step(name, _STEP, f"{plural(len(going), 'object')} to delete"):
                for item in going:
                    kube.delete(kind_of(item), item["metadata"]["name"], item["metadata"].get("namespace"))
                _wait_gone(session, name, removal)

    done, failed = session.clusters.each(work, planned.removals, step=_STEP)
    return AddonsResult(
        planned.contexts,
        planned.addons,
        planned.states,
        planned.failures | failed,
        tuple(done),
        planned.removals,
        dry_run=False,
    )


def _wait_ready(session: Session, name: str, addon: Addon) -> None:
    """Waits until an add-on works.

    Raises:
        ProblemError: It does not by the run's deadline, or its pods cannot start.
    """
    kube = session.clusters.kubes[name]
    deployments = [one["metadata"]["name"] for one in addon.workloads if one["kind"] == "Deployment"]
    namespace = addon.workloads[0]["metadata"]["namespace"]
    unready = ""
    with PodWatch(
        kube, namespace, deployments, step=_STEP, progress=session.run.progress, timing=session.run.pod_timing
    ) as pods:
        waits = WaitReport(session.run.progress, name, _STEP)
        for left_s in poll_rounds(session.run.deadline, _POLL_S):
            unready = read_unready(kube, addon)
            if not unready:
                return
            waits(unready, left_s)
            pods.check_when_due()
    raise ProblemError(
        pods.problem
        or Problem(
            code=Code.ADDON_NOT_READY,
            cluster=name,
            message=f"{addon.name} of {name} is not ready",
            seen=unready,
            expected="all of its pods ready before the deadline",
            hint=Advice("see its pods: ", kubectl(name, "-n", namespace, "get", "pods", "-o", "wide")),
        )
    )


def _wait_gone(session: Session, name: str, removal: Removal) -> None:
    kube = session.clusters.kubes[name]
    left = list(removal.objects)
    waits = WaitReport(session.run.progress, name, _STEP)
    for left_s in poll_rounds(session.run.deadline, _POLL_S):
        left = [one for one in left if _is_there(kube, one)]
        if not left:
            return
        waits(f"for {ref_of(left[0])} to be deleted", left_s)
    first = left[0]
    raise ProblemError.of(
        code=Code.ADDON_NOT_GONE,
        cluster=name,
        message=f"{plural(len(left), 'object')} of an add-on not deleted in {name}",
        seen=few((str(ref_of(one)) for one in left), _SHOWN),
        expected="no such object",
        hint=Advice(
            "see what holds the first: ",
            kubectl(name, "get", first["kind"].lower(), first["metadata"]["name"], "-o", "yaml"),
        ),
    )


def _is_there(kube: Kube, item: objects.Object) -> bool:
    live = kube.get(kind_of(item), item["metadata"]["name"], item["metadata"].get("namespace"))
    return live is not None and live["metadata"].get("uid") == item["metadata"].get("uid")


@dataclass(frozen=True, slots=True)
class ClassesResult:
    """The default StorageClass of clusters: what was read, and what was done; by context.

    Attributes:
        finished: Clusters in which it was set; empty for a dry run.
    """

    contexts: tuple[str, ...]
    plans: Mapping[str, DefaultClass]
    failures: Failures
    finished: tuple[str, ...] = ()
    dry_run: bool = True


def prepare_default_class(session: Session, names: Mapping[str, str]) -> ClassesResult:
    """Decides which StorageClass of each cluster is marked, and which are unmarked; changes nothing.

    Args:
        session: The run, on the clusters of `names`.
        names: The StorageClass by context.

    Raises:
        InputError: A cluster does not have that StorageClass; with all of them.
    """
    by_cluster, failures = session.clusters.each(
        lambda name: storage_classes(session.clusters.kubes[name].list(objects.STORAGE_CLASS)), names
    )
    absent = [
        Problem(
            code=Code.STORAGE_CLASS_UNKNOWN,
            cluster=name,
            message=f"{name} has no StorageClass {names[name]}",
            seen=", ".join(classes) or "no StorageClass",
            expected="the name of a StorageClass of this cluster",
            hint=Advice("list them: ", kubectl(name, "get", "storageclasses")),
        )
        for name, classes in by_cluster.items()
        if names[name] not in classes
    ]
    if absent:
        raise InputError(*absent)
    plans = {
        name: DefaultClass(
            names[name], tuple(classes), tuple(one for one, is_default in classes.items() if is_default)
        )
        for name, classes in by_cluster.items()
    }
    return ClassesResult(tuple(names), plans, session.clusters.unusable | failures)


def set_default_class(session: Session, planned: ClassesResult) -> ClassesResult:
    """Marks the StorageClasses, then unmarks the others.

    Raises:
        InputError: Rights are missing; nothing was changed.
    """

    def work(name: str) -> None:
        plan, kube = planned.plans[name], session.clusters.kubes[name]
        with session.run.step(name, _CLASSES, f"{plan.name} becomes the default"):
            if plan.to_mark:
                kube.patch(objects.STORAGE_CLASS, plan.name, None, default_patch(is_default=True))
            for other in plan.to_unmark:
                kube.patch(objects.STORAGE_CLASS, other, None, default_patch(is_default=False))

    todo = [name for name, plan in planned.plans.items() if plan.to_mark or plan.to_unmark]
    marking = (Right("patch", "storageclasses", "storage.k8s.io", ""),)
    rights.require(session, "addons default-storage", dict.fromkeys(todo, marking))
    done, failed = session.clusters.each(work, todo, step=_CLASSES)
    return ClassesResult(
        planned.contexts, planned.plans, planned.failures | failed, tuple(done), dry_run=False
    )
