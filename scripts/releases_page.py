"""Writes docs/releases.md from the packaged table of Istio releases: `make docs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain.istio.releases import UNKNOWN, shown
from istio_mc.gateways.istio.releases import release_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.istio.releases import Defect, IstioRelease, ReleaseTable

PAGE = Path(__file__).parents[1] / "docs" / "releases.md"

_HEAD = """\
<!-- Written by `make docs` from src/istio_mc/data/releases.yaml: change that file, not this page. -->
# Istio and Kubernetes releases

As of {read}. `istio-mc tools list` shows the same table; `istio-mc` warns when it is more than 90 days old.

Only what a source says is in here. `unknown`: no source says it. `expected`: upstream names a month, but
announced no day. By upstream's policy a release is supported until six weeks after the second release that
follows it.

A mesh that has no Istio yet gets the newest tested minor that supports the Kubernetes of every cluster,
minors that are supported upstream first, and of it the newest patch ([which Istio](usage.md#which-istio)).
"""

_COLUMNS = """\
- **Tested**: patches that were run on [the lab](lab.md), with a mesh of three clusters.
- **Gateway API**: the release in Istio's `go.mod`; `install` takes its CRDs where a cluster has none.
"""


_HAZARDS = """\
`verify`, `install`, `link` and `tools list` report what holds for the versions that run or are chosen.
"""


def page() -> str:
    """The whole page, as it must stand in docs/releases.md."""
    table = release_table()
    kubernetes = [(shown(minor), day.isoformat()) for minor, day in table.kubernetes.items()]
    sources = [f"- {name}: {where}" for name, where in table.sources.items()]
    parts = [
        _HEAD.format(read=table.read),
        "## Istio\n",
        _rows(
            ("Istio", "first patch", "newest patch", "end of life", "Kubernetes", "Gateway API", "tested"),
            (_release(release, table) for release in table.istio),
        ),
        _COLUMNS,
        "## Kubernetes\n",
        _rows(("Kubernetes", "end of life"), kubernetes),
        "## Known to be wrong\n",
        _HAZARDS,
        _rows(("what happens", "in", "fixed in", "source"), map(_defect, _hazards(table))),
        _rows(
            ("registry", "what happens", "use instead", "source"),
            ((f"`{hub.hub}`", hub.effect, f"`{hub.instead}`", f"<{hub.source}>") for hub in table.hubs),
        ),
        _rows(
            ("Istio", "least patch with security fixes that a source names", "source"),
            (
                (str(one), one.security or "", f"<{one.security_source}>")
                for one in table.istio
                if one.security
            ),
        ),
        "## Sources\n",
        *sources,
    ]
    return "\n".join(parts) + "\n"


def _hazards(table: ReleaseTable) -> list[tuple[str, Defect]]:
    """What happens where, and the rest of what is known of it."""
    found = [(defect.effect, defect) for defect in (*table.defects, table.analyze)]
    for one in table.crds:
        bundles = f"{one.first} and newer" if one.first else f"older than {one.below}"
        variable = f", with `{one.variable}`" if one.variable else ""
        found.append((f"{one.defect.effect}; CRD `{one.crd}` {bundles}{variable}", one.defect))
    return found


def _defect(found: tuple[str, Defect]) -> tuple[str, ...]:
    effect, defect = found
    return (
        effect,
        ", ".join(f"{one.first or 'the first'} to {one.last or 'the newest'}" for one in defect.affects),
        ", ".join(one.fixed or "-" for one in defect.affects),
        f"<{defect.source}>",
    )


def _release(release: IstioRelease, table: ReleaseTable) -> tuple[str, ...]:
    expected = None if release.end.day else table.expected_end(release)
    return (
        str(release),
        f"by {release.first}" if release.first_is_latest else str(release.first),
        release.newest or UNKNOWN,
        f"{release.end}" + (f"; by the policy about {expected}" if expected else ""),
        release.kubernetes,
        release.gateway_api or UNKNOWN,
        ", ".join(release.lab) or "-",
    )


def _rows(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
