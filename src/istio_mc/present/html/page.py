"""The whole page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc import __version__
from istio_mc.checks.model import Verdict
from istio_mc.domain.gateway.address import seen_addresses
from istio_mc.domain.text import plural
from istio_mc.present.html import timeline
from istio_mc.present.html.certificates import certificates
from istio_mc.present.html.findings import anchors, findings, listing
from istio_mc.present.html.markup import STYLE, Markup, State, badge, join, moment, tag
from istio_mc.present.html.matrix import matrices
from istio_mc.present.html.topology import MOST_BOXES, Node, drawing, health, links, summary
from istio_mc.present.output.envelope import Report

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.verify.verify import VerifyResult


GENERATOR = "istio-mc report"
"""In the page's head: by it a page is known that may be written over."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MEANT = {
    State.OK: "every check passed",
    State.FAILED: "a check failed",
    State.WARNING: "works, with a warning",
    State.UNKNOWN: "unknown",
}


def page(result: VerifyResult, now: datetime) -> str:
    """One self-contained HTML document: no script, no font, no picture from elsewhere."""
    title = f"Mesh {result.facts.mesh.mesh_id}"
    body = tag(
        "body",
        tag("a", "Skip to what is wrong", href="#findings", class_="skip"),
        tag("div", _head(result, title, now), tag("main", *_sections(result, now)), _foot(), class_="page"),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="generator", content=GENERATOR),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title}: {_verdict(result)}"),
        tag("style", STYLE),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def page_of_ours(beginning: bytes) -> bool:
    """Whether a file that begins so is a page of this tool's."""
    return tag("meta", name="generator", content=GENERATOR).encode() in beginning


def _verdict(result: VerifyResult) -> str:
    if result.failed:
        return f"{plural(len(result.failed), 'check')} failed"
    return "every check passed" if not result.warned else f"works, {plural(len(result.warned), 'warning')}"


def _head(result: VerifyResult, title: str, now: datetime) -> Markup:
    unknown = sum(found.verdict is Verdict.UNKNOWN for found in result.results)
    counts = (
        (State.FAILED, len(result.root_causes), "root cause" + "s" * (len(result.root_causes) != 1)),
        (State.FAILED, len(result.failed), "failed in all"),
        (State.WARNING, len(result.warned), "warning" + "s" * (len(result.warned) != 1)),
        (State.UNKNOWN, unknown, "unknown"),
        (State.OK, sum(found.verdict is Verdict.OK for found in result.results), "passed"),
    )
    tiles = [
        tag("li", tag("b", f"{count:,}"), f" {name}", class_=state.style if count else "none")
        for state, count, name in counts
    ]
    sections = (
        ("findings", "What is wrong"),
        ("topology", "Topology"),
        ("matrix", "Reachability"),
        ("certificates", "Certificates"),
        ("clusters", "Clusters"),
        ("checks", "Every check"),
    )
    mesh = result.facts.mesh
    revision = f", revision {mesh.revision}" if mesh.revision else ""
    return tag(
        "header",
        tag("h1", f"{title}: {_verdict(result)}"),
        tag(
            "p",
            f"{plural(len(result.facts.clusters), 'cluster')}, Istio {mesh.version}{revision}; read at ",
            tag("time", moment(now), datetime=now.isoformat()),
            class_="note",
        ),
        tag("ul", *tiles, class_="verdict", aria_label="results of the checks"),
        tag(
            "nav",
            tag("ul", *(tag("li", tag("a", t, href=f"#{i}")) for i, t in sections)),
            aria_label="sections",
        ),
    )


def _sections(result: VerifyResult, now: datetime) -> list[Markup]:
    names = anchors(result.results)
    clusters = list(result.facts.clusters)
    shown = certificates(result.facts, now)
    seen = (
        join(timeline.timeline(shown, now), timeline.table(shown, now))
        if shown
        else tag("p", "None was seen.")
    )
    return [
        _section("findings", "What is wrong", findings(result.results, names)),
        _section("topology", "Topology", _topology(result)),
        _section("matrix", "Reachability", matrices(result.results, clusters)),
        _section("certificates", "Certificates", seen),
        _section("clusters", "Clusters", _clusters(result)),
        _section("checks", "Every check", listing(result.results, names)),
    ]


