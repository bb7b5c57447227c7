"""Names, dates and extensions of the mesh's certificates, and what is said of those that are not in order."""

from __future__ import annotations

import string
import subprocess
from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain.pki import cacerts, pem
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.certificates import (
    Authority,
    KeySpec,
    KeyType,
    ca_names,
    cluster_id_faults,
    load_signer,
    names_below,
    new_intermediate,
    new_root,
    parse_validity,
)
from istio_mc.domain.pki.chain import path_faults
from istio_mc.domain.pki.pem import NamedPem
from istio_mc.domain.problem import InputError, Problem, ProblemError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
EC = KeySpec(KeyType.EC, 256)

ROOT = new_root(NOW, key=EC)
KT = new_intermediate(ROOT, "kt-k2p", NOW, key=EC)

ALLOWED = string.ascii_letters + string.digits
# Drawn by length, as hypothesis by itself hardly ever draws long text: up to 42 characters fit a common name,
# up to 63 a DNS label.
cluster_ids = (
    st.sampled_from([(1, 42), (38, 48), (60, 66), (64, 200)])
    .flatmap(lambda sizes: st.text(ALLOWED + "-_.", min_size=sizes[0], max_size=sizes[1]))
    .filter(
        lambda cluster_id: cluster_id[0] in ALLOWED and cluster_id[-1] in ALLOWED and ".." not in cluster_id
    )
)


def codes(problems: list[Problem] | tuple[Problem, ...]) -> list[str]:
    return sorted(problem.code for problem in problems)


def openssl_text(certificate: x509.Certificate) -> str:
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-text"],
        input=pem.dump_certificates([certificate]),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


def with_serial(number: int) -> x509.Certificate:
    root = forged("corp")
    return (
        x509.CertificateBuilder()
        .subject_name(root.certificate.subject)
        .issuer_name(root.certificate.subject)
        .public_key(root.key.public_key())
        .serial_number(number)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(root.key, hashes.SHA256())
    )


def forged(  # noqa: PLR0913 (each is a field to get wrong)
    name: str,
    issuer: Authority | None = None,
    *,
    ca: bool = True,
    path_length: int | None = None,
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=1000),
    key: pem.PrivateKey | None = None,
    usage: x509.KeyUsage | None = None,
    more: tuple[x509.ExtensionType, ...] = (),
) -> Authority:
    """A CA as somebody else's tools might make it."""
    key = key or EC.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    )
    for extension in (*more, *([usage] if usage else [])):
        builder = builder.add_extension(extension, critical=False)
    signer = issuer.key if issuer else key
    certificate = builder.sign(signer, pem.signing_hash(signer))
    return Authority(certificate, key, issuer.path if issuer else ())


def cert_pem(*authorities: Authority, name: str = "cert.pem") -> NamedPem:
    return NamedPem(name, pem.dump_certificates(a.certificate for a in authorities))


def key_pem(authority: Authority, name: str = "ca.key") -> NamedPem:
    return NamedPem(name, pem.dump_key(authority.key))


# Names


def test_the_root_is_called_as_in_the_guide() -> None:
    assert pem.common_name(ROOT.certificate) == "root.istio.io"
    assert pem.alternative_names(ROOT.certificate) == ("root.istio.io",)


def test_a_clusters_ca_is_called_as_in_the_guide() -> None:
    assert pem.common_name(KT.certificate) == "kt-k2p.intermediate.istio.io"
    assert pem.alternative_names(KT.certificate) == ("kt-k2p.intermediate.istio.io",)


@given(cluster_ids)
def test_any_cluster_id_makes_names_that_x509_and_dns_allow(cluster_id: str) -> None:
    names = ca_names(cluster_id)
    assert len(names.common_name) <= 64
    assert len(names.dns) <= 253
    assert all(1 <= len(label) <= 63 for label in names.dns.split("."))


@given(cluster_ids)
def test_any_cluster_id_is_whole_in_a_subject_alternative_name(cluster_id: str) -> None:
    certificate = new_intermediate(ROOT, cluster_id, NOW, key=EC).certificate
    whole = (f"{cluster_id}.intermediate.istio.io", f"urn:istio-mc:cluster:{cluster_id}")
    assert any(name in whole for name in pem.alternative_names(certificate))
    assert pem.common_name(certificate) == ca_names(cluster_id).common_name


