"""Secrets without a shape: by their names and lists; random letters; and names that are neither."""

from __future__ import annotations

import json
import string
from random import Random

import pytest

from istio_mc.domain.redaction.names import lists_secrets, promises_secret
from istio_mc.domain.redaction.redactor import Redactor

WORD, OTHER = "correcthorsebattery", "stapleandmore"


def shown(text: str) -> str:
    return Redactor().text(text)


def shown_object(document: dict[str, object]) -> str:
    return json.dumps(Redactor().data(document), ensure_ascii=False)


def come_out(text: str) -> list[str]:
    return [word for word in (WORD, OTHER) if word in text]


def ways(text: str) -> list[str]:
    """A text, as a log, a ConfigMap and an annotation have it."""
    return [
        shown(text),
        shown(f"a line\n{text}\nlast line"),
        shown(json.dumps(text)),
        shown(json.dumps(json.dumps(text))),
        shown_object({"kind": "ConfigMap", "data": {"file": text}}),
    ]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "SALT",
            "hash_salt",
            "PIN",
            "userPin",
            "pin_code",
            "PASSPHRASE",
            "otp",
            "PEPPER",
            "PSK",
            "wifi_psk",
        ),
        *("mnemonic", "seed_phrase", "recoveryCode", "recovery_key", "unsealKey", "masterkey", "TS_AUTHKEY"),
        *("bindpw", "bind_pw", "DB_CREDS", "REDISCLI_AUTH", "JSESSIONID", "identitytoken", "authtoken"),
        *("webhooksecret", "license_key", "basicAuth"),
    ],
)
def test_a_name_promises_a_secret(name: str) -> None:
    assert promises_secret(name)
    assert [text for text in ways(f"a:\n  {name}: {WORD}\n  user: me") if come_out(text)] == []


@pytest.mark.parametrize(
    "name",
    [
        *("pinned", "PIN_IMAGES", "spinner", "pinnedVersion", "saltire", "maxTokens", "tokensPerFill"),
        *("secrets", "imagePullSecrets", "keys", "publicKeys", "topologyKeys", "apiKeyName", "channel_creds"),
        *(
            "uid",
            "podUID",
            "resourceVersion",
            "imageID",
            "pod-template-hash",
            "session_id",
            "sessionAffinity",
        ),
    ],
)
def test_a_name_promises_none(name: str) -> None:
    text = f"a:\n  {name}: {WORD}\n  user: me"

    assert not promises_secret(name)
    assert shown(text) == text


@pytest.mark.parametrize(
    "name", ["tokens", "static_tokens", "apiKeys", "api_keys", "passwords", "credentials"]
)
@pytest.mark.parametrize(
    "listed",
    [
        "{name}: [{one}, {two}]",
        '{{"{name}": ["{one}", "{two}"], "user": "me"}}',
        "{name}: [\n  {one},\n  {two}\n]\nuser: me",
        "a:\n  {name}:\n  - {one}\n  - {two}\n  user: me",
        "{name}:\n    - {one}\n    - '{two}'\nuser: me",
        "- {name}:\n  - {one}\n  - {two}\n- user: me",
    ],
)
def test_the_words_of_a_list_go(name: str, listed: str) -> None:
    text = listed.format(name=name, one=WORD, two=OTHER)

    assert lists_secrets(name)
    for redacted in ways(text):
        assert come_out(redacted) == []
        assert "me" in redacted or "me" not in text


