"""ca rotate --merge: stand-in clusters under two roots go to the root of the CA's folder."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from istio_mc.domain.pki.pem import dump_certificates, dump_key
from tests.support.rotating import (
    SYSTEM,
    at_write,
    certificates_in,
    files,
    look_often,
    proxies,
    refused,
    unreachable,
    with_workloads,
)
from tests.support.world import ca_certs, root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.mesh import Mesh
    from tests.support.runs import Result

THREE = "kt,ncloud,nhn"
MERGE = ("ca", "rotate", "--merge", "--contexts", THREE, "-o", "json", "--timeout", "300s")
OTHER = root("another").certificate


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    look_often(monkeypatch)


def under_another_root(mesh: Mesh, *names: str) -> None:
    """Has clusters be under another root than that of the folder, proxies and all."""
    for name in names:
        secret = mesh[name].get("Secret", "cacerts", SYSTEM)
        mesh[name].edit(secret, partial(dict.update, data=ca_certs(name, "another").secret_data()))
    mesh.settle()
    proxies(mesh)


@pytest.fixture
def two_roots(installed: Mesh) -> Mesh:
    """A mesh with a workload in each cluster; kt has the root of the folder, the others another one."""
    with_workloads(installed)
    under_another_root(installed, "ncloud", "nhn")
    return installed


def folder_root(mesh: Mesh) -> x509.Certificate:
    return x509.load_pem_x509_certificate((mesh.certs / "root-cert.pem").read_bytes())


def statuses(result: Result) -> list[str]:
    return [one["status"] for one in result.data["phases"]]


def is_merged(mesh: Mesh) -> None:
    """Every cluster and every proxy has the folder's root alone."""
    remains = folder_root(mesh)
    assert [certificates_in(one, "root-cert.pem") for one in mesh.clusters.values()] == [[remains]] * 3
    assert proxies(mesh) == [(frozenset([remains]), remains)] * 3


def untrusted(mesh: Mesh) -> list[x509.Certificate]:
    """The roots of certificates that a proxy of the same root at first would reject now."""
    held = proxies(mesh)
    return [issuer for trusted, _ in held for _, issuer in held if issuer not in trusted]


@pytest.mark.thorough
def test_every_cluster_and_every_proxy_has_the_root_of_the_folder_alone(two_roots: Mesh) -> None:
    result = two_roots.run(*MERGE, "--canary", "nhn").exits(0)
    is_merged(two_roots)
    assert statuses(result) == ["done"] * 4
    assert [(one["clusters"], one["remains"]) for one in result.data["roots"]] == [
        (["kt"], True),
        (["ncloud", "nhn"], False),
    ]


@pytest.mark.thorough
def test_a_cluster_of_another_root_goes_to_that_of_the_majority(installed: Mesh) -> None:
    with_workloads(installed)
    under_another_root(installed, "nhn")
    installed.run(*MERGE).exits(0)
    is_merged(installed)


@pytest.mark.thorough
def test_no_proxy_that_trusted_another_ever_ceases_to_before_all_have_the_root(two_roots: Mesh) -> None:
    faults: list[str] = []
    trusted_by_all = False

    def look() -> None:
        nonlocal trusted_by_all
        held = proxies(two_roots)
        trusted_by_all = trusted_by_all or not untrusted(two_roots)
        if trusted_by_all and untrusted(two_roots):
            faults.append("untrusted after all were trusted")
        # ncloud and nhn trust each other from the first moment on
        faults.extend("within a root" for trusted, _ in held[1:] for _, own in held[1:] if own not in trusted)

    for one in two_roots.clusters.values():
        one.store.on_write.append(look)
    try:
        two_roots.run(*MERGE).exits(0)
    finally:
        for one in two_roots.clusters.values():
            one.store.on_write.pop()
    assert trusted_by_all
    assert faults == []


@pytest.mark.thorough
def test_nothing_in_the_folder_is_overwritten_and_install_goes_on(two_roots: Mesh) -> None:
    before = files(two_roots.certs)
    kt = two_roots["kt"].get("Secret", "cacerts", SYSTEM)["data"]
    two_roots.run(*MERGE).exits(0)
    after = files(two_roots.certs)
    assert before.items() <= after.items()
    assert two_roots["kt"].get("Secret", "cacerts", SYSTEM)["data"] == kt
    secrets = [one.get("Secret", "cacerts", SYSTEM)["data"] for one in two_roots.clusters.values()]
    two_roots.run("install", "--contexts", THREE).exits(0)
    assert [one.get("Secret", "cacerts", SYSTEM)["data"] for one in two_roots.clusters.values()] == secrets


@pytest.mark.thorough
def test_a_cluster_under_the_remaining_root_keeps_a_ca_that_the_folder_does_not_have(two_roots: Mesh) -> None:
    (two_roots.certs / "kt-k2p").rename(two_roots.folder / "kt-k2p")
    before = two_roots["kt"].get("Secret", "cacerts", SYSTEM)["data"]
    two_roots.run(*MERGE).exits(0)
    assert two_roots["kt"].get("Secret", "cacerts", SYSTEM)["data"] == before
    assert not (two_roots.certs / "kt-k2p").exists()


