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
    begun,
    ended,
    fitting,
    left_out,
    listed,
    packed,
    room_of_each,
)
from istio_mc.domain.codes import Code
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, kubectl, rewritten
from istio_mc.domain.istio.istiod import running_istiods
from istio_mc.domain.istio.proxies import gateway_pods
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind, Object, labels_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import InputError, Problem, ProblemError
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
from istio_mc.gateways.host.parallel import answered
from istio_mc.gateways.host.signals import alarm
from istio_mc.gateways.kube import diagnostics
from istio_mc.ops.verify.verify import look

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
class Ask:
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
    found = [File("version.txt", f"{observed.version}\n")]
    by_kind: dict[tuple[str, str], list[Object]] = {}
    for item in observed.objects.values():
        kind = Kind(item["apiVersion"], item["kind"])
        place = _SYSTEM if kind.namespaced else "cluster"
        by_kind.setdefault((place, kind.plural), []).append(_without_schema(item))
    for (place, plural), items in sorted(by_kind.items()):
        found.append(listed(f"{place}/{plural}.yaml", map(redactor.document, _sorted(items))))
    seen = [
        {"istiod": row.pod, "cluster": row.cluster_id, "secret": row.secret, "status": row.status}
        for rows in facts.seen.get(context, {}).values()
        for row in rows
    ]
    found.append(File("istiod/clusterz.json", json.dumps(seen, indent=1) + "\n"))
    if services := facts.services.get(context):
        everywhere = map(redactor.document, _sorted(services.objects))
        found.append(listed("services-of-all-namespaces.yaml", everywhere))
    return found


def asks(kube: Kube, observed: Observed, logs: Logs, redactor: Redactor) -> tuple[list[Ask], list[Missing]]:
    """What is still to be asked, the most telling first; and whom is not asked, as they are too many."""
    pods = observed.of(objects.POD)
    chosen, passed_over = _talkative(pods)
    log = partial(_log, redactor)
    some = partial(_objects, redactor)
    found = [
        Ask(
            f"{_SYSTEM}/events.yaml",
            partial(diagnostics.some, kube, f"/api/v1/namespaces/{_SYSTEM}/events", kind="Event"),
            partial(_events, redactor),
        )
    ]
    for entry in diagnostics.logs_of(chosen):
        name = f"{_SYSTEM}/logs/{entry.pod}/{entry.container}{'.previous' if entry.previous else ''}.log"
        call = partial(diagnostics.read_log, kube, entry, since_s=logs.since_s, lines=logs.lines)
        found.append(Ask(name, call, log))
    for path, kind in (("nodes", "Node"), ("namespaces", "Namespace")):
        found.append(
            Ask(f"cluster/{path}.yaml", partial(diagnostics.some, kube, f"/api/v1/{path}", kind=kind), some)
        )
    found += _dumps(
        kube, "istiod", running_istiods(pods), diagnostics.ISTIOD_PORT, diagnostics.ISTIOD_PATHS, redactor
    )
    gateways = gateway_pods(pods, EAST_WEST_GATEWAY)
    found += _dumps(kube, "gateway", gateways, diagnostics.ADMIN_PORT, diagnostics.ENVOY_PATHS, redactor)
    return found, [_passed_over(kube.context, pod) for pod in passed_over]


def configuration(kube: Kube, redactor: Redactor) -> tuple[list[Ask], list[Missing]]:
    """Istio's and the Gateway API's objects of all namespaces: what there is to ask is asked first."""
    try:
        kinds = diagnostics.configuration_kinds(kube)
    except ProblemError as error:
        return [], [Missing("configuration", problem) for problem in error.problems]
    keep = partial(_objects, redactor)
    return [
        Ask(
            f"configuration/{group}/{path.rpartition('/')[2]}.yaml",
            partial(diagnostics.some, kube, path, group, version, kind),
            keep,
        )
        for path, group, version, kind in kinds
    ], []


def answers(
    wanted: Iterable[Ask], context: str, progress: Callable[[Event], None]
) -> tuple[list[File], list[Missing]]:
    """The files, in the order they were asked for, and what was not to be had."""
    by_path = {ask.path: ask for ask in wanted}
    progress(Event(context, _STEP, State.WAITING, f"{len(by_path)} responses"))
    calls = {path: (math.inf, ask.call) for path, ask in by_path.items()}
    came, failed = answered(calls, context=context, concurrency=_AT_ONCE)
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
) -> list[Ask]:
    keep = partial(_dump, redactor)
    return [
        Ask(
            f"{folder}/{pod['metadata']['name']}/{_file_name(path)}",
            partial(diagnostics.asked, kube, pod, port, path),
            keep,
        )
        for path in paths
        for pod in pods[:_MOST_DUMPED]
    ]


def _file_name(path: str) -> str:
    name = path.partition("?")[0].strip("/").rpartition("/")[2]
    return name if name in ("metrics", "clusters") else f"{name}.json"


