"""bundle: what is asked of each cluster, and the files that are made of the answers."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from istio_mc.checks.catalogue import ALL
from istio_mc.domain import jsontext
from istio_mc.domain.bundle import (
    Collected,
    File,
    Missing,
    cut_at_end,
    ended,
    fitting,
    listed,
    omitted,
    packed,
    space_of_each,
)
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, kubectl, rewritten
from istio_mc.domain.istio.istiod import running_istiods
from istio_mc.domain.istio.proxies import gateway_pods
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind, Object, labels_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.redaction.redactor import (
    OWN,
    Redactor,
    compiled,
    mark,
    of_kubeconfig,
    of_secrets,
    too_slow,
    trials,
    without,
)
from istio_mc.domain.traffic.sample import is_injected
from istio_mc.gateways.host.parallel import results_in_time
from istio_mc.gateways.host.signals import alarm
from istio_mc.gateways.kube import diagnostics
from istio_mc.ops.verify.verify import run_checks

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from istio_mc.checks.model import Facts
    from istio_mc.domain.observed import Observed
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session
    from istio_mc.ops.verify.verify import VerifyResult

_AT_ONCE = 8
_MOST_PODS = 4
_MOST_DUMPED = 2
_SYSTEM = SYSTEM_NAMESPACE
_STEP = "bundle"


@dataclass(frozen=True, slots=True)
class Logs:
    """How far back logs go."""

    since_s: float
    lines: int


@dataclass(frozen=True, slots=True)
class Query:
    """One thing that is asked for.

    Attributes:
        keep: Makes the file of the answer, secrets taken out.
    """

    path: str
    call: Callable[[], Any]
    keep: Callable[[str, Any], File]


def known(facts: Facts, context: str, redactor: Redactor) -> list[File]:
    """The files of what verify has read of a cluster already."""
    observed = facts.observed[context]
    files = [File("version.txt", f"{observed.version}\n")]
    by_kind: dict[tuple[str, str], list[Object]] = {}
    for item in observed.objects.values():
        kind = Kind(item["apiVersion"], item["kind"])
        place = _SYSTEM if kind.namespaced else "cluster"
        by_kind.setdefault((place, kind.plural), []).append(_without_schema(item))
    for (place, plural), items in sorted(by_kind.items()):
        files.append(listed(f"{place}/{plural}.yaml", map(redactor.data, _sorted(items))))
    seen = [
        {"istiod": row.pod, "cluster": row.cluster_id, "secret": row.secret, "status": row.status}
        for rows in facts.seen.get(context, {}).values()
        for row in rows
    ]
    files.append(File("istiod/clusterz.json", json.dumps(seen, indent=1) + "\n"))
    if services := facts.services.get(context):
        everywhere = map(redactor.data, _sorted(services.objects))
        files.append(listed("services-of-all-namespaces.yaml", everywhere))
    return files


def queries_of(
    kube: Kube, observed: Observed, logs: Logs, redactor: Redactor
) -> tuple[list[Query], list[Missing]]:
    """The queries that remain, the most useful first; and the pods that are skipped, as they are too many."""
    pods = observed.of(objects.POD)
    chosen, passed_over = _pods_for_logs(pods)
    log = partial(_log, redactor)
    some = partial(_objects, redactor)
    queries = [
        Query(
            f"{_SYSTEM}/events.yaml",
            partial(diagnostics.some, kube, f"/api/v1/namespaces/{_SYSTEM}/events", kind="Event"),
            partial(_events, redactor),
        )
    ]
    for entry in diagnostics.logs_of(chosen):
        name = f"{_SYSTEM}/logs/{entry.pod}/{entry.container}{'.previous' if entry.previous else ''}.log"
        call = partial(diagnostics.read_log, kube, entry, since_s=logs.since_s, lines=logs.lines)
        queries.append(Query(name, call, log))
    for path, kind in (("nodes", "Node"), ("namespaces", "Namespace")):
        queries.append(
            Query(f"cluster/{path}.yaml", partial(diagnostics.some, kube, f"/api/v1/{path}", kind=kind), some)
        )
    queries += _dumps(
        kube, "istiod", running_istiods(pods), diagnostics.ISTIOD_PORT, diagnostics.ISTIOD_PATHS, redactor
    )
    gateways = gateway_pods(pods, EAST_WEST_GATEWAY)
    queries += _dumps(kube, "gateway", gateways, diagnostics.ADMIN_PORT, diagnostics.ENVOY_PATHS, redactor)
    return queries, [_passed_over(kube.context, pod) for pod in passed_over]


def configuration(kube: Kube, redactor: Redactor) -> tuple[list[Query], list[Missing]]:
    """Istio's and the Gateway API's objects of all namespaces; the kinds that exist are read first."""
    try:
        kinds = diagnostics.configuration_kinds(kube)
    except ProblemError as error:
        return [], [Missing("configuration", problem) for problem in error.problems]
    keep = partial(_objects, redactor)
    return [
        Query(
            f"configuration/{group}/{path.rpartition('/')[2]}.yaml",
            partial(diagnostics.some, kube, path, group, version, kind),
            keep,
        )
        for path, group, version, kind in kinds
    ], []


def run_queries(
    queries: Iterable[Query], context: str, progress: Callable[[Event], None]
) -> tuple[list[File], list[Missing]]:
    """The files, in the order of their queries, and what could not be read."""
    by_path = {query.path: query for query in queries}
    progress(Event(context, _STEP, State.WAITING, f"{len(by_path)} responses"))
    calls = {path: (math.inf, query.call) for path, query in by_path.items()}
    came, failed = results_in_time(calls, context=context, concurrency=_AT_ONCE)
    files = [by_path[path].keep(path, answer) for path, answer in came.items()]
    missing = [Missing(path, problem) for path, problems in failed.items() for problem in problems]
    return [file for file in files if file.text.strip()], missing


def _dumps(
    kube: Kube,
    folder: str,
    pods: list[Object],
    port: int,
    paths: Iterable[str],
    redactor: Redactor,
) -> list[Query]:
    keep = partial(_dump, redactor)
    return [
        Query(
            f"{folder}/{pod['metadata']['name']}/{_file_name(path)}",
            partial(diagnostics.http_get, kube, pod, port, path),
            keep,
        )
        for path in paths
        for pod in pods[:_MOST_DUMPED]
    ]


def _file_name(path: str) -> str:
    name = path.partition("?")[0].strip("/").rpartition("/")[2]
    return name if name in ("metrics", "clusters") else f"{name}.json"


def _pods_for_logs(pods: list[Object]) -> tuple[list[Object], list[Object]]:
    """The istiods and whatever has a proxy, so many of each app; and the rest of these."""
    lines: Counter[str] = Counter()
    chosen: list[Object] = []
    rest: list[Object] = []
    for pod in sorted(pods, key=lambda item: str(item["metadata"]["name"])):
        app = labels_of(pod).get("app", "")
        if app != "istiod" and not is_injected(pod):
            continue
        lines[app] += 1
        (chosen if lines[app] <= _MOST_PODS else rest).append(pod)
    return chosen, rest


def _passed_over(context: str, pod: Object) -> Missing:
    name = pod["metadata"]["name"]
    return Missing(
        f"{_SYSTEM}/logs/{name}",
        Problem(
            code=Code.BUNDLE_MANY_PODS,
            message=f"the log of {name} is not collected",
            seen=f"more than {_MOST_PODS} pods of one app",
            hint=Advice(kubectl(context, "-n", _SYSTEM, "logs", name, "--all-containers")),
        ),
    )


def _log(redactor: Redactor, path: str, text: str) -> File:
    return ended(path, redactor.text(text))


def _dump(redactor: Redactor, path: str, text: str) -> File:
    """JSON as such, so that it is looked into by its names too; any other text as a text."""
    if path.endswith(".json"):
        try:
            value = jsontext.load(text)
        except ValueError:
            return cut_at_end(path, redactor.text(text))
        return cut_at_end(path, json.dumps(redactor.data(value), indent=1, ensure_ascii=False) + "\n")
    return cut_at_end(path, redactor.text(text))


def _objects(redactor: Redactor, path: str, answer: diagnostics.Listed) -> File:
    return _objects_in_order(redactor, path, list(map(_lighter, _sorted(answer.items))), more=answer.more)


def _events(redactor: Redactor, path: str, answer: diagnostics.Listed) -> File:
    def when(event: Mapping[str, Any]) -> str:
        return str(event.get("lastTimestamp") or event.get("eventTime") or "")

    newest_first = sorted(answer.items, key=when, reverse=True)
    return _objects_in_order(redactor, path, newest_first, more=answer.more)


def _objects_in_order(redactor: Redactor, path: str, items: list[Object], *, more: bool) -> File:
    note = f"the first {len(items)}; there are more" if more else ""
    return listed(path, map(redactor.data, items), note)


def _sorted(items: Iterable[Object]) -> list[Object]:
    def name(item: Object) -> tuple[str, str]:
        return str(item["metadata"].get("namespace") or ""), str(item["metadata"]["name"])

    return sorted(items, key=name)


def _lighter(item: Object) -> Object:
    """A node without the list of images it has pulled, which is most of it."""
    status = item.get("status")
    if item.get("kind") == "Node" and isinstance(status, dict):
        return {**item, "status": {key: value for key, value in status.items() if key != "images"}}
    return item


def _without_schema(item: Object) -> Object:
    """A CRD without its schemas, which are megabytes and the same everywhere."""
    if item["kind"] != "CustomResourceDefinition":
        return item
    spec = item.get("spec") or {}
    versions = [
        {key: value for key, value in version.items() if key in ("name", "served", "storage", "deprecated")}
        for version in spec.get("versions") or []
    ]
    return {**item, "spec": {**spec, "versions": versions}}


_READ_TIMEOUT_S = 15.0
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that goes into a bundle, but for its index and what verify found, which present writes.

    Attributes:
        redactor: What takes secrets out of all that is of no single cluster.
        own: What takes out what the user's own patterns match.
    """

    verified: VerifyResult
    made: datetime
    clusters: Mapping[str, Collected]
    unreachable: Mapping[str, tuple[Problem, ...]]
    settings: File | None
    folders: Mapping[str, str]
    redactor: Redactor = field(repr=False)
    own: OwnPatterns


