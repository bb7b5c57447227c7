"""What goes into a bundle: files of bounded size in a fixed order, what is missing and why. Pure."""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from istio_mc.domain import yamltext
from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime


MOST_OF_A_FILE = 2 << 20
"""Bytes of one file, uncompressed; what is longer is cut."""

MOST_OF_A_CLUSTER = 16 << 20
"""Bytes of one cluster's files; the more clusters, the less has each."""

MOST_IN_ALL = 96 << 20
"""Bytes of all files, uncompressed: no bundle is larger, of however many clusters."""

_WIDTH = 1_000_000
"""Of YAML's lines: no value is folded, so that a pattern finds it whole."""

_CUT_LINE = "[cut here: {missing:,} bytes more]"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a bundle.

    Attributes:
        note: What a reader should know of it: that it was cut, and where.
    """

    path: str
    text: str = field(repr=False)
    note: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.text.encode())


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that was asked for and is not there."""

    what: str
    why: Problem


@dataclass(frozen=True, slots=True)
class Collected:
    """What was gathered of one cluster.

    Attributes:
        files: In the order of their worth: where room runs out, the last are left out.
    """

    files: tuple[File, ...] = ()
    missing: tuple[Missing, ...] = ()
    redactions: Mapping[str, int] = field(default_factory=dict)


class _Dumper(yamltext.Dumper):
    """Writes a text of several lines as lines."""


def _text(dumper: Any, value: str) -> Any:  # noqa: ANN401 - PyYAML's own
    return yamltext.represent_text(dumper, value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def dumped(document: object) -> str:
    """Plain data as YAML."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text


def listed(path: str, items: Iterable[Mapping[str, Any]], more: str = "") -> File:
    """Objects as YAML documents, as many as fit into a file."""
    items = list(items)
    parts: list[str] = []
    space = MOST_OF_A_FILE
    for item in items:
        part = dumped(item)
        space -= len(part.encode()) + 4
        if space < 0:
            break
        parts.append(part)
    cut = (
        f"{len(parts)} of {len(items)} objects: the file would be too long" if len(parts) < len(items) else ""
    )
    return File(path, "---\n".join(parts), "; ".join(filter(None, (cut, more))))


def cut_at_end(path: str, text: str, most: int = MOST_OF_A_FILE) -> File:
    """A text, cut at its end where it is too long."""
    data = text.encode()
    if len(data) <= most:
        return File(path, text)
    kept = data[:most].decode(errors="ignore")
    note = _CUT_LINE.format(missing=len(data) - most)
    return File(path, f"{kept}\n{note}\n", "truncated at the end")


def ended(path: str, text: str, most: int = MOST_OF_A_FILE) -> File:
    """A log, truncated at the beginning, at a line, where it is too long."""
    data = text.encode()
    if len(data) <= most:
        return File(path, text)
    kept = data[-most:].decode(errors="ignore").partition("\n")[2]
    return File(path, f"{_CUT_LINE.format(missing=len(data) - most)}\n{kept}", "truncated at the beginning")


def space_of_each(clusters: int) -> int:
    """How many bytes of files each cluster may have."""
    return min(MOST_OF_A_CLUSTER, (MOST_IN_ALL - MOST_OF_A_CLUSTER) // max(1, clusters))


def fitting(files: Sequence[File], space: int) -> tuple[list[File], list[File]]:
    """The files that have room, and those that have not: a large one leaves its place to smaller ones."""
    kept, omitted = [], []
    for file in files:
        if file.size <= space:
            kept.append(file)
            space -= file.size
        else:
            omitted.append(file)
    return kept, omitted


def omitted(file: File) -> Missing:
    """That a file found no room."""
    return Missing(
        file.path,
        Problem(
            code=Code.BUNDLE_FULL,
            message=f"{file.path} is left out: the bundle would be too large",
            seen=f"{file.size:,} bytes",
            hint=Advice("select fewer clusters with --contexts, or shorter logs with --since"),
        ),
    )


_FILE, _FOLDER = 0o600, 0o700


def packed(folder: str, files: Iterable[File], made: datetime) -> bytes:
    """The archive: one folder with everything in it, in the order of the paths.

    Args:
        files: The files; of two with one path the first counts.
    """
    texts: dict[str, str] = {}
    for file in files:
        texts.setdefault(f"{folder}/{file.path}", file.text)
    folders = {
        folder,
        *(path.rsplit("/", depth)[0] for path in texts for depth in range(1, path.count("/") + 1)),
    }
    raw = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=int(made.timestamp())) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted({*folders, *texts}):
            entry = tarfile.TarInfo(path)
            entry.mtime = int(made.timestamp())
            if path in texts:
                data = texts[path].encode()
                entry.size, entry.mode = len(data), _FILE
                archive.addfile(entry, io.BytesIO(data))
            else:
                entry.type, entry.mode = tarfile.DIRTYPE, _FOLDER
                archive.addfile(entry)
    return raw.getvalue()
