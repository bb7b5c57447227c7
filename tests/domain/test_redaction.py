"""Whatever secret is planted, in whatever form, does not come out; what is no secret stays."""

from __future__ import annotations

import base64
import json
import re
import textwrap
from collections.abc import Callable
from functools import cache
from random import Random

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import example, given
from hypothesis import strategies as st

from istio_mc.domain.redaction.names import promises_secret
from istio_mc.domain.redaction.redactor import LAST_APPLIED, Redactor
from tests.support.world import ca_certs

Form = Callable[[str], str]
WINDOW = 16  # letters of a secret that must never come out together
LOG = "2026-01-02T03:04:05.678901Z\tinfo\tads\tXDS: Pushing Services:12 ConnectedEndpoints:3"
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (
        b'{"alg":"RS256","kid":"Vq1"}',
        b'{"iss":"kubernetes/serviceaccount","sub":"system:serviceaccount:istio-system:reader"}',
        bytes(range(7, 135)),
    )
)


def private(key: object, form: str, password: bytes | None = None) -> str:
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey)
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), hidden
    ).decode()


def prime(numbers: Random, bits: int = 1024) -> int:
    """A prime of so many bits, which 65537 does not divide one less of."""
    while True:
        candidate = numbers.getrandbits(bits) | 3 << (bits - 2) | 1
        if pow(2, candidate - 1, candidate) == 1 and candidate % 65_537 != 1:
            return candidate


def rsa_key_of(numbers: Random) -> rsa.RSAPrivateKey:
    """The same key in every run: a failure can be found again."""
    p, q = prime(numbers), prime(numbers)
    d = pow(65_537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65_537, p * q)
    return rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    ).private_key()


@cache
def planted() -> dict[str, str]:
    """One secret of each kind that has a shape of its own."""
    numbers = Random(7)  # noqa: S311 - no key of anybody
    rsa_key = rsa_key_of(numbers)
    ec_key = ec.derive_private_key(numbers.getrandbits(255), ec.SECP256R1())
    return {
        "PKCS#8 RSA": private(rsa_key, "PKCS8"),
        "PKCS#1 RSA": private(rsa_key, "TraditionalOpenSSL"),
        "PKCS#8 EC": private(ec_key, "PKCS8"),
        "SEC1 EC": private(ec_key, "TraditionalOpenSSL"),
        "encrypted": private(ec_key, "PKCS8", b"hunter2"),
        "Ed25519": private(ed25519.Ed25519PrivateKey.from_private_bytes(numbers.randbytes(32)), "PKCS8"),
        "OpenSSH": private(ec_key, "OpenSSH"),
        "JWT": JWT,
    }


KINDS = ("PKCS#8 RSA", "PKCS#1 RSA", "PKCS#8 EC", "SEC1 EC", "encrypted", "Ed25519", "OpenSSH", "JWT")


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def url_base64_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def json_string(text: str) -> str:
    return json.dumps(text)


def wrapped(width: int, line_break: str, indent: int) -> Form:
    def form(text: str) -> str:
        lines = [part for line in text.splitlines() for part in textwrap.wrap(line, width)]
        return line_break.join([lines[0], *(" " * indent + line for line in lines[1:])])

    return form


WRAPPED = st.builds(
    wrapped,
    st.integers(WINDOW, 100),
    st.sampled_from(["\n", "\r\n", "\\n", "\\\\n", "\\r\\n"]),
    st.integers(0, 8),
)
QUOTED = st.lists(st.just(json_string), max_size=2)
LAYER = st.tuples(st.sampled_from([base64_of, url_base64_of]), st.lists(WRAPPED, max_size=1)).map(
    lambda layer: [layer[0], *layer[1]]
)
FORMS = st.tuples(st.lists(WRAPPED, max_size=1), QUOTED, st.lists(LAYER, max_size=1), QUOTED).map(
    lambda parts: [*parts[0], *parts[1], *(form for layer in parts[2] for form in layer), *parts[3]]
)
AROUND = st.sampled_from(
    [
        ("", ""),
        (f"{LOG}\n", f"\n{LOG}\n"),
        (f"{LOG} for ", " and more words\n"),
        ('{"a": "', '", "b": 1}'),
        ("data:\n  ca-key.pem: ", "\n  other: x\n"),
        ("value: |\n    ", "\nnext: y"),
        ("env=", ";"),
        ("<", ">"),
        ("a sentence that ends here. ", " The next one."),
    ]
)


