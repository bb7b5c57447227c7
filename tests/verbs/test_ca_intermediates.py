"""ca rotate --intermediates: another CA for each stand-in cluster under the same root, one after another."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from istio_mc.domain.pki.certificates import KeySpec, KeyType, new_root
from istio_mc.domain.pki.pem import dump_certificates
from istio_mc.domain.problem import Code, ProblemError
from istio_mc.ops.rotation import intermediates as op
from istio_mc.ops.upgrade import gate
from tests.support.rotating import (
    SYSTEM,
    at_write,
    certificates_in,
    files,
    proxies,
    refused,
    unreachable,
    with_workloads,
)

if TYPE_CHECKING:
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

ROTATE = ("ca", "rotate", "--intermediates", "--canary", "ncloud", "-o", "json", "--timeout", "300s")
NAMES = ("ncloud", "kt", "nhn")
LISTS = base64.b64encode(b"-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n").decode()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for a long time is waited for a short one."""
    monkeypatch.setattr(gate, "SETTLE_S", 0.0)
    monkeypatch.setattr(op, "GATE_S", 0.3)
    monkeypatch.setattr(op, "_POLL_S", 0.05)


@pytest.fixture
def serving(installed: Mesh) -> Mesh:
    """A mesh with a workload in each cluster, whose proxies have certificates."""
    return with_workloads(installed)


def cas(mesh: Mesh) -> dict[str, x509.Certificate]:
    """The CA in each cluster's cacerts, which its istiod signs with."""
    found = {name: certificates_in(one, "ca-cert.pem")[0] for name, one in mesh.clusters.items()}
    for name, one in mesh.clusters.items():
        assert {istiod.issuer.certificate for istiod in one.istiods.running()} == {found[name]}
    return found


def roots(mesh: Mesh) -> set[x509.Certificate]:
    return {root for one in mesh.clusters.values() for root in certificates_in(one, "root-cert.pem")}


def statuses(result: Result) -> dict[str, str]:
    return {one["name"]: one["status"] for one in result.data["clusters"]}


def nothing_left(mesh: Mesh) -> bool:
    return not (mesh.certs / "intermediates" / "next").exists()


def all_changed(mesh: Mesh, old: dict[str, x509.Certificate]) -> None:
    """Every cluster has one other CA than before, and the folder has the same."""
    now = cas(mesh)
    assert [name for name in old if now[name] == old[name]] == []
    assert nothing_left(mesh)
    assert mesh.run("install", "--contexts", "kt,ncloud,nhn", "-o", "json").exits(0).data["changed"] is False


def test_every_cluster_has_another_ca_under_the_same_root(serving: Mesh) -> None:
    old, root = cas(serving), roots(serving)
    result = serving.run(*ROTATE).exits(0)
    assert statuses(result) == dict.fromkeys(NAMES, "rotated")
    assert roots(serving) == root
    all_changed(serving, old)


@pytest.mark.thorough
def test_the_canary_goes_first_and_the_others_one_after_another(serving: Mesh) -> None:
    order: list[str] = []
    old = cas(serving)

    def look() -> None:
        now = {name: certificates_in(one, "ca-cert.pem")[0] for name, one in serving.clusters.items()}
        order.extend(sorted({name for name in now if now[name] != old[name]} - {*order}))

    for number in (1, 2, 3):
        at_write(serving, number, look)
    serving.run(*ROTATE).exits(0)
    look()
    assert order == ["ncloud", "kt", "nhn"]


@pytest.mark.thorough
def test_no_proxy_ever_meets_a_certificate_that_it_does_not_trust(serving: Mesh) -> None:
    faults: list[str] = []

    def look() -> None:
        held = proxies(serving)
        faults.extend("untrusted" for trusted, _ in held for _, root in held if root not in trusted)

    for one in serving.clusters.values():
        one.store.on_write.append(look)
    try:
        serving.run(*ROTATE).exits(0)
    finally:
        for one in serving.clusters.values():
            one.store.on_write.pop()
    assert faults == []


@pytest.mark.thorough
def test_the_cas_before_are_kept_in_folders_of_their_own(serving: Mesh) -> None:
    before = files(serving.certs)
    serving.run(*ROTATE).exits(0)
    after = files(serving.certs)
    assert set(before.values()) <= set(after.values())


