"""Secrets in the forms that people's manifests, commands and logs really have them in."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import urllib.parse

import pytest

from istio_mc.domain.redaction.redactor import LAST_APPLIED, Redactor
from tests.domain.test_redaction import KINDS, LOG, base64_of, planted

WORD = "correcthorsebattery"  # without a shape: only what stands around it gives it away
OTHER = "s3cr3tV4lue99"
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"x": base64_of(WORD)}}
YAML = f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  x: {base64_of(WORD)}\n  y: {OTHER}\n"
HIDDEN = (WORD, OTHER, base64_of(WORD))


def shown(text: str) -> str:
    return Redactor().text(text)


def shown_object(document: dict[str, object]) -> str:
    return json.dumps(Redactor().data(document))


def come_out(text: str) -> list[str]:
    return [secret for secret in HIDDEN if secret in text]


@pytest.mark.parametrize(
    "text",
    [
        YAML,
        YAML.replace("data:", "stringData:"),
        f"apiVersion: v1\ndata:\n  x: {base64_of(WORD)}\nkind: Secret\nmetadata:\n  name: db\n",
        f"kind: ConfigMap\ndata:\n  name: db\n---\n{YAML}---\nkind: Service\n",
        "items:\n- " + YAML.replace("\n", "\n  "),
        json.dumps(YAML),
        json.dumps(json.dumps(YAML)),
        base64_of(YAML),
        f"{LOG} applied {json.dumps(SECRET)} for db",
        f"{LOG} applied {json.dumps({key: SECRET[key] for key in ('data', 'metadata', 'kind')})} for db",
        json.dumps({"msg": json.dumps(SECRET)}),
        json.dumps({"annotations": {LAST_APPLIED: json.dumps(SECRET)}}),
    ],
)
def test_a_secret_quoted_in_a_text_keeps_its_name_and_loses_its_values(text: str) -> None:
    redacted = shown(text)

    assert come_out(redacted) == []
    assert "db" in redacted or text == base64_of(YAML)
    assert shown(redacted) == redacted


def test_the_data_of_a_config_map_beside_a_secret_stays() -> None:
    config = "kind: ConfigMap\nmetadata:\n  name: mesh\ndata:\n  meshID: mesh1\n"

    assert config in shown(f"{YAML}---\n{config}")


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "ConfigMap", "data": {"s.yaml": YAML}},
        {"kind": "SecretList", "apiVersion": "v1", "items": [{"data": {"x": base64_of(WORD)}}]},
        {"kind": "Secret", "data": {"x": base64_of(WORD)}},
        {"headers": {"Authorization": [f"Token {WORD}"]}},
        {"header": {"key": "x-api-key", "value": WORD}},
        {"passwords": [WORD, OTHER]},
        {"credentials": {"user": "me", "value": WORD}},
        {"env": [{"name": "JWT_KEY", "value": WORD}, {"name": "DBPASS", "value": OTHER}]},
        {"kind": "ConfigMap", "data": {".dockerconfigjson": json.dumps({"auths": {"r": {"auth": WORD}}})}},
    ],
)
def test_an_object_without_a_version_has_none(document: dict[str, object]) -> None:
    assert come_out(shown_object(document)) == []


def test_a_password_that_is_a_number_is_one_too() -> None:
    assert "12345678" not in shown_object({"password": 12345678})


@pytest.mark.parametrize(
    "text",
    [
        f"dial postgres://me:ab/{WORD}@db.example/x",
        f"dial postgres://me:ab#{WORD}@db.example/x",
        f"dsn me:{WORD}@tcp(db.example:3306)/x",
        f"https://db.example/c?sv=2&sig={WORD}&se=3",
        f"':authority', 'db.example'\n'x-api-key', '{WORD}'\n",
        f"- key: x-api-key\n  value: {WORD}\n- key: host\n  value: db.example",
        f"args:\n- --client-secret\n- {WORD}\n- db.example",
        f"비밀번호: {WORD}\n서버: db.example",
        f"관리자 비밀 번호 = '{WORD}' (db.example)",
    ],
)
def test_a_line_of_a_log_or_a_script_loses_its_password_alone(text: str) -> None:
    redacted = shown(text)

    assert come_out(redacted) == []
    assert "db.example" in redacted


def test_of_an_address_only_the_secret_parameter_goes() -> None:
    redacted = shown(f"GET /x?page=2&access_token={WORD}&sort=name HTTP/1.1")

    assert redacted == "GET /x?page=2&access_token=[redacted: password]&sort=name HTTP/1.1"


def test_a_key_in_the_url_of_a_form_goes() -> None:
    for kind in KINDS:
        written = urllib.parse.quote_plus(planted()[kind].strip())
        parts = [written[at : at + 24] for at in range(60, len(written) - 60, 24)]
        redacted = shown(f"{LOG} {written} and more")
        assert [part for part in parts if part in redacted] == []


def test_a_key_in_hexadecimal_is_longer_than_any_digest_and_goes() -> None:
    for kind in KINDS:
        assert planted()[kind].encode().hex()[:200] not in shown(f"got {planted()[kind].encode().hex()}")
    digest = hashlib.sha512(b"x").hexdigest()
    assert shown(f"got {digest}") == f"got {digest}"


def test_what_helm_keeps_compressed_goes() -> None:
    release = base64_of(base64.b64encode(gzip.compress(planted()["SEC1 EC"].encode())).decode())

    assert release[40:80] not in shown(f"release: {release}")


@pytest.mark.parametrize(
    "text",
    [
        "SHA256 Fingerprint=" + ":".join(f"{byte * 7 % 256:02X}" for byte in range(32)),
        "sha1 " + " ".join(f"{byte * 11 % 256:02x}" for byte in range(40)),
        "latencies [12 15 9 200 31 " + "7 " * 40 + "]",
        "http://10.0.0.1:8080/a?mail=me@example.com",
        "docker run -u 1000:1000 image",
        "toleration key: node-role.kubernetes.io/control-plane\n  value: x",
        '{"resources": ["secrets", "configmaps"], "verbs": ["get"]}',
        "kind: SecretProviderClass\ndata:\n  x: stays\n",
        "involvedObject:\n  kind: Secret\n  name: db\nmessage: stays",
        "planted.187f1a2b3c4d5e6f",
        "user me@example.com: password reset",
    ],
)
def test_a_similar_name_stays(text: str) -> None:
    assert shown(text) == text


@pytest.mark.thorough
def test_a_long_text_of_secrets_takes_no_more_than_its_length() -> None:
    for text in (
        "kind: Secret data: {" * 3_000,
        "kind: Secret\n" + "data:\n  x: y\n" * 3_000,
    ):
        shown(text)
