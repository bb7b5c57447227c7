"""The Korean pages have the sections, commands and anchors of the English ones, as these are now."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from scripts import korean_pages
from scripts.korean_pages import BY_SYMPTOM, PARALLEL, ROOT, TROUBLESHOOTING, Section, sections
from tests.test_docs import FENCE, LINK, slug

if TYPE_CHECKING:
    from pathlib import Path

KOREAN = sorted([ROOT / "README.ko.md", *(ROOT / "docs" / "ko").glob("*.md")])
CODE = re.compile(r"`([^`\n]+)`")
SPACES = re.compile(r"\s+")
HANGUL = re.compile("[가-힣]")
PLACES = ("kt", "ncloud", "nhn")


def of(page: str) -> list[Section]:
    return sections((ROOT / page).read_text(encoding="utf-8"))


def commands(fence: str) -> list[str]:
    """The lines of a code block without the remarks on them, which are translated, and without a drawing."""
    lines = [re.split(r"\s+#(?: |$)|^# ", line)[0].rstrip() for line in fence.splitlines()]
    return [line for line in lines if line and not re.search("[─│┌└►]|^ +.*network1", line)]


def codes(section: Section) -> set[str]:
    """Commands, options, fields and error codes of a section, but for parts of a sentence in a drawing."""
    prose = FENCE.sub("", section.body)
    return {SPACES.sub(" ", code) for code in CODE.findall(SPACES.sub(" ", prose))}


# Pages with the same sections


@pytest.mark.parametrize("page", PARALLEL)
class TestAPageWithTheSectionsOfAnEnglishOne:
    def test_has_them_in_the_same_order(self, page: str) -> None:
        assert [one.level for one in of(page)] == [one.level for one in of(PARALLEL[page])]

    def test_has_the_same_commands(self, page: str) -> None:
        in_korean, english = of(page), of(PARALLEL[page])
        assert [[commands(fence) for fence in one.fences] for one in in_korean] == [
            [commands(fence) for fence in one.fences] for one in english
        ]

    def test_names_the_same_codes_options_and_fields(self, page: str) -> None:
        lacking = {
            english.heading: missing
            for in_korean, english in zip(of(page), of(PARALLEL[page]), strict=True)
            if (missing := codes(english) - codes(in_korean))
        }
        assert lacking == {}

    def test_has_as_many_rows_of_tables_and_points_of_lists(self, page: str) -> None:
        def number(section: Section) -> list[int]:
            prose = FENCE.sub("", section.body)
            return [len(re.findall(mark, prose, re.MULTILINE)) for mark in (r"^\|", r"^(?:-|\d+\.) ")]

        own = {"Documentation": 1, "문서": 1}  # a row for the Korean pages
        assert [number(one) for one in of(page)] == [
            [number(one)[0] + own.get(one.heading, 0), number(one)[1]] for one in of(PARALLEL[page])
        ]


@pytest.mark.parametrize("page", [*PARALLEL, BY_SYMPTOM])
def test_a_page_was_looked_at_since_its_english_text_changed(page: str) -> None:
    """`python -m scripts.korean_pages` writes the fingerprints, once the Korean has what the English has."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    recorded = [line for line in lines if line.startswith("<!-- en: ")]
    assert recorded == [comment for comment in korean_pages.comments(page) if comment]


def test_a_change_of_an_english_section_changes_its_fingerprint() -> None:
    (before,), (after,), (wrapped,) = map(sections, ("# a\nb c\n", "# a\nb d\n", "# a\nb\nc\n"))
    assert before.fingerprint != after.fingerprint
    assert before.fingerprint == wrapped.fingerprint


# Troubleshooting by symptom


def test_every_section_on_errors_is_named_under_a_symptom() -> None:
    text = (ROOT / BY_SYMPTOM).read_text(encoding="utf-8")
    errors = {one.anchor for one in of(TROUBLESHOOTING) if one.level == 2 and one.heading != "First look"}
    named = {name for one in of(BY_SYMPTOM) for name in re.findall(r"troubleshooting\.md#([\w-]+)", one.body)}
    assert sorted(errors - named) == []
    assert HANGUL.search(text)


def test_symptoms_have_the_commands_of_the_english_page() -> None:
    """The first blocks of code: how an error looks, how to have it explained, and the first look."""
    english = [commands(fence) for one in of(TROUBLESHOOTING)[:2] for fence in one.fences]
    in_korean = [commands(fence) for one in of(BY_SYMPTOM)[:1] for fence in one.fences]
    assert sorted(in_korean) == sorted(english)


# Every Korean page


@pytest.mark.parametrize("page", KOREAN, ids=lambda page: page.name)
class TestEveryKoreanPage:
    def test_links_to_pages_and_sections_that_exist(self, page: Path) -> None:
        wrong = []
        for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in _anchors(file)):
                wrong.append(target)
        assert wrong == []

    def test_is_in_the_list_of_the_site(self, page: Path) -> None:
        assert f": {page.relative_to(ROOT)}" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def _anchors(page: Path) -> set[str]:
    return {slug(one.heading) for one in sections(page.read_text(encoding="utf-8"))}


def test_the_readmes_link_to_each_other() -> None:
    assert "](README.ko.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](README.md)" in (ROOT / "README.ko.md").read_text(encoding="utf-8")