@given(st.lists(cluster_ids, min_size=2, max_size=20, unique=True))
def test_different_clusters_have_different_common_names(ids: list[str]) -> None:
    assert len({ca_names(cluster_id).common_name for cluster_id in ids}) == len(ids)


def test_a_dns_name_is_whole_as_long_as_dns_allows_its_labels() -> None:
    assert ca_names("a" * 63).dns == "a" * 63 + ".intermediate.istio.io"
    assert ca_names("a" * 63).uri is None
    assert ca_names("a" * 64).dns == ca_names("a" * 64).common_name
    assert ca_names("a" * 64).uri == "urn:istio-mc:cluster:" + "a" * 64


def test_long_ids_that_differ_only_at_the_end_have_different_common_names() -> None:
    assert ca_names("a" * 60 + "b").common_name != ca_names("a" * 60 + "c").common_name


def test_an_id_is_cut_only_when_it_does_not_fit() -> None:
    assert ca_names("a" * 42).common_name == "a" * 42 + ".intermediate.istio.io"
    assert ca_names("a" * 43).common_name.startswith("a" * 29 + "-")


@pytest.mark.parametrize(
    "cluster_id", ["", ".", "..", "a/b", "../a", "-a", "a-", "a b", "a\n", "a..b", "é", "a" * 201]
)
def test_an_id_that_could_leave_its_folder_or_break_a_name_is_refused(cluster_id: str) -> None:
    assert codes(cluster_id_faults(cluster_id)) == ["cluster-id"]
    with pytest.raises(InputError):
        ca_names(cluster_id)


# Validity


@pytest.mark.parametrize(("text", "hours"), [("87600h", 87_600), ("3650d", 87_600), (" 24h ", 24)])
def test_validity_is_given_in_hours_or_days(text: str, hours: int) -> None:
    assert parse_validity(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "0h", "-1h", "10", "10y", "1h30m", "1.5h", "99999999h"])
