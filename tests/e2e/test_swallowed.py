"""Packets vanish on the way to a gateway: `sample test` ends in time, with the matrix, and names the hop."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lab import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.harness import Result, Site

DEADLINE_S = 120


@pytest.fixture
def swallowed(with_sample: Site) -> Iterator[Site]:
    """The mesh, but nothing gets through to kt's gateway; kt's API server answers."""
    faults.swallow("kt")
    yield with_sample
    faults.unswallow("kt")


def outcome(site: Site) -> Result:
    result = site.run("sample", "test", "--timeout", f"{DEADLINE_S}s", "-o", "json").exits(4)
    assert result.seconds < DEADLINE_S
    return result


def test_a_gateway_that_swallows_packets_fails_its_pairs_alone_and_is_named_as_the_wrong_hop(
    swallowed: Site,
) -> None:
    result = outcome(swallowed)

    rows = {cluster["name"]: cluster for cluster in result.data["clusters"]}
    assert {name: row["stopped"] for name, row in rows.items()} == {"kt": False, "ncloud": True, "nhn": True}
    for name in ("ncloud", "nhn"):
        assert rows[name]["responses"]["v1"] == 0
        assert min(rows[name]["responses"][version] for version in ("v2", "v3")) > 0
    hops = {error["cluster"]: error["seen"].splitlines()[-1] for error in result.json["errors"]}
    assert hops.keys() == {"ncloud", "nhn"}
    assert all(re.match(r"first failed hop: .*\bkt\b", hop) for hop in hops.values()), hops
    assert {error["code"] for error in result.json["errors"]} == {"too-few-answers"}
