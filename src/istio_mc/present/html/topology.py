"""Drawing of the mesh: clusters on a ring, one arrow per direction between two, coloured by its state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.checks.model import Scope
from istio_mc.present.html.markup import Markup, State, clipped_name, join, tag, width, worst
from istio_mc.present.output.language import number_of, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from istio_mc.checks.model import Result

MOST_BOXES = 8
"""Above so many clusters they are drawn as dots."""

DATA_PATH = "data-path"
_APART = 7
_GAP = 4
_DOT, _LETTER, _LABEL_FITS = 6, 7.5, 24
_DOT_ROOM = 28
_MARGIN = 24
_RING = 3
_SMALLEST = 0.85  # on a phone the drawing of dots is moved aside sooner than made too small to be read
_PHONE = 362
"""The width in px that a page has on a screen of 390 px."""

_ROOMY = 4
"""Up to so many clusters there is room for wider boxes on a phone."""


@dataclass(frozen=True, slots=True)
class _Box:
    """The size of a cluster's box, in px, and how many letters its lines and its name may have."""

    width: float
    height: float
    line: float
    pad: float
    fits: int
    name_fits: int  # a name is bold, larger, and has a sign beside it


_WIDE = _Box(210, 92, 19, 14, 25, 16)
_NARROW = _Box(150, 78, 17, 9, 20, 14)
_SMALL = _Box(118, 78, 17, 8, 15, 10)


@dataclass(frozen=True, slots=True)
class Node:
    """A cluster as it is drawn."""

    name: str
    lines: tuple[str, ...]
    state: State


Links = dict[tuple[str, str], State]


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float
    angle: float = 0.0

    def moved(self, x: float, y: float) -> _Place:
        return _Place(self.x + x, self.y + y, self.angle)


def links(results: Iterable[Result]) -> Links:
    """How well each way from one cluster to another is: its own checks, and a failing data path to the other.

    That nothing can be told of a data path, for no fault of the mesh, says nothing of the link.
    """
    pairs: dict[tuple[str, str], list[Result]] = {}
    broken: dict[str, list[Result]] = {}
    for result in results:
        cluster, peer = result.target.cluster, result.target.peer
        if cluster and peer:
            pairs.setdefault((cluster, peer), []).append(result)
        elif cluster and result.check.topic == DATA_PATH and (result.problem or result.caused_by):
            broken.setdefault(cluster, []).append(result)
    return {pair: worst([*of_pair, *broken.get(pair[1], [])]) for pair, of_pair in pairs.items()}


def health(results: Iterable[Result], names: Iterable[str]) -> dict[str, State]:
    """How well each cluster is by itself."""
    own: dict[str, list[Result]] = {name: [] for name in names}
    for result in results:
        if result.check.scope is Scope.CLUSTER and result.target.cluster in own:
            own[result.target.cluster].append(result)
    return {name: worst(states) for name, states in own.items()}


def drawing(nodes: Sequence[Node], ways: Mapping[tuple[str, str], State]) -> Markup:
    """The SVG: one for a page and one for a phone, of which a reader sees one; of many clusters only one."""
    if len(nodes) > MOST_BOXES:
        wide, high, places = _dots(nodes)
        shapes = [_dot(node, places[node.name]) for node in nodes]
        least = f"min-width:{wide * _SMALLEST:.0f}px"
        return _svg("dots", (wide, high), summary(nodes, ways), _chords(places, ways), *shapes, style=least)
    small = _NARROW if len(nodes) <= _ROOMY else _SMALL
    return join(
        _boxed("for-wide", _WIDE, _on_a_ring(nodes), nodes, ways),
        _boxed("for-narrow", small, _on_two_sides(nodes, small), nodes, ways),
    )


def _boxed(
    kind: str,
    box: _Box,
    placed: tuple[float, float, dict[str, _Place]],
    nodes: Sequence[Node],
    ways: Mapping[tuple[str, str], State],
) -> Markup:
    wide, high, places = placed
    heads = tag("defs", *(_head(state, kind) for state in State))
    arrows = _arrows(places, ways, box, kind)
    shapes = [_box(node, places[node.name], box) for node in nodes]
    return _svg(kind, (wide, high), summary(nodes, ways), heads, arrows, *shapes)