def test_any_other_validity_is_refused(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_validity(text)
    assert codes(error.value.problems) == ["validity"]


def test_a_validity_past_the_end_of_the_calendar_is_refused() -> None:
    with pytest.raises(InputError):
        new_root(NOW, key=EC, validity=timedelta(days=9_999_999))


def test_validity_is_ten_years_by_default_and_starts_a_little_in_the_past() -> None:
    assert ROOT.certificate.not_valid_after_utc == NOW + timedelta(hours=87_600)
    assert ROOT.certificate.not_valid_before_utc == NOW - timedelta(minutes=5)


hours = st.integers(min_value=1, max_value=200_000).map(lambda n: timedelta(hours=n))


@given(root=hours, intermediate=hours, later=st.floats(min_value=0, max_value=0.99))
def test_a_clusters_ca_never_outlives_its_issuer(
    root: timedelta, intermediate: timedelta, later: float
) -> None:
    issuer = new_root(NOW, key=EC, validity=root)
    now = NOW + root * later
    ca = new_intermediate(issuer, "kt", now, key=EC, validity=intermediate).certificate
    assert ca.not_valid_after_utc <= issuer.certificate.not_valid_after_utc
    assert ca.not_valid_before_utc >= issuer.certificate.not_valid_before_utc


def test_a_clusters_ca_outlives_nothing_between_it_and_the_root() -> None:
    root = forged("corp", end=NOW + timedelta(days=10))
    between = forged("mesh", root, end=NOW + timedelta(days=100))
    ca = new_intermediate(between, "kt", NOW, key=EC).certificate
    assert ca.not_valid_after_utc == NOW + timedelta(days=10)


def test_nothing_is_issued_by_a_ca_that_has_expired() -> None:
    with pytest.raises(ProblemError) as error:
        new_intermediate(ROOT, "kt", NOW + timedelta(days=4000), key=EC)
    assert codes(error.value.problems) == ["ca-expired"]


# Keys


def test_keys_are_rsa_3072_by_default() -> None:
    assert pem.facts(new_root(NOW, key=KeySpec()).certificate).key == "RSA 3072"


@pytest.mark.parametrize(
    ("kind", "size", "shown"),
    [
        ("rsa", 2048, "RSA 2048"),
        pytest.param("rsa", 4096, "RSA 4096", marks=pytest.mark.thorough),
        ("ec", None, "EC secp256r1"),
        ("ec", 384, "EC secp384r1"),
    ],
)
def test_other_keys_are_made_on_request(kind: str, size: int | None, shown: str) -> None:
    assert pem.facts(new_root(NOW, key=KeySpec.of(kind, size)).certificate).key == shown


@pytest.mark.parametrize(("kind", "size"), [("rsa", 1024), ("rsa", 256), ("ec", 2048), ("ec", 521)])
def test_a_size_that_is_not_the_types_is_refused(kind: str, size: int) -> None:
    with pytest.raises(InputError) as error:
        KeySpec.of(kind, size)
    assert codes(error.value.problems) == ["key-size"]


def test_a_type_that_istiod_does_not_sign_with_is_refused() -> None:
    with pytest.raises(InputError) as error:
        KeySpec.of("ed25519")
    assert codes(error.value.problems) == ["key-type"]


def test_p384_signs_with_its_own_strength() -> None:
    root = new_root(NOW, key=KeySpec(KeyType.EC, 384))
    assert isinstance(root.certificate.signature_hash_algorithm, hashes.SHA384)


# Extensions, as openssl reads them


def test_openssl_sees_a_root_that_may_have_two_cas_below_it() -> None:
    text = openssl_text(ROOT.certificate)
    assert "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:2" in text


def test_openssl_sees_a_clusters_ca_that_may_sign_workloads_only() -> None:
    text = openssl_text(KT.certificate)
    assert "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0" in text


@pytest.mark.parametrize("certificate", [ROOT.certificate, KT.certificate], ids=["root", "cluster"])
def test_openssl_sees_a_key_for_signing_certificates_and_revocation_lists(
    certificate: x509.Certificate,
) -> None:
    text = openssl_text(certificate)
    assert "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n" in text


def test_the_authority_key_id_is_the_issuers_subject_key_id() -> None:
    theirs = ROOT.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    ours = KT.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert ours.key_identifier == theirs.key_identifier


def test_an_issuer_without_a_subject_key_id_gets_one_derived_from_its_key() -> None:
    issuer = forged("corp")
    ca = new_intermediate(issuer, "kt", NOW, key=EC).certificate
    assert ca.extensions.get_extension_for_oid(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    assert cacerts.faults(CaCerts.from_authority(new_intermediate(issuer, "kt", NOW, key=EC)), NOW) == []


def test_serial_numbers_are_random() -> None:
    assert ROOT.certificate.serial_number != new_root(NOW, key=EC).certificate.serial_number
    assert KT.certificate.serial_number.bit_length() > 64


def test_the_fingerprint_is_the_one_openssl_prints() -> None:
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"],
        input=pem.dump_certificates([KT.certificate]),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip().partition("=")[2] == pem.fingerprint(KT.certificate)


@pytest.mark.parametrize("number", [0x1, 0xABC, 0xABCD, 0xFFEE])
def test_the_serial_number_is_written_as_openssl_writes_it(number: int) -> None:
    certificate = with_serial(number)
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"],
        input=pem.dump_certificates([certificate]),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == f"serial={pem.facts(certificate).serial}"


# Secrets stay secret


def test_no_key_shows_in_any_repr() -> None:
    files = CaCerts.from_authority(KT)
    shown = repr((KT, files, NamedPem("key", files.ca_key)))
    assert "PRIVATE KEY" not in shown
    assert "PrivateKey" not in shown


# The Secret cacerts


def test_the_secret_has_istios_four_keys() -> None:
    assert sorted(CaCerts.from_authority(KT).secret_data()) == [
        "ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem",
    ]  # fmt: skip


def test_the_secret_reads_back_as_it_was() -> None:
    files = CaCerts.from_authority(KT)
    assert CaCerts.from_secret_data(files.secret_data()) == files


def test_cert_managers_layout_of_the_same_ca_counts_as_the_same() -> None:
    data = CaCerts.from_authority(KT).secret_data()
    theirs = {"tls.crt": data["ca-cert.pem"], "tls.key": data["ca-key.pem"], "ca.crt": data["root-cert.pem"]}
    assert CaCerts.from_secret_data(theirs).same_as(CaCerts.from_authority(KT))


def test_another_ca_for_the_same_cluster_does_not_count_as_the_same() -> None:
    other = new_intermediate(ROOT, "kt-k2p", NOW, key=EC)
    assert not CaCerts.from_authority(other).same_as(CaCerts.from_authority(KT))


def test_white_space_and_the_form_of_the_key_make_no_difference() -> None:
    files = CaCerts.from_authority(KT)
    traditional = KT.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    other = replace(
        files, ca_cert=b"\n" + files.ca_cert, ca_key=traditional, cert_chain=files.cert_chain + b"\n\n"
    )
    assert other.same_as(files)


def test_a_secret_with_keys_missing_names_all_of_them() -> None:
    data = CaCerts.from_authority(KT).secret_data()
    del data["ca-key.pem"]
    data["root-cert.pem"] = ""
    with pytest.raises(ProblemError) as error:
        CaCerts.from_secret_data(data)
    (problem,) = error.value.problems
    assert (problem.code, problem.seen) == ("cacerts-partial", "without ca-key.pem, root-cert.pem")


def test_a_secret_that_is_not_base64_is_reported_without_its_content() -> None:
    data = CaCerts.from_authority(KT).secret_data() | {"ca-key.pem": "%secret%"}
    with pytest.raises(ProblemError) as error:
        CaCerts.from_secret_data(data)
    assert codes(error.value.problems) == ["cacerts-not-base64"]
    assert "secret%" not in str(error.value.problems)


# Faults


def broken(authority: Authority, **parts: bytes) -> list[str]:
    return codes(cacerts.faults(replace(CaCerts.from_authority(authority), **parts), NOW))


def test_what_was_just_issued_has_no_fault() -> None:
    assert broken(KT) == []


def test_a_key_of_another_certificate_is_a_fault() -> None:
    assert broken(KT, ca_key=pem.dump_key(ROOT.key)) == ["key-mismatch"]


def test_another_root_of_the_same_name_is_a_fault() -> None:
    other = new_root(NOW, key=EC)
    assert broken(KT, root_cert=pem.dump_certificates([other.certificate])) == ["chain-broken"]


def test_two_roots_of_which_one_is_the_right_one_are_in_order() -> None:
    other = new_root(NOW, key=EC)
    both = pem.dump_certificates([other.certificate, ROOT.certificate])
    assert broken(KT, root_cert=both) == []


def test_a_chain_that_proxies_cannot_follow_is_a_fault() -> None:
    assert broken(KT, cert_chain=pem.dump_certificates([ROOT.certificate])) == ["chain-without-ca"]


def test_a_missing_certificate_in_the_middle_is_a_fault() -> None:
    below = new_intermediate(forged("mesh", ROOT), "kt", NOW, key=EC)
    gap = pem.dump_certificates([below.certificate, below.root])
    assert broken(below, cert_chain=gap) == ["chain-broken"]


def test_all_unreadable_files_are_reported_together() -> None:
    problems = cacerts.faults(CaCerts(ca_cert=b"x", ca_key=b"", cert_chain=b"", root_cert=b"-----BEGIN"), NOW)
    assert codes(problems) == ["certificate-unreadable"] * 3 + ["key-unreadable"]
    named = " ".join(problem.message for problem in problems)
    assert all(name in named for name in ("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"))


SHORT = rsa.generate_private_key(65_537, 1024)  # noqa: S505 (it is to be refused)
NO_SIGNING = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("authority", "code"),
    [
        (forged("kt", ROOT, ca=False), "ca-not-a-ca"),
        (forged("kt", ROOT, usage=NO_SIGNING), "ca-cannot-sign"),
        (forged("kt", ROOT, start=NOW - timedelta(days=2), end=NOW - timedelta(days=1)), "ca-expired"),
        (forged("kt", ROOT, start=NOW + timedelta(days=1)), "ca-not-yet-valid"),
        (forged("kt", forged("corp", path_length=0)), "ca-path-length"),
        (forged("kt", forged("mesh", forged("corp", path_length=2), path_length=0)), "ca-path-length"),
    ],
    ids=["no CA", "may not sign", "expired", "not yet valid", "root's length", "mesh's length"],
)
def test_certificates_that_istiod_or_envoy_would_reject_are_a_fault(authority: Authority, code: str) -> None:
    assert broken(authority) == [code]


def test_a_signature_made_with_sha1_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(pem.dump_certificates([ROOT.certificate]))
    (tmp_path / "root.key").write_bytes(pem.dump_key(ROOT.key))
    subprocess.run(
        [
            "openssl", "req", "-x509", "-sha1", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", "/CN=kt", "-keyout", "kt.key", "-out", "kt.pem",
            "-CA", "root.pem", "-CAkey", "root.key",
        ],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    (certificate,) = pem.load_certificates(NamedPem("kt.pem", (tmp_path / "kt.pem").read_bytes()))
    assert "ca-weak-signature" in codes(path_faults([certificate, ROOT.certificate], NOW))


def test_all_faults_of_all_certificates_are_reported_together() -> None:
    root = forged("corp", path_length=0, end=NOW - timedelta(hours=1))
    problems = cacerts.faults(CaCerts.from_authority(forged("kt", root, ca=False)), NOW)
    assert codes(problems) == ["ca-expired", "ca-not-a-ca", "ca-path-length"]


def warned(authority: Authority, days: int = 90) -> list[str]:
    return codes(cacerts.warnings(CaCerts.from_authority(authority), NOW, within=timedelta(days=days)))


def test_a_ca_is_warned_about_before_it_ends() -> None:
    ending = forged("kt", ROOT, end=NOW + timedelta(days=30))
    assert warned(ending, days=31) == ["ca-expires-soon"]
    assert warned(ending, days=29) == []


def test_an_expired_ca_is_a_fault_and_no_warning() -> None:
    assert warned(forged("kt", ROOT, start=NOW - timedelta(days=2), end=NOW - timedelta(days=1))) == []


SERVERS_ONLY = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
CLIENTS_ONLY = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])


