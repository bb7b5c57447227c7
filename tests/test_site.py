"""The documentation as a site: its navigation has every page, and what is built is read once more.

`make site`, a part of `make test`, builds it with Zensical's strict mode.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from scripts import site

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def test_the_navigation_has_every_page_once() -> None:
    assert site.nav_faults(CONFIG["nav"], ROOT) == []


def test_the_parts_of_the_navigation_are_those_of_documentation() -> None:
    parts = [next(iter(part)) for part in CONFIG["nav"]]
    assert parts == ["istio-mc", "Tutorial", "How-to", "Reference", "Explanation", "한국어"]


def test_pages_can_be_opened_as_files_and_load_nothing_from_a_network() -> None:
    assert "offline" in CONFIG["plugins"]
    assert CONFIG["theme"]["font"] is False
    for polyfill in CONFIG["extra"]["polyfills"]:
        assert (ROOT / polyfill["path"]).is_file()


def test_make_test_builds_the_site() -> None:
    script = (ROOT / "tests" / "run.sh").read_text(encoding="utf-8")
    assert re.search(r"^part .* make --quiet site$", script, re.MULTILINE)


@pytest.mark.parametrize(
    ("nav", "fault"),
    [
        ([{"Home": "README.md"}], "nav in mkdocs.yml lacks docs/a.md"),
        (["README.md", "docs/a.md", "docs/b.md"], "nav in mkdocs.yml lists docs/b.md, which does not exist"),
        (["README.md", {"A": ["docs/a.md", "docs/a.md"]}], "nav in mkdocs.yml lists docs/a.md 2 times"),
    ],
)
def test_a_wrong_navigation_is_reported(tmp_path: Path, nav: object, fault: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").touch()
    (tmp_path / "docs" / "a.md").touch()

    assert site.nav_faults(nav, tmp_path) == [fault]


PAGE = '<h1 id="top">A</h1><a href="b/c.html#there">b</a><script src="s.js"></script>{}'


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("", None),
        ('<a href="https://istio.io/">x</a><a href="#top">x</a>', None),
        ('<a href="b/c.html#not-there">x</a>', "a.html: broken link b/c.html#not-there"),
        ('<a href="d.html">x</a>', "a.html: broken link d.html"),
        ('<a href="b/">x</a>', "a.html: broken link b/"),
        ('<a href="#not-there">x</a>', "a.html: broken link #not-there"),
        ('<img src="x.svg">', "a.html: broken link x.svg"),
        ('<link href="//fonts.test/x.css">', "a.html loads //fonts.test/x.css"),
        ('<script src="https://cdn.test/x.js"></script>', "a.html loads https://cdn.test/x.js"),
    ],
)
def test_faults_of_a_built_page_are_reported(tmp_path: Path, more: str, fault: str | None) -> None:
    (tmp_path / "a.html").write_text(PAGE.format(more))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.html").write_text('<p id="there">')
    (tmp_path / "s.js").touch()

    assert site.site_faults(tmp_path) == ([fault] if fault else [])
