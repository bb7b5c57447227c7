"""PEM files as istiod and the proxies read them, and as a person would."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from istio_mc.domain.pki import pem
from istio_mc.domain.pki.pem import NamedPem
from istio_mc.domain.pki.pem_blocks import blocks_of_go
from istio_mc.domain.problem import ProblemError
from tests.support import forge
from tests.support.forge import Extension, basic, integer, oid, root, usage
from tests.support.odd_cas import TEXTS, explicit_algorithm, key, key_pem, sec1
from tests.support.odd_cas import pem as block

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.problem import Problem

ROOT, OTHER = root(key("P256", 0)), root(key("P256", 1), "Other Root")
CERTIFICATE, CERTIFICATES = block(ROOT.der()), block(ROOT.der()) + block(OTHER.der())
KEY = key_pem(ROOT.key)
PARAMETERS = block(oid("1.2.840.10045.3.1.7"), "EC PARAMETERS")


def problem_of(read: Callable[[NamedPem], object], data: bytes) -> Problem:
    with pytest.raises(ProblemError) as error:
        read(NamedPem("file.pem", data))
    (problem,) = error.value.problems
    return problem


# Certificates, as istiod and the proxies read them

READ_BY_ALL = [
    "text before",
    "text behind",
    "CRLF",
    "no last newline",
    "spaces at line ends",
    "twice",
    "wide lines",
]
READ_BY_PEOPLE_ALONE = {
    "joined": "no line break between two PEM blocks",
    "byte order mark": "a byte order mark",
    "UTF-16": "UTF-16 text",
    "CR": "line breaks other than \\n",
    "indented": "a PEM block that does not start at the beginning of a line",
    "EC PARAMETERS before": "PEM block EC PARAMETERS first",
    "another key before": "PEM block PRIVATE KEY first",
    "headers": "headers in a PEM block",
    "TRUSTED": "PEM block TRUSTED CERTIFICATE",
    "X509": "PEM block X509 CERTIFICATE",
}
UNREADABLE = [
    "cut off",
    "not base64 behind",
    "not base64 before",
    "begun again behind",
    "last line missing",
    "without padding",
    "last block without padding",
]


@pytest.mark.parametrize("text", READ_BY_ALL)
def test_a_bundle_is_read_whatever_is_around_its_blocks(text: str) -> None:
    found = pem.load_certificates(NamedPem("file.pem", TEXTS[text](CERTIFICATES)))
    assert [pem.common_name(one) for one in found[:2]] == ["Corp Root", "Other Root"]


@pytest.mark.parametrize(("text", "reason"), READ_BY_PEOPLE_ALONE.items())
def test_pem_that_go_or_envoy_would_skip_is_malformed_and_the_reason_is_named(text: str, reason: str) -> None:
    problem = problem_of(pem.load_certificates, TEXTS[text](CERTIFICATES))
    assert problem.code == "pem-malformed"
    assert reason in str(problem.seen)


@pytest.mark.parametrize("text", READ_BY_PEOPLE_ALONE)
def test_readable_pem_with_oddities_is_accepted_on_import_and_the_oddities_are_reported(text: str) -> None:
    reading = pem.read_certificates(NamedPem("file.pem", TEXTS[text](CERTIFICATES)))
    assert {pem.common_name(one) for one in reading.value} >= {"Corp Root", "Other Root"}
    assert reading.oddities


@pytest.mark.parametrize("text", UNREADABLE)
@pytest.mark.parametrize("read", [pem.load_certificates, pem.read_certificates])
def test_a_damaged_block_is_refused_and_not_skipped(read: Callable[[NamedPem], object], text: str) -> None:
    assert problem_of(read, TEXTS[text](CERTIFICATES)).code in {"pem-malformed", "certificate-unreadable"}


def test_go_skips_a_block_without_its_padding_and_takes_the_rest() -> None:
    text = b"-----BEGIN A-----\nYWI\n-----END A-----\n-----BEGIN B-----\nYWI=\n-----END B-----\n"
    assert [(one.kind, one.der) for one in blocks_of_go(text)] == [("B", b"ab")]


def test_plain_pem_has_no_oddities() -> None:
    assert pem.read_certificates(NamedPem("file.pem", CERTIFICATES)).oddities == ()
    assert pem.read_key(NamedPem("file.key", KEY)).oddities == ()


def test_each_certificate_is_read_once() -> None:
    reading = pem.read_certificates(NamedPem("file.pem", CERTIFICATES + CERTIFICATE))
    assert [pem.common_name(one) for one in reading.value] == ["Corp Root", "Other Root"]
    assert reading.oddities == ("a certificate twice",)


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (root(key("K256")), "none of the curves P-224, P-256, P-384, P-521"),
        (root(key("BP256")), "none of the curves"),
        (root(key("P256"), serial=integer(-1)), "negative"),
        (root(key("P256"), extensions=(basic(), basic(), usage())), "twice"),
        (root(key("P256"), after=b"x"), "bytes behind"),
        (root(key("P256"), subject=forge.name("é", 0x13)), "a character, that Go does not read"),
        (
            root(
                key("P256"), extensions=(basic(), usage(), Extension("2.5.29.14", b"\x04\x00", critical=True))
            ),
            "critical",
        ),
    ],
    ids=["secp256k1", "brainpool", "serial", "extension", "bytes", "name", "key id"],
)
def test_a_certificate_that_go_does_not_read_is_refused_and_the_reason_is_named(
    certificate: forge.Forged, reason: str
) -> None:
    for read in (pem.load_certificates, pem.read_certificates):
        problem = problem_of(read, block(certificate.der()))
        assert problem.code == "certificate-unreadable"
        assert problem.message == "file.pem has a certificate that istiod does not read"
        assert reason in str(problem.seen)


def test_a_serial_number_of_0_is_read_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = pem.load_certificates(
            NamedPem("file.pem", block(root(key("P256"), serial=integer(0)).der()))
        )
        assert pem.facts(found).serial == "00"


def test_go_skips_unreadable_roots_of_a_bundle_except_the_first() -> None:
    odd = block(root(key("K256")).der())
    assert len(pem.load_roots(NamedPem("root-cert.pem", CERTIFICATES + odd))) == 2
    assert problem_of(pem.load_roots, odd + CERTIFICATES).code == "certificate-unreadable"


def test_of_ca_cert_pem_the_first_certificate_alone_counts() -> None:
    behind = CERTIFICATE + block(b"rubbish") + b"-----BEGIN"
    assert pem.common_name(pem.load_first_certificate(NamedPem("ca-cert.pem", behind))) == "Corp Root"
    assert problem_of(pem.load_first_certificate, PARAMETERS + CERTIFICATE).code == "pem-malformed"
    assert problem_of(pem.load_first_certificate, KEY).code == "certificate-unreadable"


# Keys


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (PARAMETERS + KEY, "PEM block EC PARAMETERS first"),
        (CERTIFICATE + KEY, "PEM block CERTIFICATE first"),
        (b"\xef\xbb\xbf" + KEY, "a byte order mark"),
        (PARAMETERS.rstrip() + KEY, "no line break between two PEM blocks"),
        (KEY.replace(b"PRIVATE", b"RSA PRIVATE"), "the key is malformed"),
    ],
    ids=["parameters", "certificate", "byte order mark", "joined", "called RSA"],
)
def test_a_key_file_unreadable_for_istiod_is_malformed_in_a_secret_but_accepted_on_import(
    data: bytes, reason: str
) -> None:
    problem = problem_of(pem.load_key, data)
    assert (problem.code, problem.hint and str(problem.hint)) == (
        "pem-malformed",
        "write it again as plain PEM",
    )
    assert reason in str(problem.seen)
    reading = pem.read_key(NamedPem("file.key", data))
    assert reading.value.public_key() == ROOT.key.public_key()
    assert reading.oddities


def test_pem_blocks_after_the_key_are_ignored_by_istiod_and_reported_on_import() -> None:
    data = KEY + key_pem(OTHER.key) + CERTIFICATE
    assert pem.load_key(NamedPem("file.key", data)).public_key() == ROOT.key.public_key()
    reading = pem.read_key(NamedPem("file.key", data))
    assert reading.oddities == ("PEM block CERTIFICATE", "another private key behind the first")


def test_a_key_with_explicit_curve_parameters_is_rejected() -> None:
    """As OpenSSL writes them with ec_param_enc:explicit; not every version of cryptography reads it."""
    inner = forge.der(forge.OCTETS, sec1(ROOT.key, named=False))
    odd = forge.der(forge.SEQUENCE, integer(0), explicit_algorithm(), inner)
    assert problem_of(pem.load_key, block(odd, "PRIVATE KEY")).code in {"pem-malformed", "key-unreadable"}


@pytest.mark.parametrize("kind", ["K256", "BP256", "BP384", "DSA"])
@pytest.mark.parametrize("read", [pem.load_key, pem.read_key])
def test_a_kind_of_key_that_istiod_does_not_read_is_refused(
    read: Callable[[NamedPem], object], kind: str
) -> None:
    problem = problem_of(read, key_pem(key(kind)))
    assert problem.code == "key-unsupported"
    assert problem.expected == "RSA, EC on P-224, P-256, P-384 or P-521, or Ed25519"


@pytest.mark.parametrize("kind", ["P224", "P521", "ED", "RSA1024"])
def test_the_kinds_of_key_that_istiod_reads_are_read(kind: str) -> None:
    assert pem.load_key(NamedPem("file.key", key_pem(key(kind)))).public_key() == key(kind).public_key()


@pytest.mark.parametrize(
    "data",
    [
        KEY.replace(b" PRIVATE", b" ENCRYPTED PRIVATE"),
        KEY.replace(b"-----\n", b"-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1),
    ],
    ids=["PKCS#8", "traditional"],
)
def test_an_encrypted_key_is_called_encrypted(data: bytes) -> None:
    assert problem_of(pem.load_key, data).code == "key-encrypted"


def test_a_key_in_openssh_form_is_refused_and_quoted_nowhere() -> None:
    odd = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    problem = problem_of(pem.read_key, odd)
    assert problem.code == "key-unreadable"
    assert odd.splitlines()[1].decode() not in str(problem)


def test_a_key_in_the_form_of_pkcs1_is_read_by_both() -> None:
    own = rsa.generate_private_key(65_537, 2048)
    data = own.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert pem.load_key(NamedPem("file.key", data)).public_key() == own.public_key()
    assert pem.read_key(NamedPem("file.key", data)).oddities == ()


def test_equal_certificates_are_parsed_once() -> None:
    """Clusters, proxies and webhooks have copies of the same ones."""
    (one, _), (again, _) = (pem.load_certificates(NamedPem(name, CERTIFICATES)) for name in ("a", "b"))
    assert one is again
