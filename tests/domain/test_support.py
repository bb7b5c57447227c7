"""Which Istio runs on which Kubernetes, until when, and which kubectl may speak to which server."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from istio_mc.domain.support import (
    ISTIO_RELEASES,
    Support,
    is_newer,
    istio_release,
    kubectl_fits,
    kubectl_skew,
    kubernetes_support,
    minor_of,
    shown,
    supporting,
)


def test_the_table_is_upstreams() -> None:
    table = [
        (shown(r.minor), shown(r.oldest), shown(r.newest), f"{r.end_of_life:%Y-%m}", r.approximate)
        for r in ISTIO_RELEASES
    ]
    assert table == [
        ("1.24", "1.28", "1.31", "2025-06", False),
        ("1.25", "1.29", "1.32", "2025-09", False),
        ("1.26", "1.29", "1.33", "2025-12", False),
        ("1.27", "1.29", "1.33", "2026-04", False),
        ("1.28", "1.30", "1.34", "2026-07", False),
        ("1.29", "1.31", "1.35", "2026-08", True),
        ("1.30", "1.32", "1.36", "2026-11", True),
    ]


@pytest.mark.parametrize("release", ISTIO_RELEASES, ids=lambda release: shown(release.minor))
def test_a_release_ends_with_its_last_month(release: object) -> None:
    assert isinstance(release, type(ISTIO_RELEASES[0]))
    day = release.end_of_life
    assert (day + timedelta(days=1)).day == 1
    assert (release.ended(day), release.ended(day + timedelta(days=1))) == (False, True)


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("v1.32.3", (1, 32)),
        ("1.26.0", (1, 26)),
        ("1.26", (1, 26)),
        ("v1.28.10+k3s1", (1, 28)),
        ("v1.30.4-eks-a737599", (1, 30)),
        ("v1.33.0-rc.1", (1, 33)),
        ("1.32+", (1, 32)),
        (" v1.32.3\n", (1, 32)),
    ],
)
def test_versions_as_servers_tell_them_are_read(text: str, minor: tuple[int, int]) -> None:
    assert minor_of(text) == minor


@pytest.mark.parametrize("text", ["", "v1", "one", "1.x", "v.1.2", "unknown"])
def test_other_texts_are_no_versions(text: str) -> None:
    assert minor_of(text) is None


@pytest.mark.parametrize(
    ("istio", "server", "support"),
    [
        ("1.26.0", "v1.28.10", Support.TOO_OLD),
        ("1.26.0", "v1.29.0", Support.SUPPORTED),
        ("1.26.0", "v1.33.9", Support.SUPPORTED),
        ("1.26.0", "v1.34.0", Support.TOO_NEW),
        ("1.24.3", "v1.28.10", Support.SUPPORTED),
        ("1.19.0", "v1.28.10", Support.UNKNOWN),
        ("1.26.0", "unknown", Support.UNKNOWN),
    ],
)
def test_a_server_is_supported_within_the_releases_range(istio: str, server: str, support: Support) -> None:
    assert kubernetes_support(istio, server) is support


def test_a_release_the_table_does_not_have_is_unknown() -> None:
    assert istio_release("1.99.0") is None
    assert istio_release("master") is None


def test_living_releases_that_support_a_server_are_named() -> None:
    found = supporting("v1.32.3", date(2026, 5, 1))
    assert [shown(release.minor) for release in found] == ["1.28", "1.29", "1.30"]
    assert supporting("v1.28.10", date(2026, 5, 1)) == ()
    assert supporting("nothing", date(2026, 5, 1)) == ()


@pytest.mark.parametrize(
    ("kubectl", "server", "skew", "fits"),
    [
        ("1.32.3", "v1.32.9", 0, True),
        ("1.32.3", "v1.31.0", 1, True),
        ("1.32.3", "v1.33.0", -1, True),
        ("1.32.3", "v1.30.4", 2, False),
        ("1.32.3", "v1.28.10", 4, False),
        ("1.32.3", "v1.34.0", -2, False),
        ("1.32.3", "v2.32.0", None, None),
        ("", "v1.32.0", None, None),
        ("1.32.3", "", None, None),
    ],
)
def test_kubectl_may_be_one_minor_off_either_way(
    kubectl: str, server: str, skew: int | None, *, fits: bool | None
) -> None:
    assert (kubectl_skew(kubectl, server), kubectl_fits(kubectl, server)) == (skew, fits)


@pytest.mark.parametrize(
    ("version", "than", "newer"),
    [
        ("1.27.0", "1.26.0", True),
        ("1.26.1", "1.26.0", True),
        ("1.26.10", "1.26.9", True),
        ("1.26.0", "1.26.0", False),
        ("1.9.9", "1.26.0", False),
        ("v1.27.0-rc.1", "1.26.0", True),
        ("", "1.26.0", False),
        ("unknown", "1.26.0", False),
    ],
)
def test_newer_is_told_by_numbers(*, version: str, than: str, newer: bool) -> None:
    assert is_newer(version, than) is newer
