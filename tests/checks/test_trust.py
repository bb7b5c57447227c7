"""Trust on a mesh that works but for one thing, with real certificates: the fault, and what mends it."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Observation, Result, Verdict
from istio_mc.checks.runner import run
from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.proxies import DistributedRoots, ProxiesHold, ProxyTrust
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.certificates import Authority, new_intermediate, new_root
from istio_mc.domain.pki.pem import dump_certificates, fingerprint
from istio_mc.domain.problem import Code, Problem
from tests.support.leaves import istiod_leaf
from tests.support.odd_cas import TEXTS
from tests.support.world import (
    CLUSTERS,
    EC,
    World,
    authority,
    ca_certs,
    cluster_id_of,
    encoded,
    proxy,
    root,
    root_fingerprint,
    serving,
)

NOW = datetime.now(UTC)
INSTALL = "istio-mc install --contexts kt,ncloud,nhn"
RESTART = "kubectl --context nhn -n istio-system rollout restart deployment istiod"


@pytest.fixture
def world() -> World:
    return World(now=NOW)


def results(world: World) -> list[Result]:
    return run(ALL, world.facts())


def root_causes(world: World) -> list[str]:
    return [f"{found.check.id} {found.target}" for found in results(world) if found.is_root_cause]


def of(world: World, check: str, target: str = "nhn") -> Result:
    return next(r for r in results(world) if (r.check.id, str(r.target)) == (check, target))


def problem(world: World, check: str, target: str = "nhn") -> Problem:
    found = of(world, check, target).problem
    assert found, f"{check} {target} has no problem"
    assert found.seen
    assert found.expected
    assert found.hint
    assert found.docs
    return found


@cache
def dated(begins: timedelta, lasts: timedelta) -> Authority:
    """A CA for nhn under the mesh's root that begins and lasts so long."""
    return new_intermediate(root(), cluster_id_of("nhn"), NOW + begins, key=EC, validity=lasts)


AT_ONCE = timedelta()


@cache
def renewed(ca: Authority) -> Authority:
    """The same CA with a new certificate for its key."""
    return new_intermediate(root(), cluster_id_of("nhn"), NOW, key=EC, private=ca.key)


@cache
def old_root(begins_days: int, days: int = 3650) -> Authority:
    return new_root(NOW + timedelta(days=begins_days), key=EC, validity=timedelta(days=days))


def give(world: World, context: str, ca: Authority, *roots: Authority) -> None:
    """A cluster's CA, everywhere where it shows: cacerts, istiod, namespaces and proxies."""
    trusted = roots or (root_of(ca),)
    bundle = dump_certificates([one.certificate for one in trusted])
    put(world, context, replace(CaCerts.from_authority(ca), root_cert=bundle))
    world.serving[context] = (serving(ca),)
    world.proxies[context] = ProxiesHold((proxy(ca, *trusted),), {}, 1)
    world.distributed_roots[context] = DistributedRoots({"sample": bundle.decode()})
    for item in world.objects[context]:
        for webhook in item.get("webhooks", ()):
            webhook["clientConfig"]["caBundle"] = base64.b64encode(bundle).decode()


def let_istiods_have_several_roots(world: World, *contexts: str) -> None:
    """Sets ISTIO_MULTIROOT_MESH on the istiods of these clusters."""
    for context in contexts:
        (container,) = world.find(context, "Deployment", "istiod")["spec"]["template"]["spec"]["containers"]
        container["env"].append({"name": "ISTIO_MULTIROOT_MESH", "value": "true"})


def root_of(ca: Authority) -> Authority:
    return Authority(ca.root, ca.key)


def put(world: World, context: str, ca: CaCerts) -> None:
    world.find(context, "Secret", "cacerts")["data"] = ca.secret_data()


def test_a_mesh_that_works_shows_no_fault(world: World) -> None:
    bad = [r for r in results(world) if r.check.topic in ("trust", "control-plane")]
    assert [r for r in bad if r.verdict is not Verdict.OK] == []