def _section(name: str, title: str, content: Markup) -> Markup:
    return tag(
        "section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title"
    )


def _topology(result: VerifyResult) -> Markup:
    facts = result.facts
    well = health(result.results, facts.clusters)
    nodes = [
        Node(
            name,
            (cluster.cluster_id, cluster.network, ", ".join(_addresses(result, name)) or "no gateway address")
            if name in facts.observed
            else (cluster.cluster_id, cluster.network, "not reachable"),
            well[name],
        )
        for name, cluster in facts.clusters.items()
    ]
    ways = links(result.results)
    picture = tag(
        "div",
        drawing(nodes, ways),
        class_="scroll topology-box",
        role="region",
        tabindex="0",
        aria_label="drawing of the mesh",
    )
    if len(nodes) > MOST_BOXES:
        note = "A line is for both directions between two clusters, and shows the worse one."
    else:
        note = "An arrow is for one direction: its link, and the data path to the gateway at its head."
    return join(picture, _legend(), tag("p", summary(nodes, ways), " ", note, class_="note"))


def _legend() -> Markup:
    items = []
    for state, meant in _MEANT.items():
        line = tag("line", x1=0, x2=34, y1=7, y2=7, class_=f"way {state.style}")
        sample = tag("svg", line, width=34, height=14, viewBox="0 0 34 14", aria_hidden="true")
        items.append(tag("li", sample, badge(state, meant)))
    return tag("ul", *items, class_="legend", aria_label="what the colours mean")


def _addresses(result: VerifyResult, name: str) -> tuple[str, ...]:
    facts = result.facts
    return tuple(seen_addresses(name, facts.clusters[name], facts.observed))


def _clusters(result: VerifyResult) -> Markup:
    facts = result.facts
    names = ("context", "cluster ID", "network", "gateway", "Kubernetes", "API server")
    rows = []
    for name, cluster in facts.clusters.items():
        observed = facts.observed.get(name)
        why = "; ".join(problem.seen or problem.message for problem in facts.unreachable.get(name, ()))
        rows.append(
            tag(
                "tr",
                tag("th", name, scope="row"),
                tag("td", cluster.cluster_id),
                tag("td", cluster.network),
                tag("td", ", ".join(_addresses(result, name)) or "–"),
                tag(
                    "td",
                    observed.version if observed else tag("span", f"not reachable: {why}", class_="failed"),
                ),
                tag("td", cluster.api_server.server or "–"),
            )
        )
    table = tag(
        "table",
        tag("caption", "Clusters", class_="hidden"),
        tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names))),
        tag("tbody", *rows),
        class_="clusters",
    )
    return tag("div", table, class_="scroll", role="region", tabindex="0", aria_label="table of clusters")


def _foot() -> Markup:
    return tag(
        "footer",
        tag(
            "p",
            f"Made by {GENERATOR} {__version__}. It contains the results of istio-mc verify, and no key or "
            "token.",
        ),
        tag("p", "Pages named docs/… are part of istio-mc's documentation."),
    )


def report(result: VerifyResult, to: Path | None, page: str, warnings: Iterable[Problem]) -> Report:
    """Where the page is, and in a line what it says; the page itself where it goes to standard output."""
    passed = sum(found.verdict is Verdict.OK for found in result.results)

    def render(console: Console) -> None:
        if to is None:
            console.file.write(page)
            return
        failed = f"{plural(len(result.failed), 'check')} failed" if result.failed else "no check failed"
        roots = f", {plural(len(result.root_causes), 'root cause')}" if result.failed else ""
        warned = f", {plural(len(result.warned), 'warning')}" if result.warned else ""
        console.print(f"{to}: {plural(len(result.facts.clusters), 'cluster')}, {failed}{roots}{warned}")

    return Report(
        data={
            "file": str(to) if to else None,
            "bytes": len(page.encode()),
            "clusters": list(result.facts.clusters),
            "passed": passed,
            "failed": len(result.failed),
            "rootCauses": len(result.root_causes),
            "warned": len(result.warned),
            "unknown": sum(found.verdict is Verdict.UNKNOWN for found in result.results),
        },
        render=render,
        warnings=tuple(warnings),
    )
