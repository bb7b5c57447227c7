"""What a bundle asks of one cluster, and the files that it makes of the answers."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from istio_mc.domain import jsontext, objects
from istio_mc.domain.bundle import File, Missing, begun, ended, listed
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istiod import running_istiods
from istio_mc.domain.live_trust import gateway_pods
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.objects import Kind, Object, labels_of
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.domain.sample import is_injected
from istio_mc.gateways import collect
from istio_mc.gateways.fanout import fan_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from istio_mc.checks.model import Facts
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.redaction.redactor import Redactor
    from istio_mc.gateways.kube import Kube

_AT_ONCE = 8
_MOST_PODS = 4
_MOST_DUMPED = 2
_SYSTEM = SYSTEM_NAMESPACE
_STEP = "bundle"


@dataclass(frozen=True, slots=True)
class Logs:
    """How far back logs go.

    Attributes:
        since_s: Seconds.
        lines: The last lines of each.
    """

    since_s: float
    lines: int


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that is asked for.

    Attributes:
        path: The file it becomes.
        call: Asks for it.
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
            partial(collect.some, kube, f"/api/v1/namespaces/{_SYSTEM}/events", kind="Event"),
            partial(_events, redactor),
        )
    ]
    for entry in collect.logs_of(chosen):
        name = f"{_SYSTEM}/logs/{entry.pod}/{entry.container}{'.previous' if entry.previous else ''}.log"
        call = partial(collect.read_log, kube, entry, since_s=logs.since_s, lines=logs.lines)
        found.append(Ask(name, call, log))
    for path, kind in (("nodes", "Node"), ("namespaces", "Namespace")):
        found.append(
            Ask(f"cluster/{path}.yaml", partial(collect.some, kube, f"/api/v1/{path}", kind=kind), some)
        )
    found += _dumps(
        kube, "istiod", running_istiods(pods), collect.ISTIOD_PORT, collect.ISTIOD_PATHS, redactor
    )
    gateways = gateway_pods(pods, EAST_WEST_GATEWAY)
    found += _dumps(kube, "gateway", gateways, collect.ADMIN_PORT, collect.ENVOY_PATHS, redactor)
    return found, [_passed_over(kube.context, pod) for pod in passed_over]


def configuration(kube: Kube, redactor: Redactor) -> tuple[list[Ask], list[Missing]]:
    """Istio's and the Gateway API's objects of all namespaces: what there is to ask is asked first."""
    try:
        kinds = collect.configuration_kinds(kube)
    except ProblemError as error:
        return [], [Missing("configuration", problem) for problem in error.problems]
    keep = partial(_objects, redactor)
    return [
        Ask(
            f"configuration/{group}/{path.rpartition('/')[2]}.yaml",
            partial(collect.some, kube, path, group, version, kind),
            keep,
        )
        for path, group, version, kind in kinds
    ], []


def answers(
    wanted: Iterable[Ask], context: str, progress: Callable[[Event], None]
) -> tuple[list[File], list[Missing]]:
    """The files, in the order they were asked for, and what was not to be had."""
    by_path = {ask.path: ask for ask in wanted}

    def call(path: str) -> Any:  # noqa: ANN401 - text or objects
        return by_path[path].call()

    progress(Event(context, _STEP, State.WAITING, f"{len(by_path)} answers"))
    came, failed = fan_out(by_path, call, concurrency=_AT_ONCE, until=math.inf)
    files = [by_path[path].keep(path, answer) for path, answer in came.items()]
    missing = [
        Missing(path, problem.on(context)) for path, problems in failed.items() for problem in problems
    ]
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
            partial(collect.asked, kube, pod, port, path),
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
            code="bundle-many-pods",
            message=f"the log of {name} is not asked for",
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


def _objects(redactor: Redactor, path: str, found: collect.Listed) -> File:
    return _objects_in_order(redactor, path, list(map(_lighter, _sorted(found.items))), more=found.more)


def _events(redactor: Redactor, path: str, found: collect.Listed) -> File:
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
