"""A mesh.yaml to begin with: what holds today written out, what could be said commented out."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from istio_mc.domain.settings.fields import CLUSTER, MESH, Field, Kind
from istio_mc.domain.settings.schema import default_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WIDTH = 100
_HEAD = """\
mesh.yaml: the settings of one Istio mesh. Flags win over this file; relative paths are taken from its folder.

Lines that begin with "#" and no space after it are settings to switch on: take the "#" away. They show the \
default, or an example where there is none.

  istio-mc config show      what holds now, and where each value came from
  istio-mc config schema    the JSON Schema of this file, for editors
"""


@dataclass(frozen=True, slots=True)
class TemplateCluster:
    """A cluster that the file begins with.

    Attributes:
        context: Its context's name.
        cluster: Its name in the kubeconfig.
        server: Its API server's address there.
        cluster_id: The ID it would get.
    """

    context: str
    cluster: str
    server: str
    cluster_id: str


def template(clusters: Sequence[TemplateCluster]) -> str:
    """The text of a mesh.yaml that says no more than "these clusters", and shows what else could be said."""
    lines = [*_comment(_HEAD, "")]
    told: set[str] = set()
    for field in MESH:
        if field.kind is Kind.ENTRIES:
            lines += ["", *_clusters(field, clusters)]
        elif field.constant:
            lines.append(f"{field.key}: {field.constant}")
        else:
            lines += ["", *_field(field, "", told)]
    return "\n".join(lines) + "\n"


def _field(field: Field, indent: str, told: set[str]) -> list[str]:
    """A key with its comment, which is not `told` twice; nothing, where there is nothing to show."""
    about = [] if _about(field) in told else list(_comment(_about(field), indent))
    if field.fields:
        below = [line for inner in field.fields for line in _field(inner, indent + "  ", told)]
        return [*about, f"{indent}{field.key}:", *below] if below else []
    default = default_of(field)
    shown = scalar(default) if default not in (None, "") else field.example
    if not shown:
        return []
    told.add(_about(field))
    return [*about, f"{indent}{'' if field.written else '#'}{field.key}: {shown}"]


def _clusters(field: Field, clusters: Sequence[TemplateCluster]) -> Iterator[str]:
    yield from _comment(f"{field.about} What can be said of each:", "")
    for inner in CLUSTER:
        first, *rest = textwrap.wrap(_about(inner), _WIDTH - 19)
        yield f"#   {inner.key:<15}{first}"
        yield from (f"#   {'':<15}{line}" for line in rest)
    yield f"{field.key}:" if clusters else f"{field.key}: []"
    for number, cluster in enumerate(clusters, start=1):
        example = {"id": scalar(cluster.cluster_id), "network": f"network{number}"}
        yield f"  - context: {scalar(cluster.context)}"
        yield from _comment(_one_line(f"Cluster {cluster.cluster} at {cluster.server}"), "    ")
        for inner in CLUSTER:
            if shown := example.get(inner.key, inner.example):
                yield f"    #{inner.key}: {shown}"


def scalar(value: object) -> str:
    """A value as it is written behind a key, on one line, in quotes where it needs them."""
    if isinstance(value, str) and not value.isprintable():
        return yaml.safe_dump(value, default_style='"', width=float("inf")).strip()
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")


def _about(field: Field) -> str:
    return f"{field.about} Not set: {field.otherwise}." if field.otherwise else field.about


def _comment(text: str, indent: str) -> Iterator[str]:
    for paragraph in text.splitlines():
        if paragraph.startswith("  ") or not paragraph:
            yield f"{indent}# {paragraph}".rstrip()
        else:
            for line in textwrap.wrap(paragraph, _WIDTH - len(indent), break_long_words=False):
                yield f"{indent}# {line}"


def _one_line(text: str) -> str:
    """Names that others chose, made safe for a comment: no line breaks, nothing that YAML refuses."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
