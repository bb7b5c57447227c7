"""What an install warns of before workloads get certificates that outlive the CA above them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from istio_mc.domain.istio import documents
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.mesh import Mesh
from istio_mc.domain.observed import Observed
from istio_mc.gateways.host.ca_store import CaStore
from istio_mc.ops.ca.options import CaOptions
from istio_mc.ops.ca.trust import decide
from istio_mc.ops.install.preflight import outlived
from tests.support.world import CLUSTERS, EC

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.problem import Problem

NOW = datetime.now(UTC)
MESH = Mesh("mesh1", "1.26.0")
A_MONTH = {"meshConfig": {"defaultConfig": {"proxyMetadata": {"SECRET_TTL": "720h"}}}}


def warnings(ends: dict[str, datetime], mesh: Mesh = MESH) -> list[Problem]:
    return outlived(ends, mesh, CLUSTERS, NOW)


def test_a_ca_that_ends_within_a_day_is_warned_about() -> None:
    (found,) = warnings({"kt": NOW + timedelta(hours=23), "nhn": NOW + timedelta(hours=25)})
    assert (found.code, found.cluster) == ("workload-outlives-ca", "kt")


def test_the_validity_that_the_proxies_request_counts() -> None:
    ends = {"kt": NOW + timedelta(days=20)}
    assert warnings(ends) == []
    assert [found.cluster for found in warnings(ends, replace(MESH, values=A_MONTH))] == ["kt"]


def test_a_cluster_may_have_a_setting_of_its_own() -> None:
    ends = dict.fromkeys(("kt", "nhn"), NOW + timedelta(days=20))
    clusters = CLUSTERS | {"nhn": replace(CLUSTERS["nhn"], values=A_MONTH)}
    assert [found.cluster for found in outlived(ends, MESH, clusters, NOW)] == ["nhn"]


def test_the_end_is_that_of_the_ca_that_a_cluster_has_or_gets(tmp_path: Path) -> None:
    store = CaStore(tmp_path / "certs")
    options = CaOptions(key=EC, validity=timedelta(hours=20))
    fresh = dict.fromkeys(CLUSTERS, Observed("v1.32.3", {}))
    first = decide(store, CLUSTERS, fresh, options, NOW)
    expected = NOW.replace(microsecond=0) + timedelta(hours=20)
    assert first.ends == dict.fromkeys(CLUSTERS, expected)
    secrets = {name: step.documents[0] for name, step in first.steps.items()}
    live = {name: Observed("v1.32.3", {ref_of(secret): secret}) for name, secret in secrets.items()}
    elsewhere = CaStore(tmp_path / "elsewhere")
    assert decide(elsewhere, CLUSTERS, live, options, NOW).ends == first.ends
    assert documents.cacerts({})["kind"] == "Secret"