def gather(session: Session, now: datetime, logs: Logs, own: OwnPatterns) -> Gathered:
    """Verifies the mesh, and asks every cluster that answers for what explains it; changes nothing."""
    verified = run_checks(session, ALL, now)
    facts = verified.facts
    secret = _secrets(session, facts)
    redactor = Redactor.with_values(secret)
    room = space_of_each(len(facts.clusters))

    def collect(name: str) -> Collected:
        with session.run.step(name, _STEP, "reading"):
            return read(name)

    def read(name: str) -> Collected:
        kube = session.clusters.kubes[name].with_silence(_READ_TIMEOUT_S)
        apart = Redactor(known=redactor.known)
        files = known(facts, name, apart)
        queries, missing = queries_of(kube, facts.observed[name], logs, apart)
        more, unknown = configuration(kube, apart)
        came, failed = run_queries([*queries, *more], name, session.run.progress)
        kept, too_much = fitting([*files, *came], room)
        return Collected(
            tuple(kept),
            (*missing, *unknown, *failed, *(omitted(file) for file in too_much)),
            apart.counts,
        )

    collected, failed = session.clusters.each(collect, facts.observed)
    collected = {name: _hiding(own, one, room) for name, one in collected.items()}
    shown = _redacted(verified, lambda text: own.text(redactor.text(text)))
    settings = _settings(session, redactor)
    return Gathered(
        verified=shown,
        made=now,
        clusters=collected,
        unreachable={**shown.facts.unreachable, **failed},
        settings=own.files([settings])[0] if settings else None,
        folders=folders(collected, own.path),
        redactor=redactor,
        own=own,
    )