@pytest.mark.thorough
def test_the_result_counts_the_certificates_of_the_cas_before(serving: Mesh) -> None:
    result = serving.run(*ROTATE).exits(0)
    kt = result.cluster("kt")
    assert (kt["proxies"], kt["formerCertificates"]) == (2, 2)
    assert kt["formerExpire"]


@pytest.mark.thorough
def test_revocation_lists_in_the_secret_stay(serving: Mesh) -> None:
    secret = serving["kt"].get("Secret", "cacerts", SYSTEM)
    serving["kt"].edit(secret, lambda copy: copy["data"].update({"ca-crl.pem": "eA=="}))
    serving.run(*ROTATE).exits(0)
    assert serving["kt"].get("Secret", "cacerts", SYSTEM)["data"]["ca-crl.pem"] == "eA=="


@pytest.mark.thorough
def test_a_root_that_a_cluster_trusts_beside_the_own_one_stays(serving: Mesh) -> None:
    kt = serving["kt"]
    other = dump_certificates([new_root(datetime.now(UTC), key=KeySpec(KeyType.EC, 256)).certificate])
    secret = kt.get("Secret", "cacerts", SYSTEM)
    both = base64.b64decode(secret["data"]["root-cert.pem"]) + other
    kt.edit(secret, lambda copy: copy["data"].update({"root-cert.pem": base64.b64encode(both).decode()}))
    kt.settle()
    before = certificates_in(kt, "root-cert.pem")
    serving.run(*ROTATE).exits(0)
    assert certificates_in(kt, "root-cert.pem") == before


def test_a_rehearsal_changes_nothing(serving: Mesh) -> None:
    before, kept = serving.snapshots(), files(serving.certs)
    result = serving.run("ca", "rotate", "--intermediates", "--rehearse", "-o", "json").exits(0)
    assert serving.snapshots() == before
    assert files(serving.certs) == kept
    assert statuses(result) == dict.fromkeys(NAMES, "to rotate")


@pytest.mark.thorough
def test_one_cluster_of_several_can_change_alone(serving: Mesh) -> None:
    old = cas(serving)
    serving.run(*ROTATE[:3], "--contexts", "nhn", "--timeout", "300s").exits(0)
    assert [name for name, ca in cas(serving).items() if ca != old[name]] == ["nhn"]


@pytest.mark.thorough
def test_a_ca_that_exists_only_in_the_secret_is_saved_in_the_folder_before_its_removal(serving: Mesh) -> None:
    (serving.certs / "nhn-nks").rename(serving.folder / "aside")
    serving.run("ca", "issue", "--cluster-id", "nhn-nks").exits(0)
    key = (serving.folder / "aside" / "ca-key.pem").read_bytes()
    serving.run(*ROTATE).exits(0)
    assert key in files(serving.certs).values()


# Faults

NUMBERS = {"first": 1, "second": 2, "last": 3}
"""The writes of cacerts, of ncloud, kt and nhn."""


@pytest.mark.thorough
@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_a_cluster_unreachable_after_a_write_stops_the_run_and_the_same_command_continues(
    serving: Mesh, number: int
) -> None:
    old = cas(serving)
    at_write(serving, number, lambda: unreachable(serving))
    result = serving.run(*ROTATE[:-2], "--timeout", "60s")
    assert result.code != 0
    serving.heal("ncloud")
    first = {name: ca for name, ca in cas(serving).items() if ca != old[name]}
    serving.run(*ROTATE).exits(0)
    all_changed(serving, old)
    assert first.items() <= cas(serving).items()


@pytest.mark.thorough
def test_a_cluster_that_refuses_the_write_stops_it_before_any_other(serving: Mesh) -> None:
    old = cas(serving)
    refused(serving)
    result = serving.run(*ROTATE).exits(1)
    assert ("intermediate-stopped", "ncloud") in result.errors
    assert statuses(result) == {"ncloud": "failed", "kt": "not begun", "nhn": "not begun"}
    assert cas(serving) == old
    serving["ncloud"].faults.rules.clear()
    serving.run(*ROTATE).exits(0)
    all_changed(serving, old)


