"""Writes data/explain.json, what `istio-mc explain` prints, from docs/ and the check records: `make docs`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from istio_mc.checks.catalogue import EVERY, PREFLIGHT
from istio_mc.domain.problem import Code

DOCS = Path(__file__).parents[1] / "docs"
PAGE = Path(__file__).parents[1] / "src" / "istio_mc" / "data" / "explain.json"

_HEADING = re.compile(r"(#{1,6}) (.*)")
_WHOLE_PAGES = ("exit-codes.md",)


def page() -> str:
    """The whole file, as it must stand in src/istio_mc/data/explain.json."""
    checks = {check.id: check for check in (*PREFLIGHT, *EVERY)}
    used = {code.docs for code in Code} | {check.docs for check in checks.values()}
    every = {name: text for path in sorted(DOCS.glob("*.md")) for name, text in sections(path).items()}
    of_troubleshooting = {name for name in every if name.startswith("troubleshooting.md#")}
    whole = {name: (DOCS / name).read_text(encoding="utf-8").strip() for name in _WHOLE_PAGES}
    data: dict[str, Any] = {
        "checks": {
            check.id: {
                "title": check.title,
                "severity": check.severity.value,
                "scope": check.scope.value,
                "looksAt": check.looks_at,
                "usualCause": check.usual_cause,
                "fix": check.fix,
                "docs": check.docs,
            }
            for _, check in sorted(checks.items())
        },
        "sections": {name: every[name] for name in sorted(used | of_troubleshooting)} | whole,
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def sections(path: Path) -> dict[str, str]:
    """The sections of a page as `page.md#anchor`, each with its heading and the sections below it.

    A heading without text of its own has the section after it; one of the first level ends at the next.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    headings: list[tuple[int, int, str]] = []
    is_code = False
    for number, line in enumerate(lines):
        is_code ^= line.startswith("```")
        if not is_code and (match := _HEADING.fullmatch(line)):
            headings.append((number, len(match[1]), match[2]))
    found: dict[str, str] = {}
    for index, (begin, level, title) in enumerate(headings):
        later = [number for number, other, _ in headings[index + 1 :] if other <= level or level == 1]
        ends = [end for end in (*later, len(lines)) if any(map(str.strip, lines[begin + 1 : end]))]
        text = "\n".join(lines[begin : ends[0]]).strip() if ends else lines[begin]
        found[f"{path.name}#{_anchor(title)}"] = text
    return found


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
