"""Keeps Korean pages beside the English ones: `python -m scripts.korean_pages` once the Korean was looked at.

A section of a Korean page has a comment with a fingerprint of the English section that it was written from:
`<!-- en: 1f3a09c2 -->`. When the English section changes, a test fails until someone has looked at the Korean
one and has the fingerprints written again. docs/ko/troubleshooting.md, whose sections are others, has the
fingerprint of each English section that it links.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PARALLEL = {
    "README.ko.md": "README.md",
    "docs/ko/guide.md": "docs/guide.md",
    "docs/ko/from-the-scripts.md": "docs/from-the-scripts.md",
    "docs/ko/day-two.md": "docs/day-two.md",
}
"""Korean pages that have the sections of an English one, in its order."""

BY_SYMPTOM = "docs/ko/troubleshooting.md"
"""The Korean page that has the sections of docs/troubleshooting.md in an order of its own."""

TROUBLESHOOTING = "docs/troubleshooting.md"

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
_COMMENT = re.compile(r"^<!-- en: [^>]* -->\n", re.MULTILINE)
_LINKED = re.compile(r"\.\./troubleshooting\.md#([\w-]+)")
_FINGERPRINT = 8


@dataclass(frozen=True)
class Section:
    """One heading and what is below it, up to the next heading.

    Attributes:
        start: Where its heading begins in the page.
    """

    level: int
    heading: str
    body: str
    start: int

    @property
    def anchor(self) -> str:
        """The anchor of a heading that has no punctuation, such as a code."""
        return self.heading.lower().replace(" ", "-")

    @property
    def fences(self) -> list[str]:
        """Its code blocks."""
        return _FENCE.findall(self.body)

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that change with the heading or the text."""
        text = f"{self.heading}\n{' '.join(_COMMENT.sub('', self.body).split())}"
        return hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT]


def sections(text: str) -> list[Section]:
    """The sections of a page in their order."""
    prose = _FENCE.sub(lambda fence: " " * len(fence[0]), text)
    found = list(_HEADING.finditer(prose))
    ends = [*(match.start() for match in found[1:]), len(text)]
    return [
        Section(len(match[1]), match[2], text[match.end() : end], match.start())
        for match, end in zip(found, ends, strict=True)
    ]


def comments(page: str) -> list[str]:
    """The comments that a Korean page must have, one a section, in their order; empty: none."""
    if page in PARALLEL:
        return [f"<!-- en: {one.fingerprint} -->" for one in sections(_read(PARALLEL[page]))]
    english = {one.anchor: one.fingerprint for one in sections(_read(TROUBLESHOOTING))}
    made = []
    for section in sections(_read(page)):
        linked = dict.fromkeys(_LINKED.findall(section.body))
        listed = " ".join(f"{name}={english.get(name, 'missing')}" for name in linked)
        made.append(f"<!-- en: {listed} -->" if linked else "")
    return made


def with_comments(page: str) -> str:
    """A Korean page with the fingerprints of the English sections of now."""
    text = _COMMENT.sub("", _read(page))
    parts = list(_with_each(text, comments(page)))
    return "".join(parts)


def _with_each(text: str, desired: list[str]) -> Iterator[str]:
    end = 0
    for section, comment in zip(sections(text), desired, strict=True):
        after = text.index("\n", section.start) + 1
        yield text[end:after] + (f"{comment}\n" if comment else "")
        end = after
    yield text[end:]


def _read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def main() -> None:
    """Writes the fingerprints into every Korean page."""
    for page in (*PARALLEL, BY_SYMPTOM):
        (ROOT / page).write_text(with_comments(page), encoding="utf-8")


if __name__ == "__main__":
    main()
