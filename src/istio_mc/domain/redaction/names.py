"""Names that promise a secret: of settings, environment variables, flags and fields."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

KOREAN = "비밀[ ]?번호|비번|패스워드|암호"
"""Korean names of passwords: a piece of patterns."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# ruff: noqa: SIM905 - words in a text are shorter than a column of them
_SECRET_WORDS = frozenset(
    """authorization cookie credential credentials pass passphrase passwd password passwords pwd secret
    token""".split()
)
# Secrets where a name ends with them: a `pin` is one, `pin-images` is none.
_LAST_WORDS = frozenset(
    """bearer csrf dek jsessionid kek mnemonic otp passcode pepper phpsessid pin psk pw requirepass salt sig
    signature xsrf""".split()
)
_RUN_TOGETHER = re.compile(
    r"(?:api|app|access|account|auth|master|preshared|private|priv|secret|signing|encryption|unseal)keys?$"
    r"|(?:api|access|account|private|secret|signing|encryption)key|passw(?:or)?d|passphrase"
    r"|(?:access|auth|bearer|bootstrap|csrf|id|identity|join|refresh|registry|session|user|vault)tokens?$"
    r"|(?:app|client|shared|signing|webhook)secrets?$"
    r"|^(?:admin|bind|db|key|(?:dest|src|trust)?store|my|pg|root|ssh|user)(?:pass|pwd?)$"
)
_SECRET_PAIRS = frozenset(
    """access-key account-key admin-creds api-creds api-key app-key auth-creds auth-data auth-key aws-creds
    basic-auth ca-key client-creds client-key db-creds encryption-key hmac-key jwt-key key-data key-pem
    license-key login-creds master-key otp-code pin-code preshared-key private-key recovery-code recovery-key
    recovery-phrase secret-key seed-phrase session-key shared-key signing-key ssh-key ssh-privatekey
    storage-key tls-key totp-seed unseal-key user-creds""".split()
)
_EXACT = frozenset(
    """auth _auth connect.sid creds .dockerconfigjson dockerconfigjson key.pem masterauth pgpass redact
    rediscli_auth""".split()
)
# Of several: `tokens` is a number elsewhere, so it must be a list; `secrets` alone are names of Secrets.
_PLURALS = frozenset({"tokens", "passphrases", "passcodes", "pins", "salts"})

# What comes last in names of things *about* a secret: `secretName`, `TOKEN_ISSUER`, `PASSWORD_FILE`.
_ABOUT = frozenset(
    """api at audience audiences class controller count dir directory duration enabled endpoint
    expiration expires expiry expire file files grace group host index interval issuer kind
    kinds label labels length limit lookup max min minutes mode mount name namespace namespaces
    names path paths period policy port prefix provider ratio ref refresh required review
    reviews rotation seconds selector server size source status suffix timeout ttl type types
    uri url usage used version volume""".split()
)
_SOURCES = (".cc", ".go", ".h", ".java", ".py", ".rs")
_NO_SECRETS = re.compile(
    r"""(?ix) \\*["']?(?: true | false | null | none | nil | <nil> | <none> | <unset> | <unknown> | yes | no
    | [0-9]{1,3} | [0-9]{1,5}\.[0-9]{1,9}[num\u00b5]?s | [0-9]{1,5}[num\u00b5]s | undefined
    | enabled | disabled | optional | required | mutual
    | \{.{0,2} | \[.{0,2} | \|[-+0-9]* | >[-+0-9]*
    | [-~*&!]? | \.\.\. | \[?redacted\]? | \*+ | x{3,} | \(hidden\) | \[redacted:.* )\\*["']?[,;]?"""
)
_PLACE_HOLDER = re.compile(r"\\*[\"']?(?:\$\(\w+\)|\$\{[\w.:-]+\}|\{\{[^{}]*\}\}|<[\w -]+>)\\*[\"']?[,;]?")
_REFERENCE = re.compile(
    r"\\*[\"']?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\\*[\"']?[,;]?"
)
_KOREAN_NAME = re.compile(KOREAN)


@lru_cache(maxsize=8192)
def promises_secret(name: str) -> bool:
    """Whether what goes by this name is likely to be a secret, and not only about one.

    `DB_PASSWORD`, `clientSecret` and `ca-key.pem` are; `secretName` and `TOKEN_ISSUER` are not.
    """
    if name.lower() in _EXACT or _KOREAN_NAME.fullmatch(name):
        return True
    if name.endswith(_SOURCES):
        return False  # the place in a program that wrote a line of a log: `token_cleaner.go:103`
    words = _words(name)
    if not words or words[-1] in _ABOUT:
        return False
    if words[-1] in _LAST_WORDS or any(word in _SECRET_WORDS or _RUN_TOGETHER.search(word) for word in words):
        return True
    return any("-".join(pair) in _SECRET_PAIRS for pair in pairwise(words))


@lru_cache(maxsize=8192)
def lists_secrets(name: str) -> bool:
    """Whether a value, or a list, by this name is likely to be secret: `password`, `tokens`, `api_keys`."""
    words = _words(name)
    if promises_secret(name):
        return True
    if not words or "max" in words:
        return False
    return words[-1] in _PLURALS or (words[-1] == "keys" and promises_secret(name[:-1]))


def is_about(name: str) -> bool:
    """Whether a name is of something that is no secret: a name, an address, a time."""
    words = _words(name)
    return bool(words) and words[-1] in _ABOUT


def may_be_secret(name: str, value: str) -> bool:
    """Whether a value under a name that promises a secret may be one: no flag, no reference, not nothing."""
    value = value.strip()
    if _NO_SECRETS.fullmatch(value) or _PLACE_HOLDER.fullmatch(value):
        return False
    # istiod's own logs name a Secret so: secret=istio-system/istio-remote-secret-kt.
    return not (name.lower().endswith("secret") and _REFERENCE.fullmatch(value))


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
