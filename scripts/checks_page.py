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

`istio-mc verify` runs the checks below and changes nothing in any cluster; with `--deep` it runs probe pods
for two of them. `istio-mc install` runs some of them before its first change. `istio-mc verify --list`
prints those of `verify`.

- **Severity** `error`: a failed check fails the run. `verify` ends with exit code 4; `install` stops before
  its first change. `warning`: it is reported, and the run goes on.
- **Scope** `mesh`: runs once. `cluster`: runs for each cluster. `pair`: runs for each ordered pair of
  clusters.
- **Needs**: if a check it needs has failed, a check is unknown (`?`). Only the cause is an error.
- Below each table: what a check reads, why it usually fails, and how to fix it. The message of a run is more
  specific.

`--only` and `--skip` take a check (`link.synced`) or a whole topic (`link`):
`istio-mc verify --only link,trust`.
"""


def page() -> str:
    """The whole page docs/checks.md."""
    both = list(dict.fromkeys([*EVERY, *PREFLIGHT]))
    topics = list(dict.fromkeys(check.topic for check in both))
    return "\n".join([_HEAD, *(_topic(topic, [c for c in both if c.topic == topic]) for topic in topics)])


def _topic(topic: str, checks: Sequence[Check]) -> str:
    by_id = {check.id: check for check in reversed(checks)}
    first = {check.id: by_id[check.id] for check in checks}
    return "\n".join([f"## {topic}\n", _table(checks), *map(_words, first.values()), ""])


def _words(check: Check) -> str:
    """What a check reads, why it fails, and the fix; one paragraph, wrapped like the other pages."""
    text = f"- `{check.id}` checks {check.looks_at}. Usual cause: {check.usual_cause}. Fix: {check.fix}."
    # Commands are not wrapped: the tests read them from the page, line by line.
    parts = re.findall(r"`[^`]+`\S*|\S+", text)
    lines = [""]
    for part in parts:
        if lines[-1].strip() and len(lines[-1]) + 1 + len(part) > _WIDTH:
            lines.append(" ")
        lines[-1] += f" {part}" if lines[-1] else part
    return "\n".join(lines)


def _table(checks: Iterable[Check]) -> str:
    lines = [
        "| check | title | passes if | severity | scope | run by | needs | when it fails |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for check in checks:
        deep = [check for check in EVERY if check not in ALL]
        run_by = (("verify", ALL), ("verify --deep", deep), ("install", PREFLIGHT))
        runs = [name for name, those in run_by if check in those]
        cells = (
            f"`{check.id}`",
            check.title,
            check.passes,
            check.severity.value,
            check.scope.value,
            ", ".join(runs),
            ", ".join(f"`{needed}`" for needed in check.needs) or "-",
            f"[{check.docs.partition('#')[2]}]({check.docs})" if check.docs else "-",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
