"""explain: the section of the documentation about an error code or a check, from the installed package."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from istio_mc.domain.hint import istio_mc
from istio_mc.domain.problem import Code, InputError, section_name
from istio_mc.domain.text import printable
from istio_mc.gateways.host.packaged_docs import packaged_docs

if TYPE_CHECKING:
    from collections.abc import Mapping

_CELL = re.compile(r"`([^`]+)`")


class TopicType(StrEnum):
    """What a name that is explained stands for."""

    CODE = "code"
    CHECK = "check"
    SECTION = "section"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the documentation says about a name.

    Attributes:
        name: An error code, the ID of a check, or a section that the `docs:` line of a problem names.
        text: The section, as Markdown.
        check: The record of a check: title, severity, scope, looksAt, usualCause, fix.
    """

    name: str
    type: TopicType
    docs: str
    text: str
    check: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topics:
    """All names that can be explained."""

    checks: Mapping[str, str]
    codes: tuple[str, ...]


def topics() -> Topics:
    """The names of all checks and error codes."""
    checks = packaged_docs()["checks"]
    return Topics({name: check["title"] for name, check in checks.items()}, tuple(sorted(Code)))


def explain(name: str) -> Explanation:
    """The section about a name.

    Raises:
        InputError: There is no such name; the error has those that are nearest.
    """
    docs = packaged_docs()
    sections: dict[str, str] = docs["sections"]
    if name in list(Code):
        reference = Code(name).docs
        return Explanation(name, TopicType.CODE, reference, _about(name, sections[reference]))
    if check := docs["checks"].get(name):
        record = {key: value for key, value in check.items() if key != "docs"}
        return Explanation(name, TopicType.CHECK, check["docs"], sections[check["docs"]], record)
    by_anchor = {section_name(reference): reference for reference in sections}
    if reference := by_anchor.get(name, ""):
        return Explanation(name, TopicType.SECTION, reference, sections[reference])
    known = [*docs["checks"], *Code, *by_anchor]
    near = list(dict.fromkeys(difflib.get_close_matches(name.lower(), known)))
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InputError.of(
        code=Code.USAGE,
        message=f'CODE: no error code or check "{printable(name)}"{meant}',
        hint=istio_mc("explain", *near[:1]),
    )


def _about(code: str, text: str) -> str:
    """The section without those rows of its tables that explain other codes only."""
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    own = [row for row in rows if code in _CELL.findall(row.split("|")[1])]
    if not own:
        return text
    return "\n".join(line for line in text.splitlines() if line not in rows or line in own)
