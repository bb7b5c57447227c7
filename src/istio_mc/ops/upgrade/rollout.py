"""One cluster's control plane and gateway: rolled out one after the other, the gateway last.

istioctl sets CRDs, istiod and gateway in this order, but lets old pods go as soon as new ones are ready. So
the Deployments are held meanwhile: istiod by `minReadySeconds`, so that old pods stay until the new ones have
what these have of all clusters; the gateway by `paused`, until istiod is rolled out. Both are read from the
cluster: a run that was killed is continued from there.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio.discovery import ready_addresses
from istio_mc.domain.istio.istiod import restart_istiod, unavailable
from istio_mc.domain.istio.proxies import ready
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.diff import differences
from istio_mc.domain.kube.objects import annotations_of, labels_of, ref_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, REVISION_LABEL, SYSTEM_NAMESPACE, revision_label
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.upgrade import rollout
from istio_mc.gateways.host.parallel import all_of, poll_rounds
from istio_mc.gateways.istio.istiod import istiod_pods, read_view
from istio_mc.gateways.kube.leases import server_time
from istio_mc.ops.install.install import run_istioctl
from istio_mc.ops.install.wait import watch_pods
from istio_mc.ops.session.wait_report import WaitReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from istio_mc.domain.istio.discovery import Endpoints, IstiodView, ServiceKey
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.upgrade.record import Move
    from istio_mc.gateways.istio.istioctl import Istioctl
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

CONTROL_PLANE, GATEWAY = "control plane", "gateway"
_POLL_S = 0.5
_REVISION = "deployment.kubernetes.io/revision"
MOST_LACKING_S = 180.0
"""How long a new istiod may lack what the old ones have before the upgrade stops."""


class _IstioctlFailedError(ProblemError):
    """istioctl failed, and reports why: what is held stays held, and old pods serve on."""


def roll_out(
    session: Session,
    istioctl: Istioctl,
    istiod: str,
    cluster: Cluster,
    document: Path,
    desired: Sequence[Object],
    ids: Mapping[str, str],
    move: Move | None = None,
) -> None:
    """Brings a cluster's Istio to what a document says.

    Args:
        istiod: The Deployment of istiod that the document makes.
        move: By which its istiod comes beside that of another revision; None: it takes its place.
        ids: The cluster IDs of the mesh, by context.
        desired: What istioctl makes of the document.

    Raises:
        ProblemError: It stopped; old pods serve on.
    """
    kube = session.clusters.kubes[cluster.context]
    if move is None:  # else nothing is replaced: the old istiod is another Deployment
        _patch(kube, istiod, rollout.hold)
    _patch(kube, EAST_WEST_GATEWAY, lambda _: rollout.HOLD_GATEWAY)
    cancel, ended, stopped = threading.Event(), threading.Event(), threading.Event()

    def install() -> None:
        try:
            run_istioctl(session, istioctl, istiod, cluster, document, cancel)
        except BaseException:
            ended.set()
            if not stopped.is_set():  # else what stopped it says why
                raise

    def follow() -> None:
        try:
            _Rollout(session, cluster, istiod, desired, ended, ids, move).follow()
        except _IstioctlFailedError:
            return
        except BaseException:
            stopped.set()
            cancel.set()
            raise

    calls: dict[str, Callable[[], None]] = {"istioctl": install, "rollout": follow}
    all_of(calls)


def restart_control_plane(session: Session, istiod: str, cluster: Cluster, ids: Mapping[str, str]) -> None:
    """Restarts a cluster's istiods: the old ones serve until the new ones have what they have.

    Args:
        ids: The cluster IDs of the mesh, by context.

    Raises:
        ProblemError: It stopped; old pods serve on.
    """
    kube = session.clusters.kubes[cluster.context]
    _patch(kube, istiod, rollout.hold)
    at = {"kubectl.kubernetes.io/restartedAt": server_time(kube).isoformat(timespec="seconds")}
    template = {"metadata": {"annotations": at}}
    kube.patch(objects.DEPLOYMENT, istiod, SYSTEM_NAMESPACE, {"spec": {"template": template}})
    _Rollout(session, cluster, istiod, (), threading.Event(), ids).follow_control_plane()


def _patch(kube: Kube, name: str, change: Callable[[Object], Mapping[str, Any]]) -> None:
    live = kube.get(objects.DEPLOYMENT, name, SYSTEM_NAMESPACE)
    if live and (body := change(live)):
        kube.patch(objects.DEPLOYMENT, name, SYSTEM_NAMESPACE, body)


class _Rollout:
    """Follows what istioctl sets, and frees one Deployment after the other."""

    def __init__(
        self,
        session: Session,
        cluster: Cluster,
        istiod: str,
        desired: Sequence[Object],
        ended: threading.Event,
        ids: Mapping[str, str],
        move: Move | None = None,
    ) -> None:
        self._session = session
        self._move = move
        self._ids = ids
        self._kube = session.clusters.kubes[cluster.context]
        self._context = cluster.context
        self._istiod = istiod
        self._desired = desired
        self._ended = ended
        self._lacks_since: float | None = None

    def follow(self) -> None:
        """Waits for each, and frees it.

        Raises:
            ProblemError: One does not become ready, or an istiod lacks what the old ones have.
        """
        self.follow_control_plane()
        with self._session.run.step(self._context, GATEWAY, "after the control plane"):
            self._until(GATEWAY, EAST_WEST_GATEWAY, partial(self._unset, EAST_WEST_GATEWAY))
            _patch(self._kube, EAST_WEST_GATEWAY, lambda _: rollout.FREE_GATEWAY)
            self._until(GATEWAY, EAST_WEST_GATEWAY, partial(self._rolling, EAST_WEST_GATEWAY))

    def follow_control_plane(self) -> None:
        """Waits for the new istiods, and then frees their Deployment.

        Raises:
            ProblemError: They do not become ready, or one lacks what the old ones have.
        """
        with self._session.run.step(self._context, CONTROL_PLANE, "old pods serve until new ones are ready"):
            self._until(CONTROL_PLANE, self._istiod, self._control_plane_waits)
            _patch(self._kube, self._istiod, rollout.free)
            self._until(CONTROL_PLANE, self._istiod, partial(self._rolling, self._istiod))

    def _until(self, step: str, deployment: str, waits: Callable[[], str]) -> None:
        pods = watch_pods(self._session, self._context, step, deployment)
        seen = ""
        report = WaitReport(self._session.run.progress, self._context, step)
        for left_s in poll_rounds(self._session.run.deadline, _POLL_S, self._ended):
            self._session.check_lease(self._context)
            seen = waits()
            if not seen:
                return
            if self._lacks_since is not None and time.monotonic() - self._lacks_since > MOST_LACKING_S:
                raise ProblemError(self._lacking(seen))
            report(seen, left_s)
            pods.check_when_due()
        if self._ended.is_set():
            raise _IstioctlFailedError
        raise ProblemError(*filter(None, (pods.problem, self._not_ready(deployment, seen))))

    def _unset(self, name: str) -> str:
        """Whether istioctl has not set a Deployment yet."""
        live = self._kube.get(objects.DEPLOYMENT, name, SYSTEM_NAMESPACE)
        found = {ref_of(live): live} if live else {}
        if any(one.ref.name == name for one in self._different(found)):
            return f"for istioctl to set Deployment {name}"
        return ""

    def _different(self, live: Mapping[Any, Object]) -> list[Any]:
        return [one for one in differences(self._desired, live) if one.ref.kind == objects.DEPLOYMENT.kind]

    def _rolling(self, name: str) -> str:
        seen = unavailable(self._kube.get(objects.DEPLOYMENT, name, SYSTEM_NAMESPACE))
        return f"for Deployment {name}: {seen}" if seen else ""

    def _control_plane_waits(self) -> str:
        """What the new istiods wait for before the old ones may go; empty: nothing."""
        if unset := self._unset(self._istiod):
            return unset
        deployment = self._kube.get(objects.DEPLOYMENT, self._istiod, SYSTEM_NAMESPACE) or {}
        status, desired = deployment.get("status") or {}, int(deployment["spec"].get("replicas", 1))
        if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
            return f"for Deployment {self._istiod}: its controller has not processed the last change"
        digest = self._newest(deployment)
        pods = istiod_pods(self._kube)
        own = labels_of(deployment).get(REVISION_LABEL)
        before = revision_label(self._move.leaves) if self._move else own
        of_it = [pod for pod in pods if labels_of(pod).get(REVISION_LABEL) == own]
        new = [pod for pod in ready(of_it) if rollout.template_hash(pod) == digest]
        if len(new) < desired:
            return f"for Deployment {self._istiod}: {len(new)} of {desired} new pods ready"
        old = [pod for pod in pods if labels_of(pod).get(REVISION_LABEL) == before and pod not in new]
        return self._lacks(new, old)

    def _newest(self, deployment: Object) -> str:
        """The hash of the newest template of a Deployment."""
        sets = [
            one
            for one in self._kube.list(objects.REPLICA_SET, SYSTEM_NAMESPACE)
            if any(
                owner.get("uid") == deployment["metadata"].get("uid")
                for owner in one["metadata"].get("ownerReferences") or []
            )
        ]
        newest = max(sets, key=lambda one: int(annotations_of(one).get(_REVISION, "0")), default=None)
        return rollout.template_hash(newest) if newest else ""

    def _lacks(self, new: Sequence[Object], old: Sequence[Object]) -> str:
        """What one of the new istiods lacks; since when is noted."""
        seen = self._compare(new, old)
        now = time.monotonic()
        self._lacks_since = (self._lacks_since or now) if seen else None
        return seen

    def _compare(self, new: Sequence[Object], old: Sequence[Object]) -> str:
        before: list[IstiodView] = []
        for pod in old:
            with suppress(ProblemError):  # one that ends just now has nothing to compare with
                before.append(read_view(self._kube, pod))
        for pod in new:
            try:
                view = read_view(self._kube, pod)
            except ProblemError as error:
                return f"{pod['metadata']['name']} does not report: {error}"
            if rollout.lacking(view, before) and (seen := rollout.lacking(view, before, self._live())):
                return f"{pod['metadata']['name']} does not have {seen} yet"
        return ""

    def _live(self) -> Endpoints:
        """The ready endpoints of every cluster that can be read."""

        def read(name: str) -> dict[ServiceKey, frozenset[str]]:
            return ready_addresses(self._session.clusters.kubes[name].list(objects.ENDPOINT_SLICE))

        found, _ = self._session.clusters.each(read)
        return {self._ids[name]: addresses for name, addresses in found.items() if name in self._ids}

    def _lacking(self, seen: str) -> Problem:
        return Problem(
            code=Code.DISCOVERY_ENDPOINTS,
            cluster=self._context,
            message=f"the new istiod of {self._context} lacks what the old one has; the old one serves on",
            seen=seen,
            expected="the gateways and endpoints of all clusters, as in the old one",
            hint=restart_istiod(self._context, self._istiod),
        )

    def _not_ready(self, name: str, seen: str) -> Problem:
        return Problem(
            code=Code.NOT_READY,
            cluster=self._context,
            message=f"Deployment {name} of {self._context} is not rolled out; old pods serve on",
            seen=seen,
            expected="all new pods ready",
            hint=Advice(kubectl(self._context, "-n", SYSTEM_NAMESPACE, "describe", "deployment", name)),
        )
