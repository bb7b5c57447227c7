"""Which CA each cluster shall run under, with real stores: one root, never replaced."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.istio import documents
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.observed import Observed
from istio_mc.domain.pki.cacerts import CaCerts, faults
from istio_mc.domain.pki.certificates import load_signer, new_intermediate
from istio_mc.domain.pki.pem import NamedPem, load_key
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host.ca_store import CaStore
from istio_mc.ops.ca.options import CaOptions
from istio_mc.ops.ca.trust import Trust, assess, decide, live_cacerts
from tests.support.odd_cas import TEXTS
from tests.support.world import CLUSTERS, EC, IDS, ca_certs, root_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OPTIONS = CaOptions(key=EC)
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
        assert list(trust.steps) == list(CLUSTERS)
        roots = {live_cacerts(name, found).root_cert for name, found in applied(trust).items()}  # type: ignore[union-attr]
        assert roots == {store.read().root_cert}

    def test_which_clusters_need_a_ca_is_settled_before_anything_is_made(self, store: CaStore) -> None:
        needs = assess(store, CLUSTERS, dict.fromkeys(CLUSTERS, live()), NOW)
        assert (needs.wanting, needs.root, needs.is_there) == (IDS, None, False)
        assert not store.folder.exists()

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
        assert (again.steps, again.root_fingerprint) == ({}, first.root_fingerprint)

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
        assert again.steps["kt"].documents == first.steps["kt"].documents

    def test_writes_the_stores_ca_where_another_of_the_same_root_lives(self, store: CaStore) -> None:
        first = settle(store, dict.fromkeys(CLUSTERS, live()))
        swapped = applied(first) | {"kt": applied(first)["nhn"]}
        (step,) = settle(store, swapped).steps.values()
        assert "another intermediate" in step.reasons[0]

    def test_names_the_roots_where_the_ca_is_that_of_the_store(self, store: CaStore) -> None:
        def of(name: str) -> CaCerts:
            secret = applied(first)[name].find(objects.SECRET, "cacerts")
            return CaCerts.from_secret_data(secret["data"] if secret else {})

        first = settle(store, dict.fromkeys(CLUSTERS, live()))
        both = of("kt").root_cert + ca_certs("kt", "other").root_cert
        changing = applied(first) | {"kt": running(replace(of("kt"), root_cert=both))}
        (step,) = settle(store, changing).steps.values()
        assert "other roots" in step.reasons[0]


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


def damaged(found: CaCerts, **keys: bytes | None) -> Observed:
    """A Secret of which some keys are others, or missing."""
    secret = documents.cacerts(found.secret_data())
    for name, value in keys.items():
        key = f"{name.replace('_', '-')}.pem"
        if value is None:
            del secret["data"][key]
        else:
            secret["data"][key] = base64.b64encode(value).decode()
    return live(secret)


@pytest.fixture
def mesh(store: CaStore) -> dict[str, Observed]:
    """Three clusters under the store's root."""
    return applied(settle(store, dict.fromkeys(CLUSTERS, live())))


def secret_of(observed: Observed) -> CaCerts:
    found = live_cacerts("kt", observed)
    assert found
    return found


