"""install: plan what is missing everywhere, apply it to all clusters at once, link them, wait."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import plan
from istio_mc.domain.gateway import address
from istio_mc.domain.istio.istiod import folder_of
from istio_mc.domain.istio.services import MergedService, merged
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.kube.rehearsal import places
from istio_mc.domain.links.state import LinkState
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.host import process
from istio_mc.gateways.host.parallel import Failures, Watch, all_of, in_time, poll_rounds
from istio_mc.gateways.istio.proxies import injected_pods
from istio_mc.gateways.kube import credentials
from istio_mc.gateways.kube.snapshot import read_services
from istio_mc.ops import link as linking
from istio_mc.ops.install.ahead import apply_ahead, lacks_istio
from istio_mc.ops.install.manifest import manifest_for
from istio_mc.ops.install.prepare import Prepared, prepare
from istio_mc.ops.install.wait import missing_in_files, wait_ready, wait_rolled_out, watch_pods
from istio_mc.ops.session.istio_documents import apply_remote_gateways, write_operator
from istio_mc.ops.session.rehearsal import denials

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from istio_mc.domain.istio.choice import IstioChoice
    from istio_mc.domain.istio.services import Services
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.plan import Step
    from istio_mc.gateways.host.ca_store import CaStore
    from istio_mc.gateways.istio.istioctl import Istioctl
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.install.planning import ClusterPlan
    from istio_mc.ops.session.session import Session

_SHARE_OF_ISTIOCTL = 0.75
_POLL_S = 0.5
_LAST_CHECK_S = 3.0
"""How long the pods may be read for once istioctl failed."""


@dataclass(frozen=True, slots=True)
class InstalledCluster:
    """What became of one cluster."""

    cluster: Cluster
    steps: tuple[Step, ...]
    addresses: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class InstallResult:
    """What became of an install.

    Attributes:
        root_fingerprint: SHA-256 of the root they run under; None in a dry run before there is one.
        merged: In a dry run the services that the mesh makes, or would make, one of.
    """

    mesh: Mesh
    root_fingerprint: str | None
    clusters: tuple[InstalledCluster, ...]
    istio: IstioChoice
    dry_run: bool = False
    merged: tuple[MergedService, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every Problem of every cluster."""
        return tuple(problem for cluster in self.clusters for problem in cluster.problems)

    @property
    def changed(self) -> bool:
        """Whether anything was done, or would be."""
        return any(cluster.steps for cluster in self.clusters)


def install(
    session: Session,
    store: CaStore,
    options: CaOptions,
    now: datetime,
    *,
    strict: bool,
    replace_ca: Collection[str],
) -> InstallResult:
    """Makes one mesh of the session's clusters.

    Nothing is changed before every cluster was looked at. A cluster that cannot be reached is set aside,
    and the others are finished.

    Raises:
        ProblemError: Something other than an unreachable cluster is wrong; nothing was touched.
    """
    prepared = prepare(session, store, options, now, dry_run=False, strict=strict, replace_ca=replace_ca)
    applied = apply_plans(session, prepared, prepared.plans)
    done = [name for name in prepared.plans if name not in applied.failures]
    reached = {name: _as_it_runs(session, prepared.plans[name].cluster) for name in done}
    states = {name: LinkState.of(prepared.plans[name].observed, reached[name].reader) for name in done}
    linked = linking.link(session, reached, states)
    failures = applied.failures | linked.failures
    members = {name: cluster for name, cluster in reached.items() if name not in linked.failures}

    def others_than(name: str) -> list[Cluster]:
        return [cluster for other, cluster in members.items() if other != name]

    addresses, unready = session.clusters.each(
        lambda name: wait_ready(session, prepared.mesh, members[name], others_than(name)), members
    )
    failures |= unready
    unseen, _ = session.clusters.each(
        lambda name: missing_in_files(session, prepared.mesh, members[name], others_than(name)), addresses
    )
    steps = {name: (*applied.steps[name], *filter(None, [linked.steps.get(name)])) for name in prepared.plans}
    result = result_of(session, prepared, failures, steps, addresses)
    in_order = filter(None, (unseen.get(name) for name in session.clusters.names))
    return replace(result, warnings=(*result.warnings, *in_order))


def _as_it_runs(session: Session, cluster: Cluster) -> Cluster:
    """A cluster that was installed; whether its istiod really reads kubeconfigs from files is read again."""
    if not cluster.kubeconfig_folder:
        return cluster
    kube = session.clusters.kubes[cluster.context]
    istiods = kube.list(objects.DEPLOYMENT, SYSTEM_NAMESPACE, labels="app=istiod")
    return replace(cluster, kubeconfig_folder=folder_of(istiods))


