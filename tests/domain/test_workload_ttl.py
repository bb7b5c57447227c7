"""How long the certificates of workloads are valid."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from istio_mc.domain.pki.workload import DEFAULT_TTL, workload_ttl


def values(ttl: Any) -> dict[str, Any]:  # noqa: ANN401 (as a file may hold anything)
    return {"meshConfig": {"defaultConfig": {"proxyMetadata": {"SECRET_TTL": ttl}}}}


@pytest.mark.parametrize(
    ("text", "lasting"),
    [
        ("720h", timedelta(days=30)),
        ("1h30m", timedelta(minutes=90)),
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("500ms", timedelta(seconds=0.5)),
    ],
)
def test_it_is_the_validity_that_the_proxies_request(text: str, lasting: timedelta) -> None:
    assert workload_ttl(values(text)) == lasting


@pytest.mark.parametrize(
    "found", [{}, {"meshConfig": None}, values(None), values("a day"), values("24"), values(24)]
)
def test_it_is_a_day_where_nothing_is_set(found: dict[str, Any]) -> None:
    assert workload_ttl(found) == DEFAULT_TTL == timedelta(hours=24)