def letters(text: str) -> str:
    """What is left of a text without blanks, quotes and escapes."""
    return re.sub(r"\s|\\+[nrt]|[\\\"']", "", text)


def windows(text: str) -> set[str]:
    found = letters(text)
    return {found[at : at + WINDOW] for at in range(len(found) - WINDOW + 1)}


HEAD = re.compile(r"-----[A-Z ]+-----|Proc-Type:.*|DEK-Info:.*")


def stages(secret: str, forms: list[Form]) -> set[str]:
    """Every stretch of a secret's own letters, as it was at each stage of its encoding.

    What would be the same with any other key in the same place, such as its first line, is none of them.
    """
    empty = "\n".join(
        line if HEAD.fullmatch(line) else re.sub(r"[^.]", "A", line) for line in secret.splitlines()
    )
    found = windows(secret) - windows(empty)
    for form in forms:
        secret, empty = form(secret), form(empty)
        found |= windows(secret) - windows(empty)
    return found


def come_out(secret: str, forms: list[Form], text: str) -> set[str]:
    """The stretches of a secret that stand in a text."""
    return stages(secret, forms) & windows(text)


@example(  # the last of several lines ends in =, and words follow
    kind="PKCS#1 RSA", forms=[base64_of, wrapped(73, "\n", 0)], around=("for ", " and more words\n")
)
@given(kind=st.sampled_from(KINDS), forms=FORMS, around=AROUND)
def test_a_secret_with_a_shape_never_comes_out(kind: str, forms: list[Form], around: tuple[str, str]) -> None:
    text = planted()[kind].strip()
    for form in forms:
        text = form(text)

    redacted = Redactor().text(around[0] + text + around[1])

    assert come_out(planted()[kind].strip(), forms, redacted) == set()


@given(kind=st.sampled_from(KINDS), forms=FORMS, cut=st.floats(0.1, 0.9))
def test_half_a_secret_never_comes_out(kind: str, forms: list[Form], cut: float) -> None:
    text = planted()[kind].strip()
    for form in forms:
        text = form(text)
    at = int(len(text) * cut)

    begun = Redactor().text(f"{LOG}\n{text[:at]}")

    assert come_out(planted()[kind].strip(), forms, begun) == set()


@given(kind=st.sampled_from(KINDS), forms=st.sampled_from([[], [base64_of]]), cut=st.floats(0.1, 0.9))
@example(kind="PKCS#8 EC", forms=[base64_of], cut=0.8671875)
def test_the_end_of_a_secret_is_removed_even_if_its_beginning_was_cut_off(
    kind: str, forms: list[Form], cut: float
) -> None:
    text = planted()[kind].strip()
    for form in forms:
        text = form(text)

    ended = Redactor().text(f"{text[int(len(text) * cut) :]}\n{LOG}")

    # A line that is left with fewer letters than a secret needs is nothing to go by; the end's own line is no
    # part of it.
    last = planted()[kind].strip().splitlines()[-1]
    least = 40 + (len(base64_of(last)) + 2 if forms and last.startswith("-----END") else 0)
    assert {line for line in ended.splitlines() if len(line) >= 40} <= {LOG, ended.splitlines()[0]}
    assert len(ended.splitlines()[0]) < least or "[redacted" in ended.splitlines()[0]


@given(
    secret=st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=8, max_size=40),
    forms=st.lists(st.sampled_from([base64_of, json_string]), max_size=2),
    around=AROUND,
)
def test_what_is_known_never_comes_out(secret: str, forms: list[Form], around: tuple[str, str]) -> None:
    text = secret
    for form in forms:
        text = form(text)

    redacted = Redactor.with_values([secret]).text(around[0] + text + around[1])

    assert letters(secret) == "" or letters(secret) not in letters(redacted)
    assert base64_of(secret) not in redacted


PASSWORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=4, max_size=20).map(
    lambda text: f"pw7{text}"
)
NAMES = st.sampled_from(
    ["password", "DB_PASSWORD", "clientSecret", "api-key", "token", "client-key-data", "db.passwd"]
)
SETTINGS = st.sampled_from(
    [
        "{name}: {value}",
        "{name}: '{value}'",
        '{name}: "{value}"',
        "{name}={value}",
        '{{"{name}": "{value}"}}',
        '{{\\"{name}\\":\\"{value}\\"}}',
        '{{\\\\\\"{name}\\\\\\": \\\\\\"{value}\\\\\\"}}',
        "--{name} {value}",
        "--{name}={value}",
        '["--{name}", "{value}"]',
        "- name: {name}\n  value: {value}",
        '{{"name":"{name}","value":"{value}"}}',
        '{{"value":"{value}","name":"{name}"}}',
        "<{name}>{value}</{name}>",
        "{name}: |\n  {value}\nother: x",
        "{name}: >-\\n  {value}\\nother: x",
        "https://me:{value}@host/{name}",
        "Authorization: Bearer {value}",
        "first: 1\\n{name}: {value}\\nlast: 2",
    ]
)


@given(
    name=NAMES,
    value=PASSWORDS,
    setting=SETTINGS,
    forms=st.lists(st.sampled_from([json_string, base64_of]), max_size=2),
)
def test_what_a_name_promises_never_comes_out(name: str, value: str, setting: str, forms: list[Form]) -> None:
    text = setting.format(name=name, value=value)
    for form in forms:
        text = form(f"{LOG} {text}")

    redacted = Redactor().text(text)

    assert value not in redacted
    assert come_out(value, forms[:1], redacted) == set()


@given(kind=st.sampled_from(KINDS), forms=FORMS, around=AROUND)
def test_a_second_time_changes_nothing(kind: str, forms: list[Form], around: tuple[str, str]) -> None:
    text = planted()[kind]
    for form in forms:
        text = form(text)
    once = Redactor().text(around[0] + text + around[1])

    assert Redactor().text(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "password: correct horse battery staple\nuser: me",
        "password: correct\n  horse battery staple\nuser: me",
        "password:\n  correct horse battery staple\nuser: me",
        'password: "correct horse\n  battery staple"\nuser: me',
        "password='correct horse battery staple' user=me",
        "- name: DB_PASSWORD\n  value: correct horse battery staple\n- name: user",
    ],
)
def test_a_password_of_several_words_goes_whole(text: str) -> None:
    redacted = Redactor().text(text)

    assert [word for word in ("correct", "horse", "battery", "staple") if word in redacted] == []
    assert "user" in redacted


