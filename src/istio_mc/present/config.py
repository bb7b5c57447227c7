"""Output of the config commands."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from istio_mc.ops.config import Source
from istio_mc.present.output.envelope import Report
from istio_mc.present.output.terminal import print_rows, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.console import Console

    from istio_mc.ops.config import Setting, Shown, Written


def initialised(result: Written) -> Report:
    """Where mesh.yaml was written; or, where it was not, its text and nothing else."""

    def render(console: Console) -> None:
        if result.file is None:
            console.out(result.text, end="", highlight=False)
        else:
            console.print(f"wrote {result.file}: {', '.join(result.contexts)}", soft_wrap=True)

    return Report(
        data={
            "file": None if result.file is None else str(result.file),
            "contexts": list(result.contexts),
            "text": result.text,
        },
        render=render,
        warnings=result.warnings,
    )


def shown(result: Shown, *, changed_only: bool = False) -> Report:
    """The effective settings, and where each came from; with `changed_only`, without defaults."""
    if changed_only:
        changed = tuple(setting for setting in result.settings if setting.source is not Source.DEFAULT)
        result = replace(result, settings=changed)
    return Report(
        data={
            "file": None if result.file is None else str(result.file),
            "settings": [
                {
                    "key": setting.key,
                    "value": setting.value,
                    "source": str(setting.source),
                    "origin": setting.origin,
                }
                for setting in result.settings
            ],
        },
        render=lambda console: _render(result, console),
    )


def schema(document: dict[str, Any]) -> Report:
    """The JSON Schema, as a file of its own or in the envelope."""
    return Report(
        data={"schema": document},
        render=lambda console: console.out(schema_text(document), end="", highlight=False),
    )


def schema_text(document: dict[str, Any]) -> str:
    """The JSON Schema as it is published in docs/mesh.schema.json."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _render(result: Shown, console: Console) -> None:
    rows = table("SETTING", "FROM", "VALUE")
    for setting in _folded(result.settings):
        origin = setting.origin or ""
        if result.file is not None:
            origin = origin.replace(str(result.file), result.file.name)
        rows.add_row(setting.key, f"{setting.source} {origin}".rstrip(), _value(setting, result.folder))
    print_rows(console, rows)


def _folded(settings: Iterable[Setting]) -> Iterator[Setting]:
    """A mapping whose keys are all unset in the same way becomes one line."""
    settings = list(settings)
    sizes = Counter(setting.key.rpartition(".")[0] for setting in settings)
    for (parent, otherwise, unset), group in groupby(settings, _unset):
        members = list(group)
        if unset and parent and 1 < len(members) == sizes[parent]:
            yield replace(members[0], key=parent, otherwise=otherwise)
        else:
            yield from members


def _unset(setting: Setting) -> tuple[str, str, bool]:
    return setting.key.rpartition(".")[0], setting.otherwise, setting.value is None and not setting.origin


def _value(setting: Setting, folder: Path | None) -> str:
    if setting.value is None:
        return f"({setting.otherwise})" if setting.otherwise else "null"
    if isinstance(setting.value, bool):
        return str(setting.value).lower()
    if isinstance(setting.value, list):
        return ", ".join(_from(folder, one) for one in setting.value)
    return _from(folder, str(setting.value)) if setting.value != "" else '""'


def _from(folder: Path | None, text: str) -> str:
    """A path as it is called in a folder; any other text unchanged."""
    return text.removeprefix(f"{folder}/") if folder else text