@pytest.mark.thorough
def test_the_roots_of_a_cluster_that_keeps_its_ca_change_twice_only(two_roots: Mesh) -> None:
    seen: list[int] = []
    kt = two_roots["kt"]
    kt.store.on_write.append(lambda: seen.append(len(certificates_in(kt, "root-cert.pem"))))
    try:
        two_roots.run(*MERGE).exits(0)
    finally:
        kt.store.on_write.pop()
    assert list(dict.fromkeys(seen)) == [1, 2]
    assert seen[-1] == 1


@pytest.mark.thorough
def test_the_cas_of_the_other_root_are_kept_in_the_folder(two_roots: Mesh) -> None:
    two_roots.run(*MERGE).exits(0)
    kept = {path.name.rpartition("-")[0]: path for path in (two_roots.certs / "replaced").iterdir()}
    assert kept.keys() == {"ncloud-nks", "nhn-nks"}
    assert (kept["nhn-nks"] / "ca-key.pem").read_bytes() == ca_certs("nhn", "another").ca_key


@pytest.mark.thorough
def test_without_the_key_of_the_root_proxies_renew_by_a_certificate_whose_key_no_one_has(
    two_roots: Mesh,
) -> None:
    seen: set[str] = set()
    two_roots.run("ca", "issue", "--cluster-id", "ncloud-nks", "--cluster-id", "nhn-nks").exits(0)
    (two_roots.certs / "root-ca.key").unlink()

    def look() -> None:
        for one in two_roots.clusters.values():
            found = certificates_in(one, "root-cert.pem")
            seen.update(each.subject.rfc4514_string() for each in found)

    for one in two_roots.clusters.values():
        one.store.on_write.append(look)
    try:
        two_roots.run(*MERGE).exits(0)
    finally:
        for one in two_roots.clusters.values():
            one.store.on_write.pop()
    is_merged(two_roots)
    assert "CN=without-key.root.istio.io" in seen


def test_a_rehearsal_changes_nothing_and_names_the_root_that_remains(two_roots: Mesh) -> None:
    before, kept = two_roots.snapshots(), files(two_roots.certs)
    result = two_roots.run(*MERGE, "--rehearse").exits(0)
    assert two_roots.snapshots() == before
    assert files(two_roots.certs) == kept
    assert statuses(result) == ["planned"] * 4
    assert [one["remains"] for one in result.data["roots"]] == [True, False]
    text = two_roots.run("ca", "rotate", "--merge", "--contexts", THREE, "--rehearse").exits(0)
    assert "because it is the root of the CA folder" in text.stdout


def test_another_folder_has_another_root_remain(two_roots: Mesh, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    made = root("another")
    for name, data in (("c.pem", dump_certificates([OTHER])), ("k.pem", dump_key(made.key))):
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
    words = ("--root-cert", tmp_path / "c.pem", "--root-key", tmp_path / "k.pem")
    two_roots.run("ca", "init", "--certs-dir", folder, *words).exits(0)
    result = two_roots.run(*MERGE, "--rehearse", "--certs-dir", folder).exits(0)
    assert [(one["clusters"], one["remains"]) for one in result.data["roots"]] == [
        (["kt"], False),
        (["ncloud", "nhn"], True),
    ]


@pytest.mark.thorough
def test_the_command_that_verify_suggests_merges_the_roots(two_roots: Mesh) -> None:
    found = two_roots.run("verify", "--only", "trust", "-o", "json").exits(4).data["checks"]
    hints = {one["problem"]["hint"] for one in found if one["id"] == "trust.one-root" and one["problem"]}
    (hint,) = hints
    program, *words = shlex.split(hint)
    assert (program, words[:3]) == ("istio-mc", ["ca", "rotate", "--merge"])
    two_roots.run(*words, "--timeout", "300s").exits(0)
    is_merged(two_roots)


PHASES = {"trust": 1, "sign": 4, "renew": 6, "finish": 8}
"""The number of the first write of cacerts in each phase: kt keeps its CA: SIGN and RENEW have two."""


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [unreachable, refused])
@pytest.mark.parametrize("phase", PHASES)
def test_a_fault_in_any_phase_stops_it_and_the_same_command_goes_on(
    two_roots: Mesh, phase: str, fault: Callable[[Mesh], None]
) -> None:
    at_write(two_roots, PHASES[phase], lambda: fault(two_roots))
    result = two_roots.run(*MERGE[:-2], "--timeout", "60s")
    assert result.code != 0
    held = proxies(two_roots)[1:]
    assert [own for trusted, _ in held for _, own in held if own not in trusted] == []
    two_roots.heal("ncloud")
    two_roots["ncloud"].faults.rules.clear()
    two_roots.run(*MERGE).exits(0)
    is_merged(two_roots)


@pytest.mark.thorough
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_that_was_killed_is_continued_by_the_same_command(two_roots: Mesh, phase: str) -> None:
    before = files(two_roots.certs)
    two_roots.run(*MERGE, "--canary", "nhn", dies_after=("PATCH .*/secrets/cacerts$", PHASES[phase]))
    assert two_roots.run(*MERGE, "--rehearse").exits(0).data["nextPhase"] == phase
    two_roots.run(*MERGE).exits(0)
    is_merged(two_roots)
    assert before.items() <= files(two_roots.certs).items()