def limited_to(*domains: str) -> x509.NameConstraints:
    return x509.NameConstraints([x509.DNSName(domain) for domain in domains], None)


def test_a_root_whose_limits_leave_room_for_the_mesh_is_warned_about() -> None:
    limited = forged("corp", more=(limited_to("io", "svc"), SERVERS_ONLY))
    assert broken(forged("kt", limited)) == []
    assert warned(forged("kt", limited)) == ["ca-extended-key-usage", "ca-name-constraints"]


@pytest.mark.parametrize(
    ("authority", "code"),
    [
        (forged("kt", forged("corp", more=(limited_to("corp.example"),))), "ca-name-constraints"),
        (forged("kt", forged("corp", more=(CLIENTS_ONLY,))), "ca-extended-key-usage"),
        (forged("kt", forged("mesh", forged("corp"), more=(SERVERS_ONLY,))), "ca-extended-key-usage"),
    ],
    ids=["names", "no servers", "no clients below the root"],
)
def test_a_limit_that_leaves_no_room_for_the_mesh_is_a_fault_and_no_warning(
    authority: Authority, code: str
) -> None:
    assert broken(authority) == [code]
    assert warned(authority) == []


def test_a_short_key_that_go_still_accepts_is_a_warning() -> None:
    short = forged("kt", ROOT, key=SHORT)
    assert broken(short) == []
    assert warned(short) == ["ca-short-key"]