def test_no_key_is_in_any_finding(world: World) -> None:
    world.find("kt", "Secret", "cacerts")["data"].pop("ca-cert.pem")
    assert "PRIVATE KEY" not in repr(results(world))


class TestCacerts:
    def test_none(self, world: World) -> None:
        world.remove("nhn", "Secret", "cacerts")
        assert root_causes(world) == ["trust.cacerts nhn"]
        assert str(problem(world, "trust.cacerts").hint) == INSTALL

    @pytest.mark.parametrize("key", ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"])
    def test_a_key_is_missing(self, world: World, key: str) -> None:
        del world.find("nhn", "Secret", "cacerts")["data"][key]
        assert root_causes(world) == ["trust.cacerts nhn"]
        assert problem(world, "trust.cacerts").seen == f"without {key}"

    @pytest.mark.parametrize(
        ("tag", "missing", "does"),
        [
            ("1.26.8", ["ca-key.pem"], "1.26.8 uses a self-signed root CA"),
            ("1.26.8", ["root-cert.pem"], "1.26.8 does not start"),
            ("1.27.0-distroless", ["ca-key.pem"], "1.27.0 does not start"),
            ("1.31.0", ["ca-cert.pem", "ca-key.pem", "cert-chain.pem"], "1.31.0 does not start"),
            ("1.31.0", ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"], "1.31.0 uses"),
            ("ours", ["ca-key.pem"], "1.26.0 uses a self-signed root CA"),
        ],
    )
    def test_what_istiod_does_with_files_missing_depends_on_its_version(
        self, world: World, tag: str, missing: list[str], does: str
    ) -> None:
        (container,) = world.find("nhn", "Deployment", "istiod")["spec"]["template"]["spec"]["containers"]
        container["image"] = f"registry:5000/istio/pilot:{tag}"
        for key in missing:
            del world.find("nhn", "Secret", "cacerts")["data"][key]
        message = problem(world, "trust.cacerts").message
        assert message.startswith(f"the Secret cacerts is not complete: istiod {does}")

    def test_revocation_lists_with_which_istiod_does_not_start(self, world: World) -> None:
        world.find("nhn", "Secret", "cacerts")["data"]["ca-crl.pem"] = encoded("none")
        assert root_causes(world) == []  # 1.26 does not read them
        (container,) = world.find("nhn", "Deployment", "istiod")["spec"]["template"]["spec"]["containers"]
        container["image"] = "registry:5000/istio/pilot:1.27.0"
        assert root_causes(world) == ["trust.cacerts nhn"]
        assert problem(world, "trust.cacerts").code == "cacerts-crl"

    @pytest.mark.parametrize(
        ("tag", "does"),
        [("1.26.0", "uses a self-signed root CA"), ("1.27.0", "does not start")],
    )
    def test_so_it_does_in_the_layout_of_cert_manager(self, world: World, tag: str, does: str) -> None:
        (container,) = world.find("nhn", "Deployment", "istiod")["spec"]["template"]["spec"]["containers"]
        container["image"] = f"registry:5000/istio/pilot:{tag}"
        data = {"tls.crt": encoded("certificate"), "ca.crt": encoded("certificate")}
        world.find("nhn", "Secret", "cacerts")["data"] = data
        assert problem(world, "trust.cacerts").message.endswith(f"istiod {tag} {does}")

    def test_a_certificate_that_cannot_be_read(self, world: World) -> None:
        world.find("nhn", "Secret", "cacerts")["data"]["root-cert.pem"] = encoded("no certificate")
        assert root_causes(world) == ["trust.cacerts nhn"]

    def test_a_key_of_another_certificate(self, world: World) -> None:
        put(world, "nhn", replace(ca_certs("nhn"), ca_key=ca_certs("kt").ca_key))
        assert root_causes(world) == ["trust.cacerts nhn"]
        assert problem(world, "trust.cacerts").code == Code.KEY_MISMATCH
        assert str(problem(world, "trust.cacerts").hint) == INSTALL

    def test_a_certificate_that_leads_to_another_root(self, world: World) -> None:
        put(world, "nhn", replace(ca_certs("nhn"), root_cert=ca_certs("nhn", "other").root_cert))
        assert root_causes(world) == ["trust.cacerts nhn"]
        assert problem(world, "trust.cacerts").code == Code.CHAIN_BROKEN

    @pytest.mark.parametrize(
        ("file", "text"),
        [("ca_key", "EC PARAMETERS before"), ("cert_chain", "joined"), ("root_cert", "byte order mark")],
    )
    def test_a_file_that_istiod_does_not_read_although_openssl_does(
        self, world: World, file: str, text: str
    ) -> None:
        whole = ca_certs("nhn")
        put(world, "nhn", replace(whole, **{file: TEXTS[text](getattr(whole, file))}))
        assert root_causes(world) == ["trust.cacerts nhn"]
        assert problem(world, "trust.cacerts").code == Code.PEM_MALFORMED
        assert str(problem(world, "trust.cacerts").hint) == INSTALL

    def test_a_certificate_that_is_no_cas(self, world: World) -> None:
        leaf = istiod_leaf(authority("nhn"))
        no_ca = Authority(leaf.certificate, leaf.key, authority("nhn").path)
        put(world, "nhn", CaCerts.from_authority(no_ca))
        assert problem(world, "trust.cacerts").code == Code.CA_NOT_A_CA

    def test_a_secret_in_cert_managers_layout_is_for_who_made_it(self, world: World) -> None:
        world.find("nhn", "Secret", "cacerts")["data"] = {"tls.crt": "", "tls.key": "", "ca.crt": ""}
        assert isinstance(problem(world, "trust.cacerts").hint, Advice)

    def test_an_istiod_that_does_not_start_is_explained_by_it(self, world: World) -> None:
        put(world, "nhn", replace(ca_certs("nhn"), ca_key=ca_certs("kt").ca_key))
        world.find("nhn", "Deployment", "istiod")["status"]["updatedReplicas"] = 0
        assert root_causes(world) == ["trust.cacerts nhn"]


class TestDates:
    def test_an_expired_intermediate(self, world: World) -> None:
        put(world, "nhn", CaCerts.from_authority(dated(AT_ONCE, timedelta(hours=1))))
        world.now = NOW + timedelta(hours=2)
        assert root_causes(world) == ["trust.valid nhn"]
        assert problem(world, "trust.valid").code == Code.CA_EXPIRED
        assert str(problem(world, "trust.valid").hint) == INSTALL

    def test_an_intermediate_that_is_not_valid_yet(self, world: World) -> None:
        put(world, "nhn", CaCerts.from_authority(dated(timedelta(days=2), timedelta(days=365))))
        assert root_causes(world) == ["trust.valid nhn"]
        assert problem(world, "trust.valid").code == Code.CA_NOT_YET_VALID

    def test_an_expired_root_is_one_fault_of_the_whole_mesh(self, world: World) -> None:
        ended = old_root(-400, 100)
        for context in CLUSTERS:
            give(world, context, under(ended, context, NOW - timedelta(days=390), 80))
        assert root_causes(world) == ["trust.root-valid mesh"]
        assert isinstance(problem(world, "trust.root-valid", "mesh").hint, Advice)

    @pytest.mark.parametrize(("days", "verdict"), [(29, Verdict.FAILED), (31, Verdict.OK)])
    def test_thirty_days_before_its_end_an_intermediate_is_warned_about(
        self, world: World, days: int, verdict: Verdict
    ) -> None:
        give(world, "nhn", dated(AT_ONCE, timedelta(days=days)))
        assert of(world, "trust.lasts").verdict is verdict
        assert root_causes(world) == []

    def test_a_root_that_ends_soon_is_warned_about_once(self, world: World) -> None:
        ending = old_root(-10, 30)
        for context in CLUSTERS:
            give(world, context, under(ending, context, NOW, 15))
        assert of(world, "trust.root-lasts", "mesh").is_warning
        assert root_causes(world) == []

    def test_without_a_present_nothing_is_judged_by_the_calendar(self, world: World) -> None:
        world.now = None
        put(world, "nhn", CaCerts.from_authority(dated(timedelta(days=2), timedelta(days=365))))
        assert of(world, "trust.valid").verdict is Verdict.OK


@cache
def under(above: Authority, context: str, begins: datetime, days: int) -> Authority:
    return new_intermediate(above, cluster_id_of(context), begins, key=EC, validity=timedelta(days=days))


class TestClocks:
    HOUR = 3600.0

    def test_one_that_is_off(self, world: World) -> None:
        world.ahead_s["nhn"] = -self.HOUR
        assert root_causes(world) == ["trust.clock nhn"]
        assert (problem(world, "trust.clock").seen or "").startswith("1:00:00 behind")
        assert isinstance(problem(world, "trust.clock").hint, Advice)

    @pytest.mark.parametrize("seconds", [-119.0, 119.0])
    def test_what_istiod_allows_for_is_no_fault(self, world: World, seconds: float) -> None:
        world.ahead_s["nhn"] = seconds
        assert root_causes(world) == []

    def test_this_machines_is_off_where_all_clusters_agree(self, world: World) -> None:
        world.ahead_s = dict.fromkeys(CLUSTERS, self.HOUR)
        assert root_causes(world) == []
        assert of(world, "trust.clock-here", "mesh").is_warning

    def test_it_explains_a_ca_that_is_not_valid_there_yet(self, world: World) -> None:
        world.ahead_s["nhn"] = -self.HOUR
        assert [str(c) for c in of(world, "trust.valid").caused_by] == ["trust.clock nhn"]

    def test_a_ca_is_judged_by_the_clusters_clock(self, world: World) -> None:
        world.ahead_s = dict.fromkeys(CLUSTERS, self.HOUR)
        put(world, "nhn", CaCerts.from_authority(dated(timedelta(minutes=30), timedelta(days=365))))
        assert of(world, "trust.valid").verdict is Verdict.OK

    def test_a_server_that_sends_no_date_shows_nothing(self, world: World) -> None:
        world.ahead_s["nhn"] = None
        assert of(world, "trust.clock").verdict is Verdict.UNKNOWN
        assert root_causes(world) == []


class TestOneRoot:
    def test_another_root_in_one_cluster(self, world: World) -> None:
        give(world, "nhn", authority("nhn", "other"))
        assert root_causes(world) == ["trust.one-root nhn"]

    def test_both_roots_are_named_with_their_clusters(self, world: World) -> None:
        give(world, "nhn", authority("nhn", "other"))
        assert problem(world, "trust.one-root").seen == (
            f"kt, ncloud: root {root_fingerprint()}; nhn: root {root_fingerprint('other')}"
        )

    def test_the_command_replaces_that_clusters_ca_and_no_other(self, world: World) -> None:
        give(world, "nhn", authority("nhn", "other"))
        assert str(problem(world, "trust.one-root").hint) == INSTALL.replace(
            "install", "install --replace-ca nhn"
        )

    def test_the_command_merges_the_roots_where_istiods_may_have_several(self, world: World) -> None:
        give(world, "nhn", authority("nhn", "other"))
        let_istiods_have_several_roots(world, *CLUSTERS)
        assert str(problem(world, "trust.one-root").hint) == INSTALL.replace("install", "ca rotate --merge")

    @pytest.mark.parametrize("missing", CLUSTERS)
    def test_one_istiod_that_may_not_is_enough_for_the_other_command(
        self, world: World, missing: str
    ) -> None:
        give(world, "nhn", authority("nhn", "other"))
        let_istiods_have_several_roots(world, *(name for name in CLUSTERS if name != missing))
        assert "install --replace-ca nhn" in str(problem(world, "trust.one-root").hint)

    def test_roots_are_not_merged_where_an_istiod_signs_with_another_ca_than_its_secrets(
        self, world: World
    ) -> None:
        put(world, "nhn", ca_certs("nhn", "other"))
        let_istiods_have_several_roots(world, *CLUSTERS)
        assert "install --replace-ca nhn" in str(problem(world, "trust.one-root").hint)

    def test_an_istiod_that_has_not_taken_the_other_root_yet_is_explained_by_it(self, world: World) -> None:
        put(world, "nhn", ca_certs("nhn", "other"))
        assert root_causes(world) == ["trust.one-root nhn"]
        assert of(world, "trust.istiod").verdict is Verdict.FAILED

    def test_where_the_right_root_is_unknown_a_person_decides(self, world: World) -> None:
        give(world, "ncloud", authority("ncloud", "third"))
        give(world, "nhn", authority("nhn", "other"))
        assert root_causes(world) == ["trust.one-root ncloud", "trust.one-root nhn"]
        assert isinstance(problem(world, "trust.one-root").hint, Advice)
        let_istiods_have_several_roots(world, *CLUSTERS)
        assert "ca rotate --merge --certs-dir FOLDER" in str(problem(world, "trust.one-root").hint)


class TestRotation:
    """Two roots at once are no fault while each cluster takes the root that the others sign under."""

    @pytest.mark.parametrize(
        "phase",
        [
            {"kt": "AB:A", "ncloud": "A:A", "nhn": "A:A"},
            {"kt": "AB:A", "ncloud": "AB:A", "nhn": "AB:A"},
            {"kt": "AB:B", "ncloud": "AB:A", "nhn": "AB:A"},
            {"kt": "AB:B", "ncloud": "AB:B", "nhn": "AB:B"},
            {"kt": "B:B", "ncloud": "AB:B", "nhn": "AB:B"},
        ],
        ids=str,
    )
    def test_each_phase_is_well(self, world: World, phase: dict[str, str]) -> None:
        rotate(world, phase)
        assert root_causes(world) == []

    def test_a_signer_that_is_new_too_early_is_the_fault_of_who_does_not_take_it(self, world: World) -> None:
        rotate(world, {"kt": "AB:B", "ncloud": "AB:A", "nhn": "A:A"})
        assert root_causes(world) == ["trust.one-root nhn"]
        assert "root-cert.pem" in str(problem(world, "trust.one-root").hint)

    def test_a_root_removed_too_early_is_reported_with_the_cas_that_still_sign_under_it(
        self, world: World
    ) -> None:
        rotate(world, {"kt": "B:B", "ncloud": "B:B", "nhn": "AB:A"})
        assert root_causes(world) == ["trust.one-root nhn"]


def rotate(world: World, phase: dict[str, str]) -> None:
    """Each cluster's trusted roots and the one it signs under: `AB:A`."""
    names = {"A": "mesh", "B": "other"}
    for context, trust in phase.items():
        trusted, _, signer = trust.partition(":")
        give(world, context, authority(context, names[signer]), *(root(names[one]) for one in trusted))


class TestIstiod:
    def test_one_that_still_signs_with_the_ca_before_this_one(self, world: World) -> None:
        world.serving["nhn"] = (serving(dated(AT_ONCE, timedelta(days=100))),)
        assert root_causes(world) == ["trust.istiod nhn"]
        assert str(problem(world, "trust.istiod").hint) == RESTART

    def test_one_that_signs_under_a_root_of_its_own_names_that_root(self, world: World) -> None:
        own = new_root(NOW, key=EC)
        world.serving["nhn"] = (serving(own),)
        world.distributed_roots["nhn"] = DistributedRoots(
            {"sample": dump_certificates([own.certificate]).decode()}
        )
        assert root_causes(world) == ["trust.istiod nhn"]
        assert fingerprint(own.certificate) in (problem(world, "trust.istiod").seen or "")
        assert root_fingerprint() in (problem(world, "trust.istiod").expected or "")

    def test_one_of_two(self, world: World) -> None:
        world.serving["nhn"] = (serving(authority("nhn")), serving(authority("kt"), "istiod-2"))
        assert (problem(world, "trust.istiod").seen or "").startswith("istiod-2: signed by CN=kt-k2p")

    def test_a_serving_certificate_that_has_expired(self, world: World) -> None:
        shown = istiod_leaf(authority("nhn"), hours=1).certificate
        world.now = NOW + timedelta(hours=2)
        world.serving["nhn"] = (replace(world.serving["nhn"][0], certificate=shown),)
        assert problem(world, "trust.istiod").code == Code.ISTIOD_CERTIFICATE_EXPIRED

    def test_where_none_is_ready_nothing_is_reported(self, world: World) -> None:
        world.serving["nhn"] = ()
        assert of(world, "trust.istiod").verdict is Verdict.UNKNOWN
        assert root_causes(world) == []

    def test_where_istiod_is_down_that_is_the_cause(self, world: World) -> None:
        world.find("nhn", "Deployment", "istiod")["spec"]["replicas"] = 0
        world.serving["nhn"] = ()
        assert root_causes(world) == ["control-plane.istiod nhn"]
        assert [str(c) for c in of(world, "trust.istiod").caused_by] == ["control-plane.istiod nhn"]

    def test_a_failed_request_is_the_cause(self, world: World) -> None:
        refused = Problem(code=Code.STREAM_FAILED, message="no stream", seen="403")
        world.failures[Observation.SERVING] = {"nhn": (refused,)}
        del world.serving["nhn"]
        assert root_causes(world) == ["access.observed nhn"]


class TestNamespaces:
    def other(self, world: World, *namespaces: str, bundle: str | None = None) -> None:
        given = dict(world.distributed_roots["nhn"].bundles)
        given |= dict.fromkeys(
            namespaces, ca_certs("nhn", "other").root_cert.decode() if bundle is None else bundle
        )
        world.distributed_roots["nhn"] = DistributedRoots(given)

    def test_one_that_has_another_root(self, world: World) -> None:
        self.other(world, "shop")
        assert root_causes(world) == ["trust.namespaces nhn"]
        seen = f"ConfigMap istio-ca-root-cert: shop: {root_fingerprint('other')}"
        assert problem(world, "trust.namespaces").seen == seen
        assert str(problem(world, "trust.namespaces").hint) == RESTART

    @pytest.mark.parametrize("bundle", ["", "no certificate"])
    def test_one_whose_bundle_cannot_be_read(self, world: World, bundle: str) -> None:
        self.other(world, "shop", bundle=bundle)
        assert problem(world, "trust.namespaces").seen == "ConfigMap istio-ca-root-cert: shop: no certificate"

    def test_many_are_not_all_named(self, world: World) -> None:
        self.other(world, *(f"shop-{number:02}" for number in range(30)))
        assert "shop-09 and 20 more" in (problem(world, "trust.namespaces").seen or "")

    def test_an_istiod_that_signs_otherwise_explains_them(self, world: World) -> None:
        self.other(world, "sample", "default")
        world.serving["nhn"] = (serving(authority("nhn", "other")),)
        assert root_causes(world) == ["trust.istiod nhn"]


class TestProxies:
    def held(self, world: World, *found: Authority, roots: tuple[Authority, ...] = ()) -> None:
        held = tuple(proxy(ca, *roots, pod=f"shop-{number}") for number, ca in enumerate(found))
        world.proxies["nhn"] = ProxiesHold(held, {}, 310)

    def test_one_that_takes_an_old_root(self, world: World) -> None:
        self.held(world, authority("nhn"), roots=(root("other"),))
        assert root_causes(world) == ["trust.proxies nhn"]

    def test_it_is_named_with_the_number_of_queried_ones(self, world: World) -> None:
        self.held(world, authority("nhn"), roots=(root("other"),))
        seen = problem(world, "trust.proxies").seen or ""
        assert seen.startswith("sample/shop-0: trusts ")
        assert seen.endswith("(1 of 310 proxies read)")

    def test_its_workload_is_restarted(self, world: World) -> None:
        self.held(world, authority("nhn", "other"), authority("nhn", "other"))
        assert str(problem(world, "trust.proxies").hint) == (
            "kubectl --context nhn -n sample rollout restart deployment/shop"
        )

    def test_what_no_deployment_runs_is_for_a_person(self, world: World) -> None:
        self.held(world, authority("nhn", "other"))
        (one,) = world.proxies["nhn"].proxies
        world.proxies["nhn"] = ProxiesHold((replace(one, workload=""),), {}, 1)
        assert isinstance(problem(world, "trust.proxies").hint, Advice)

    def test_one_whose_certificate_is_under_an_old_root(self, world: World) -> None:
        self.held(world, authority("nhn", "other"), roots=(root(),))
        assert root_causes(world) == ["trust.proxies nhn"]

    def test_one_whose_certificate_has_expired(self, world: World) -> None:
        assert world.now
        world.now += timedelta(hours=25)
        assert "trust.proxies nhn" in root_causes(world)
        assert "its certificate expired" in (problem(world, "trust.proxies").seen or "")

    def test_one_signed_by_the_intermediate_before_this_one_is_only_to_be_known(self, world: World) -> None:
        self.held(world, dated(AT_ONCE, timedelta(days=100)), roots=(root(),))
        assert root_causes(world) == []
        assert of(world, "trust.workloads").is_warning
        assert problem(world, "trust.workloads").code == Code.WORKLOAD_CERTIFICATE_OLDER

    def ending(self, ca: Authority, hours: float) -> ProxyTrust:
        """A proxy whose certificate, of a CA, lasts so long."""
        leaf = istiod_leaf(ca, hours=hours)
        return ProxyTrust("sample", "shop-1", (leaf.certificate, *ca.path), (ca.root,), "deployment/shop")

    def test_one_whose_certificate_outlives_its_ca_is_warned_about(self, world: World) -> None:
        ca = dated(AT_ONCE, timedelta(hours=10))
        give(world, "nhn", ca)
        world.proxies["nhn"] = ProxiesHold((self.ending(ca, 24),), {}, 1)
        assert of(world, "trust.workloads-end").is_warning
        found = problem(world, "trust.workloads-end")
        assert found.code == Code.WORKLOAD_OUTLIVES_CA
        assert f"its CA: {ca.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC" in str(found.seen)
        assert str(found.hint) == INSTALL, "the cluster's CA is renewed in the days before it ends"

    def test_one_of_a_ca_that_was_renewed_since_is_restarted(self, world: World) -> None:
        before = dated(AT_ONCE, timedelta(hours=10))
        give(world, "nhn", renewed(before))
        world.proxies["nhn"] = ProxiesHold((self.ending(before, 24),), {}, 1)
        restart = "kubectl --context nhn -n sample rollout restart deployment/shop"
        assert str(problem(world, "trust.workloads-end").hint) == restart

    def test_one_that_outlives_the_root_needs_a_new_root_or_a_shorter_time(self, world: World) -> None:
        ending = new_root(NOW, key=EC, validity=timedelta(hours=10))
        ca = new_intermediate(ending, cluster_id_of("nhn"), NOW, key=EC)
        for context in CLUSTERS:
            give(world, context, new_intermediate(ending, cluster_id_of(context), NOW, key=EC))
        give(world, "nhn", ca)
        world.proxies["nhn"] = ProxiesHold((self.ending(ca, 24),), {}, 1)
        assert isinstance(problem(world, "trust.workloads-end").hint, Advice)

    def test_one_that_ends_with_its_ca_is_no_fault(self, world: World) -> None:
        ca = dated(AT_ONCE, timedelta(hours=48))
        give(world, "nhn", ca)
        world.proxies["nhn"] = ProxiesHold((self.ending(ca, 24),), {}, 1)
        assert of(world, "trust.workloads-end").verdict is Verdict.OK

    def test_one_that_holds_nothing_yet_is_no_fault(self, world: World) -> None:
        (one,) = world.proxies["nhn"].proxies
        world.proxies["nhn"] = ProxiesHold((replace(one, chain=(), roots=()),), {}, 1)
        assert of(world, "trust.proxies").verdict is Verdict.OK

    def test_where_none_responds_nothing_is_reported(self, world: World) -> None:
        silent = Problem(code=Code.STREAM_FAILED, message="no stream", seen="403")
        world.proxies["nhn"] = ProxiesHold((), {"sample/shop-1": silent}, 1)
        assert of(world, "trust.proxies").verdict is Verdict.UNKNOWN
        assert of(world, "trust.workloads").verdict is Verdict.UNKNOWN
        assert of(world, "trust.workloads-end").verdict is Verdict.UNKNOWN
        assert root_causes(world) == []

    def test_another_root_in_another_cluster_is_no_fault_of_theirs(self, world: World) -> None:
        give(world, "kt", authority("kt", "other"))
        assert of(world, "trust.proxies").verdict is Verdict.OK


class TestWebhooks:
    def spoil(self, world: World, kind: str = "Mutating", bundle: bytes | None = None) -> None:
        for item in world.objects["nhn"]:
            if item["kind"] == f"{kind}WebhookConfiguration":
                found = ca_certs("nhn", "other").root_cert if bundle is None else bundle
                item["webhooks"][0]["clientConfig"]["caBundle"] = base64.b64encode(found).decode()

    @pytest.mark.parametrize("kind", ["Mutating", "Validating"])
    def test_a_stale_ca_bundle(self, world: World, kind: str) -> None:
        self.spoil(world, kind)
        assert root_causes(world) == ["control-plane.webhooks nhn"]
        assert root_fingerprint("other") in (problem(world, "control-plane.webhooks").seen or "")

    @pytest.mark.parametrize("bundle", [b"", b"no certificate"])
    def test_one_that_holds_no_certificate(self, world: World, bundle: bytes) -> None:
        self.spoil(world, bundle=bundle)
        assert root_causes(world) == ["control-plane.webhooks nhn"]

    def test_istiod_writes_it_when_it_may_and_starts(self, world: World) -> None:
        self.spoil(world)
        world.objects["nhn"].append(role("update"))
        assert str(problem(world, "control-plane.webhooks").hint) == RESTART

    def test_one_without_its_revision_label_is_labelled_as_istiod_leaves_it_alone(self, world: World) -> None:
        self.spoil(world)
        del world.find("nhn", "MutatingWebhookConfiguration", "istio-sidecar-injector")["metadata"]["labels"]
        assert str(problem(world, "control-plane.webhooks").hint) == (
            "kubectl --context nhn label mutatingwebhookconfiguration istio-sidecar-injector "
            "istio.io/rev=default --overwrite"
        )

    def test_an_istiod_that_may_not_write_it_gets_its_rights_back(self, world: World) -> None:
        self.spoil(world)
        world.objects["nhn"].append(role("get"))
        assert str(problem(world, "control-plane.webhooks").hint) == INSTALL

    def test_webhooks_of_another_control_plane_are_not_ours(self, world: World) -> None:
        self.spoil(world)
        found = world.find("nhn", "MutatingWebhookConfiguration", "istio-sidecar-injector")
        for webhook in found["webhooks"]:
            webhook["clientConfig"]["service"]["name"] = "istiod-canary"
        assert of(world, "control-plane.webhooks").verdict is Verdict.OK

    def test_several_roots_are_well_where_one_fits(self, world: World) -> None:
        self.spoil(world, bundle=ca_certs("nhn", "other").root_cert + ca_certs("nhn").root_cert)
        assert of(world, "control-plane.webhooks").verdict is Verdict.OK

    def test_an_istiod_that_signs_otherwise_explains_it(self, world: World) -> None:
        world.serving["nhn"] = (serving(authority("nhn", "other")),)
        assert root_causes(world) == ["trust.istiod nhn"]


def role(verb: str) -> dict[str, object]:
    rule = {"resources": ["mutatingwebhookconfigurations"], "verbs": ["list", verb]}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "istiod-clusterrole-istio-system"},
        "rules": [rule],
    }