@pytest.mark.parametrize(
    "text",
    [
        "imagePullSecrets:\n- name: registry\nsecrets:\n- cacerts\n- registry",
        'resources: ["secrets", "tokenreviews"]',
        "tokens:\n- name: istio-token\n  audience: istio-ca\nusers:\n- me",
        "tokens: 12\nkeys: [a, b]",
        "matchLabelKeys:\n- pod-template-hash",
    ],
)
def test_the_words_of_another_list_stay(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize(
    "command",
    [
        "docker run -p 8080:80 -u 1000:1000 image",
        "mysql -p db",
        "ssh -p 22 host",
        "mkdir -p /var/lib/mysql",
        "curl -b cookies.txt https://db",
        "kubectl get pods -w",
        "pilot-agent proxy sidecar --proxyLogLevel=warning -a b",
    ],
)
def test_a_command_without_a_password_stays(command: str) -> None:
    assert shown(command) == command
    assert Redactor().data({"command": command.split()}) == {"command": command.split()}


@pytest.mark.parametrize(
    "user",
    [
        f"ghp_{WORD}",
        "ghp_2V",
        "k3yOf12",
        WORD,
        f"{WORD}:",
        f"{WORD}:x-oauth-basic",
        f"me:{OTHER}",
        f"{WORD}%40x",
    ],
)
def test_a_token_as_the_only_user_of_an_address_goes(user: str) -> None:
    redacted = shown(f"cloning https://{user}@git.example/me/x.git now")

    assert user.strip(":") not in redacted
    assert come_out(redacted) == []
    assert "@git.example/me/x.git now" in redacted


@pytest.mark.parametrize(
    "address",
    [
        "https://git@git.example/x",
        "ssh://git@git.example/x",
        "oci://example/x@sha256:0a1b",
        "https://a/@scope/x",
    ],
)
def test_an_address_without_a_token_stays(address: str) -> None:
    assert shown(address) == address


@pytest.mark.parametrize("unseen", ["\u200b", "\ufeff", "\x1b[0m"])
def test_letters_that_are_not_seen_hide_nothing(unseen: str) -> None:
    hidden = unseen.join(WORD)

    for text in (f"pass{unseen}word: {hidden}", f"pass{unseen}word={WORD}", f"password{unseen}={hidden}"):
        assert hidden not in shown(text)
        assert WORD not in shown(text)
    assert hidden not in shown_object({f"pass{unseen}word": hidden})
    assert shown(f"a{unseen}[b]") == "a[b]"


def test_a_known_secret_with_invisible_characters_inside_is_removed() -> None:
    redacted = Redactor.with_values([WORD]).text("got " + "\u200b".join(WORD) + " there")

    assert redacted == "got [redacted: known secret] there"


@pytest.mark.parametrize(
    "token",
    [
        "glrt-2nDkidqs5ipkZQO9zErD",
        "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",
        "sk_test_mTCzTumT04giwE5TwrboyxAS",
        "hf_dFr4oVYCOgViORBJ2CPQ0nGCcjq7MtIgIR",
        "dckr_pat_z9H9d3ncStJCnCgIK0hCEs58Fx4",
        "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC",
    ],
)
def test_a_token_of_random_letters_goes_whoever_made_it(token: str) -> None:
    redacted = shown(f"got {token} there")

    assert "[redacted: opaque letters]" in redacted
    assert token[-20:] not in redacted


def test_random_letters_and_digits_go_from_20_letters_on() -> None:
    numbers = Random(11)  # noqa: S311 - the same in every run
    letters = string.ascii_letters + string.digits
    tokens = ["".join(numbers.choices(letters, k=numbers.randint(20, 39))) for _ in range(1_000)]

    stay = [token for token in tokens if token in shown(f"got {token} there")]

    assert len(stay) < 80  # what has no digit, or seems to have words in it, is as a name


@pytest.mark.parametrize(
    "text",
    [
        "istiod.187f1a2b3c4d5e6f",  # an event
        "nodeip.187f1a2b3c4d5e6f.x",
        "istio-ingressgateway-6d5f8b9c7d-x2k4q",
        "sha1 4BCFF63911FCB4448BD4FDACEC207030997CAF25",
        "PILOT_ENABLE_CROSS_CLUSTER_WORKLOAD_ENTRY",
        "AUTHORIZATIONPOLICIES2KUBERNETESGATEWAYS",
        "docker.io/istio/pilot@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
        "uid: 5b0c3d3e-6f0a-4a9e-9d7e-0f3b2a1c4d5e\nresourceVersion: '1234567'\ngeneration: 3",
        "version 1.26.2-b7f1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9-Clean",
        "serial 6a:1f:00:9c; not after 2036-01-02T03:04:05Z",
        "the password is required, the token was refused; a PIN was not asked for",
        "spiffe://cluster.local/ns/istio-system/sa/istiod-service-account",
        "ValidatingAdmissionPolicyBindingV1Beta1Informer",
        "GatewayClassConditionReasonUnsupportedVersion2",
        "/var/lib/kubelet/pods/5b0c3d3e-6f0a-4a9e-9d7e-0f3b2a1c4d5e/volumes/kubernetes.io~projected/istio-token",
        "EnvoyFilter/istio-system/stats-filter-1.26-HTTP2ProtocolOptions",
    ],
)
def test_what_a_reader_of_a_ticket_needs_stays(text: str) -> None:
    assert shown(text) == text


@pytest.mark.thorough
def test_a_long_text_takes_no_more_than_its_length() -> None:
    for text in (
        "tokens: [a, " * 4_000,
        "tokens:\n- a\n" * 4_000,
        "{}!$" * 20_000,
        "a://b:" * 8_000,
        "-----BEGIN PRIVATE KEY-----\n" * 2_000,
        "'a', 'b', " * 8_000,
        "\u200b" * 40_000,
        "A2" * 20_000,
    ):
        shown(text)
