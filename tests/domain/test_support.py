"""Versions as servers report them, and which kubectl may be used with which server."""

from __future__ import annotations

import pytest

from istio_mc.domain.istio.releases import is_newer, kubectl_skew, minor_of


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
def test_versions_as_servers_report_them_are_read(text: str, minor: tuple[int, int]) -> None:
    assert minor_of(text) == minor


@pytest.mark.parametrize("text", ["", "v1", "one", "1.x", "v.1.2", "unknown"])
def test_other_texts_are_no_versions(text: str) -> None:
    assert minor_of(text) is None


@pytest.mark.parametrize(
    ("kubectl", "server", "skew"),
    [
        ("1.32.3", "v1.32.9", 0),
        ("1.32.3", "v1.31.0", 1),
        ("1.32.3", "v1.33.0", -1),
        ("1.32.3", "v1.30.4", 2),
        ("1.32.3", "v1.28.10", 4),
        ("1.32.3", "v1.34.0", -2),
        ("1.32.3", "v2.32.0", None),
        ("", "v1.32.0", None),
        ("1.32.3", "", None),
    ],
)
def test_the_skew_of_kubectl_is_counted_in_minors(kubectl: str, server: str, skew: int | None) -> None:
    assert kubectl_skew(kubectl, server) == skew


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
def test_newer_is_decided_by_numbers(*, version: str, than: str, newer: bool) -> None:
    assert is_newer(version, than) is newer
