"""A mesh.yaml to begin with: what holds today written out, what could be said commented out."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from istio_mc.domain import yamltext
from istio_mc.domain.settings.keys import fields_of
from istio_mc.domain.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from istio_mc.domain.settings.keys import Field, Key

_WIDTH = 100
_HEAD = """\
mesh.yaml: the settings of one Istio mesh. Options override this file; paths are relative to its folder.

Lines that start with "#" and no space are settings: remove the "#" to set them. They show the default, or \
an example if there is none.

  istio-mc config show      the current settings and their sources
  istio-mc config schema    the JSON Schema of this file, for editors
"""


@dataclass(frozen=True, slots=True)
class TemplateCluster:
    """A cluster that the file begins with."""

    context: str
    cluster: str
    server: str
    cluster_id: str


def template(clusters: Sequence[TemplateCluster]) -> str:
    """The text of a mesh.yaml that names the clusters and no more, and shows what else can be set."""
    lines = [*_comment(_HEAD, "")]
    explained: set[str] = set()
    for field in fields_of(Settings):
        if field.is_list:
            lines += ["", *_clusters(field, clusters)]
        elif field.key.constant:
            lines.append(f"{field.name}: {field.key.constant}")
        else:
            lines += ["", *_field(field, "", explained)]
    return "\n".join(lines) + "\n"


def _field(field: Field, indent: str, explained: set[str]) -> list[str]:
    """A key with its comment, which is not repeated; nothing, where there is nothing to show."""
    text = _about(field.key)
    about = [] if text in explained else list(_comment(text, indent))
    if field.below:
        below = [line for inner in field.below for line in _field(inner, indent + "  ", explained)]
        return [*about, f"{indent}{field.name}:", *below] if below else []
    shown = field.key.example if field.default in (None, "") else scalar(field.default)
    if not shown:
        return []
    explained.add(text)
    return [*about, f"{indent}{'' if field.key.written else '#'}{field.name}: {shown}"]


def _clusters(field: Field, clusters: Sequence[TemplateCluster]) -> Iterator[str]:
    yield from _comment(f"{field.key.about} Keys of each entry:", "")
    for inner in field.below:
        first, *rest = textwrap.wrap(_about(inner.key), _WIDTH - 19)
        yield f"#   {inner.name:<15}{first}"
        yield from (f"#   {'':<15}{line}" for line in rest)
    yield f"{field.name}:" if clusters else f"{field.name}: []"
    for number, cluster in enumerate(clusters, start=1):
        example = {"id": scalar(cluster.cluster_id), "network": f"network{number}"}
        yield f"  - context: {scalar(cluster.context)}"
        yield from _comment(_one_line(f"Cluster {cluster.cluster} at {cluster.server}"), "    ")
        for inner in field.below:
            if shown := example.get(inner.name, inner.key.example):
                yield f"    #{inner.name}: {shown}"


_ENDLESS = 2**31 - 1
"""Columns of a line that is never broken: libyaml's int."""


def scalar(value: object) -> str:
    """A value as it is written behind a key, on one line, in quotes where it needs them."""
    if isinstance(value, str) and not value.isprintable():
        return yaml.safe_dump(value, default_style='"', width=float("inf")).strip()
    text = yaml.dump(
        value, Dumper=yamltext.Dumper, allow_unicode=True, default_flow_style=True, width=_ENDLESS
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _about(key: Key) -> str:
    return f"{key.about} Not set: {key.otherwise}." if key.otherwise else key.about


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
