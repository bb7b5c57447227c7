"""The complete HTML page."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from istio_mc import __version__
from istio_mc.checks.model import Verdict
from istio_mc.domain.gateway.address import used_addresses
from istio_mc.domain.text import plural
from istio_mc.domain.translation import Language
from istio_mc.present.html import timeline
from istio_mc.present.html.certificates import certificates
from istio_mc.present.html.findings import anchors, findings
from istio_mc.present.html.listing import listing
from istio_mc.present.html.markup import Markup, State, badge, join, moment, tag, worst
from istio_mc.present.html.matrix import matrices
from istio_mc.present.html.topology import MOST_BOXES, Node, drawing, health, links, summary
from istio_mc.present.output.envelope import Report
from istio_mc.present.output.language import catalogue, number_of, translated, words, written_in
from istio_mc.present.output.wrap import print_item
from istio_mc.present.verify import faults

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.verify.verify import VerifyResult


GENERATOR = "istio-mc report"
"""In the page's head: by it a page is known that may be written over."""

STYLE = Markup("\n" + resources.files("istio_mc").joinpath("data", "report.css").read_text("utf-8"))
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MEANINGS = {
    State.OK: "every check passed",
    State.FAILED: "a check failed",
    State.WARNING: "works, with a warning",
    State.UNKNOWN: "unknown",
}


def page(result: VerifyResult, now: datetime, language: Language = Language.EN) -> str:
    """One self-contained HTML document: no script, no font, no picture from elsewhere."""
    with written_in(catalogue(language)):
        return _page(result, now, language)


def _page(result: VerifyResult, now: datetime, language: Language) -> str:
    title = words("Mesh {name}", name=result.facts.mesh.mesh_id)
    body = tag(
        "body",
        tag("a", words("Skip to what is wrong"), href="#findings", class_="skip"),
        tag("div", _head(result, title, now), tag("main", *_sections(result, now)), _foot(), class_="page"),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="generator", content=GENERATOR),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title}: {faults.summary(result)}"),
        tag("style", STYLE),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang=language)}\n"


def is_own_page(beginning: bytes) -> bool:
    """Whether a file that begins so is a page of this tool's."""
    return tag("meta", name="generator", content=GENERATOR).encode() in beginning


def _verdict(result: VerifyResult) -> tuple[State, str]:
    """The worst state, and the verdict in one sentence, with the counts that verify prints."""
    state = worst(result.results)
    sentences = {
        State.FAILED: "The mesh is not healthy",
        State.WARNING: "The mesh works, with warnings",
        State.UNKNOWN: "No check failed, but some results are unknown",
        State.OK: "The mesh is healthy",
        State.NONE: "No check was run",
    }
    return state, f"{words(sentences[state])}: {faults.summary(result)}"


def _head(result: VerifyResult, title: str, now: datetime) -> Markup:
    state, verdict = _verdict(result)
    sections = (
        ("findings", "What is wrong"),
        ("topology", "Topology"),
        ("matrix", "Reachability"),
        ("certificates", "Certificates"),
        ("clusters", "Clusters"),
        ("checks", "Every check"),
    )
    mesh = result.facts.mesh
    revision = words(", revision {name}", name=mesh.revision) if mesh.revision else ""
    return tag(
        "header",
        tag("h1", title),
        tag(
            "p",
            f"{number_of(len(result.facts.clusters), 'cluster')}, Istio {mesh.version}{revision}; ",
            words("read at"),
            " ",
            tag("time", moment(now), datetime=now.isoformat()),
            class_="note",
        ),
        tag("p", badge(state, verdict), class_=f"verdict {state.style}"),
        _next(result),
        tag(
            "nav",
            tag("ul", *(tag("li", tag("a", words(t), href=f"#{i}")) for i, t in sections)),
            aria_label=words("sections"),
        ),
    )


def _next(result: VerifyResult) -> Markup:
    code = tag("code", faults.next_command(result))
    box = tag("pre", code, class_="scroll", tabindex="0", role="region", aria_label=words("next command"))
    return tag("div", tag("span", words("next"), class_="note"), box, class_="next")


def _sections(result: VerifyResult, now: datetime) -> list[Markup]:
    names = anchors(result.results)
    clusters = list(result.facts.clusters)
    shown = certificates(result.facts, now)
    seen = (
        join(timeline.timeline(shown, now), timeline.table(shown, now))
        if shown
        else tag("p", words("None was seen."))
    )
    return [
        _section("findings", "What is wrong", findings(result.results, names)),
        _section("topology", "Topology", _topology(result)),
        _section("matrix", "Reachability", matrices(result.results, clusters, names)),
        _section("certificates", "Certificates", seen),
        _section("clusters", "Clusters", _clusters(result)),
        _section("checks", "Every check", listing(result.results, names)),
    ]


