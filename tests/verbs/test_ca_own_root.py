"""ca rotate --root-cert: a stand-in mesh goes to a root whose key is elsewhere, by requests."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from istio_mc.domain.pki.certificates import Authority, KeySpec, KeyType, new_root
from istio_mc.domain.pki.pem import dump_certificates, dump_key
from istio_mc.ops.session import rights
from tests.support.rotating import (
    at_write,
    certificates_in,
    files,
    look_often,
    proxies,
    refused,
    unreachable,
    with_workloads,
)
from tests.support.snapshots import changed
from tests.support.world import root

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from istio_mc.domain.kube.rights import Right
    from istio_mc.ops.session.session import Session
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

IDS = ("kt-k2p", "ncloud-nks", "nhn-nks")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    look_often(monkeypatch)


@cache
def offline() -> Authority:
    """The user's root; its key is on no machine that istio-mc runs on."""
    return new_root(datetime.now(UTC), key=KeySpec(KeyType.EC, 256))


def signed(request: bytes, above: Authority | None = None) -> bytes:
    """What the user's root, or a CA below it, issues for a request, with the names and extensions it has."""
    csr = x509.load_pem_x509_csr(request)
    assert csr.is_signature_valid
    return dump_certificates([issued(csr.subject, csr.public_key(), [*csr.extensions], above or offline())])


def issued(
    subject: x509.Name,
    key: CertificatePublicKeyTypes,
    extensions: list[x509.Extension[x509.ExtensionType]],
    above: Authority,
) -> x509.Certificate:
    """A certificate as a CA issues it."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(above.certificate.not_valid_before_utc)
        .not_valid_after(above.certificate.not_valid_after_utc)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(above.key.public_key()), critical=False
        )
    )
    for one in extensions:
        builder = builder.add_extension(one.value, one.critical)
    return builder.sign(above.key, hashes.SHA256())


@cache
def between() -> Authority:
    """A CA of the user's own below the root, which signs the requests."""
    key = KeySpec(KeyType.EC, 256).generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "corp issuing CA")])
    limits = x509.BasicConstraints(ca=True, path_length=1)
    extension = x509.Extension(limits.oid, critical=True, value=limits)
    made = issued(name, key.public_key(), [extension], offline())
    return Authority(made, key, (offline().certificate,))


@pytest.fixture
def serving(installed: Mesh) -> Mesh:
    """A mesh with a workload in each cluster; corp.pem is the certificate of the user's root."""
    (installed.folder / "corp.pem").write_bytes(dump_certificates([offline().certificate]))
    return with_workloads(installed)


ROTATE = ("ca", "rotate", "--root-cert", "corp.pem", "--canary", "kt", "-o", "json", "--timeout", "300s")


def store(mesh: Mesh) -> Path:
    """The folder of the user's root."""
    (found,) = (one for one in (mesh.certs / "roots").iterdir() if one.is_dir())
    return found


def sign_requests(mesh: Mesh, *ids: str) -> None:
    """Has the user's root sign requests, and puts the certificates beside them."""
    for one in ids or IDS:
        folder = store(mesh) / one
        (folder / "ca-cert.pem").write_bytes(signed((folder / "ca.csr").read_bytes()))


@pytest.fixture
def signed_mesh(serving: Mesh) -> Mesh:
    """The same, and the certificates of all clusters' CAs are there."""
    serving.run(*ROTATE).exits(1)
    sign_requests(serving)
    return serving


def has_own_root_alone(mesh: Mesh) -> None:
    """Every cluster and every proxy has the user's root alone."""
    own = offline().certificate
    assert [certificates_in(one, "root-cert.pem") for one in mesh.clusters.values()] == [[own]] * 3
    assert proxies(mesh) == [(frozenset([own]), own)] * 3


def statuses(result: Result) -> list[str]:
    return [one["status"] for one in result.data["phases"]]


def test_the_first_run_writes_requests_and_changes_no_cluster(serving: Mesh) -> None:
    before = [one.store.find("Secret", "cacerts", "istio-system") for one in serving.clusters.values()]
    result = serving.run(*ROTATE).exits(1)
    assert result.errors == [("own-root-unsigned", name) for name in serving.names]
    after = [one.store.find("Secret", "cacerts", "istio-system") for one in serving.clusters.values()]
    assert after == before
    request = x509.load_pem_x509_csr((store(serving) / "kt-k2p" / "ca.csr").read_bytes())
    limits = request.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, 0)
    assert not (store(serving) / "root-ca.key").exists()


