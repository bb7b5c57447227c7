"""Output of the status command: one column per cluster, so that all of them fit on one screen."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from istio_mc.present.output.envelope import Report, exit_for
from istio_mc.present.output.terminal import table
from istio_mc.present.output.wrap import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from istio_mc.domain.istio.status import ClusterStatus, Deployment, Gateway, Hpa, Pod, Service
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.status import StatusResult

_WORD = 24
"""A longer word is folded, so that one cluster's long host name leaves room for the others."""
_GAP = 2
_NOTES = 8


def report(result: StatusResult) -> Report:
    """What each cluster shows, as data and on a screen."""
    return Report(
        data={"clusters": [_data(result, name) for name in result.contexts]},
        render=lambda console: console.print(screen(result, console.width)),
        errors=tuple(problem for problems in result.failures.values() for problem in problems),
        warnings=(*result.warnings, *_silent(result)),
        exit=exit_for(len(result.failures), len(result.contexts)),
    )


def _silent(result: StatusResult) -> tuple[Problem, ...]:
    return tuple(p.on(name) for name, problems in result.silent_istiods.items() for p in problems)


def _data(result: StatusResult, name: str) -> dict[str, Any]:
    status = result.clusters.get(name)
    if status is None:
        return {"name": name, "reachable": False}
    return {
        "name": name,
        "reachable": True,
        "clusterId": status.cluster_id,
        "network": status.network,
        "meshID": status.mesh_id,
        "version": status.version,
        "pods": [{**_camel(pod), "healthy": pod.is_healthy} for pod in status.pods],
        "services": [{**_camel(service), "pending": service.pending} for service in status.services],
        "deployments": [_camel(deployment) for deployment in status.deployments],
        "horizontalPodAutoscalers": [_camel(hpa) for hpa in status.hpas],
        "gateways": [_camel(gateway) for gateway in status.gateways],
        "remoteSecrets": [_camel(secret) for secret in status.remote_secrets],
        "proxies": None
        if name in result.silent_istiods
        else [{**_camel(proxy), "synced": proxy.synced} for proxy in status.proxies],
        "notes": list(status.notes),
    }


_NAMES = {
    "cluster_ip": "clusterIP",
    "of_class": "gatewayClass",
    "least": "minReplicas",
    "most": "maxReplicas",
    "wanted": "desired",
    "why": "reason",
}


def _camel(record: Any) -> dict[str, Any]:  # noqa: ANN401 - any of domain.status's dataclasses
    made = {}
    for key, value in asdict(record).items():
        head, *rest = _NAMES.get(key, key).split("_")
        made[head + "".join(part.title() for part in rest)] = (
            list(value) if isinstance(value, tuple) else value
        )
    return made


def screen(result: StatusResult, width: int) -> RenderableType:
    """One column a cluster, in as many blocks as the width makes necessary, and notes below.

    Where the width is too small for one column, each cluster's cells are lines.
    """
    columns = {name: _column(result, name) for name in result.contexts}
    rows = list(dict.fromkeys(key for column in columns.values() for key in column.cells))
    rows.sort(key=lambda key: _SECTIONS.index(key[0]))  # stable: rows stay as they came
    labels = max((cell_len(row) for _, row in rows), default=0) + 1
    parts: list[RenderableType] = []
    beside = columns
    if any(labels + _GAP + column.least > width for column in columns.values()):
        parts += [line for column in columns.values() for line in _lines(column, rows, width)]
        beside = {}
    for block in _blocks(beside, width - labels):
        shown = table("", *block)
        shown.columns[0].width = labels
        for place, wide in zip(shown.columns[1:], _widths(block, columns, width - labels), strict=True):
            place.width = wide
        section = ""
        for key in rows:
            if key[0] != section:
                section = key[0]
                shown.add_row(Text(section.upper(), style="bold", no_wrap=True))
            cells = [columns[name].cells.get(key, Text("-", style="dim")) for name in block]
            shown.add_row(Text(f" {key[1]}"), *cells)
        parts.append(shown)
    names_by_note: dict[str, list[str]] = {}
    for name, column in columns.items():
        for note in column.notes:
            names_by_note.setdefault(note, []).append(name)
    notes = [f"{', '.join(names)}: {note}" for note, names in names_by_note.items()]
    for note in notes[:_NOTES]:
        lines = lines_of(note.split(), width, indent=2, taken=0, styles={})
        parts += [Text.assemble(" " * 2 * bool(number), line) for number, line in enumerate(lines)]
    if len(notes) > _NOTES:
        parts.append(Text(f"and {len(notes) - _NOTES} more: see -o json"))
    return Group(*parts)


def _lines(column: _Column, rows: Sequence[_Key], width: int) -> Iterator[Text]:
    """One cluster in lines, for a width in which a table would take words apart."""
    yield Text(column.name, style="bold")
    section = ""
    for key in rows:
        cell = column.cells.get(key)
        if cell is None:
            continue
        if key[0] != section:
            section = key[0]
            yield Text(section.upper(), style="bold")
        styles = {number: str(cell.style) for number, _ in enumerate(cell.plain.split(), 1)}
        words = [f"{key[1]}:", *cell.plain.split()]
        for number, line in enumerate(lines_of(words, width, indent=3, taken=1, styles=styles)):
            yield Text.assemble(" " * (3 if number else 1), line)