def _section(name: str, title: str, content: Markup) -> Markup:
    return tag(
        "section",
        tag("h2", words(title), id=f"{name}-title"),
        content,
        id=name,
        aria_labelledby=f"{name}-title",
    )


def _topology(result: VerifyResult) -> Markup:
    facts = result.facts
    well = health(result.results, facts.clusters)
    nodes = [
        Node(
            name,
            (
                cluster.cluster_id,
                cluster.network,
                ", ".join(_addresses(result, name)) or words("no gateway address"),
            )
            if name in facts.observed
            else (cluster.cluster_id, cluster.network, words("not reachable")),
            well[name],
        )
        for name, cluster in facts.clusters.items()
    ]
    ways = links(result.results)
    boxes = len(nodes) <= MOST_BOXES
    picture = tag(
        "div",
        drawing(nodes, ways),
        class_="topology-box" if boxes else "scroll topology-box dots",
        role="region",
        tabindex=None if boxes else "0",
        aria_label=words("drawing of the mesh"),
    )
    if boxes:
        note = words("An arrow is for one direction: its link, and the data path to the gateway at its head.")
    else:
        note = words("A line is for both directions between two clusters, and shows the worse one.")
    return join(picture, _legend(), tag("p", summary(nodes, ways), " ", note, class_="note"))


def _legend() -> Markup:
    items = []
    for state, meant in _MEANINGS.items():
        line = tag("line", x1=0, x2=34, y1=7, y2=7, class_=f"way {state.style}")
        sample = tag("svg", line, width=34, height=14, viewBox="0 0 34 14", aria_hidden="true")
        items.append(tag("li", sample, badge(state, words(meant))))
    return tag("ul", *items, class_="legend", aria_label=words("what the colours mean"))


def _addresses(result: VerifyResult, name: str) -> tuple[str, ...]:
    facts = result.facts
    return tuple(used_addresses(name, facts.clusters[name], facts.observed))


_HEADS = ("context", "cluster ID", "network", "gateway", "Kubernetes", "API server")


def _clusters(result: VerifyResult) -> Markup:
    facts = result.facts
    heads = tuple(map(words, _HEADS))
    rows = []
    for name, cluster in facts.clusters.items():
        observed = facts.observed.get(name)
        why = "; ".join(problem.seen or problem.message for problem in facts.unreachable.get(name, ()))
        silent = words("not reachable") + (f": {translated(why)}" if why else "")
        version = observed.version if observed else tag("span", silent, class_="failed")
        cells = (
            cluster.cluster_id,
            cluster.network,
            ", ".join(_addresses(result, name)) or "–",
            version,
            cluster.api_server.server or "–",
        )
        labelled = zip(heads[1:], cells, strict=True)
        rows.append(
            tag("tr", tag("th", name, scope="row"), *(tag("td", c, data_label=h) for h, c in labelled))
        )
    table = tag(
        "table",
        tag("caption", words("Clusters"), class_="hidden"),
        tag("thead", tag("tr", *(tag("th", name, scope="col") for name in heads))),
        tag("tbody", *rows),
        class_="cards clusters",
    )
    return tag(
        "div", table, class_="scroll", role="region", tabindex="0", aria_label=words("table of clusters")
    )


def _foot() -> Markup:
    return tag(
        "footer",
        tag(
            "p",
            words(
                "Made by {program} {version}. It contains the results of istio-mc verify, and no key or "
                "token.",
                program=GENERATOR,
                version=__version__,
            ),
        ),
        tag(
            "p",
            words("What a code means, and how to fix it: "),
            tag("code", "istio-mc explain CODE"),
            words(", which works offline."),
        ),
    )


def report(result: VerifyResult, to: Path | None, page: str, warnings: Iterable[Problem]) -> Report:
    """Where the page is, and in a line what it says; the page itself where it goes to standard output."""
    passed = sum(one.verdict is Verdict.OK for one in result.results)

    def render(console: Console) -> None:
        if to is None:
            console.file.write(page)
            return
        print_item(
            console,
            f"{to}:",
            f"{plural(len(result.facts.clusters), 'cluster')}, {faults.summary(result)}",
            margin=0,
        )

    return Report(
        data={
            "file": str(to) if to else None,
            "bytes": len(page.encode()),
            "clusters": list(result.facts.clusters),
            "passed": passed,
            "failed": len(result.failed),
            "rootCauses": len(result.root_causes),
            "warned": len(result.warned),
            "unknown": sum(one.verdict is Verdict.UNKNOWN for one in result.results),
        },
        render=render,
        warnings=tuple(warnings),
    )