def test_the_names_of_clusters_cas_must_be_allowed_where_a_root_is_brought_in() -> None:
    corp = forged("corp", more=(limited_to("corp.example"),))
    with pytest.raises(ProblemError) as error:
        load_signer(cert_pem(corp), NOW, root_key=key_pem(corp))
    (problem,) = error.value.problems
    assert problem.code == "ca-name-constraints"
    assert "DNS name CLUSTER-ID.intermediate.istio.io" in str(problem.seen)
    assert "DNS name istiod.istio-system.svc" in str(problem.seen)


@pytest.mark.parametrize(("host", "fits"), [("cluster.local", True), ("corp.example", False)])
def test_the_workloads_trust_domain_must_be_allowed_where_a_root_is_brought_in(host: str, fits: bool) -> None:  # noqa: FBT001 (a parameter of the table above)
    limits = x509.NameConstraints([x509.UniformResourceIdentifier(host)], None)
    corp = forged("corp", more=(limits,))
    found: tuple[Problem, ...] = ()
    try:
        load_signer(cert_pem(corp), NOW, root_key=key_pem(corp), names=names_below(["cluster.local"]))
    except ProblemError as error:
        found = error.problems
    assert codes(found) == ([] if fits else ["ca-name-constraints"])


def test_a_name_too_long_for_dns_is_refused_below_a_ca_that_limits_names() -> None:
    """It is in a URI without a host, which Go allows below no such CA."""
    corp = forged("corp", more=(limited_to("io", "svc"),))
    with pytest.raises(ProblemError) as error:
        new_intermediate(corp, "a" * 70, NOW, key=EC)
    assert codes(error.value.problems) == ["ca-name-constraints"]
    assert new_intermediate(corp, "kt", NOW, key=EC).root == corp.certificate