_SECTIONS = ("cluster", "pods", "services", "deployments", "hpas", "gateways", "remote secrets", "proxies")
_Key = tuple[str, str]


@dataclass
class _Column:
    """One cluster's cells, by section and row; and what does not fit into a cell."""

    name: str
    cells: dict[_Key, Text] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def put(self, section: str, row: str, text: str, style: str = "") -> None:
        self.cells[section, row] = Text(text, style=style)

    def note(self, text: str) -> None:
        self.notes.append(text)

    @property
    def natural(self) -> int:
        """The width in which nothing is folded."""
        return max(cell_len(line) for text in self._texts() for line in text.splitlines())

    @property
    def least(self) -> int:
        """The width in which no word is."""
        return min(max(cell_len(word) for text in self._texts() for word in text.split()), _WORD)

    def _texts(self) -> Iterator[str]:
        yield self.name
        yield from (cell.plain for cell in self.cells.values())


def _blocks(columns: dict[str, _Column], width: int) -> Iterator[list[str]]:
    """The clusters' names, as many at a time as fit beside each other."""
    block: list[str] = []
    used = 0
    for name, column in columns.items():
        if block and used + column.least + _GAP > width:
            yield block
            block, used = [], 0
        block.append(name)
        used += column.least + _GAP
    if block:
        yield block


def _widths(block: list[str], columns: dict[str, _Column], width: int) -> list[int]:
    """What each column of a block gets: its least, and of what is left as much as it can use."""
    widths = [columns[name].least for name in block]
    left = width - sum(widths) - _GAP * len(block)
    for place, name in enumerate(block):
        more = max(0, min(left // (len(block) - place), columns[name].natural - widths[place]))
        widths[place] += more
        left -= more
    return widths


def _column(result: StatusResult, name: str) -> _Column:
    column = _Column(name)
    status = result.clusters.get(name)
    if status is None:
        problem = result.failures[name][0]
        column.put("cluster", "version", "not reachable", "red")
        column.note(f"not reachable: {problem.seen or problem.message}")
        return column
    for row, value in (
        ("version", status.version),
        ("cluster ID", status.cluster_id),
        ("mesh", status.mesh_id),
        ("network", status.network),
    ):
        column.put("cluster", row, value or "-")
    for note in status.notes:
        column.note(note)
    _pods(column, status.pods)
    for service in status.services:
        column.put("services", service.name, *_service(service))
    for deployment in status.deployments:
        column.put("deployments", deployment.name, *_deployment(deployment))
    for hpa in status.hpas:
        _hpa(column, hpa)
    for gateway in status.gateways:
        column.put("gateways", gateway.name, *_gateway(gateway))
    for secret in status.remote_secrets:
        style = {"synced": "green", "unknown": "yellow"}.get(secret.status, "red")
        column.put("remote secrets", secret.cluster_id, secret.status, style)
    _proxies(column, status, silent=name in result.silent_istiods)
    return column


def _pods(column: _Column, pods: tuple[Pod, ...]) -> None:
    """Replicas in one cell; those that are not fine by name in a note."""
    apps: dict[str, list[Pod]] = {}
    for pod in pods:
        apps.setdefault(pod.app, []).append(pod)
    for app, replicas in apps.items():
        healthy = sum(pod.is_healthy for pod in replicas)
        phases = ", ".join(
            phase if len(replicas) == 1 else f"{count} {phase}"
            for phase, count in Counter(pod.phase for pod in replicas).items()
        )
        restarts = sum(pod.restarts for pod in replicas)
        text = f"{healthy}/{len(replicas)} {phases}" + (f", {restarts} restarts" if restarts else "")
        column.put("pods", app, text, "" if healthy == len(replicas) else "red")
    for pod in pods:
        if not pod.is_healthy:
            counted = f"{pod.phase}, {pod.ready} of {pod.containers} containers ready"
            column.note(pod.why or f"pod {pod.name}: {counted}")


def _service(service: Service) -> tuple[str, str]:
    if service.pending:
        return "<pending>", "red"
    return ", ".join(service.addresses) or service.cluster_ip or service.type, ""


def _deployment(deployment: Deployment) -> tuple[str, str]:
    return f"{deployment.available}/{deployment.desired}", "red" if deployment.why else ""


def _hpa(column: _Column, hpa: Hpa) -> None:
    text = f"{', '.join(hpa.metrics)}\n{hpa.replicas} of {hpa.least}-{hpa.most} pods"
    column.put("hpas", hpa.name, text, "yellow" if hpa.why else "")
    if hpa.why:
        column.note(f"HPA {hpa.name} reads <unknown>: {hpa.why}")


def _gateway(gateway: Gateway) -> tuple[str, str]:
    return ", ".join(gateway.addresses) or "no address", "" if gateway.addresses else "red"


def _proxies(column: _Column, status: ClusterStatus, *, silent: bool) -> None:
    if silent:
        column.put("proxies", "in sync", "not reported by istiod", "yellow")
        return
    synced = sum(proxy.synced for proxy in status.proxies)
    style = "" if synced == len(status.proxies) else "red"
    column.put("proxies", "in sync", f"{synced} of {len(status.proxies)}", style)
    for proxy in status.proxies:
        if not proxy.synced:
            stale = [kind for kind, state in proxy.xds.items() if state == "STALE"]
            states = [f"{', '.join(stale)} not acknowledged"] if stale else []
            column.note(f"proxy {proxy.name}: {'; '.join((*states, *proxy.errors))}")
