"""Builds the documentation as a site in site/, with Zensical: `make site`.

Zensical's strict mode reports broken links between pages. It does not report pages that `nav` lacks, entries
of `nav` without a page, and what the built pages load from a network: those are reported here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "mkdocs.yml"
PAGES, SITE = ".site", "site"
_COPIED = ("*.md", "LICENSE", "docs/**/*", "examples/**/*")
_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


def sources(root: Path) -> Iterator[Path]:
    """The files of the site, as paths in the repository."""
    for pattern in _COPIED:
        yield from (path.relative_to(root) for path in sorted(root.glob(pattern)) if path.is_file())


def nav_faults(nav: Any, root: Path) -> list[str]:  # noqa: ANN401 - what YAML has
    """Pages that `nav` does not list exactly once, and entries without a page."""
    listed = Counter(_listed(nav))
    pages = {str(path) for path in sources(root) if path.suffix == ".md"}
    return [
        *(f"nav in mkdocs.yml lacks {page}" for page in sorted(pages - listed.keys())),
        *(f"nav in mkdocs.yml lists {page}, which does not exist" for page in sorted(listed.keys() - pages)),
        *(f"nav in mkdocs.yml lists {page} {times} times" for page, times in listed.items() if times > 1),
    ]


def _listed(nav: Any) -> Iterator[str]:  # noqa: ANN401 - what YAML has
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from _listed(entry)


@dataclass
class _Page(HTMLParser):
    """What a page links to and loads, and the IDs that links can lead to."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids.add(values.get("id") or "")
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        if (name := _LOADED.get(tag)) and values.get(name):
            self.loads.append(str(values[name]))


def site_faults(site: Path) -> list[str]:
    """Broken links of pages that are opened as files, and what the pages load from a network."""
    site = site.resolve()
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        name = path.relative_to(site)
        faults += [f"{name} loads {url}" for url in page.loads if urlsplit(url).netloc]
        # 404.html is for servers, which show it at any address.
        targets = [] if path.name == "404.html" else [*page.links, *page.loads]
        faults += [f"{name}: broken link {url}" for url in targets if not _is_there(url, path, pages)]
    return faults


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _is_there(url: str, path: Path, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target not in pages:
        return target.is_file()
    return not parts.fragment or unquote(parts.fragment) in pages[target].ids


def build() -> list[str]:
    """Builds the site; returns what is wrong with it."""
    faults = nav_faults(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["nav"], ROOT)
    if faults:
        return faults
    for folder in (PAGES, SITE):
        shutil.rmtree(ROOT / folder, ignore_errors=True)
    for path in sources(ROOT):
        copy = ROOT / PAGES / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, copy)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", str(CONFIG)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    return site_faults(ROOT / SITE) if done.returncode == 0 else ["zensical build --strict failed"]


if __name__ == "__main__":
    for fault in (found := build()):
        print(fault, file=sys.stderr)
    sys.exit(1 if found else 0)
