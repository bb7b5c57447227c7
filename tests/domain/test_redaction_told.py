"""Secrets told in prose, by rarer commands and under rarer names, and in base85."""

from __future__ import annotations

import base64
import json

import pytest

from istio_mc.domain.redaction.redactor import Redactor
from tests.domain.test_redaction import KINDS, LOG, planted

NUMBERED, WORD = "hunt3r-of-y0re", "correcthorsebattery"


def shown(text: str) -> str:
    return Redactor().text(text)


@pytest.mark.parametrize(
    "text",
    [
        "the password is {}",
        "Password was {}, says db.example",
        "password is: {}",
        "password is now {}.",
        "the password for admin is {}",
        "passwd of admin@db.example was {}",
        "admin password set to {} on db.example",
        "password changed to: {}",
        "my password's {} (db.example)",
        "Password - {}",
        "log in with password {} at db.example",
        "비밀번호는 {} 입니다",
        "비밀번호가 {}로 바뀌었습니다",
        "db.example 비번은 {}입니다.",
        "새 패스워드를 {}(으)로 정했습니다",
        "비밀번호 {}로 들어가세요",
        "관리자 비밀번호({})",
    ],
)
def test_a_word_with_a_number_in_it_that_a_sentence_calls_a_password_goes_alone(text: str) -> None:
    for written in (text, f"{LOG}\n{text}\n{LOG}"):
        for way in (written, json.dumps(written, ensure_ascii=False)):
            assert shown(way.format(NUMBERED)) == way.format("[redacted: password]")


@pytest.mark.parametrize("password", ["p@ssw0rd", "Tr0ub4dor&3", "12345678", "4711", "ab.cd:12", "s3cret=="])
def test_a_password_of_other_signs_in_a_sentence_goes(password: str) -> None:
    assert shown(f"the password is {password}, he said") == "the password is [redacted: password], he said"


@pytest.mark.parametrize(
    "text",
    [
        "the password is required, wrong, expired or too short",
        "the password for user2 expired; password of admin was reset by ops1-kt",
        "password is base64-encoded, and the passphrase was sha256 of it",
        "password is /etc/istio2/password",
        "the password was changed 3 days ago, on 2026-11-25",
        "password authentication failed for user istio1",
        "the pin is not asked for",
        "비밀번호는 Secret에 있습니다",
        "비밀번호가 틀렸습니다: 3번",
        "비밀번호는 base64로 적습니다",
        "비밀번호는 https://vault.example/v1 에서",
        "암호화 방식은 AES-256-GCM 입니다",
    ],
)
def test_a_sentence_about_passwords_that_tells_none_stays(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize("name", ["비밀번호", "비밀 번호", "비번", "패스워드", "암호"])
@pytest.mark.parametrize("between", [": ", "=", " : ", ': "'])
def test_what_korean_names_call_a_password_goes(name: str, between: str) -> None:
    assert shown(f"서버: db.example\n{name}{between}{WORD}\n") == (
        f"서버: db.example\n{name}{between}[redacted: password]\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        ["mc", "alias", "set", "lab", "https://s3.example:9000", "me", WORD],
        ["mc", "--insecure", "alias", "set", "lab/", "https://s3.example", "me", WORD, "--api", "s3v4"],
        ["/usr/local/bin/mcli", "config", "host", "add", "lab", "https://s3.example", "me", WORD],
    ],
    ids=["as it is", "with flags", "as it was called"],
)
def test_the_password_that_minios_client_is_given_goes_alone(command: list[str]) -> None:
    line = " ".join(command)

    assert shown(line) == line.replace(WORD, "[redacted: password]")
    assert Redactor().data({"command": command}) == {
        "command": ["[redacted: password]" if word == WORD else word for word in command]
    }


@pytest.mark.parametrize(
    "command",
    ["mc alias list lab", "mc cp a b c d e", "istio-mc alias set a b c d", "mc alias set a https://b"],
)
def test_its_other_commands_stay(command: str) -> None:
    assert shown(command) == command


