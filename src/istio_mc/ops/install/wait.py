"""After an install, waits for rollouts, the gateway's address, and the clusters that each istiod sees."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import plan
from istio_mc.domain.events import Event, State
from istio_mc.domain.gateway import address
from istio_mc.domain.hint import Advice, istio_mc, kubectl
from istio_mc.domain.istio.istiod import gateway_addresses, restart_istiod, unavailable
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE, Cluster, Mesh
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host.parallel import all_of, poll_rounds
from istio_mc.gateways.istio.istiod import clusterz, istiod_pods
from istio_mc.ops.session.pod_watch import PodWatch
from istio_mc.ops.session.wait_report import WaitReport

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

_POLL_S = 0.5


def wait_ready(
    session: Session, mesh: Mesh, cluster: Cluster, others: Collection[Cluster]
) -> tuple[str, ...]:
    """Waits until a cluster's control plane and gateway run, have an address, and see all the others.

    Returns:
        The gateway's addresses.

    Raises:
        ProblemError: One of these did not come true before the run's deadline; it says which.
    """
    kube = session.clusters.kubes[cluster.context]
    on_progress = _WaitProgress(session, cluster.context)
    pods = watch_pods(session, cluster.context, plan.READY, mesh.istiod, EAST_WEST_GATEWAY)
    addresses: list[str] = []

    def no_address() -> Problem | None:
        service = kube.get(objects.SERVICE, EAST_WEST_GATEWAY, SYSTEM_NAMESPACE)
        addresses[:] = gateway_addresses(service) or _addresses_in_others(session, cluster, others)
        return None if addresses else _pending(cluster)

    try:
        _until(session, on_progress, pods, lambda: _unready(kube, cluster, mesh.istiod, EAST_WEST_GATEWAY))
        _until(session, on_progress, pods, no_address)
        if not cluster.kubeconfig_folder:  # else others link it, whenever they do
            _until(session, on_progress, pods, _Links(session, mesh.istiod, cluster, others))
    except ProblemError:
        session.run.progress(Event(cluster.context, plan.READY, State.FAILED))
        raise
    session.run.progress(Event(cluster.context, plan.READY, State.DONE, ", ".join(addresses)))
    return tuple(addresses)


def missing_in_files(
    session: Session, mesh: Mesh, cluster: Cluster, others: Collection[Cluster]
) -> Problem | None:
    """What an istiod that reads kubeconfigs from files does not see; None: nothing, or it reads none."""
    if not cluster.kubeconfig_folder:
        return None
    problem = _Links(session, mesh.istiod, cluster, others)()
    advice = (
        f"put a kubeconfig of each other cluster into {cluster.kubeconfig_folder} of istiod, which reads no "
        "remote secrets"
    )
    return problem and replace(problem, hint=Advice(advice), docs="troubleshooting.md#kubeconfig-files")


class _WaitProgress:
    """Reports what is waited for: each new thing at once, and what lasts again and again, with the time left.

    A load balancer takes minutes to get an address. One that never gets any looks the same, so the option to
    set an address is reported while there is time to use it.
    """

    def __init__(self, session: Session, context: str) -> None:
        self._context = context
        self._report = WaitReport(session.run.progress, context, plan.READY)

    def __call__(self, problem: Problem, left_s: float) -> None:
        remedy = ""
        if problem.code is Code.GATEWAY_ADDRESS_PENDING:
            command = istio_mc("address", "--set", f"{self._context}=ADDRESS")
            remedy = f"without a load balancer it gets none: stop, {command}, and install"
        self._report(problem.message, left_s, remedy)


def watch_pods(session: Session, context: str, step: str, *deployments: str) -> PodWatch:
    """What looks at the pods of Deployments of istio-system while a step of a cluster waits for them."""
    return PodWatch(
        session.clusters.kubes[context],
        SYSTEM_NAMESPACE,
        deployments,
        step=step,
        progress=session.run.progress,
        timing=session.run.pod_timing,
    )


def _until(
    session: Session, on_progress: _WaitProgress, pods: PodWatch, missing: Callable[[], Problem | None]
) -> None:
    problem: Problem | None = None
    for left_s in poll_rounds(session.run.deadline, _POLL_S):
        problem = missing()
        if problem is None:
            return
        on_progress(problem, left_s)
        pods.check_when_due()
    raise ProblemError(*filter(None, (pods.problem, problem)))


def wait_rolled_out(session: Session, cluster: Cluster, deployment: str) -> None:
    """Waits until a Deployment's last change is rolled out.

    Raises:
        ProblemError: It is not before the run's deadline.
    """
    on_progress = _WaitProgress(session, cluster.context)
    pods = watch_pods(session, cluster.context, plan.RESTART, deployment)
    _until(
        session,
        on_progress,
        pods,
        lambda: _unready(session.clusters.kubes[cluster.context], cluster, deployment),
    )


def _unready(kube: Kube, cluster: Cluster, *names: str) -> Problem | None:
    for name in names:
        deployment = kube.get(objects.DEPLOYMENT, name, SYSTEM_NAMESPACE)
        if seen := unavailable(deployment):
            return Problem(
                code=Code.NOT_READY,
                cluster=cluster.context,
                message=f"Deployment {name} of {cluster.context} is not ready",
                seen=seen,
                expected="all replicas updated and available",
                hint=Advice(kubectl(cluster.context, "-n", SYSTEM_NAMESPACE, "describe", "deployment", name)),
            )
    return None


def _addresses_in_others(session: Session, cluster: Cluster, others: Collection[Cluster]) -> tuple[str, ...]:
    """The addresses of the Gateways that stand for a cluster; none where one of the others has none."""
    kind = objects.KUBERNETES_GATEWAY
    gateways = all_of(
        {
            other.context: partial(session.clusters.kubes[other.context].list, kind, SYSTEM_NAMESPACE)
            for other in others
        }
    )
    remote_gateways = address.remote_gateways(cluster.context, cluster, gateways)
    return address.unique(remote_gateways) if address.is_everywhere(remote_gateways, gateways) else ()


def _pending(cluster: Cluster) -> Problem:
    context = cluster.context
    return Problem(
        code=Code.GATEWAY_ADDRESS_PENDING,
        cluster=context,
        message=f"the gateway of {context} has no address",
        seen=f"Service {SYSTEM_NAMESPACE}/{EAST_WEST_GATEWAY}: LoadBalancer pending, no externalIPs; "
        "no istio-remote Gateway for it in every other cluster",
        expected="an IP or hostname that the other clusters reach",
        hint=Advice(
            istio_mc("address", "--set", f"{context}=ADDRESS"),
            "\n(ADDRESS forwards to its nodePorts; ",
            istio_mc("address"),
            " shows these, and the ways to set it)",
        ),
    )


class _Links:
    """Asks a cluster's istiods whether they see the others; ends the wait where only a restart helps."""

    def __init__(self, session: Session, istiod: str, cluster: Cluster, others: Collection[Cluster]) -> None:
        self._kube = session.clusters.kubes[cluster.context]
        self._lasting_s = session.run.pod_timing.lasting_s
        self._istiod = istiod
        self._cluster = cluster
        self._others = others
        self._stuck_since: float | None = None

    def __call__(self) -> Problem | None:
        """What is missing; None: nothing.

        Raises:
            ProblemError: An istiod keeps a cluster closed, as up to 1.28.2, or does not read its remote
                secret, as 1.31.0 may: only a restart helps.
        """
        pods = istiod_pods(self._kube)
        if not pods:
            self._stuck_since = None
            return _not_synced(self._cluster, "no istiod runs", "istiod")
        for pod in pods:
            seen: Mapping[str, str] = {row.cluster_id: row.status for row in clusterz(self._kube, pod)}
            missing = {o.cluster_id: seen.get(o.cluster_id, "absent") for o in self._others}
            missing = {cluster_id: status for cluster_id, status in missing.items() if status != "synced"}
            if missing:
                shown = ", ".join(f"{cluster_id}: {status}" for cluster_id, status in missing.items())
                problem = _not_synced(self._cluster, shown, pod["metadata"]["name"])
                self._end_if_permanent(problem, is_stuck=bool({"closed", "absent"} & {*missing.values()}))
                return problem
        return None

    def _end_if_permanent(self, problem: Problem, *, is_stuck: bool) -> None:
        now = time.monotonic()
        if not is_stuck:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since >= self._lasting_s:
            raise ProblemError(replace(problem, hint=restart_istiod(self._cluster.context, self._istiod)))


def _not_synced(cluster: Cluster, seen: str, pod: str) -> Problem:
    return Problem(
        code=Code.NOT_SYNCED,
        cluster=cluster.context,
        message=f"{cluster.context} does not see every other cluster as synced",
        seen=seen,
        expected="synced",
        hint=Advice(
            "search its log for remote clusters: ",
            kubectl(cluster.context, "-n", SYSTEM_NAMESPACE, "logs", pod),
        ),
    )