def test_requests_and_keys_stay_until_they_are_signed(serving: Mesh) -> None:
    serving.run(*ROTATE).exits(1)
    before = files(serving.certs)
    sign_requests(serving, "kt-k2p")
    result = serving.run(*ROTATE).exits(1)
    assert result.errors == [("own-root-unsigned", "ncloud"), ("own-root-unsigned", "nhn")]
    assert before.items() <= files(serving.certs).items()


@pytest.mark.thorough
def test_with_the_certificates_every_cluster_and_every_proxy_has_the_users_root_alone(
    signed_mesh: Mesh,
) -> None:
    before, seen = files(signed_mesh.certs), set[str]()

    def look() -> None:
        for one in signed_mesh.clusters.values():
            found = certificates_in(one, "root-cert.pem")
            seen.update(each.subject.rfc4514_string() for each in found)

    for one in signed_mesh.clusters.values():
        one.store.on_write.append(look)
    try:
        result = signed_mesh.run(*ROTATE).exits(0)
    finally:
        for one in signed_mesh.clusters.values():
            one.store.on_write.pop()
    has_own_root_alone(signed_mesh)
    assert statuses(result) == ["done"] * 4
    assert before.items() <= files(signed_mesh.certs).items()
    assert "CN=without-key.root.istio.io" in seen


@pytest.mark.thorough
def test_a_ca_between_the_users_root_and_the_requests_comes_behind_the_certificate(serving: Mesh) -> None:
    serving.run(*ROTATE).exits(1)
    for one in IDS:
        folder = store(serving) / one
        made = signed((folder / "ca.csr").read_bytes(), between())
        (folder / "ca-cert.pem").write_bytes(made + dump_certificates([between().certificate]))
    serving.run(*ROTATE).exits(0)
    has_own_root_alone(serving)


@pytest.mark.thorough
def test_afterwards_install_goes_on_with_the_users_root_which_is_not_begun_again(signed_mesh: Mesh) -> None:
    signed_mesh.run(*ROTATE).exits(0)
    signed_mesh.run("install", "--contexts", "kt,ncloud,nhn").exits(0)
    has_own_root_alone(signed_mesh)
    assert signed_mesh.run(*ROTATE).exits(1).errors == [("own-root-in-use", None)]
    signed_mesh.run("uninstall", "--yes", "--purge-ca").exits(0)
    assert files(signed_mesh.certs) == {}


@pytest.mark.thorough
def test_a_ca_below_the_root_signs_without_requests(serving: Mesh) -> None:
    own = offline()
    (serving.folder / "corp.key").write_bytes(dump_key(own.key))
    (serving.folder / "corp.key").chmod(0o600)
    serving.run(*ROTATE, "--root-key", "corp.key").exits(0)
    has_own_root_alone(serving)


def with_issuer(mesh: Mesh, issuer: Authority) -> tuple[str, ...]:
    """The options of a CA of the user's that signs below the root."""
    (mesh.folder / "issuing.pem").write_bytes(dump_certificates([issuer.certificate]))
    (mesh.folder / "issuing.key").write_bytes(dump_key(issuer.key))
    (mesh.folder / "issuing.key").chmod(0o600)
    return ("--issuer-cert", "issuing.pem", "--issuer-key", "issuing.key")


@pytest.mark.thorough
def test_an_issuer_below_the_root_signs_without_requests(serving: Mesh) -> None:
    options = with_issuer(serving, between())
    serving.run(*ROTATE, *options).exits(0)
    has_own_root_alone(serving)
    issuer = between().certificate
    chains = [certificates_in(one, "cert-chain.pem") for one in serving.clusters.values()]
    assert [issuer in chain for chain in chains] == [True] * 3


@pytest.mark.thorough
def test_a_killed_change_below_an_issuer_is_continued_by_the_same_command(serving: Mesh) -> None:
    options = with_issuer(serving, between())
    serving.run(*ROTATE, *options, dies_after=("PATCH .*/secrets/cacerts$", PHASES["sign"]))
    serving.run(*ROTATE, *options).exits(0)
    has_own_root_alone(serving)


def test_an_issuer_that_is_not_below_the_root_changes_nothing(serving: Mesh) -> None:
    before, kept = serving.snapshots(), files(serving.certs)
    result = serving.run(*ROTATE, *with_issuer(serving, root("another"))).exits(2)
    assert result.errors == [("chain-broken", None)]
    assert changed(before, serving.snapshots()) == []
    assert files(serving.certs) == kept