class TestRepair:
    """A Secret that istiod cannot use is written anew where its root is the mesh's: nothing is lost."""

    @pytest.mark.parametrize("key", ["ca_cert", "ca_key", "cert_chain", "root_cert"])
    def test_a_key_that_is_missing(self, store: CaStore, mesh: dict[str, Observed], key: str) -> None:
        desired = secret_of(mesh["kt"])
        trust = settle(store, mesh | {"kt": damaged(desired, **{key: None})})
        assert list(trust.steps) == ["kt"]
        assert secret_of(applied(trust)["kt"]) == desired

    def test_the_damage_is_the_reason(self, store: CaStore, mesh: dict[str, Observed]) -> None:
        trust = settle(store, mesh | {"kt": damaged(secret_of(mesh["kt"]), ca_key=None)})
        assert trust.steps["kt"].reasons == ("Secret cacerts is of no use to istiod: without ca-key.pem",)

    def test_a_key_of_another_certificate(self, store: CaStore, mesh: dict[str, Observed]) -> None:
        found = damaged(secret_of(mesh["kt"]), ca_key=secret_of(mesh["nhn"]).ca_key)
        assert list(settle(store, mesh | {"kt": found}).steps) == ["kt"]

    def test_a_root_that_its_certificate_does_not_lead_to(
        self, store: CaStore, mesh: dict[str, Observed]
    ) -> None:
        found = damaged(secret_of(mesh["kt"]), root_cert=ca_certs("kt", "other").root_cert)
        assert list(settle(store, mesh | {"kt": found}).steps) == ["kt"]

    @pytest.mark.parametrize(
        ("part", "text"),
        [("ca_key", "EC PARAMETERS before"), ("cert_chain", "joined"), ("root_cert", "byte order mark")],
    )
    def test_a_file_that_istiod_does_not_read_is_written_as_plain_pem(
        self, store: CaStore, mesh: dict[str, Observed], part: str, text: str
    ) -> None:
        desired = secret_of(mesh["kt"])
        found = damaged(desired, **{part: TEXTS[text](getattr(desired, part))})
        trust = settle(store, mesh | {"kt": found})
        assert list(trust.steps) == ["kt"]
        assert secret_of(applied(trust)["kt"]) == desired
        assert not (store.folder / "replaced").exists(), "it is the same key"

    def test_another_root_is_known_though_istiod_does_not_read_its_file(
        self, store: CaStore, mesh: dict[str, Observed]
    ) -> None:
        other = ca_certs("kt", "other")
        odd = {part: TEXTS["byte order mark"](getattr(other, part)) for part in ("ca_cert", "root_cert")}
        assert codes(store, mesh | {"kt": damaged(other, **odd)}) == ["roots-differ"]

    def test_istiod_is_restarted_after_it(self, store: CaStore, mesh: dict[str, Observed]) -> None:
        trust = settle(store, mesh | {"kt": damaged(secret_of(mesh["kt"]), ca_key=None), "nhn": live()})
        assert list(trust.restarts) == ["kt", "nhn"]

    def test_an_intermediate_that_is_swapped_needs_no_restart(
        self, store: CaStore, mesh: dict[str, Observed]
    ) -> None:
        assert settle(store, mesh | {"kt": mesh["nhn"]}).restarts == {}

    def test_a_private_key_that_the_store_lacks_is_kept(
        self, store: CaStore, mesh: dict[str, Observed]
    ) -> None:
        found = damaged(secret_of(mesh["kt"]), ca_key=ca_certs("kt").ca_key)
        settle(store, mesh | {"kt": found})
        (kept,) = (store.folder / "replaced").iterdir()
        assert (kept / "ca-key.pem").read_bytes() == ca_certs("kt").ca_key
        assert (kept / "ca-key.pem").stat().st_mode & 0o777 == 0o600

    def test_what_the_store_has_is_not_kept_twice(self, store: CaStore, mesh: dict[str, Observed]) -> None:
        settle(store, mesh | {"kt": damaged(secret_of(mesh["kt"]), cert_chain=None)})
        assert not (store.folder / "replaced").exists()

    def test_without_the_stores_root_it_stops(self, tmp_path: Path, mesh: dict[str, Observed]) -> None:
        elsewhere = CaStore(tmp_path / "elsewhere")
        found = mesh | {"kt": damaged(secret_of(mesh["kt"]), ca_key=None)}
        assert codes(elsewhere, found) == ["root-not-at-hand", "cacerts-partial"]

    def test_without_any_root_at_hand_it_stops(self, store: CaStore) -> None:
        found = damaged(ca_certs("kt"), root_cert=None, ca_cert=None)
        assert codes(store, {"kt": found}) == ["root-not-at-hand", "cacerts-partial"]

    def test_a_ca_under_another_root_is_not_accepted_silently(
        self, store: CaStore, mesh: dict[str, Observed]
    ) -> None:
        found = mesh | {"kt": damaged(ca_certs("kt", "other"), ca_key=None)}
        assert codes(store, found) == ["roots-differ"]

    def test_what_cert_manager_made_is_left_to_it(self, store: CaStore, mesh: dict[str, Observed]) -> None:
        secret = documents.cacerts({"tls.crt": "", "tls.key": "", "ca.crt": ""})
        assert codes(store, mesh | {"kt": live(secret)}) == ["cacerts-made-by-others"]


class TestReplace:
    """A CA under another root is replaced only where its cluster is named."""

    @pytest.fixture
    def stray(self, mesh: dict[str, Observed]) -> dict[str, Observed]:
        return mesh | {"kt": running(ca_certs("kt", "other"))}

    def test_not_named_it_stops(self, store: CaStore, stray: dict[str, Observed]) -> None:
        assert codes(store, stray) == ["roots-differ"]

    def test_named_it_gets_the_stores(
        self, store: CaStore, stray: dict[str, Observed], mesh: dict[str, Observed]
    ) -> None:
        trust = decide(store, CLUSTERS, stray, OPTIONS, NOW, replace=["kt"])
        assert list(trust.steps) == list(trust.restarts) == ["kt"]
        assert secret_of(applied(trust)["kt"]) == secret_of(mesh["kt"])

    def test_the_ca_before_is_kept_once(self, store: CaStore, stray: dict[str, Observed]) -> None:
        for _ in range(2):
            decide(store, CLUSTERS, stray, OPTIONS, NOW, replace=["kt"])
        (kept,) = (store.folder / "replaced").iterdir()
        assert {path.name for path in kept.iterdir()} == set(ca_certs("kt", "other").files())

    def test_one_that_is_under_the_root_already_is_left_alone(
        self, store: CaStore, mesh: dict[str, Observed]
    ) -> None:
        assert decide(store, CLUSTERS, mesh, OPTIONS, NOW, replace=["kt"]).steps == {}

    def test_another_stray_that_is_not_named_stops_it(
        self, store: CaStore, stray: dict[str, Observed]
    ) -> None:
        found = stray | {"nhn": running(ca_certs("nhn", "third"))}
        assert codes(store, found, replace=["kt"]) == ["roots-differ"]

    def test_without_the_stores_root_it_stops(self, tmp_path: Path, stray: dict[str, Observed]) -> None:
        assert codes(CaStore(tmp_path / "elsewhere"), stray, replace=["kt"]) == ["root-not-at-hand"]

    def test_a_dry_run_keeps_and_makes_nothing(self, store: CaStore, stray: dict[str, Observed]) -> None:
        trust = decide(store, CLUSTERS, stray, OPTIONS, NOW, dry_run=True, replace=["kt"])
        assert "under another root" in trust.steps["kt"].reasons[0]
        assert not (store.folder / "replaced").exists()