def test_a_root_that_signed_itself_with_sha1_is_a_root(tmp_path: Path) -> None:
    subprocess.run(
        [
            "openssl", "req", "-x509", "-sha1", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Corp 2010",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", "r.key", "-out", "r.pem",
            "-days", "7300",
        ],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    files = [NamedPem(name, (tmp_path / name).read_bytes()) for name in ("r.pem", "r.key")]
    now = datetime.now(UTC)
    signer = load_signer(files[0], now, root_key=files[1])
    made = new_intermediate(signer, "kt", now, key=EC)
    assert cacerts.faults(CaCerts.from_authority(made), now) == []


def test_the_valid_one_of_two_certificates_for_the_same_ca_is_used() -> None:
    corp = forged("corp")
    mesh = forged("mesh", corp)
    expired = forged("mesh", corp, key=mesh.key, end=NOW - timedelta(hours=1))
    ca = forged("kt", mesh)
    files = CaCerts.from_authority(ca)
    for order in ([expired, mesh], [mesh, expired]):
        chain = pem.dump_certificates([ca.certificate, *(one.certificate for one in order), corp.certificate])
        assert cacerts.faults(replace(files, cert_chain=chain), NOW) == []


def test_a_ca_that_names_another_key_as_its_issuers_is_a_fault() -> None:
    own = x509.SubjectKeyIdentifier(b"a" * 20)
    other = x509.AuthorityKeyIdentifier(b"b" * 20, None, None)
    assert broken(forged("kt", forged("corp", more=(own,)), more=(other,))) == ["ca-key-id"]


def test_a_ca_between_that_demands_policies_is_a_fault() -> None:
    demand = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
    assert broken(forged("kt", forged("mesh", forged("corp"), more=(demand,)))) == ["ca-policies"]
    assert broken(forged("kt", forged("corp", more=(demand,)))) == []


def test_a_chain_that_begins_with_an_expired_certificate_of_the_ca_is_a_fault() -> None:
    """istiod takes that for its own, and does not start."""
    ca = forged("kt", ROOT)
    old = forged("kt", ROOT, key=ca.key, end=NOW - timedelta(hours=1))
    chain = pem.dump_certificates([old.certificate, ca.certificate, ROOT.certificate])
    assert broken(ca, cert_chain=chain) == ["ca-expired"]


def test_cert_managers_files_are_joined_as_istiod_joins_them() -> None:
    data = CaCerts.from_authority(KT).secret_data()
    cut = b64encode(b64decode(data["ca-cert.pem"]).rstrip()).decode()
    theirs = {"tls.crt": cut, "tls.key": data["ca-key.pem"], "ca.crt": data["root-cert.pem"]}
    assert codes(cacerts.faults(CaCerts.from_secret_data(theirs), NOW)) == ["pem-malformed"]
    whole = theirs | {"tls.crt": data["ca-cert.pem"]}
    assert cacerts.faults(CaCerts.from_secret_data(whole), NOW) == []


# A root of the user's own


def test_a_root_of_ones_own_signs() -> None:
    corp = forged("corp")
    signer = load_signer(cert_pem(corp), NOW, root_key=key_pem(corp))
    assert (signer.certificate, signer.chain) == (corp.certificate, ())


def test_an_issuer_of_ones_own_signs_and_its_chain_is_put_in_order() -> None:
    corp = forged("corp")
    policy = forged("policy", corp)
    mesh = forged("mesh", policy)
    stranger = forged("stranger")
    chain = cert_pem(stranger, corp, policy, mesh)
    signer = load_signer(cert_pem(corp), NOW, issuer=(cert_pem(mesh), key_pem(mesh)), issuer_chain=chain)
    assert signer.path == (mesh.certificate, policy.certificate, corp.certificate)


def test_proxies_get_the_chain_of_cluster_ca_issuer_and_root() -> None:
    mesh = forged("mesh", forged("corp"))
    files = CaCerts.from_authority(new_intermediate(mesh, "kt", NOW, key=EC))
    names = [pem.common_name(c) for c in pem.load_certificates(NamedPem("chain", files.cert_chain))]
    assert names == ["kt.intermediate.istio.io", "mesh", "corp"]


@pytest.mark.parametrize(("path_length", "fits"), [(None, True), (1, True), (0, False)])
def test_an_issuer_must_allow_one_more_ca_below_it(path_length: int | None, fits: bool) -> None:  # noqa: FBT001 (a parameter of the table above)
    corp = forged("corp")
    mesh = forged("mesh", corp, path_length=path_length)
    found: tuple[Problem, ...] = ()
    try:
        load_signer(cert_pem(corp), NOW, issuer=(cert_pem(mesh), key_pem(mesh)))
    except ProblemError as error:
        found = error.problems
    assert codes(found) == ([] if fits else ["ca-path-length"])


def test_an_issuer_without_a_chain_to_the_root_names_the_missing_ca() -> None:
    corp = forged("corp")
    mesh = forged("mesh", forged("policy", corp))
    with pytest.raises(ProblemError) as error:
        load_signer(cert_pem(corp), NOW, issuer=(cert_pem(mesh), key_pem(mesh)))
    (problem,) = error.value.problems
    assert problem.code == "chain-broken"
    assert "CN=policy" in str(problem.expected)


def test_a_root_that_another_ca_issued_is_no_root() -> None:
    mesh = forged("mesh", forged("corp"))
    with pytest.raises(ProblemError) as error:
        load_signer(cert_pem(mesh), NOW, root_key=key_pem(mesh))
    assert codes(error.value.problems) == ["root-not-self-signed"]


def test_all_faults_of_an_imported_root_are_reported_together() -> None:
    with pytest.raises(ProblemError) as error:
        load_signer(
            NamedPem("root.pem", b"rubbish"),
            NOW,
            issuer=(cert_pem(forged("mesh", path_length=0)), NamedPem("mesh.key", b"rubbish")),
            issuer_chain=NamedPem("chain.pem", b""),
        )
    assert codes(error.value.problems) == [
        "ca-path-length", "certificate-unreadable", "certificate-unreadable", "key-unreadable",
    ]  # fmt: skip


def test_several_certificates_in_the_roots_place_are_refused() -> None:
    with pytest.raises(ProblemError) as error:
        load_signer(cert_pem(ROOT, KT), NOW, root_key=key_pem(ROOT))
    assert codes(error.value.problems) == ["certificate-not-alone"]


def test_a_key_that_is_not_the_certificates_is_refused() -> None:
    with pytest.raises(ProblemError) as error:
        load_signer(cert_pem(ROOT), NOW, root_key=key_pem(KT))
    assert codes(error.value.problems) == ["key-mismatch"]


def test_an_encrypted_key_is_distinguished_from_rubbish() -> None:
    locked = ROOT.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    with pytest.raises(ProblemError) as error:
        load_signer(cert_pem(ROOT), NOW, root_key=NamedPem("root.key", locked))
    assert codes(error.value.problems) == ["key-encrypted"]


def test_an_ed25519_root_signs() -> None:
    corp = forged("corp", key=ed25519.Ed25519PrivateKey.generate())
    signer = load_signer(cert_pem(corp), NOW, root_key=key_pem(corp))
    made = new_intermediate(signer, "kt", NOW, key=EC)
    assert cacerts.faults(CaCerts.from_authority(made), NOW) == []
    assert pem.facts(corp.certificate).key == "Ed25519"


@pytest.mark.parametrize(
    "command",
    [
        ["openssl", "ecparam", "-genkey", "-name", "prime256v1"],  # writes EC PARAMETERS first
        ["openssl", "genrsa", "-traditional", "2048"],
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    ],
    ids=lambda command: command[1],
)
def test_keys_are_read_in_whatever_form_openssl_writes_them(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    key = pem.read_key(NamedPem("key", done.stdout)).value
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