@pytest.mark.parametrize(
    "name", ["sid", "connect.sid", "csrf", "XSRF", "_csrf", "x-csrf", "dsn", "SENTRY_DSN"]
)
@pytest.mark.parametrize("setting", ["{}: {}", "{}={}", '{{"{}": "{}"}}', "- name: {}\n  value: {}"])
def test_a_value_without_a_shape_goes_by_these_names(name: str, setting: str) -> None:
    text = setting.format(name, WORD)

    assert WORD not in shown(text)
    assert WORD not in json.dumps(Redactor().document({"data": {"x": text}, name: WORD}))


@pytest.mark.parametrize(
    "text",
    [
        "appkey: {}",
        "presharedKey={}",
        "keytool -list -storepass {} -keypass {}",
        "curl -H 'Authorization: token {}' https://db.example",
        '{{"authorization": "ApiKey {}"}}',
        "vault login -no-store {}",
    ],
)
def test_rarer_names_schemes_and_commands_give_away_what_follows(text: str) -> None:
    assert WORD not in shown(text.format(WORD, WORD))
    assert WORD not in shown(json.dumps(text.format(WORD, WORD)))


@pytest.mark.parametrize(
    "text",
    [
        "sid: ORCL",
        "ORACLE_SID=production",
        "sid=S-1-5-21-3623811015-3361044348-30300820-1013",
        "accountSid: AC-production-2",
        "csrf: true",
        "dsn: https://db.example/app",
        "dsn: host=db.example port=5432 user=me",
        'I1125 14:01:16.277919 1 legacy_serviceaccount_token_cleaner.go:103] "Starting"',
        "stable[1] 1 for config Secret/istio-system/istio-remote-secret-nhn-nks: 101.07ms since last change",
        "stable[1] 1 for config Secret/istio-system/istio-remote-secret-nhn-nks: 1.2s since last change",
        "[debug][filter] [source/common/token_bucket_secret.cc:44] refilled",
    ],
)
def test_what_goes_by_such_a_name_and_is_no_secret_stays(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize(
    "dsn", ["me/{}@db.example:1521/x", "me:{}@db.example/x", "postgres://me:{}@db.example"]
)
def test_of_a_data_source_only_the_password_goes(dsn: str) -> None:
    told, wanted = dsn.format(WORD), dsn.format("")

    for redacted in (shown(f"DB_DSN={told}")[7:], Redactor().document({"dsn": told})["dsn"]):
        assert redacted.partition("[redacted")[0] + redacted.rpartition("]")[2] == wanted


def z85(data: bytes) -> str:
    """As ZeroMQ has it, whose letters stand in another order."""
    rfc_1924 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    zeromq = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    return base64.b85encode(data).decode().translate(str.maketrans(rfc_1924, zeromq))


SPELLINGS = {
    "RFC 1924": lambda data: base64.b85encode(data).decode(),
    "ZeroMQ": z85,
    "Ascii85": lambda data: base64.a85encode(data).decode(),
    "Adobe's": lambda data: base64.a85encode(data, adobe=True).decode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("around", ["key: {}\nnext: x", "got {} there", "key={}", '{{"a":"{}"}}', "'{}'"])
def test_a_secret_in_base85_never_comes_out(kind: str, spelling: str, around: str) -> None:
    written = SPELLINGS[spelling](planted()[kind].strip().encode())
    told = json.dumps(written)[1:-1] if around.startswith("{{") else written

    redacted = shown(around.format(told))

    assert written[len(written) // 4 : len(written) // 4 + 16] not in redacted
    assert written[-32:-16] not in redacted


def test_what_is_no_secret_in_base85_stays() -> None:
    for encode in SPELLINGS.values():
        text = f"got {encode(LOG.encode())} there"
        assert shown(text) == text


def test_a_long_text_of_signs_takes_no_more_than_its_length() -> None:
    for text in ("{}!$" * 20_000, "=a%" * 20_000, "password is " * 6_000, "password is " + "," * 40_000):
        shown(text)