def _talkative(pods: list[Object]) -> tuple[list[Object], list[Object]]:
    """The istiods and whatever has a proxy, so many of each app; and the rest of these."""
    told: Counter[str] = Counter()
    chosen: list[Object] = []
    rest: list[Object] = []
    for pod in sorted(pods, key=lambda item: str(item["metadata"]["name"])):
        app = labels_of(pod).get("app", "")
        if app != "istiod" and not is_injected(pod):
            continue
        told[app] += 1
        (chosen if told[app] <= _MOST_PODS else rest).append(pod)
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
            found = jsontext.load(text)
        except ValueError:
            return begun(path, redactor.text(text))
        return begun(path, json.dumps(redactor.data(found), indent=1, ensure_ascii=False) + "\n")
    return begun(path, redactor.text(text))


def _objects(redactor: Redactor, path: str, found: diagnostics.Listed) -> File:
    return _objects_in_order(redactor, path, list(map(_lighter, _sorted(found.items))), more=found.more)


def _events(redactor: Redactor, path: str, found: diagnostics.Listed) -> File:
    def when(event: Mapping[str, Any]) -> str:
        return str(event.get("lastTimestamp") or event.get("eventTime") or "")

    newest_first = sorted(found.items, key=when, reverse=True)
    return _objects_in_order(redactor, path, newest_first, more=found.more)


def _objects_in_order(redactor: Redactor, path: str, items: list[Object], *, more: bool) -> File:
    note = f"the first {len(items)}; there are more" if more else ""
    return listed(path, map(redactor.document, items), note)


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
        clusters: What was collected of each cluster that answered, by context.
        settings: mesh.yaml; None where there is none.
        folders: The folder of each of these clusters.
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
    verified = look(session, ALL, now)
    facts = verified.facts
    secret = _secrets(session, facts)
    redactor = Redactor.knowing(secret)
    room = room_of_each(len(facts.clusters))

    def collect(name: str) -> Collected:
        with session.run.step(name, _STEP, "reading"):
            return read(name)

    def read(name: str) -> Collected:
        kube = session.clusters.kubes[name].with_silence(_READ_TIMEOUT_S)
        apart = Redactor(known=redactor.known)
        found = known(facts, name, apart)
        wanted, missing = asks(kube, facts.observed[name], logs, apart)
        more, unknown = configuration(kube, apart)
        came, failed = answers([*wanted, *more], name, session.run.progress)
        kept, too_much = fitting([*found, *came], room)
        return Collected(
            tuple(kept),
            (*missing, *unknown, *failed, *(left_out(file) for file in too_much)),
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
    found: dict[str, str] = {}
    for context in contexts:
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in hidden(context))
        folder = f"clusters/{safe.lstrip('.')[:_LONGEST_NAME] or '_'}"
        taken = set(found.values())
        names = (folder, *(f"{folder}-{number}" for number in range(2, len(found) + 3)))
        found[context] = next(name for name in names if name not in taken)
    return found


def redactions(gathered: Gathered) -> dict[str, int]:
    """How many secrets of each kind were taken out, in all."""
    total = gathered.redactor.counts + gathered.own.counts
    for collected in gathered.clusters.values():
        total.update(collected.redactions)
    return dict(sorted(total.items()))


def _hiding(own: OwnPatterns, collected: Collected, room: int) -> Collected:
    """What was collected of a cluster, without what the user's own patterns match."""
    kept, too_much = fitting(own.files(collected.files), room)
    missing = (*collected.missing, *(left_out(file) for file in too_much))
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
    found: set[str] = set()
    for observed in facts.observed.values():
        found |= of_secrets(observed.of(objects.SECRET), public)
    for kube in session.clusters.kubes.values():
        found |= of_kubeconfig(kube.kubeconfig)
    return found


def _public(facts: Facts) -> Collection[str]:
    """Words that a Secret may hold and that all may know."""
    found = {facts.mesh.mesh_id, facts.mesh.version}
    for name, cluster in facts.clusters.items():
        found |= {name, cluster.cluster_id, cluster.network, cluster.api_server.server}
    for observed in facts.observed.values():
        for item in observed.objects.values():
            found |= {item["metadata"]["name"], str(item["metadata"].get("namespace"))}
    return found


def _settings(session: Session, redactor: Redactor) -> File | None:
    if session.settings.file is None:
        return None
    try:
        text = session.run.read(session.settings.file).decode(errors="replace")
    except OSError:
        return None
    return begun("mesh.yaml", redactor.text(text))


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
        found: dict[str, File] = {}
        for file in files:
            text = self.text(file.text, where=file.path)
            hidden = self.path(file.path)
            names = (hidden, *(f"{hidden}-{number}" for number in range(2, len(files) + 2)))
            path = next(name for name in names if name not in found)
            cut = begun(path, text)
            found[path] = replace(cut, note="; ".join(filter(None, (file.note, cut.note))))
        return tuple(found.values())