@pytest.mark.parametrize(
    "text",
    [
        LOG,
        ca_certs("kt").ca_cert.decode(),
        ca_certs("kt").cert_chain.decode(),
        f"caBundle: {base64_of(ca_certs('kt').ca_cert.decode())}",
        json.dumps({"root-cert.pem": ca_certs("kt").root_cert.decode()}),
        "info\tAdding cluster\tcluster=nhn secret=istio-system/istio-remote-secret-nhn",
        "secretName: cacerts\ncredentialName: web-tls\nTOKEN_ISSUER: https://kubernetes.default",
        "automountServiceAccountToken: false",
        "- serviceAccountToken:\n    audience: istio-ca\n    path: istio-token",
        "secret:\n  secretName: cacerts\n  optional: true",
        "secret:\n{{ if .x }}\n  secretName: cacerts",
        "Push debounce stable[15] 2 for reason secret:1 and config:1",
        "maxTokens: 100, tokensPerFill: 10",
        "/var/run/secrets/workload-spiffe-credentials/cert-chain.pem",
        "outbound_.9080_._.reviews.sample.svc.cluster.local",
        "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
        "MutatingWebhookConfiguration/istio-sidecar-injector-istio-system",
        "password: ''\ntoken: null\nsecret: {}",
        "SECRET: $(SECRET)\ntoken: ${TOKEN}",
        "uid 5b0c3d3e-6f0a-4a9e-9d7e-0f3b2a1c4d5e, fingerprint AB:CD:EF:01:23:45:67:89:AB:CD",
        "인증서가 만료되었습니다: 클러스터 kt",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("DB_PASSWORD", True),
        ("password2", True),
        ("clientSecret", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("ca-key.pem", True),
        ("client-key-data", True),
        ("GITHUB_TOKEN", True),
        ("APIKey", True),
        ("secretName", False),
        ("PASSWORD_FILE", False),
        ("TOKEN_ISSUER", False),
        ("JWT_POLICY", False),
        ("SECRET_TTL", False),
        ("key", False),
        ("cert-chain.pem", False),
        ("networkTopologyKey", False),
    ],
)
def test_a_name_shows_whether_a_secret_follows(name: str, is_secret: bool) -> None:  # noqa: FBT001
    assert promises_secret(name) is is_secret


class TestObjects:
    def test_of_a_secret_only_the_names_of_its_keys_stay(self) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "db", "annotations": {LAST_APPLIED: '{"stringData":{"x":"open"}}'}},
            "data": {"x": base64_of("open")},
            "stringData": {"y": "sesame"},
        }

        found = Redactor().data(secret)

        assert set(found["data"]) | set(found["stringData"]) == {"x", "y"}
        text = json.dumps(found)
        assert [word for word in ("open", "sesame", base64_of("open")) if word in text] == []

    def test_a_variable_of_a_pod_loses_its_value_where_its_name_promises_a_secret(self) -> None:
        env = [{"name": "DB_PASSWORD", "value": "open"}, {"name": "CLUSTER_ID", "value": "kt-k2p"}]

        found = Redactor().data({"kind": "Pod", "spec": {"containers": [{"env": env}]}})

        kept = found["spec"]["containers"][0]["env"]
        assert kept[0] == {"name": "DB_PASSWORD", "value": "[redacted: password]"}
        assert kept[1] == env[1]

    def test_a_flag_loses_the_word_that_follows_it(self) -> None:
        found = Redactor().data({"args": ["--password", "open", "--log_level", "debug"]})

        assert found["args"] == ["--password", "[redacted: password]", "--log_level", "debug"]

    def test_the_last_applied_annotation_is_searched(self) -> None:
        applied = json.dumps({"kind": "Pod", "spec": {"env": [{"name": "TOKEN", "value": "sesame"}]}})

        found = Redactor().data({"metadata": {"annotations": {LAST_APPLIED: applied}}})

        assert "sesame" not in json.dumps(found)
        assert json.loads(found["metadata"]["annotations"][LAST_APPLIED])["kind"] == "Pod"

    def test_the_json_in_a_config_map_is_searched(self) -> None:
        found = Redactor().data({"kind": "ConfigMap", "data": {"a.json": '{"db": {"password": "open"}}'}})

        assert json.loads(found["data"]["a.json"]) == {"db": {"password": "[redacted: password]"}}

    def test_managed_fields_are_left_out(self) -> None:
        assert Redactor().data({"metadata": {"managedFields": [{}], "name": "x"}}) == {
            "metadata": {"name": "x"}
        }

    def test_what_is_no_secret_stays_as_it_is(self) -> None:
        pod = {
            "kind": "Pod",
            "spec": {
                "volumes": [{"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": {}}]}}],
                "containers": [{"args": ["discovery", "--keepaliveMaxServerConnectionAge", "30m"]}],
            },
        }

        assert Redactor().data(pod) == pod

    def test_it_counts_what_it_took_out_by_kind(self) -> None:
        redactor = Redactor()

        redactor.text(f"password: open\ntoken {JWT}\n{planted()['SEC1 EC']}")

        assert redactor.counts == {"password": 1, "token (JWT)": 1, "private key": 1}


@pytest.mark.thorough
def test_a_long_log_takes_no_more_than_its_length() -> None:
    nasty = [
        "\\" * 20_000,
        "-" * 20_000,
        "a" * 40_000,
        "=" * 20_000,
        "a.b:" * 10_000,
        "eyJ" * 10_000,
        '"' * 20_000,
    ]

    for text in nasty:
        Redactor().text(text)