def _svg(
    kind: str, size: tuple[float, float], description: str, *content: Markup, style: str | None = None
) -> Markup:
    wide, high = size
    return tag(
        "svg",
        tag("title", words("Topology of the mesh"), id=f"{kind}-title"),
        tag("desc", description, id=f"{kind}-desc"),
        *content,
        viewBox=f"0 0 {wide:.0f} {high:.0f}",
        width=f"{wide:.0f}",
        height=f"{high:.0f}",
        role="img",
        aria_labelledby=f"{kind}-title {kind}-desc",
        style=style,
        class_=f"topology {kind}",
    )


def summary(nodes: Sequence[Node], ways: Mapping[tuple[str, str], State]) -> str:
    """The drawing in words."""
    number = {state: sum(way is state for way in ways.values()) for state in State}
    counts = ", ".join(state.counted(number[state]) for state in reversed(State) if number[state])
    failed = [node.name for node in nodes if node.state is State.FAILED]
    clusters = number_of(len(nodes), "cluster")
    if failed:
        clusters += words("; checks failed in {names}", names=", ".join(failed))
    between = (
        words("Links between them: {counts}.", counts=counts) if counts else words("No links between them.")
    )
    return f"{clusters}. {between}"


def _ring(nodes: Sequence[Node], rx: float, ry: float, start: float) -> dict[str, _Place]:
    angles = [start + 2 * math.pi * number / len(nodes) for number in range(len(nodes))]
    return {
        node.name: _Place(rx * math.cos(angle), ry * math.sin(angle), angle)
        for node, angle in zip(nodes, angles, strict=True)
    }


def _on_a_ring(nodes: Sequence[Node]) -> tuple[float, float, dict[str, _Place]]:
    """Width, height and places: side by side, or on an ellipse wide enough for the boxes."""
    many = len(nodes)
    if many < _RING:
        return _fitted(_ring(nodes, 190.0 * (many - 1), 0.0, math.pi), _WIDE, _MARGIN)
    return _fitted(_ring(nodes, 170 + 28.0 * many, 70 + 23.0 * many, -math.pi / 2), _WIDE, _MARGIN)


def _on_two_sides(nodes: Sequence[Node], box: _Box) -> tuple[float, float, dict[str, _Place]]:
    """The same for a phone: an ellipse as wide as the screen, in turn on its right and its left side.

    On an ellipse no line between two boxes crosses a third one.
    """
    step = (box.height + _DOT_ROOM) / 2
    radius = (_PHONE - box.width) / 2 - 1
    places = {}
    for number, node in enumerate(nodes):
        up = (2 * number + 1) / len(nodes) - 1
        side = (-1) ** number if len(nodes) > 1 else 0
        places[node.name] = _Place(side * radius * math.sqrt(1 - up * up), step * number)
    return _fitted(places, box, 1)


def _fitted(places: Mapping[str, _Place], box: _Box, margin: float) -> tuple[float, float, dict[str, _Place]]:
    """Width and height of a drawing of these boxes, and their places in it."""
    xs = [place.x for place in places.values()] or [0.0]
    ys = [place.y for place in places.values()] or [0.0]
    left, top = box.width / 2 + margin - min(xs), box.height / 2 + margin - min(ys)
    wide, high = max(xs) - min(xs) + box.width, max(ys) - min(ys) + box.height
    return wide + 2 * margin, high + 2 * margin, {n: place.moved(left, top) for n, place in places.items()}


def _dots(nodes: Sequence[Node]) -> tuple[float, float, dict[str, _Place]]:
    """The same for dots on a circle, with room for their names around it."""
    radius = max(170.0, len(nodes) * _DOT_ROOM / (2 * math.pi))
    middle = radius + _LETTER * max(min(width(node.name), _LABEL_FITS) for node in nodes) + _MARGIN
    ring = _ring(nodes, radius, radius, -math.pi / 2)
    return 2 * middle, 2 * middle, {name: place.moved(middle, middle) for name, place in ring.items()}


def _head(state: State, kind: str) -> Markup:
    return tag(
        "marker",
        tag("path", d="M0 0L8 4L0 8z", class_=f"head {state.style}"),
        id=f"{kind}-{state.style}",
        viewBox="0 0 8 8",
        refX="7",
        refY="4",
        markerWidth="8",
        markerHeight="8",
        markerUnits="userSpaceOnUse",
        orient="auto",
    )


