"""The clusters of a run: their API servers, work on all of them at once, and those that cannot be used."""

from __future__ import annotations

import time
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from istio_mc.domain.kube import objects
from istio_mc.domain.kube.exec_credential import plugin_of
from istio_mc.domain.kube.kubeconfig import uses_exec
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.host.descriptors import clusters_at_once
from istio_mc.gateways.host.parallel import Failures, fan_out
from istio_mc.gateways.kube import credentials, known_secrets
from istio_mc.gateways.kube.client import READ_TIMEOUT_S, Kube

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from istio_mc.domain.kube.kubeconfig import Context, Kubeconfig
    from istio_mc.domain.kube.objects import Object
    from istio_mc.ops.session.run import Run

_T = TypeVar("_T")

_PLUGIN_DEADLINE_S = 30.0
_QUERY_DEADLINE_S = 15.0
_SHARE_OF_SILENCE = 1 / 3
"""How much of a run's time a cluster may be silent within one answer."""
_LEAST_PATIENCE_S = 1.0


class Clusters:
    """The clusters of a run; what is read here, only its own methods change."""

    def __init__(
        self,
        run: Run,
        kubeconfig: Kubeconfig,
        contexts: Iterable[Context] = (),
        kubes: Mapping[str, Kube] | None = None,
        *,
        unusable: Mapping[str, tuple[Problem, ...]] | None = None,
        namespaces: Mapping[str, Object | None] | None = None,
        at_once: int | None = None,
    ) -> None:
        """Connects to none yet; `at_once` is how many clusters are worked on at once."""
        self._run = run
        self._kubeconfig = kubeconfig
        self._contexts = tuple(contexts)
        self._kubes = dict(kubes or {})
        self._unusable: Failures = dict(unusable or {})
        self._namespaces: dict[str, Object | None] = dict(namespaces or {})
        self._at_once = run.concurrency if at_once is None else at_once

    @property
    def contexts(self) -> tuple[Context, ...]:
        """The clusters of the run, in the user's order."""
        return self._contexts

    @property
    def names(self) -> tuple[str, ...]:
        """Their context names."""
        return tuple(context.name for context in self._contexts)

    @property
    def kubes(self) -> MappingProxyType[str, Kube]:
        """The API servers of those that can be used, by context."""
        return MappingProxyType(self._kubes)

    @property
    def unusable(self) -> MappingProxyType[str, tuple[Problem, ...]]:
        """Contexts that cannot be used at all, and why."""
        return MappingProxyType(self._unusable)

    @property
    def namespaces(self) -> MappingProxyType[str, Object | None]:
        """The namespace istio-system of the contexts in which it was read, by context."""
        return MappingProxyType(self._namespaces)

    def each(
        self,
        work: Callable[[str], _T],
        names: Iterable[str] | None = None,
        *,
        step: str | None = None,
        until: float | None = None,
    ) -> tuple[dict[str, _T], Failures]:
        """Does work for each cluster at once, and waits for none past the run's end.

        Args:
            step: The step that changes each of them, reported as pending until its turn comes.
            until: `time.monotonic()` value at which work is abandoned, where that is not the run's end.

        Returns:
            What came of each, in the order of the names, and the Problems of those that failed.
        """
        chosen = tuple(self._kubes if names is None else names)
        if step:
            self._run.queue(chosen, step)
        end = self._run.abandoned if until is None else until
        return fan_out(chosen, partial(self._on, work), concurrency=self._at_once, until=end)

    def every(self, work: Callable[[str], _T]) -> dict[str, _T]:
        """What work gives of every cluster of the run: one that does not respond stops it.

        Raises:
            ProblemError: Of each cluster that cannot be used, or whose work failed.
        """
        found, failed = self.each(work)
        if silent := self.unusable | failed:
            raise ProblemError(*(problem for problems in silent.values() for problem in problems))
        return found

    def mark_unusable(self, failures: Mapping[str, tuple[Problem, ...]]) -> None:
        """Leaves clusters out of all that follows, and keeps why."""
        for name, problems in failures.items():
            self._unusable[name] = tuple(problems)
            if kube := self._kubes.pop(name, None):
                kube.close()

    def choose(self, contexts: Iterable[Context]) -> None:
        """Makes these the clusters of the run: connects to them, and closes all others."""
        self._contexts = tuple(contexts)
        for name in [name for name in self._kubes if name not in self.names]:
            self._kubes.pop(name).close()
        self._unusable = {name: problems for name, problems in self._unusable.items() if name in self.names}
        self._connect(self._contexts)

    def retry_unusable(self) -> None:
        """Gives those that are unusable another chance: they may respond by now."""
        self._unusable.clear()
        self._connect(self._contexts)

    def read_namespaces(self, contexts: Iterable[Context]) -> None:
        """Connects to contexts and reads their istio-system, with a short deadline for each.

        One that does not respond becomes unusable.
        """
        contexts = tuple(contexts)
        self._connect(contexts)
        self._read_each(context.name for context in contexts)

    def labels_around(self, contexts: Iterable[Context]) -> list[Mapping[str, str]]:
        """Labels of istio-system of contexts outside the run, as far as they respond in a short time."""
        contexts = tuple(contexts)
        self.read_namespaces(contexts)
        return [labels_of(self._namespaces.get(context.name)) for context in contexts]

    def pop_namespace(self, name: str) -> Object | None:
        """A context's istio-system where it was read; only once, so that a later reading reads it again."""
        return self._namespaces.pop(name, None)

    def with_run(self, run: Run) -> Clusters:
        """The same clusters over the same connections, for a run with another deadline."""
        kubes = {name: kube.until(run.deadline) for name, kube in self._kubes.items()}
        return Clusters(
            run,
            self._kubeconfig,
            self._contexts,
            kubes,
            unusable=self._unusable,
            namespaces=self._namespaces,
            at_once=self._at_once,
        )

    def only(self, names: Collection[str]) -> Clusters:
        """Some of these clusters, over the same connections."""
        return Clusters(
            self._run,
            self._kubeconfig,
            [one for one in self._contexts if one.name in names],
            {name: one for name, one in self._kubes.items() if name in names},
            unusable={name: one for name, one in self._unusable.items() if name in names},
            namespaces={name: one for name, one in self._namespaces.items() if name in names},
            at_once=self._at_once,
        )

    def close(self) -> None:
        """Ends the connections."""
        for kube in self._kubes.values():
            kube.close()

    def _on(self, work: Callable[[str], _T], name: str) -> _T:
        """Work on one cluster; where others wait for their turn, it leaves only one connection open."""
        try:
            return work(name)
        finally:
            kube = self._kubes.get(name)
            if kube and len(self._kubes) > self._at_once:
                kube.close_all_but_one()

    def _connect(self, contexts: Iterable[Context]) -> None:
        """Obtains credentials for contexts and opens their API servers.

        Raises:
            InputError: This process may not open as many files as that takes.
        """
        contexts = tuple(contexts)
        clusters = len({*self._kubes, *(context.name for context in contexts)})
        self._at_once = clusters_at_once(clusters, self._run.concurrency)
        new = [c for c in contexts if c.name not in self._kubes and c.name not in self._unusable]
        self.mark_unusable({c.name: tuple(p.on(c.name) for p in c.problems) for c in new if c.problems})
        new = [context for context in new if not context.problems]
        plugins = {
            context.name: f"for credential plugin {plugin_of(context.user_entry).shown}"
            for context in new
            if uses_exec(context.user_entry)
        }
        run = self._run
        with run.waiting("credentials", plugins):
            resolved = credentials.resolve(new, min(_PLUGIN_DEADLINE_S, run.remaining_s), until=run.deadline)
        for context in new:
            name_resolution = resolved[context.name]
            if isinstance(name_resolution, Problem):
                self.mark_unusable({context.name: (name_resolution,)})
                continue
            known_secrets.remember(name_resolution.user_entry)
            document = self._kubeconfig.document_with(context, name_resolution.user_entry)
            self._kubes[context.name] = Kube(
                context.name, document, deadline=run.deadline, read_timeout_s=self._patience_s
            )

    @property
    def _patience_s(self) -> float:
        """Seconds for which a cluster may be silent; one that is lost leaves the others time to go on."""
        return min(READ_TIMEOUT_S, max(_LEAST_PATIENCE_S, self._run.remaining_s * _SHARE_OF_SILENCE))

    def _read_each(self, contexts: Iterable[str]) -> None:
        """Reads istio-system of contexts in which it was not read yet, each within a short time."""
        pending: dict[str, str] = {}

        def read(name: str) -> Object | None:
            kube = self._kubes[name].until(min(self._run.deadline, time.monotonic() + _QUERY_DEADLINE_S))
            try:
                return kube.get(objects.NAMESPACE, SYSTEM_NAMESPACE)
            finally:
                pending.pop(name, None)

        names = [name for name in contexts if name in self._kubes and name not in self._namespaces]
        pending |= dict.fromkeys(names, "for its API server")
        with self._run.waiting("connect", pending):
            results, failed = self.each(read, names)
        self._namespaces |= results
        self.mark_unusable(failed)