def dry_run(
    session: Session,
    store: CaStore,
    options: CaOptions,
    now: datetime,
    *,
    strict: bool,
    replace_ca: Collection[str],
) -> InstallResult:
    """What `install` would do, with the documents, and what the clusters' admission would deny of it.

    Nothing is touched, in the clusters or on disk.
    """
    prepared = prepare(session, store, options, now, dry_run=True, strict=strict, replace_ca=replace_ca)
    clusters = {name: cluster_plan.cluster for name, cluster_plan in prepared.plans.items()}
    states = {
        name: LinkState.of(cluster_plan.observed, cluster_plan.cluster.reader)
        for name, cluster_plan in prepared.plans.items()
    }
    links = linking.planned(clusters, states)
    steps = {
        name: (*cluster_plan.steps, *filter(None, [links[name]]))
        for name, cluster_plan in prepared.plans.items()
    }

    def services_of(name: str) -> Services:
        kube = session.clusters.kubes[name]
        return read_services(kube, partial(injected_pods, kube))

    services, unread = session.clusters.each(services_of, prepared.plans)
    failures = unread | _denied(session, prepared)
    result = result_of(session, prepared, failures, steps, addresses_now(prepared))
    return replace(result, merged=merged(services), dry_run=True)


def _denied(session: Session, prepared: Prepared) -> Failures:
    """What admission denies of what would be applied, by context; clusters that deny nothing are left out."""

    def work(name: str) -> tuple[Problem, ...]:
        found = prepared.plans[name]
        generated = manifest_for(session, prepared.mesh, found.cluster, prepared.istioctl)
        desired = [one for step in found.steps if step.name != plan.ISTIO for one in step.documents]
        if any(step.name == plan.ISTIO for step in found.steps):
            desired += generated
        live = found.observed.objects
        kube = session.clusters.kubes[name]
        return denials(kube, desired, live, places(live) & {SYSTEM_NAMESPACE}, generated)

    denied, failures = session.clusters.each(work, prepared.plans)
    return failures | {name: problems for name, problems in denied.items() if problems}


def addresses_now(prepared: Prepared) -> dict[str, tuple[str, ...]]:
    """The addresses at which each gateway is called already, by context."""
    observed = {name: cluster_plan.observed for name, cluster_plan in prepared.plans.items()}
    return {
        name: address.used_addresses(name, cluster_plan.cluster, observed)
        for name, cluster_plan in prepared.plans.items()
    }


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done of the clusters' plans."""

    steps: Mapping[str, tuple[Step, ...]]
    failures: Failures


def apply_plans(session: Session, prepared: Prepared, plans: Mapping[str, ClusterPlan]) -> Applied:
    """Does each cluster's steps, clusters at once; those that wait for their turn are reported as pending."""
    done: dict[str, list[Step]] = {name: [] for name in plans}
    for name, todo in plans.items():
        for step in todo.steps[:1]:
            session.run.queue([name], step.name)
    _, failures = session.clusters.each(
        lambda name: _apply_plan(session, prepared, plans[name], done[name].append), plans
    )
    in_order = {name: tuple(s for s in todo.steps if s in done[name]) for name, todo in plans.items()}
    return Applied(in_order, failures)


def _apply_plan(
    session: Session, prepared: Prepared, todo: ClusterPlan, on_done: Callable[[Step], None]
) -> None:
    """Does one cluster's steps, in order; the Gateway API's CRDs, which nothing waits for, beside them.

    Raises:
        ProblemError: A step failed; those after it were not begun.
    """
    beside = tuple(step for step in todo.steps if step.name == plan.GATEWAY_API)
    last = tuple(step for step in todo.steps if step.name == plan.REMOTE_GATEWAYS)
    first = tuple(step for step in todo.steps if step not in (*beside, *last))
    ended, done = threading.Event(), threading.Event()

    def in_order() -> None:
        try:
            _do(session, prepared, todo, first, on_done)
            done.set()
        finally:
            ended.set()

    def when_istiod_starts() -> None:
        kube = session.clusters.kubes[todo.cluster.context]
        if _istiod_starts(kube, prepared.mesh.istiod, ended, session.run.deadline) or done.is_set():
            _do(session, prepared, todo, beside, on_done)

    all_of({"in order": in_order, "beside": when_istiod_starts} if beside else {"in order": in_order})
    _do(session, prepared, todo, last, on_done)


def _istiod_starts(kube: Kube, istiod: str, ended: threading.Event, until: float) -> bool:
    """Waits until istiod's Deployment is there, or the steps that make it have ended, or time is over.

    Until then istioctl has the API server busy with Istio's own CRDs; from then on a cluster waits for pods.
    """
    for left in poll_rounds(until, _POLL_S, ended):
        try:
            if kube.get(objects.DEPLOYMENT, istiod, SYSTEM_NAMESPACE):
                return True
        except ProblemError:  # a cluster that does not answer is for istioctl's run to tell
            ended.wait(left)
    return False