@pytest.mark.thorough
def test_a_proxy_that_does_not_take_up_the_other_root_stops_it_before_the_next_phase(
    two_roots: Mesh,
) -> None:
    two_roots["kt"].istiods.keeps = {"shop"}
    result = two_roots.run(*MERGE).exits(1)
    assert result.errors == [("root-not-followed", "kt"), ("root-stopped", None)]
    (first, last) = result.json["errors"]
    assert "does not trust the roots of all clusters" in first["seen"]
    assert "rollout restart deployment/shop" in first["hint"]
    assert f"ca rotate --merge --contexts {THREE}" in last["hint"]
    assert statuses(result) == ["failed", "not begun", "not begun", "not begun"]
    assert {issuer for _, issuer in proxies(two_roots)} == {folder_root(two_roots), OTHER}
    two_roots["kt"].istiods.keeps = set()
    two_roots.run(*MERGE).exits(0)
    is_merged(two_roots)


@pytest.mark.thorough
def test_a_proxy_that_keeps_its_certificate_stops_it_before_its_root_goes(two_roots: Mesh) -> None:
    at_write(two_roots, PHASES["renew"] - 1, lambda: two_roots["nhn"].istiods.keeps.add("shop"))
    result = two_roots.run(*MERGE).exits(1)
    assert result.errors == [("root-not-followed", "nhn"), ("root-stopped", None)]
    assert statuses(result) == ["done", "done", "failed", "not begun"]
    assert untrusted(two_roots) == []


def test_a_member_that_cannot_be_reached_stops_it_before_the_first_change(two_roots: Mesh) -> None:
    two_roots.cut("nhn")
    result = two_roots.run(*MERGE).exits(1)
    assert ("cluster-unreachable", "nhn") in result.errors
    assert certificates_in(two_roots["kt"], "root-cert.pem") == [folder_root(two_roots)]


def changes_nothing(mesh: Mesh, *words: str) -> Result:
    """A run of the merge that fails, if it changed no Secret cacerts."""
    secrets = [one.store.find("Secret", "cacerts", SYSTEM) for one in mesh.clusters.values()]
    result = mesh.run(*MERGE, *words).exits(1)
    assert [one.store.find("Secret", "cacerts", SYSTEM) for one in mesh.clusters.values()] == secrets
    return result


class TestWhatStandsInTheWay:
    def test_a_cluster_whose_istiod_made_its_ca_itself(self, two_roots: Mesh) -> None:
        nhn = two_roots["nhn"]
        nhn.delete(nhn.get("Secret", "cacerts", SYSTEM))
        result = changes_nothing(two_roots)
        assert result.errors == [("merge-self-signed", "nhn")]

    def test_a_root_that_no_cluster_has(self, two_roots: Mesh) -> None:
        under_another_root(two_roots, "kt")
        result = changes_nothing(two_roots)
        assert result.errors == [("root-is-another", None)]

    def test_a_folder_without_a_root(self, two_roots: Mesh, tmp_path: Path) -> None:
        result = changes_nothing(two_roots, "--certs-dir", str(tmp_path / "none"))
        assert result.errors == [("root-not-at-hand", None)]

    def test_no_key_to_sign_with(self, two_roots: Mesh) -> None:
        for name in ("ncloud-nks", "nhn-nks"):
            (two_roots.certs / name).rename(two_roots.folder / name)
        (two_roots.certs / "root-ca.key").unlink()
        result = changes_nothing(two_roots)
        assert result.errors == [("ca-no-signer", None)]

    def test_a_change_of_the_root_that_has_begun(self, two_roots: Mesh) -> None:
        (two_roots.certs / "roots").mkdir(mode=0o700)
        (two_roots.certs / "roots" / "next").write_text("abc")
        result = changes_nothing(two_roots)
        assert result.errors == [("merge-root-changes", None)]

    def test_an_istiod_that_signs_with_another_ca_than_its_secret_has(
        self, two_roots: Mesh, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nhn = two_roots["nhn"]
        (one,) = nhn.istiods.running()
        one.issuer = root("mesh")
        monkeypatch.setattr(nhn.istiods, "reload", lambda _one: None)
        result = changes_nothing(two_roots)
        assert result.errors == [("istiod-signs-with-another-ca", "nhn")]

    def test_proxies_that_do_not_follow(self, two_roots: Mesh) -> None:
        (pod,) = two_roots["nhn"].store.of("Pod", "shop")
        two_roots["nhn"].edit(pod, lambda item: item["spec"]["containers"][-1].update(env=[]))
        result = changes_nothing(two_roots)
        assert result.errors == [("root-settings", "nhn")]
        assert "--certs-dir FOLDER --contexts ncloud,nhn" in result.json["errors"][0]["hint"]


def test_it_goes_with_no_other_change(two_roots: Mesh) -> None:
    assert two_roots.run(*MERGE, "--intermediates").code == 2
