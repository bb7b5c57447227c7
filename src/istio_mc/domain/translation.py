"""Texts of checks in another language, by the templates that the sources write them from.

A template is `no Secret {0}/cacerts`, and its translation has the same fields, in the order of that language.
What no template fits, such as the words of an API server, stays in its own language.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Language(StrEnum):
    """A language of reports."""

    EN = "en"
    KO = "ko"


_FIELD = re.compile(r"\{(\w*)\}")
_PROSE = re.compile(r"[a-z]{2,} [a-z]{2,}")
_LETTER = re.compile(r"[A-Za-z]")
_FEWEST_LETTERS = 6
"""A template with fewer letters of its own, such as `{0} is {1}`, does not fit prose."""

_SEPARATORS = ("; ", ", ")
"""Between the texts, and between the names, of a list."""


@dataclass(frozen=True, slots=True)
class _Template:
    """One template with fields, and its translation.

    Attributes:
        letters: How many letters it has outside its fields: of templates that fit, the one with most is used.
        probe: Its longest piece of text; a text without that does not fit.
    """

    fields: tuple[str, ...]
    pattern: re.Pattern[str]
    translation: str
    letters: int
    probe: str

    @classmethod
    def of(cls, template: str, translation: str) -> _Template:
        pieces = _FIELD.split(template)
        texts = pieces[::2]
        literal = "".join(texts)
        pattern = re.escape(texts[0]) + "".join(f"(.*?){re.escape(text)}" for text in texts[1:])
        return cls(
            tuple(pieces[1::2]),
            re.compile(pattern, re.DOTALL),
            translation,
            len(_LETTER.findall(literal)),
            max(texts, key=len),
        )

    def filled(self, values: Sequence[str]) -> str:
        """The translation with these values of its fields."""
        by_name = dict(zip(self.fields, values, strict=True))
        return _FIELD.sub(lambda field: by_name[field[1]], self.translation)


@dataclass(frozen=True)
class Catalogue:
    """The translations into one language.

    Attributes:
        page: Texts of the page itself; fields have names.
        counts: What is counted, such as `root cause`, to the translation with the field `count`.
        checks: Title and passing sentence of each check, by its ID.
        texts: Templates of what checks found.
    """

    page: Mapping[str, str]
    counts: Mapping[str, str]
    checks: Mapping[str, Mapping[str, str]]
    texts: Mapping[str, str]
    _known: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def _templates(self) -> tuple[_Template, ...]:
        made = [_Template.of(*entry) for entry in self.texts.items() if _FIELD.search(entry[0])]
        return tuple(sorted(made, key=lambda one: -one.letters))

    @cached_property
    def _counted(self) -> re.Pattern[str]:
        things = "|".join(map(re.escape, sorted(self.counts, key=len, reverse=True)))
        return re.compile(rf"([\d,]+) (?:more )?({things})s?")

    def translate(self, text: str) -> str:
        """A text of a check in this language; unchanged where no template fits it."""
        if text not in self._known:
            self._known[text] = "\n".join(map(self._line, text.split("\n")))
        return self._known[text]

    def count(self, number: int, one: str) -> str:
        """A number of things."""
        return self.counts[one].format(count=f"{number:,}")

    def _line(self, line: str) -> str:
        new = self._text(line)
        return line if new is None else new

    def _text(self, text: str) -> str | None:
        """The translation of a text or of a list of texts; None where there is none."""
        if text in self.texts:
            return self.texts[text]
        if text != (bare := text.strip()) and bare:
            inner = self._text(bare)
            return None if inner is None else text.replace(bare, inner, 1)
        if match := self._counted.fullmatch(text):
            return self.counts[match[2]].format(count=match[1])
        return (
            self._fitting(text, without=_SEPARATORS)
            or self._fitting(text, without=_SEPARATORS[:1])
            or self._list(text, _SEPARATORS[0])
            or self._list(text, _SEPARATORS[1])
            or self._fitting(text, without=())
            or self._after_place(text)
        )

    def _fitting(self, text: str, *, without: Sequence[str]) -> str | None:
        """By the first template that fits, with none of these separators in a value."""
        for one in self._templates:
            if one.probe not in text or not (match := one.pattern.fullmatch(text)):
                continue
            values = match.groups()
            if any(mark in value for mark in without for value in values):
                continue
            translated = [self._text(value) for value in values]
            if one.letters < _FEWEST_LETTERS and any(
                new is None and _PROSE.search(value) for value, new in zip(values, translated, strict=True)
            ):
                continue
            return one.filled(
                [value if new is None else new for value, new in zip(values, translated, strict=True)]
            )
        return None

    def _after_place(self, text: str) -> str | None:
        """What is seen at one of several places has that before it: `kt: no StorageClass`."""
        place, colon, rest = text.partition(": ")
        new = self._text(rest) if colon else None
        return None if new is None else f"{place}: {new}"

    def _list(self, text: str, mark: str) -> str | None:
        """The translations of a list's items; those that have none stay. None where no item has one."""
        items = text.split(mark)
        translated = [self._text(item) for item in items] if len(items) > 1 else []
        if all(one is None for one in translated):
            return None
        return mark.join(item if one is None else one for item, one in zip(items, translated, strict=True))