def archive(gathered: Gathered, folder: str, about: Sequence[File]) -> bytes:
    """The bytes of the bundle: a folder for each cluster, and what is about all of them above."""
    everything = [*about, *([gathered.settings] if gathered.settings else [])]
    for name, collected in gathered.clusters.items():
        everything += [File(f"{gathered.folders[name]}/{file.path}", file.text) for file in collected.files]
    return packed(folder, everything, gathered.made)


def folders(contexts: Iterable[str], hidden: Callable[[str], str] = str) -> dict[str, str]:
    """A folder for each context: whatever it is called, it stays within the bundle, and no two share one."""
    result: dict[str, str] = {}
    for context in contexts:
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in hidden(context))
        folder = f"clusters/{safe.lstrip('.')[:_LONGEST_NAME] or '_'}"
        taken = set(result.values())
        names = (folder, *(f"{folder}-{number}" for number in range(2, len(result) + 3)))
        result[context] = next(name for name in names if name not in taken)
    return result


def redactions(gathered: Gathered) -> dict[str, int]:
    """How many secrets of each kind were taken out, in all."""
    total = gathered.redactor.counts + gathered.own.counts
    for collected in gathered.clusters.values():
        total.update(collected.redactions)
    return dict(sorted(total.items()))


def _hiding(own: OwnPatterns, collected: Collected, room: int) -> Collected:
    """What was collected of a cluster, without what the user's own patterns match."""
    kept, too_much = fitting(own.files(collected.files), room)
    missing = (*collected.missing, *(omitted(file) for file in too_much))
    return replace(collected, files=tuple(kept), missing=missing)


