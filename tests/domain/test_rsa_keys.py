"""RSA keys are read quickly, and those whose numbers do not belong together are refused, as istiod does."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from istio_mc.domain.pki import pem
from istio_mc.domain.pki.pem import NamedPem
from istio_mc.domain.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = rsa.generate_private_key(65_537, 1024)  # noqa: S505 - quickly made
ANOTHER = rsa.generate_private_key(65_537, 1024)  # noqa: S505 - likewise


def der(tag: int, content: bytes) -> bytes:
    """A value of a tag, as DER has it."""
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, size] if size < 0x80 else [tag, 0x80 | len(length), *length]) + content


def pkcs1(numbers: dict[str, int]) -> NamedPem:
    """A key as openssl writes it (RFC 8017, A.1.2), by hand: the library writes none of wrong numbers."""
    own = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in (0, *numbers.values())]
    body = base64.encodebytes(der(0x30, b"".join(der(2, number) for number in own)))
    return NamedPem(
        "ca.key", b"-----BEGIN RSA PRIVATE KEY-----\n" + body + b"-----END RSA PRIVATE KEY-----\n"
    )


def numbers_of(key: rsa.RSAPrivateKey) -> dict[str, int]:
    """The numbers of a key, in PKCS#1's order."""
    own = key.private_numbers()
    public = {"n": own.public_numbers.n, "e": own.public_numbers.e}
    return public | {"d": own.d, "p": own.p, "q": own.q, "dp": own.dmp1, "dq": own.dmq1, "qi": own.iqmp}


def other_exponent(numbers: dict[str, int], prime: str) -> dict[str, int]:
    """The key with a private exponent that fits one of its primes alone."""
    d = numbers["d"] + numbers[prime] - 1
    return numbers | {"d": d, "dp": d % (numbers["p"] - 1), "dq": d % (numbers["q"] - 1)}


def refusal(key: NamedPem) -> list[str]:
    """The codes of what is said of a key that is refused."""
    with pytest.raises(ProblemError) as error:
        pem.load_key(key)
    return [problem.code for problem in error.value.problems]


def test_a_key_whose_numbers_belong_together_is_read() -> None:
    assert pem.load_key(pkcs1(numbers_of(OWN))).public_key() == OWN.public_key()


@pytest.mark.parametrize("part", ["n", "e", "d", "p", "q", "dp", "dq", "qi"])
def test_a_key_of_which_one_number_is_wrong_is_refused(part: str) -> None:
    numbers = numbers_of(OWN)

    assert refusal(pkcs1(numbers | {part: numbers[part] + 2})) == ["key-unreadable"]


@pytest.mark.parametrize("prime", ["p", "q"])
def test_a_key_whose_private_exponent_fits_only_one_prime_is_rejected(prime: str) -> None:
    assert refusal(pkcs1(other_exponent(numbers_of(OWN), prime))) == ["key-unreadable"]


@pytest.mark.parametrize(
    "change",
    [
        lambda own: numbers_of(ANOTHER) | {"n": own["n"]},  # all but the modulus belongs together
        lambda own: own | {"p": 1, "q": own["n"]},
        lambda own: own | {"p": own["n"], "q": 1},
        lambda own: own | {"p": 0},
        lambda own: own | {"p": own["q"], "q": own["p"]},
        lambda own: dict.fromkeys(own, 0),
    ],
    ids=["of another key", "1 and n", "n and 1", "0", "each in the other's place", "0, as all else"],
)
def test_a_key_of_other_primes_is_refused(change: Callable[[dict[str, int]], dict[str, int]]) -> None:
    assert refusal(pkcs1(change(numbers_of(OWN)))) == ["key-unreadable"]