@pytest.mark.thorough
def test_an_istiod_that_does_not_follow_stops_it_before_the_next_cluster(serving: Mesh) -> None:
    old = cas(serving)
    (istiod,) = serving["kt"].istiods.running()
    istiod.self_signed = True  # it reloads nothing
    result = serving.run(*ROTATE).exits(3)
    assert result.errors == [("intermediate-not-followed", "kt"), ("intermediate-stopped", "kt")]
    assert "rollout restart deployment istiod" in result.json["errors"][0]["hint"]
    assert statuses(result) == {"ncloud": "rotated", "kt": "failed", "nhn": "not begun"}
    (istiod,) = serving["kt"].istiods.running()
    istiod.self_signed = False
    result = serving.run(*ROTATE).exits(0)
    assert statuses(result) == {"ncloud": "unchanged", "kt": "rotated", "nhn": "rotated"}
    all_changed(serving, old)


@pytest.mark.thorough
def test_a_check_that_fails_after_a_cluster_stops_it_before_the_next_and_the_same_command_again(
    serving: Mesh,
) -> None:
    def break_link() -> None:
        kt = serving["kt"]
        kt.delete(kt.get("Secret", "istio-remote-secret-nhn-nks", SYSTEM))

    at_write(serving, 1, break_link)
    result = serving.run(*ROTATE).exits(1)
    assert result.errors[0] == ("intermediate-gate", "ncloud")
    assert statuses(result) == {"ncloud": "failed", "kt": "not begun", "nhn": "not begun"}
    again = serving.run(*ROTATE).exits(1)
    assert again.errors[0] == ("intermediate-gate", "ncloud")
    assert statuses(again) == {"ncloud": "failed", "kt": "not begun", "nhn": "not begun"}


@pytest.mark.thorough
def test_a_run_killed_in_each_cluster_continues_with_the_cas_it_issued(serving: Mesh) -> None:
    old = cas(serving)
    serving.run(*ROTATE, dies_after="PATCH .*/secrets/cacerts$")
    made = {ca for name, ca in files(serving.certs).items() if name.endswith("ca-cert.pem")}
    serving.run(*ROTATE, dies_after="PATCH .*/secrets/cacerts$")
    serving.run(*ROTATE, dies_after="PATCH .*/secrets/cacerts$")
    result = serving.run(*ROTATE).exits(0)
    assert statuses(result) == {"ncloud": "unchanged", "kt": "unchanged", "nhn": "rotated"}
    all_changed(serving, old)
    assert {ca for name, ca in files(serving.certs).items() if name.endswith("ca-cert.pem")} == made


@pytest.mark.thorough
def test_cas_that_were_made_before_the_first_write_are_used_by_the_next_run(serving: Mesh) -> None:
    refused(serving)
    serving.run(*ROTATE).exits(1)
    made = files(serving.certs / "intermediates" / "next")
    serving["ncloud"].faults.rules.clear()
    serving.run(*ROTATE).exits(0)
    assert set(made.values()) - {made["clusters"]} <= set(files(serving.certs).values())


def fail_at_rename(monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    """Has the rename of a folder fail, as if the run had been killed before it."""
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if of in str(path):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)


@pytest.mark.thorough
@pytest.mark.parametrize("before", ["certs/ncloud-nks", "next/ncloud-nks"])
def test_a_run_that_ends_between_the_renames_in_the_folder_is_continued(serving: Mesh, before: str) -> None:
    old = cas(serving)
    with pytest.MonkeyPatch.context() as patch:
        fail_at_rename(patch, before)
        result = serving.run(*ROTATE).exits(1)
    assert {code for code, _ in result.errors} == {"file-unwritable", "intermediate-stopped"}
    first = cas(serving)["ncloud"]
    serving.run(*ROTATE).exits(0)
    all_changed(serving, old)
    assert cas(serving)["ncloud"] == first


@pytest.mark.thorough
def test_an_issue_after_a_run_that_ended_between_the_renames_makes_no_third_ca(serving: Mesh) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fail_at_rename(patch, "next/ncloud-nks")
        serving.run(*ROTATE).exits(1)
    serving.run("ca", "issue", "--cluster-id", "ncloud-nks").exits(0)
    issued = (serving.certs / "ncloud-nks" / "ca-cert.pem").read_bytes()
    assert x509.load_pem_x509_certificate(issued) == cas(serving)["ncloud"]


