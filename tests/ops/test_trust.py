"""Which CA each cluster shall run under, with real stores: one root, never replaced."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain import documents
from istio_mc.domain.objects import ref_of
from istio_mc.domain.observed import Observed
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.castore import CaStore
from istio_mc.ops import ca
from istio_mc.ops.trust import Trust, decide, live_cacerts
from tests.world import CLUSTERS, EC, IDS, ca_certs, root_fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.cacerts import CaCerts

OPTIONS = ca.CaOptions(key=EC)
NOW = datetime.now(UTC)


@pytest.fixture
def store(tmp_path: Path) -> CaStore:
    return CaStore(tmp_path / "certs")


def live(secret: dict[str, Any] | None = None) -> Observed:
    return Observed("v1.32.3", {ref_of(secret): secret} if secret else {})


def running(found: CaCerts) -> Observed:
    return live(documents.cacerts(found.secret_data()))


def applied(trust: Trust) -> dict[str, Observed]:
    """What lives after the steps were done."""
    return {name: live(step.documents[0]) for name, step in trust.steps.items()}


def settle(store: CaStore, observed: dict[str, Observed], *, dry_run: bool = False) -> Trust:
    return decide(store, CLUSTERS, observed, OPTIONS, NOW, dry_run=dry_run)


def refused(store: CaStore, observed: dict[str, Observed]) -> str:
    with pytest.raises(ProblemError) as error:
        settle(store, observed)
    (problem,) = error.value.problems
    assert problem.seen
    assert problem.expected
    assert problem.hint
    return problem.code


class TestFirstRun:
    def test_makes_a_root_and_gives_every_cluster_a_ca_of_it(self, store: CaStore) -> None:
        trust = settle(store, dict.fromkeys(CLUSTERS, live()))
        assert trust.created
        assert list(trust.steps) == list(CLUSTERS)
        roots = {live_cacerts(name, found).root_cert for name, found in applied(trust).items()}  # type: ignore[union-attr]
        assert roots == {store.read().root_cert}

    def test_keeps_them_in_the_store_by_cluster_id(self, store: CaStore) -> None:
        settle(store, dict.fromkeys(CLUSTERS, live()))
        assert sorted(store.read().clusters) == sorted(IDS.values())

    def test_no_key_is_in_its_repr(self, store: CaStore) -> None:
        trust = settle(store, {"kt": live()})
        assert trust.steps["kt"].documents[0]["data"]["ca-key.pem"] not in repr(trust) + repr(
            trust.steps["kt"]
        )


class TestNextRun:
    def test_changes_nothing(self, store: CaStore) -> None:
        first = settle(store, dict.fromkeys(CLUSTERS, live()))
        again = settle(store, applied(first))
        assert (again.steps, again.created, again.root_fingerprint) == ({}, False, first.root_fingerprint)

    def test_changes_nothing_from_a_machine_without_the_store(self, store: CaStore, tmp_path: Path) -> None:
        first = settle(store, dict.fromkeys(CLUSTERS, live()))
        elsewhere = CaStore(tmp_path / "elsewhere")
        again = settle(elsewhere, applied(first))
        assert (again.steps, again.root_fingerprint) == ({}, first.root_fingerprint)
        assert not elsewhere.folder.exists()

    def test_gives_a_cluster_that_joins_a_ca_of_the_same_root(self, store: CaStore) -> None:
        first = settle(store, {"nhn": live()})
        later = settle(store, applied(first) | {"kt": live()})
        assert list(later.steps) == ["kt"]
        assert later.root_fingerprint == first.root_fingerprint

    def test_puts_back_a_secret_that_was_deleted_with_the_same_ca(self, store: CaStore) -> None:
        first = settle(store, {"kt": live()})
        again = settle(store, {"kt": live()})
        assert not again.created
        assert again.steps["kt"].documents == first.steps["kt"].documents

    def test_writes_the_stores_ca_where_another_of_the_same_root_lives(self, store: CaStore) -> None:
        first = settle(store, dict.fromkeys(CLUSTERS, live()))
        swapped = applied(first) | {"kt": applied(first)["nhn"]}
        (step,) = settle(store, swapped).steps.values()
        assert "another intermediate" in step.reasons[0]

    def test_a_secret_that_is_not_whole_stops_it(self, store: CaStore) -> None:
        secret = documents.cacerts(ca_certs("kt").secret_data())
        del secret["data"]["ca-key.pem"]
        with pytest.raises(ProblemError) as error:
            settle(store, {"kt": live(secret)})
        (problem,) = error.value.problems
        assert (problem.code, problem.cluster, problem.seen) == (
            "cacerts-partial",
            "kt",
            "without ca-key.pem",
        )


class TestRoots:
    def test_clusters_under_different_roots_are_refused(self, store: CaStore) -> None:
        observed = {"kt": running(ca_certs("kt")), "nhn": running(ca_certs("nhn", "other"))}
        assert refused(store, observed) == "roots-differ"

    def test_a_root_that_is_not_at_hand_is_not_replaced(self, store: CaStore) -> None:
        assert refused(store, {"kt": running(ca_certs("kt")), "nhn": live()}) == "root-not-at-hand"
        assert store.read().root_cert is None

    def test_a_store_of_another_root_is_refused(self, store: CaStore) -> None:
        settle(store, {"nhn": live()})
        kept = store.read().root_cert
        assert refused(store, {"kt": running(ca_certs("kt")), "nhn": live()}) == "root-is-another"
        assert store.read().root_cert == kept


class TestDryRun:
    def test_makes_nothing(self, store: CaStore) -> None:
        trust = settle(store, dict.fromkeys(CLUSTERS, live()), dry_run=True)
        assert (trust.root_fingerprint, trust.created) == (None, True)
        assert trust.steps["kt"].reasons == ("Secret cacerts is missing; the CA of kt-k2p would be made",)
        assert not store.folder.exists()

    def test_says_nothing_where_there_is_nothing_to_do(self, store: CaStore) -> None:
        observed = {name: running(ca_certs(name)) for name in CLUSTERS}
        trust = settle(store, observed, dry_run=True)
        assert (trust.steps, trust.root_fingerprint) == ({}, root_fingerprint())

    def test_shows_what_a_store_that_has_it_all_would_write(self, store: CaStore) -> None:
        first = settle(store, dict.fromkeys(CLUSTERS, live()))
        again = settle(store, dict.fromkeys(CLUSTERS, live()), dry_run=True)
        assert again.steps["kt"].documents == first.steps["kt"].documents
