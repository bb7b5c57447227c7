"""Secrets in the forms that people's manifests, commands and logs really have them in."""

from __future__ import annotations

import base64
import gzip
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
    return json.dumps(Redactor().document(document))


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
def test_a_secret_that_is_written_out_in_a_text_keeps_its_name_and_no_value(text: str) -> None:
    redacted = shown(text)

    assert come_out(redacted) == []
    assert "db" in redacted or text == base64_of(YAML)
    assert shown(redacted) == redacted


def test_the_data_of_a_config_map_beside_a_secret_stays() -> None:
    config = "kind: ConfigMap\nmetadata:\n  name: mesh\ndata:\n  meshID: mesh1\n"

    assert config in shown(f"{YAML}---\n{config}")
    assert '"meshID": "mesh1"' in shown(
        json.dumps([SECRET, {"kind": "ConfigMap", "data": {"meshID": "mesh1"}}])
    )


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
        {"args": ["curl", "-u", f"admin:{WORD}", "https://x"]},
        {"env": [{"name": "JWT_KEY", "value": WORD}, {"name": "DBPASS", "value": OTHER}]},
        {"kind": "ConfigMap", "data": {".dockerconfigjson": json.dumps({"auths": {"r": {"auth": WORD}}})}},
    ],
)
def test_an_object_does_not_tell(document: dict[str, object]) -> None:
    assert come_out(shown_object(document)) == []


def test_a_password_that_is_a_number_is_one_too() -> None:
    assert "12345678" not in shown_object({"password": 12345678})


@pytest.mark.parametrize(
    "text",
    [
        f"dial postgres://me:ab/{WORD}@db.example/x",
        f"dial postgres://me:ab#{WORD}@db.example/x",
        f"dsn me:{WORD}@tcp(db.example:3306)/x",
        f"curl -u admin:{WORD} https://db.example",
        f"curl --user 'admin:{WORD}' https://db.example",
        f'["curl", "-u", "admin:{WORD}", "https://db.example"]',
        f"mysql -h db.example -p{WORD}",
        f"sshpass -p {WORD} ssh db.example",
        f"machine db.example login me password {WORD}",
        f"ALTER USER me IDENTIFIED BY '{WORD}' -- db.example",
        f"https://db.example/c?sv=2&sig={WORD}&se=3",
        f"':authority', 'db.example'\n'x-api-key', '{WORD}'\n",
        f"- key: x-api-key\n  value: {WORD}\n- key: host\n  value: db.example",
        f"args:\n- --client-secret\n- {WORD}\n- db.example",
        f"비밀번호: {WORD}\n서버: db.example",
    ],
)
def test_a_line_of_a_log_or_a_script_loses_its_password_alone(text: str) -> None:
    redacted = shown(text)

    assert come_out(redacted) == []
    assert "db.example" in redacted


def test_of_an_address_only_the_secret_parameter_goes() -> None:
    redacted = shown(f"GET /x?page=2&access_token={WORD}&sort=name HTTP/1.1")

    assert redacted == "GET /x?page=2&access_token=[redacted: password]&sort=name HTTP/1.1"


BYTES = {
    "Go's": lambda data: str(list(data)).replace(",", ""),
    "Python's": lambda data: str(list(data)),
    "hexadecimal with colons": lambda data: ":".join(f"{byte:02x}" for byte in data),
    "hexadecimal with blanks": lambda data: " ".join(f"{byte:02x}" for byte in data),
    "C's": lambda data: ", ".join(f"0x{byte:02x}" for byte in data),
    "escaped": lambda data: "".join(f"\\x{byte:02x}" for byte in data),
    "escaped in JSON": lambda data: "".join(f"\\u{byte:04x}" for byte in data),
    "UTF-16 in base64": lambda data: base64.b64encode(data.decode().encode("utf-16")).decode(),
    "compressed, as Helm keeps it": lambda data: base64_of(base64.b64encode(gzip.compress(data)).decode()),
    "of a form": lambda data: urllib.parse.quote_plus(data.decode()),
}


@pytest.mark.parametrize("form", BYTES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_key_byte_by_byte_never_comes_out(kind: str, form: str) -> None:
    written = BYTES[form](planted()[kind].strip().encode())
    middle = written[len(written) // 3 : len(written) // 3 * 2]

    redacted = shown(f"{LOG} {written} and more")

    parts = {middle[at : at + 24] for at in range(0, len(middle) - 24, 8)}
    assert not [part for part in parts if part in redacted]
    assert redacted.startswith(LOG)


def test_bytes_in_json_and_in_an_object_never_come_out() -> None:
    data = list(planted()["SEC1 EC"].encode())

    for document in (
        {"type": "Buffer", "data": data},
        {"kind": "ConfigMap", "data": {"a": json.dumps(data)}},
    ):
        assert "45, 45, 45" not in shown_object(document)
    assert Redactor().data({"ports": [80, 443, 15443] * 20}) == {"ports": [80, 443, 15443] * 20}


def test_the_numbers_of_a_private_key_go_and_the_public_ones_stay() -> None:
    text = "priv:\n    3b:f8:aa:01:02:03:04:05:\n    0d:0e:0f:10:11:12:13:14\npub:\n    04:aa:bb"

    assert shown(text) == "priv:\n    [redacted: password]\npub:\n    04:aa:bb"


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
def test_what_looks_like_one_and_is_none_stays(text: str) -> None:
    assert shown(text) == text


def test_hashes_and_tokens_of_other_makers_go() -> None:
    for secret in (
        "$apr1$abcdefgh$Y4nS2n7Y0yqfX5iYHc9W31",
        "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC",
        "npm_abcdefghijklmnopqrstuvwxyz0123456789",
        "AGE-SECRET-KEY-1" + "QL3Z7HJY54PW3HYWW5AYYFG7ZQGVC9W3J2ELW8ZMRJ2KG5SFN9AQ62MCAC",
    ):
        assert secret[4:30] not in shown(f"{LOG} me:{secret} and more")


def test_a_long_text_of_secrets_takes_no_more_than_its_length() -> None:
    for text in (
        "kind: Secret data: {" * 3_000,
        "kind: Secret\n" + "data:\n  x: y\n" * 3_000,
        "2d:" * 20_000,
    ):
        shown(text)
