"""The mesh as a drawing: clusters on a ring, an arrow for each way between two, its colour how well it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.checks.model import Scope
from istio_mc.domain.text import plural
from istio_mc.present.html.markup import Markup, State, clipped_name, tag, width, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from istio_mc.checks.model import Result

MOST_BOXES = 8
"""Above so many clusters they are drawn as dots."""

DATA_PATH = "data-path"
_BOX_WIDTH, _BOX_HEIGHT = 210, 92
_LINE, _PAD = 19, 14
_FITS, _NAME_FITS = 25, 16  # a name is bold, larger, and has a sign beside it
_APART = 7
_GAP = 4
_DOT, _LETTER, _LABEL_FITS = 6, 7.5, 24
_DOT_ROOM = 28
_MARGIN = 24
_RING = 3
_SMALLEST = 0.85  # on a phone the drawing is moved aside sooner than made too small to be read


@dataclass(frozen=True, slots=True)
class Node:
    """A cluster as it is drawn.

    Attributes:
        lines: What is said of it below its name.
    """

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
    return {pair: worst([*found, *broken.get(pair[1], [])]) for pair, found in pairs.items()}


def health(results: Iterable[Result], names: Iterable[str]) -> dict[str, State]:
    """How well each cluster is by itself."""
    own: dict[str, list[Result]] = {name: [] for name in names}
    for result in results:
        if result.check.scope is Scope.CLUSTER and result.target.cluster in own:
            own[result.target.cluster].append(result)
    return {name: worst(found) for name, found in own.items()}


def drawing(nodes: Sequence[Node], ways: Mapping[tuple[str, str], State]) -> Markup:
    """The SVG."""
    boxes = len(nodes) <= MOST_BOXES
    wide, high, places = _boxes(nodes) if boxes else _dots(nodes)
    lines = _arrows(places, ways) if boxes else _chords(places, ways)
    shapes = [_box(node, places[node.name]) if boxes else _dot(node, places[node.name]) for node in nodes]
    return tag(
        "svg",
        tag("title", "Topology of the mesh", id="drawing-title"),
        tag("desc", summary(nodes, ways), id="drawing-desc"),
        tag("defs", *(_head(state) for state in State)) if boxes else None,
        lines,
        *shapes,
        viewBox=f"0 0 {wide:.0f} {high:.0f}",
        width=f"{wide:.0f}",
        height=f"{high:.0f}",
        role="img",
        aria_labelledby="drawing-title drawing-desc",
        style=f"min-width:{wide * _SMALLEST:.0f}px",
        class_="topology" if boxes else "topology dots",
    )


def summary(nodes: Sequence[Node], ways: Mapping[tuple[str, str], State]) -> str:
    """The drawing in words."""
    count = {state: sum(way is state for way in ways.values()) for state in State}
    told = ", ".join(f"{count[state]} {state.word}" for state in reversed(State) if count[state])
    ill = [node.name for node in nodes if node.state is State.FAILED]
    clusters = plural(len(nodes), "cluster") + (f", of which {', '.join(ill)} failed checks" if ill else "")
    return f"{clusters}. " + (f"Ways between them: {told}." if told else "No ways between them.")


def _ring(nodes: Sequence[Node], rx: float, ry: float, start: float) -> dict[str, _Place]:
    angles = [start + 2 * math.pi * number / len(nodes) for number in range(len(nodes))]
    return {
        node.name: _Place(rx * math.cos(angle), ry * math.sin(angle), angle)
        for node, angle in zip(nodes, angles, strict=True)
    }


def _boxes(nodes: Sequence[Node]) -> tuple[float, float, dict[str, _Place]]:
    """Width, height and places: side by side, or on an ellipse wide enough for the boxes."""
    count = len(nodes)
    if count < _RING:
        ring = _ring(nodes, 190.0 * (count - 1), 0.0, math.pi)
    else:
        ring = _ring(nodes, 170 + 28.0 * count, 70 + 23.0 * count, -math.pi / 2)
    xs, ys = [place.x for place in ring.values()] or [0.0], [place.y for place in ring.values()] or [0.0]
    left, top = _BOX_WIDTH / 2 + _MARGIN - min(xs), _BOX_HEIGHT / 2 + _MARGIN - min(ys)
    places = {name: place.moved(left, top) for name, place in ring.items()}
    wide, high = max(xs) - min(xs) + _BOX_WIDTH, max(ys) - min(ys) + _BOX_HEIGHT
    return wide + 2 * _MARGIN, high + 2 * _MARGIN, places


def _dots(nodes: Sequence[Node]) -> tuple[float, float, dict[str, _Place]]:
    """The same for dots on a circle, with room for their names around it."""
    radius = max(170.0, len(nodes) * _DOT_ROOM / (2 * math.pi))
    middle = radius + _LETTER * max(min(width(node.name), _LABEL_FITS) for node in nodes) + _MARGIN
    ring = _ring(nodes, radius, radius, -math.pi / 2)
    return 2 * middle, 2 * middle, {name: place.moved(middle, middle) for name, place in ring.items()}


def _head(state: State) -> Markup:
    return tag(
        "marker",
        tag("path", d="M0 0L8 4L0 8z", class_=f"head {state.style}"),
        id=f"head-{state.style}",
        viewBox="0 0 8 8",
        refX="7",
        refY="4",
        markerWidth="8",
        markerHeight="8",
        markerUnits="userSpaceOnUse",
        orient="auto",
    )


def _arrows(places: Mapping[str, _Place], ways: Mapping[tuple[str, str], State]) -> Markup:
    drawn = []
    for (cluster, peer), state in sorted(ways.items(), key=lambda way: way[1]):
        begin, end = places.get(cluster), places.get(peer)
        if begin is None or end is None:
            continue
        dx, dy = end.x - begin.x, end.y - begin.y
        length = math.hypot(dx, dy) or 1.0
        aside = _Place(-dy / length * _APART, dx / length * _APART)
        out, short = _way_out(aside, dx, dy), _way_out(aside, -dx, -dy)
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
                marker_end=f"url(#head-{state.style})",
            )
        )
    return tag("g", *drawn)


def _way_out(start: _Place, dx: float, dy: float) -> float:
    """The part of a line's way that lies within a box, which it leaves from beside the box's middle."""
    ends = ((_BOX_WIDTH / 2, start.x, dx), (_BOX_HEIGHT / 2, start.y, dy))
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
            for (one, other), found in worse.items()
            if found is state and one in places and other in places
        )
        drawn.append(tag("path", d=path, class_=f"chord {state.style}") if path else None)
    return tag("g", *drawn)


def _box(node: Node, place: _Place) -> Markup:
    x, y = place.x - _BOX_WIDTH / 2, place.y - _BOX_HEIGHT / 2
    shown = [clipped_name(line, _FITS) for line in node.lines]
    return tag(
        "g",
        tag("title", "\n".join([node.name, *node.lines, node.state.word])),
        tag("rect", x=x, y=y, width=_BOX_WIDTH, height=_BOX_HEIGHT, rx=8, class_=f"box {node.state.style}"),
        tag(
            "text",
            node.state.sign,
            x=x + _BOX_WIDTH - _PAD,
            y=y + _PAD + 10,
            text_anchor="end",
            class_=f"sign {node.state.style}",
        ),
        tag("text", clipped_name(node.name, _NAME_FITS), x=x + _PAD, y=y + _PAD + 10, class_="name"),
        *(
            tag("text", line, x=x + _PAD, y=y + _PAD + 11 + _LINE * number, class_="line")
            for number, line in enumerate(shown, 1)
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
