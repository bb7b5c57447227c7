"""The language of a report: English, or another one inside a block.

Codes, fields, commands and names are the same in every language.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import resources
from typing import TYPE_CHECKING

from istio_mc.domain.text import plural
from istio_mc.domain.translation import Catalogue, Language

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.checks.model import Check, Target

_CATALOGUE: ContextVar[Catalogue | None] = ContextVar("catalogue", default=None)


def catalogue(language: Language) -> Catalogue | None:
    """The translations into a language, read from the file of it; None for English."""
    if language is Language.EN:
        return None
    file = resources.files("istio_mc").joinpath("data", f"report.{language}.json")
    return Catalogue(**json.loads(file.read_text("utf-8")))


@contextmanager
def written_in(translations: Catalogue | None) -> Iterator[None]:
    """Has everything that is rendered within the block in the language of these translations."""
    token = _CATALOGUE.set(translations)
    try:
        yield
    finally:
        _CATALOGUE.reset(token)


def words(english: str, **fields: object) -> str:
    """A text of the report itself, such as a heading, with its fields."""
    known = _CATALOGUE.get()
    return (known.page[english] if known else english).format(**fields)


def number_of(count: int, one: str) -> str:
    """`3 clusters`."""
    known = _CATALOGUE.get()
    return known.count(count, one) if known else plural(count, one)


def title_of(check: Check) -> str:
    """The title of a check."""
    return _of(check, "title", check.title)


def passes_of(check: Check) -> str:
    """The sentence of a check that passes."""
    return _of(check, "passes", check.passes)


def _of(check: Check, name: str, english: str) -> str:
    known = _CATALOGUE.get()
    return known.checks.get(check.id, {}).get(name, english) if known else english


def translated(text: str) -> str:
    """A text that a check wrote: an outcome, what was seen or expected, a part of an advice."""
    known = _CATALOGUE.get()
    return known.translate(text) if known else text


def name_of(target: Target) -> str:
    """A target of a check: `kt`, `kt → ncloud`, or the mesh."""
    return str(target) if target.cluster else words("mesh")