class TestRenewal:
    """A CA that ends soon, or has ended, gets a new certificate for the same key."""

    def end(self, store: CaStore) -> None:
        """Puts a CA in the store that has expired, whose key is kt's."""
        stored = store.read()
        signer = load_signer(
            NamedPem("root", stored.root_cert or b""), NOW, root_key=NamedPem("key", stored.root_key or b"")
        )
        key = load_key(NamedPem("key", stored.clusters[IDS["kt"]].ca_key or b""))
        begins = signer.certificate.not_valid_before_utc
        old = new_intermediate(signer, IDS["kt"], begins, key=EC, validity=timedelta(seconds=1), private=key)
        store.renew_cluster(IDS["kt"], CaCerts.from_authority(old))

    def test_the_key_stays(self, store: CaStore, mesh: dict[str, Observed]) -> None:
        self.end(store)
        trust = settle(store, mesh)
        assert list(trust.steps) == ["kt"]
        assert secret_of(applied(trust)["kt"]).ca_key == secret_of(mesh["kt"]).ca_key
        assert faults(secret_of(applied(trust)["kt"]), NOW) == []

    def test_it_is_done_once(self, store: CaStore, mesh: dict[str, Observed]) -> None:
        self.end(store)
        renewed = mesh | applied(settle(store, mesh))
        assert settle(store, renewed).steps == {}

    def test_a_dry_run_is_reported_as_such_and_leaves_the_store_unchanged(
        self, store: CaStore, mesh: dict[str, Observed]
    ) -> None:
        self.end(store)
        before = store.read()
        trust = settle(store, mesh, dry_run=True)
        assert trust.steps["kt"].reasons[0].startswith("the CA of kt-k2p expired ")
        assert store.read() == before

    def test_a_live_one_that_has_ended_gives_way_to_the_stores(
        self, store: CaStore, mesh: dict[str, Observed]
    ) -> None:
        stored = secret_of(mesh["kt"])
        self.end(store)
        old = running(
            CaCerts(
                ca_cert=(store.folder / IDS["kt"] / "ca-cert.pem").read_bytes(),
                ca_key=stored.ca_key,
                cert_chain=(store.folder / IDS["kt"] / "cert-chain.pem").read_bytes(),
                root_cert=stored.root_cert,
            )
        )
        store.renew_cluster(IDS["kt"], stored)
        trust = settle(store, mesh | {"kt": old})
        assert secret_of(applied(trust)["kt"]) == stored
        assert not (store.folder / "replaced").exists()

    def test_without_the_roots_key_an_expired_one_stops_it(
        self, store: CaStore, mesh: dict[str, Observed]
    ) -> None:
        self.end(store)
        (store.folder / "root-ca.key").unlink()
        assert codes(store, mesh) == ["ca-expired"]


def codes(store: CaStore, observed: dict[str, Observed], replace: Sequence[str] = ()) -> list[str]:
    with pytest.raises(ProblemError) as error:
        decide(store, CLUSTERS, observed, OPTIONS, NOW, replace=replace)
    return [problem.code for problem in error.value.problems]


class TestDryRun:
    def test_makes_nothing(self, store: CaStore) -> None:
        trust = settle(store, dict.fromkeys(CLUSTERS, live()), dry_run=True)
        assert trust.root_fingerprint is None
        assert trust.steps["kt"].reasons == ("Secret cacerts is missing; the CA of kt-k2p would be made",)
        assert not store.folder.exists()

    def test_reports_nothing_where_there_is_nothing_to_do(self, store: CaStore) -> None:
        observed = {name: running(ca_certs(name)) for name in CLUSTERS}
        trust = settle(store, observed, dry_run=True)
        assert (trust.steps, trust.root_fingerprint) == ({}, root_fingerprint())

    def test_shows_what_a_store_that_has_it_all_would_write(self, store: CaStore) -> None:
        first = settle(store, dict.fromkeys(CLUSTERS, live()))
        again = settle(store, dict.fromkeys(CLUSTERS, live()), dry_run=True)
        assert again.steps["kt"].documents == first.steps["kt"].documents