def _do(
    session: Session,
    prepared: Prepared,
    todo: ClusterPlan,
    steps: tuple[Step, ...],
    on_done: Callable[[Step], None],
) -> None:
    cluster = todo.cluster
    context = cluster.context
    kube = session.clusters.kubes[context]
    for step in steps:
        session.check_lease(context)
        with session.run.step(context, step.name, step.reasons[0]):
            if step.name == plan.ISTIO:
                document = write_operator(session.run.folder, prepared.mesh, cluster)
                if lacks_istio(todo.observed):
                    apply_ahead(session, prepared.mesh, cluster, prepared.istioctl)
                run_istioctl(session, prepared.istioctl, prepared.mesh.istiod, cluster, document)
            elif step.name == plan.RESTART:
                _restart(session, cluster, prepared.mesh.istiod)
            elif step.name == plan.REMOTE_GATEWAYS:
                apply_remote_gateways(session, context, step.documents)
            else:
                for part in _parts(step):
                    all_of({str(ref_of(document)): partial(kube.apply, document) for document in part})
            if step.name == plan.NAMESPACE and session.leases:
                session.leases.take(context)
            on_done(step)


def _restart(session: Session, cluster: Cluster, deployment: str) -> None:
    """As `kubectl rollout restart` does, and waits for its end: what follows may need its webhooks."""
    stamp = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat(timespec="seconds")}
    body = {"spec": {"template": {"metadata": {"annotations": stamp}}}}
    session.clusters.kubes[cluster.context].patch(objects.DEPLOYMENT, deployment, SYSTEM_NAMESPACE, body)
    wait_rolled_out(session, cluster, deployment)


def _parts(step: Step) -> tuple[tuple[Object, ...], ...]:
    """A step's documents, in parts that are applied one after another.

    The CRD by which a later run knows that the Gateway API is there comes last: a run that is killed in
    between is then finished by the next.
    """
    last = tuple(d for d in step.documents if d["metadata"]["name"] == objects.GATEWAY_API_SIGN)
    return tuple(document for document in step.documents if document not in last), last


def run_istioctl(
    session: Session,
    istioctl: Istioctl,
    istiod: str,
    cluster: Cluster,
    document: Path,
    cancel: threading.Event | None = None,
) -> None:
    """Runs `istioctl install` of a document in a cluster; ends it where the cluster, or a pod, is hopeless.

    Args:
        istiod: Name of istiod's Deployment.
        cancel: Ends it where others set it.

    Raises:
        ProblemError: It failed, or was ended.
    """
    context = cluster.context
    folder = session.run.folder / cluster.cluster_id
    kubeconfig = credentials.private_kubeconfig(folder, session.clusters.kubes[context].kubeconfig)
    # istioctl waits on for a cluster that has fallen silent, and for pods that never start, and does not
    # report why: what looks beside it does.
    with (
        watch_pods(session, context, plan.ISTIO, istiod, EAST_WEST_GATEWAY) as pods,
        Watch(session.clusters.kubes[context].version, gone=cancel) as silent,
        Watch(
            pods.check, every_s=session.run.pod_timing.every_s, failures=1, gone=silent.gone
        ) as failed_pods,
    ):
        try:
            istioctl.install(
                document,
                context=context,
                kubeconfig=kubeconfig,
                timeout_s=session.run.remaining_s * _SHARE_OF_ISTIOCTL,
                cancel=silent.gone,
                pasted_kubeconfig=session.paths,
            )
        except process.ProcessCancelled as error:
            raise ProblemError(*(failed_pods.problems or silent.problems or error.problems)) from None
        except ProblemError as error:
            # Not for long: a cluster that fell silent takes no time from the others.
            with suppress(ProblemError, TimeoutError):
                in_time(pods.check, time.monotonic() + _LAST_CHECK_S)
            raise ProblemError(*filter(None, (pods.problem, *error.problems))) from None


def result_of(
    session: Session,
    prepared: Prepared,
    failures: Failures,
    steps: Mapping[str, tuple[Step, ...]],
    addresses: Mapping[str, tuple[str, ...]],
) -> InstallResult:
    """What became of every cluster, in the user's order."""
    installed = []
    for name, cluster in prepared.clusters.items():
        problems = failures.get(name) or session.clusters.unusable.get(name) or ()
        installed.append(
            InstalledCluster(cluster, steps.get(name, ()), addresses.get(name, ()), tuple(problems))
        )
    root = prepared.trust.root_fingerprint
    return InstallResult(prepared.mesh, root, tuple(installed), prepared.istio, warnings=prepared.warnings)
