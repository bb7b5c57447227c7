"""The packaged table of Istio releases: what it says is whole, and how it is read."""

from __future__ import annotations

import copy
import re
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from istio_mc.domain import yamltext
from istio_mc.domain.istio import releases
from istio_mc.domain.istio.releases import (
    OLD_AFTER_DAYS,
    Defect,
    IstioRelease,
    PatchRange,
    Support,
    minor_of,
    parse_table,
    patch_of,
    shown,
)
from istio_mc.gateways.istio.releases import release_table

ROOT = Path(__file__).parents[2]
FILE = ROOT / "src/istio_mc/data/releases.yaml"
TABLE = release_table()
DAY = timedelta(days=1)


def document() -> dict[str, Any]:
    found: dict[str, Any] = yamltext.load(FILE.read_bytes())
    return copy.deepcopy(found)


def test_the_table_has_every_minor_from_1_24_to_1_32() -> None:
    assert [release.minor for release in TABLE.istio] == [(1, minor) for minor in range(24, 33)]


def test_days_are_upstreams_and_an_expected_end_is_called_expected() -> None:
    assert {str(release): str(release.end) for release in TABLE.istio} == {
        "1.24": "2025-06-24",
        "1.25": "2025-09-30",
        "1.26": "2025-12-22",
        "1.27": "2026-04-07",
        "1.28": "2026-07-01",
        "1.29": "expected 2026-08",
        "1.30": "expected 2026-11",
        "1.31": "unknown",
        "1.32": "unknown",
    }


def test_kubernetes_ranges_are_upstreams() -> None:
    assert {str(release): release.kubernetes for release in TABLE.istio} == {
        "1.24": "1.28 to 1.31",
        "1.25": "1.29 to 1.32",
        "1.26": "1.29 to 1.33",
        "1.27": "1.29 to 1.33",
        "1.28": "1.30 to 1.34",
        "1.29": "1.31 to 1.35",
        "1.30": "1.32 to 1.36",
        "1.31": "1.32 to unknown",
        "1.32": "unknown",
    }


def test_every_kubernetes_minor_of_a_range_has_an_end_of_life() -> None:
    used = {
        minor for release in TABLE.istio for minor in (release.oldest_kubernetes, release.newest_kubernetes)
    }
    assert used - {None} <= TABLE.kubernetes.keys()
    assert all(one < other for one, other in pairwise(TABLE.kubernetes.values()))


@pytest.mark.parametrize("release", TABLE.istio, ids=str)
def test_patches_of_a_minor_are_of_that_minor_and_none_is_newer_than_the_newest(
    release: IstioRelease,
) -> None:
    patches = [patch_of(version) for version in (*release.lab, release.security, release.newest) if version]
    assert {patch[:2] for patch in patches if patch} <= {release.minor}
    assert patches == sorted(filter(None, patches))
    assert not release.lab or release.newest


def test_what_was_run_on_the_lab_stands_in_the_labs_page() -> None:
    page = (ROOT / "docs/lab.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (\d+\.\d+\.\d+(?:, \d+\.\d+\.\d+)*) \|", page, re.MULTILINE)
    listed = {version for cell in cells for version in cell.split(", ")}
    assert {patch for release in TABLE.istio for patch in release.lab} == listed


def test_every_defect_names_its_source_and_what_happens() -> None:
    for defect in TABLE.defects:
        assert defect.source, defect.id
        assert defect.effect, defect.id
        for found in defect.affects:
            ends = [patch_of(text) for text in (found.first, found.last, found.fixed) if text]
            assert ends == sorted(filter(None, ends)), defect.id
    assert len({defect.id for defect in TABLE.defects}) == len(TABLE.defects)
    assert all(hub.source and hub.effect for hub in TABLE.hubs)


def test_a_release_is_ended_from_the_day_after_its_last_one() -> None:
    release = TABLE.release("1.26.4")
    assert release
    assert not TABLE.is_ended(release, date(2025, 12, 22))
    assert TABLE.is_ended(release, date(2025, 12, 23))


def test_a_release_past_its_expected_end_is_not_end_of_life() -> None:
    release = TABLE.release("1.29.1")
    assert release
    policy = date(2026, 8, 31) + timedelta(weeks=6)  # six weeks after 1.31, later than the expected month
    assert TABLE.expected_end(release) == policy
    assert not TABLE.is_overdue(release, policy)
    assert TABLE.is_overdue(release, policy + DAY)
    assert not TABLE.is_ended(release, date(2030, 1, 1))


