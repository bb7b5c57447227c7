"""The report of a command: the source of both the text for people and the JSON envelope."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from istio_mc.domain import yamltext
from istio_mc.domain.hint import type_of
from istio_mc.domain.jsontext import Made, pieces
from istio_mc.present.output.encoding import Texts
from istio_mc.present.output.hints import hint_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rich.console import Console

    from istio_mc.domain.problem import Problem

SCHEMA_VERSION = 2


class Exit(IntEnum):
    """Exit codes, part of the contract with scripts."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    CHECKS_FAILED = 4
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a verb.

    Attributes:
        data: What programs get, JSON types only, keys in camelCase, no secrets; a long list of it may be
            `Made`.
        warnings: What the user should know though nothing failed.
        renders_problems: Whether `render` prints errors and warnings itself.
        formats: What is printed for a form of output that this verb alone has, by the form's name.
    """

    data: dict[str, Any]
    render: Callable[[Console], None]
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    exit: Exit = Exit.DONE
    renders_problems: bool = False
    formats: Mapping[str, Callable[[], str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The one JSON document on standard output."""

    command: str
    exit: Exit
    data: dict[str, Any] | None
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """The envelope as plain data."""
        document = self._document()
        if self.data is not None:
            document["data"] = {key: list(v) if isinstance(v, Made) else v for key, v in self.data.items()}
        return document

    def _document(self) -> dict[str, Any]:
        status = {Exit.DONE: "success", Exit.PARTIAL: "partial"}.get(self.exit, "error")
        return {
            "schemaVersion": SCHEMA_VERSION,
            "command": self.command,
            "status": status,
            "data": self.data,
            "messages": problems_data(self.warnings),
            "errors": problems_data(self.errors),
        }

    def text(self, output: str, *, ascii_only: bool = False) -> str:
        """The envelope as `json` or `yaml`."""
        return "".join(self._pieces(output, ascii_only=ascii_only))

    def texts(self, output: str) -> Texts:
        """The envelope as `json` or `yaml`, for any encoding."""
        return Texts(partial(self._pieces, output), partial(self._pieces, output, ascii_only=True))

    def _pieces(self, output: str, *, ascii_only: bool = False) -> Iterator[str]:
        if output == "yaml":
            yield yamltext.dump(self.document(), ascii_only=ascii_only)
        else:
            yield from pieces(self._document(), ascii_only=ascii_only)
            yield "\n"


def problems_data(problems: Iterable[Problem]) -> list[dict[str, str | None]]:
    """Problems as the envelope has them."""
    return [
        {
            "code": problem.code.value,
            "cluster": problem.cluster,
            "message": problem.message,
            "seen": problem.seen,
            "expected": problem.expected,
            "hint": text_of(problem),
            "hintType": kind.value if (kind := type_of(hint_of(problem))) else None,
            "docs": problem.docs,
        }
        for problem in problems
    ]


def exit_for(failed: int, total: int) -> Exit:
    """The exit code where `failed` of `total` clusters failed."""
    if not failed:
        return Exit.DONE
    return Exit.FAILED if failed == total else Exit.PARTIAL
