"""Writes docs/checks.md from the check records: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import ALL, EVERY, PREFLIGHT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from istio_mc.checks.model import Check

_WIDTH = 118
PAGE = Path(__file__).parents[1] / "docs" / "checks.md"

_HEAD = """\
<!-- Written by `make docs` from the records in src/istio_mc/checks: change those, not this page. -->
# Checks

`istio-mc verify` asks the checks below and changes nothing in any cluster, unless `--deep` has it run pods
for two of them. `istio-mc install` asks some of them before its first change. `istio-mc verify --list`
prints those of `verify`.

- **Severity** `error`: a failed check fails the run. `verify` ends with exit code 4; `install` stops before
  its first change. `warning`: it is told, and the run goes on.
- **Scope** `mesh`: asked once. `cluster`: asked of each cluster. `pair`: asked of each cluster about each
  other one.
- **Needs**: where a check it needs has failed, a check shows `?`: it cannot be told. Only the cause is an
  error.
- Below each table: what a check looks at, why it usually fails, and what mends that. A run says it better,
  for it knows the cluster.

`--only` and `--skip` take a check (`link.synced`) or a whole topic (`link`):
`istio-mc verify --only link,trust`.
"""


def page() -> str:
    """The whole page, as it must stand in docs/checks.md."""
    both = list(dict.fromkeys([*EVERY, *PREFLIGHT]))
    topics = list(dict.fromkeys(check.topic for check in both))
    return "\n".join([_HEAD, *(_topic(topic, [c for c in both if c.topic == topic]) for topic in topics)])


def _topic(topic: str, checks: Sequence[Check]) -> str:
    by_id = {check.id: check for check in reversed(checks)}
    first = {check.id: by_id[check.id] for check in checks}
    return "\n".join([f"## {topic}\n", _table(checks), *map(_words, first.values()), ""])


def _words(check: Check) -> str:
    """What a check sees, why it fails, and what mends that; one paragraph, folded as the other pages are."""
    text = f"- `{check.id}` sees {check.looks_at}. Usual cause: {check.usual_cause}. Mend it: {check.fix}."
    # Commands are not taken apart: the tests read them out of the page, line by line.
    parts = re.findall(r"`[^`]+`\S*|\S+", text)
    lines = [""]
    for part in parts:
        if lines[-1].strip() and len(lines[-1]) + 1 + len(part) > _WIDTH:
            lines.append(" ")
        lines[-1] += f" {part}" if lines[-1] else part
    return "\n".join(lines)


def _table(checks: Iterable[Check]) -> str:
    lines = [
        "| check | is true when | severity | scope | asked by | needs | when it fails |",
        "|---|---|---|---|---|---|---|",
    ]
    for check in checks:
        deep = [check for check in EVERY if check not in ALL]
        asking = (("verify", ALL), ("verify --deep", deep), ("install", PREFLIGHT))
        askers = [name for name, asked in asking if check in asked]
        cells = (
            f"`{check.id}`",
            check.title,
            check.severity.value,
            check.scope.value,
            ", ".join(askers),
            ", ".join(f"`{needed}`" for needed in check.needs) or "-",
            f"[{check.docs.partition('#')[2]}]({check.docs})" if check.docs else "-",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