def test_a_release_without_any_end_is_neither_ended_nor_overdue() -> None:
    release = TABLE.release("1.31.0")
    assert release
    assert TABLE.expected_end(release) is None
    assert not TABLE.is_ended(release, date(2030, 1, 1))
    assert not TABLE.is_overdue(release, date(2030, 1, 1))


def test_the_table_is_old_after_ninety_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "OLD_AFTER_DAYS", OLD_AFTER_DAYS)
    assert not TABLE.is_old(TABLE.read + 90 * DAY)
    assert TABLE.is_old(TABLE.read + 91 * DAY)


@pytest.mark.parametrize(
    ("istio", "server", "support"),
    [
        ("1.26.0", "v1.28.10", Support.TOO_OLD),
        ("1.26.0", "v1.29.0", Support.SUPPORTED),
        ("1.26.0", "v1.33.9-gke.1", Support.SUPPORTED),
        ("1.26.0", "v1.34.0+k3s1", Support.TOO_NEW),
        ("1.24.3", "v1.28.10", Support.SUPPORTED),
        ("1.19.0", "v1.28.10", Support.UNKNOWN),
        ("1.26.0", "unknown", Support.UNKNOWN),
        ("1.31.0", "v1.31.9", Support.TOO_OLD),
        ("1.31.0", "v1.36.1", Support.SUPPORTED),  # as 1.30 does: its own upper bound is unknown
        ("1.31.0", "v1.37.0", Support.UNKNOWN),
        ("1.32.0", "v1.36.0", Support.UNKNOWN),
    ],
)
def test_a_server_is_supported_within_the_releases_range(istio: str, server: str, support: Support) -> None:
    assert TABLE.kubernetes_support(istio, server) is support


@pytest.mark.parametrize(
    ("version", "has_it"),
    [
        ("1.26.6", True), ("1.24.0", True), ("1.26.7", False), ("1.27.0", True), ("1.27.3-distroless", True),
        ("1.27.4", False), ("1.28.0", False), ("latest", False),
    ],
)  # fmt: skip
def test_a_defect_is_in_the_patches_of_its_ranges(version: str, *, has_it: bool) -> None:
    ranges = (PatchRange("1.26.6", fixed="1.26.7"), PatchRange("1.27.3", "1.27.0", "1.27.4"))
    defect = Defect("leak", "leaks", ranges, "here")
    assert (defect.range_of(version) is not None) is has_it


def test_defects_and_hubs_are_read() -> None:
    made = document()
    made["defects"] = [
        {
            "id": "x",
            "effect": "e",
            "source": "s",
            "affects": [{"from": "1.29.0", "to": "1.29.2", "fixed": "1.29.3"}],
        }
    ]
    made["hubs"] = [
        {
            "hub": "gcr.io/istio-release",
            "from": date(2026, 12, 8),
            "effect": "e",
            "source": "s",
            "instead": "docker.io/istio",
        }
    ]
    table = parse_table(made)
    assert [defect.id for defect in table.defects_of("1.29.1")] == ["x"]
    assert table.defects_of("1.29.3") == ()
    assert [(hub.hub, hub.since) for hub in table.hubs] == [("gcr.io/istio-release", date(2026, 12, 8))]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("read",), "2026", "not a date"),
        (("istio", "1.26", "newest"), 1.26, "not a version"),
        (("istio", "1.26", "endOfLife"), {"expected": "August"}, "not a month"),
        (("istio", "1.26", "kubernetes", "oldest"), 1.29, "not a minor version"),
        (("istio", "1.26", "lab"), ["1.26"], "not a version"),
    ],
)
def test_a_table_that_is_written_wrongly_is_refused(
    place: tuple[str, ...], value: object, message: str
) -> None:
    made = document()
    *above, key = place
    inner = made
    for part in above:
        inner = inner[part]
    inner[key] = value
    with pytest.raises(ValueError, match=message):
        parse_table(made)


def test_a_key_that_is_missing_is_refused() -> None:
    made = document()
    del made["istio"]["1.26"]["security"]
    with pytest.raises(ValueError, match="security"):
        parse_table(made)


def test_versions_of_vendors_are_read_as_their_minor() -> None:
    assert [
        shown(minor) for text in ("v1.32.3-gke.1", "v1.32.3+k3s1", "1.32+") if (minor := minor_of(text))
    ] == ["1.32"] * 3