def _redacted(verified: VerifyResult, hide: Callable[[str], str]) -> VerifyResult:
    """What was found, its texts looked through: each once, for results repeat them."""
    once = cache(hide)

    def problem_of(problem: Problem) -> Problem:
        texts = (problem.message, problem.seen, problem.expected)
        message, seen, expected = (once(text) if text else text for text in texts)
        return replace(
            problem,
            message=str(message),
            seen=seen,
            expected=expected,
            hint=rewritten(problem.hint, once),
            requests=tuple(map(once, problem.requests)),
        )

    results = tuple(
        replace(
            result, seen=once(result.seen), problem=problem_of(result.problem) if result.problem else None
        )
        for result in verified.results
    )
    unreachable = {name: tuple(map(problem_of, why)) for name, why in verified.facts.unreachable.items()}
    return replace(verified, facts=replace(verified.facts, unreachable=unreachable), results=results)


def _secrets(session: Session, facts: Facts) -> set[str]:
    """What is secret in any of the clusters, and in this run's kubeconfig: it may stand in another's logs."""
    public = _public(facts)
    values: set[str] = set()
    for observed in facts.observed.values():
        values |= of_secrets(observed.of(objects.SECRET), public)
    for kube in session.clusters.kubes.values():
        values |= of_kubeconfig(kube.kubeconfig)
    return values


def _public(facts: Facts) -> Collection[str]:
    """Words that a Secret may hold and that all may know."""
    values = {facts.mesh.mesh_id, facts.mesh.version}
    for name, cluster in facts.clusters.items():
        values |= {name, cluster.cluster_id, cluster.network, cluster.api_server.server}
    for observed in facts.observed.values():
        for item in observed.objects.values():
            values |= {item["metadata"]["name"], str(item["metadata"].get("namespace"))}
    return values


def _settings(session: Session, redactor: Redactor) -> File | None:
    if session.settings.file is None:
        return None
    try:
        text = session.run.read(session.settings.file).decode(errors="replace")
    except OSError:
        return None
    return cut_at_end("mesh.yaml", redactor.text(text))


_TRIAL_S = 2.0
_FILE_S = 20.0


@dataclass(frozen=True, slots=True)
class OwnPatterns:
    """Takes out what patterns match. Only for the main thread, where a pattern without end can be stopped."""

    patterns: tuple[re.Pattern[str], ...] = field(default=(), repr=False)
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, texts: Sequence[str]) -> OwnPatterns:
        """The patterns, tried before anything is read.

        Raises:
            InputError: Some are no regular expressions, or take too long.
        """
        patterns, faults = compiled(texts)
        for number, pattern in enumerate(patterns if not faults else (), 1):
            try:
                with alarm(_TRIAL_S):
                    for trial in trials(pattern):
                        without([pattern], trial, "")
            except TimeoutError:
                faults.append(too_slow(f"pattern {number}: more than {_TRIAL_S:g} s for 65 letters"))
        if faults:
            raise InputError(*faults)
        return cls(tuple(patterns))

    def text(self, text: str, instead: str = mark(OWN), where: str = "a text") -> str:
        """A text without what the patterns match.

        Raises:
            InputError: That takes too long.
        """
        if not self.patterns:
            return text
        try:
            with alarm(_FILE_S):
                kept, count = without(self.patterns, text, instead)
        except TimeoutError:
            raise InputError(too_slow(f"more than {_FILE_S:g} s for {where}")) from None
        if count:
            self.counts[OWN] += count
        return kept

    def path(self, path: str) -> str:
        """A file's path without what the patterns match: pods and contexts are named in it."""
        return self.text(path, "redacted", "the name of a file")

    def files(self, files: Sequence[File]) -> tuple[File, ...]:
        """Files, their names and contents, each still of bounded size, and no two of one name."""
        if not self.patterns:
            return tuple(files)
        by_path: dict[str, File] = {}
        for file in files:
            text = self.text(file.text, where=file.path)
            hidden = self.path(file.path)
            names = (hidden, *(f"{hidden}-{number}" for number in range(2, len(files) + 2)))
            path = next(name for name in names if name not in by_path)
            cut = cut_at_end(path, text)
            by_path[path] = replace(cut, note="; ".join(filter(None, (file.note, cut.note))))
        return tuple(by_path.values())