@pytest.mark.thorough
def test_rights_are_required_once(signed_mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    verbs: list[str] = []
    require = rights.require

    def once(session: Session, verb: str, needed: Mapping[str, Collection[Right]]) -> None:
        verbs.append(verb)
        require(session, verb, needed)

    monkeypatch.setattr(rights, "require", once)
    signed_mesh.run(*ROTATE).exits(0)
    assert verbs == ["ca rotate"]


def test_a_rehearsal_changes_nothing_and_names_what_is_to_be_signed(serving: Mesh) -> None:
    before, kept = serving.snapshots(), files(serving.certs)
    result = serving.run(*ROTATE, "--rehearse").exits(1)
    assert result.errors == [("own-root-unsigned", name) for name in serving.names]
    assert serving.snapshots() == before
    assert files(serving.certs) == kept
    serving.run(*ROTATE).exits(1)
    sign_requests(serving)
    assert statuses(serving.run(*ROTATE, "--rehearse").exits(0)) == ["planned"] * 4


PHASES = {"trust": 1, "sign": 4, "renew": 7, "finish": 10}
"""The number of the first write of cacerts in each phase."""


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [unreachable, refused])
@pytest.mark.parametrize("phase", ["sign", "finish"])
def test_a_fault_in_a_phase_stops_it_and_the_same_command_goes_on(
    signed_mesh: Mesh, phase: str, fault: Callable[[Mesh], None]
) -> None:
    at_write(signed_mesh, PHASES[phase], lambda: fault(signed_mesh))
    assert signed_mesh.run(*ROTATE[:-2], "--timeout", "60s").code != 0
    held = proxies(signed_mesh)
    assert [root for trusted, _ in held for _, root in held if root not in trusted] == []
    signed_mesh.heal("ncloud")
    signed_mesh["ncloud"].faults.rules.clear()
    signed_mesh.run(*ROTATE).exits(0)
    has_own_root_alone(signed_mesh)


@pytest.mark.thorough
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_that_was_killed_is_continued_by_the_same_command(signed_mesh: Mesh, phase: str) -> None:
    signed_mesh.run(*ROTATE, dies_after=("PATCH .*/secrets/cacerts$", PHASES[phase]))
    assert signed_mesh.run(*ROTATE, "--rehearse").exits(0).data["nextPhase"] == phase
    signed_mesh.run(*ROTATE).exits(0)
    has_own_root_alone(signed_mesh)


@pytest.mark.thorough
def test_a_proxy_that_keeps_the_old_root_stops_it_and_is_named(signed_mesh: Mesh) -> None:
    signed_mesh["nhn"].istiods.keeps = {"shop"}
    result = signed_mesh.run(*ROTATE).exits(1)
    assert result.errors == [("root-not-followed", "nhn"), ("root-stopped", None)]
    (first, last) = result.json["errors"]
    assert "rollout restart deployment/shop" in first["hint"]
    assert "istio-mc ca rotate --root-cert corp.pem" in last["hint"]
    assert statuses(result) == ["failed", "not begun", "not begun", "not begun"]


class TestWhatStandsInTheWay:
    def test_a_certificate_for_another_key(self, signed_mesh: Mesh) -> None:
        folder = store(signed_mesh)
        other = (folder / "kt-k2p" / "ca-cert.pem").read_bytes()
        (folder / "nhn-nks" / "ca-cert.pem").write_bytes(other)
        result = signed_mesh.run(*ROTATE).exits(1)
        assert result.errors == [("key-mismatch", "nhn-nks")]
        assert not (signed_mesh.certs / "roots" / "next").exists()

    def test_another_change_that_has_begun(self, serving: Mesh) -> None:
        at_write(serving, 1, lambda: unreachable(serving))
        serving.run("ca", "rotate", "-o", "json", "--timeout", "60s")
        serving.heal("ncloud")
        assert ("own-root-other", None) in serving.run(*ROTATE).exits(1).errors

    def test_a_certificate_that_is_no_root(self, signed_mesh: Mesh) -> None:
        other = store(signed_mesh) / "kt-k2p" / "ca-cert.pem"
        result = signed_mesh.run("ca", "rotate", "--root-cert", str(other), "-o", "json").exits(2)
        assert result.errors == [("root-not-self-signed", None)]

    def test_a_member_that_cannot_be_reached(self, signed_mesh: Mesh) -> None:
        signed_mesh.cut("nhn")
        result = signed_mesh.run(*ROTATE, "--contexts", "kt,ncloud,nhn").exits(1)
        assert ("cluster-unreachable", "nhn") in result.errors
        assert offline().certificate not in certificates_in(signed_mesh["kt"], "root-cert.pem")

    def test_options_of_two_changes(self, serving: Mesh) -> None:
        assert serving.run(*ROTATE, "--merge").code == 2