def _arrows(
    places: Mapping[str, _Place], ways: Mapping[tuple[str, str], State], box: _Box, kind: str
) -> Markup:
    drawn = []
    for (cluster, peer), state in sorted(ways.items(), key=lambda way: way[1]):
        begin, end = places.get(cluster), places.get(peer)
        if begin is None or end is None:
            continue
        dx, dy = end.x - begin.x, end.y - begin.y
        length = math.hypot(dx, dy) or 1.0
        aside = _Place(-dy / length * _APART, dx / length * _APART)
        out, short = _within(box, aside, dx, dy), _within(box, aside, -dx, -dy)
        path = (
            f"M{begin.x + dx * out + aside.x:.1f} {begin.y + dy * out + aside.y:.1f}"
            f"L{end.x - dx * short + aside.x:.1f} {end.y - dy * short + aside.y:.1f}"
        )
        drawn.append(
            tag(
                "path",
                tag("title", f"{cluster} → {peer}: {state.word}"),
                d=path,
                class_=f"way {state.style}",
                marker_end=f"url(#{kind}-{state.style})",
            )
        )
    return tag("g", *drawn)


def _within(box: _Box, start: _Place, dx: float, dy: float) -> float:
    """The part of a line that is within a box, which it leaves from beside the box's middle."""
    ends = ((box.width / 2, start.x, dx), (box.height / 2, start.y, dy))
    return min((half + _GAP - math.copysign(at, at * d)) / abs(d) for half, at, d in ends if abs(d) > 1)


def _chords(places: Mapping[str, _Place], ways: Mapping[tuple[str, str], State]) -> Markup:
    """One line for two clusters, as bad as the worse way of both; one path for all of a state."""
    worse: dict[tuple[str, str], State] = {}
    for (cluster, peer), state in ways.items():
        both = (min(cluster, peer), max(cluster, peer))
        worse[both] = max(state, worse.get(both, State.NONE))
    drawn = []
    for state in State:
        path = "".join(
            f"M{places[one].x:.0f} {places[one].y:.0f}L{places[other].x:.0f} {places[other].y:.0f}"
            for (one, other), worst_state in worse.items()
            if worst_state is state and one in places and other in places
        )
        drawn.append(tag("path", d=path, class_=f"chord {state.style}") if path else None)
    return tag("g", *drawn)


def _box(node: Node, place: _Place, box: _Box) -> Markup:
    x, y = place.x - box.width / 2, place.y - box.height / 2
    top = y + box.pad + 10
    return tag(
        "g",
        tag("title", "\n".join([node.name, *node.lines, node.state.word])),
        tag("rect", x=x, y=y, width=box.width, height=box.height, rx=8, class_=f"box {node.state.style}"),
        tag(
            "text",
            node.state.sign,
            x=x + box.width - box.pad,
            y=top,
            text_anchor="end",
            class_=f"sign {node.state.style}",
        ),
        tag("text", clipped_name(node.name, box.name_fits), x=x + box.pad, y=top, class_="name"),
        *(
            tag(
                "text",
                clipped_name(line, box.fits),
                x=x + box.pad,
                y=top + 1 + box.line * number,
                class_="line",
            )
            for number, line in enumerate(node.lines, 1)
        ),
    )


def _dot(node: Node, place: _Place) -> Markup:
    return tag(
        "g",
        tag("title", "\n".join([node.name, *node.lines, node.state.word])),
        tag("circle", cx=place.x, cy=place.y, r=_DOT, class_=f"dot {node.state.style}"),
        _label(node, place),
    )


def _label(node: Node, place: _Place) -> Markup:
    """The name, outwards from the dot; on the left half turned so that it is not upside down."""
    turned = round(math.cos(place.angle), 6) < 0
    degrees = math.degrees(place.angle) + (180 if turned else 0)
    return tag(
        "text",
        clipped_name(node.name, _LABEL_FITS),
        x=-(_DOT + 6) if turned else _DOT + 6,
        y=4,
        text_anchor="end" if turned else "start",
        transform=f"translate({place.x:.1f} {place.y:.1f}) rotate({degrees:.1f})",
        class_=f"label {node.state.style}",
    )