@pytest.mark.thorough
def test_a_run_killed_after_all_clusters_is_completed_and_not_restarted(serving: Mesh) -> None:
    def fail(_store: object) -> None:
        raise ProblemError.of(code=Code.FILE_UNWRITABLE, message="cannot remove it")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(op, "forget_next_cas", fail)
        assert serving.run(*ROTATE).exits(3).errors == [("file-unwritable", None)]
    now = cas(serving)
    result = serving.run(*ROTATE).exits(0)
    assert statuses(result) == dict.fromkeys(NAMES, "unchanged")
    assert cas(serving) == now
    assert nothing_left(serving)


# What stands in the way


def test_a_member_that_cannot_be_reached_stops_it_before_the_first_change(serving: Mesh) -> None:
    old, kept = cas(serving), files(serving.certs)
    serving.cut("nhn")
    result = serving.run(*ROTATE, "--contexts", "kt,ncloud,nhn").exits(1)
    assert ("cluster-unreachable", "nhn") in result.errors
    assert (cas(serving), files(serving.certs)) == (old, kept)


def test_without_a_key_that_signs_nothing_is_changed(serving: Mesh) -> None:
    old = cas(serving)
    (serving.certs / "root-ca.key").rename(serving.folder / "root-ca.key")
    result = serving.run(*ROTATE).exits(1)
    assert {code for code, _ in result.errors} == {"ca-no-signer"}
    assert cas(serving) == old


@pytest.mark.thorough
def test_it_does_not_begin_while_the_root_changes(serving: Mesh) -> None:
    old = cas(serving)
    serving.run("ca", "rotate", "--timeout", "300s", dies_after="PATCH .*/secrets/cacerts$")
    result = serving.run(*ROTATE).exits(1)
    assert result.errors == [("intermediate-root-changes", None)]
    assert cas(serving) == old


def test_revocation_lists_without_one_of_the_next_ca_stop_it_before_the_first_write(serving: Mesh) -> None:
    old = cas(serving)
    kt = serving["kt"]
    secret = kt.get("Secret", "cacerts", SYSTEM)
    (container,) = kt.get("Deployment", "istiod", SYSTEM)["spec"]["template"]["spec"]["containers"]
    image = container["image"].replace("1.26.0", "1.31.0")

    def upgrade(copy: dict[str, Any]) -> None:
        copy["spec"]["template"]["spec"]["containers"][0]["image"] = image

    kt.edit(kt.get("Deployment", "istiod", SYSTEM), upgrade)
    kt.edit(secret, lambda copy: copy["data"].update({"ca-crl.pem": LISTS}))
    for words in (ROTATE, (*ROTATE, "--rehearse")):
        result = serving.run(*words).exits(1)
        assert result.errors == [("cacerts-crl", "kt")]
    assert {name: ca for name, ca in cas(serving).items() if name != "kt"} == {
        name: ca for name, ca in old.items() if name != "kt"
    }


@pytest.mark.thorough
def test_a_next_ca_of_a_cluster_outside_the_run_is_a_warning(serving: Mesh) -> None:
    at_write(serving, 2, lambda: unreachable(serving))
    serving.run(*ROTATE[:-2], "--timeout", "60s")
    serving.heal("ncloud")
    result = serving.run(*ROTATE, "--contexts", "ncloud,kt").exits(0)
    assert [one["code"] for one in result.json["messages"]] == ["intermediate-left"]


@pytest.mark.thorough
def test_options_that_the_next_ca_does_not_fit_are_an_error(serving: Mesh) -> None:
    refused(serving)
    serving.run(*ROTATE).exits(1)
    serving["ncloud"].faults.rules.clear()
    result = serving.run(*ROTATE, "--key-type", "ec", "--key-size", "384").exits(1)
    assert {code for code, _ in result.errors} == {"ca-flag-differs"}


@pytest.mark.thorough
def test_purging_the_ca_removes_the_cas_before_and_after(serving: Mesh) -> None:
    serving.run(*ROTATE).exits(0)
    refused(serving)
    serving.run(*ROTATE).exits(1)
    serving["ncloud"].faults.rules.clear()
    serving.run("uninstall", "--yes", "--purge-ca").exits(0)
    assert files(serving.certs) == {}
