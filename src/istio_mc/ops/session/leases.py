"""One run at a time changes a mesh: a Lease in each of its clusters, for as long as the run lasts."""

from __future__ import annotations

import getpass
import os
import secrets
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from istio_mc.domain import naming
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import is_terminating, labels_of
from istio_mc.domain.kube.refusal import Reason
from istio_mc.domain.lease import RENEWED_EVERY_S, Holder
from istio_mc.domain.mesh import CLUSTER_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host.process import has_ended, holder
from istio_mc.gateways.kube import leases as gateway
from istio_mc.gateways.kube.errors import KubeError

if TYPE_CHECKING:
    from istio_mc.domain.kube.objects import Object
    from istio_mc.ops.session.clusters import Clusters

_RELEASE_S = 5.0
_live: set[str] = set()
"""The holders of this process whose runs go on."""


class Leases:
    """The Leases of a run: taken in the order of cluster IDs, renewed in the background, deleted at the end.

    A cluster without istio-system has none: whoever creates that namespace takes it then. One that cannot be
    reached has none either.
    """

    def __init__(self, clusters: Clusters, verb: str, *, lists_rights: bool = False) -> None:
        """Takes none yet.

        Args:
            lists_rights: Whether a Lease that is refused stops the first change only, by `check`.
        """
        self._lists_rights = lists_rights
        self._clusters = clusters
        self._holder = Holder(f"{_user()}@{holder()}/{secrets.token_hex(3)}", verb)
        self._held: dict[str, Object] = {}
        self._not_held: dict[str, Problem] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        _live.add(self._holder.identity)
        threading.Thread(target=self._renew, name="leases", daemon=True).start()

    def take_all(self) -> None:
        """Takes the Lease of each cluster that has istio-system, in the order of cluster IDs.

        Raises:
            ProblemError: Another run has one of them; or it is refused.
        """
        clusters = self._clusters

        def read(name: str) -> Object | None:
            return clusters.kubes[name].get(objects.NAMESPACE, SYSTEM_NAMESPACE)

        namespaces, failures = clusters.each(read)
        silent = {
            name: problems
            for name, problems in failures.items()
            if problems[0].code in (Code.CLUSTER_UNREACHABLE, Code.NO_ANSWER_IN_TIME)
        }
        clusters.mark_unusable(silent)
        contexts = {context.name: context.cluster for context in clusters.contexts}
        labels = {name: labels_of(namespace).get(CLUSTER_LABEL) for name, namespace in namespaces.items()}
        ids = naming.derive_cluster_ids(contexts, {name: one for name, one in labels.items() if one})
        for name in sorted(namespaces, key=lambda name: ids[name]):
            if namespaces[name] is not None and not is_terminating(namespaces[name]):
                self.take(name)

    def take(self, name: str) -> None:
        """Takes the Lease of a cluster that has istio-system; once.

        Raises:
            ProblemError: Another run has it; or it is refused.
        """
        if name in self._held:
            return
        try:
            held = gateway.take(self._clusters.kubes[name], self._holder, _has_ended)
        except KubeError as error:
            if error.unreachable or error.reason in (Reason.NAMESPACE_TERMINATING, Reason.NOT_FOUND):
                return  # what follows in this cluster reports it, or finds the namespace gone
            if error.reason is Reason.FORBIDDEN and self._lists_rights:
                self._not_held[name] = error.problems[0]
                return
            raise
        with self._lock:
            self._held[name] = held

    def check(self, name: str) -> None:
        """Stops what would change a cluster whose Lease is not held.

        Raises:
            ProblemError: Another run has taken it over; or the API server refused it.
        """
        if problem := self._not_held.get(name):
            raise ProblemError(problem)

    def release(self) -> None:
        """Deletes the Leases; one that cannot be reached expires."""
        self._over.set()
        with self._lock:
            held, self._held = self._held, {}
        _live.discard(self._holder.identity)
        until = time.monotonic() + _RELEASE_S
        kubes = self._clusters.kubes

        def delete(name: str) -> None:
            gateway.release(kubes[name].until(until).with_silence(_RELEASE_S), held[name])

        self._clusters.each(delete, [name for name in held if name in kubes], until=until)

    def _renew(self) -> None:
        while not self._over.wait(RENEWED_EVERY_S):
            for name, held in [*self._held.items()]:
                with suppress(KubeError, KeyError):  # a later renewal may reach it
                    self._renew_one(name, held)

    def _renew_one(self, name: str, held: Object) -> None:
        kube = self._clusters.kubes[name].until(time.monotonic() + RENEWED_EVERY_S)
        try:
            renewed = gateway.renew(kube.with_silence(RENEWED_EVERY_S), held)
        except KubeError:
            raise
        except ProblemError as error:
            self._not_held[name] = error.problems[0]
            renewed = None
        with self._lock:
            if renewed is None:
                self._held.pop(name, None)
            elif name in self._held:
                self._held[name] = renewed


def _has_ended(other: Holder) -> bool:
    """Whether another run is known to be over: it was on this machine, or in this process."""
    if other.process == holder():
        return other.identity not in _live
    return has_ended(other.process)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
