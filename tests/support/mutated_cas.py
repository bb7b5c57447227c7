"""CAs with certificates that are malformed by chance, though signed rightly."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import TYPE_CHECKING

from tests.support.forge import (
    CLIENT_AUTH,
    OCTETS,
    SEQUENCE,
    SERVER_AUTH,
    Extension,
    Forged,
    basic,
    der,
    name_limits,
    names,
    oid,
    usage,
    uses,
)
from tests.support.odd_cas import Case, files_of, three

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOMAINS: list[tuple[int, bytes | str]] = [(2, "io"), (2, "svc"), (2, "example"), (6, "example")]
_NAMES: list[tuple[int, bytes | str]] = [
    (2, "a.corp.example"),
    (1, "x@corp.example"),
    (6, "spiffe://corp.example/x"),
    (7, bytes([10, 0, 0, 1])),
]
RICH = (
    basic(path_length=3),
    usage(),
    uses(SERVER_AUTH, CLIENT_AUTH),
    names(*_NAMES),
    name_limits(_DOMAINS, [(2, "evil.io"), (7, bytes([9, 0, 0, 0, 255, 0, 0, 0]))]),
    Extension("2.5.29.14", der(OCTETS, b"k" * 20)),
    Extension("2.5.29.32", der(SEQUENCE, der(SEQUENCE, oid("2.5.29.32.0")))),
    Extension("2.5.29.36", der(SEQUENCE, der(0x80, b"\x05"))),
    Extension("2.5.29.31", der(SEQUENCE, der(SEQUENCE, der(0xA0, der(0xA0, der(0x86, b"http://crl")))))),
    Extension(
        "1.3.6.1.5.5.7.1.1", der(SEQUENCE, der(SEQUENCE, oid("1.3.6.1.5.5.7.48.1"), der(0x86, b"http://a")))
    ),
)
"""One of each extension that Go reads."""


class Mutated(Forged):
    """A certificate of which a byte or two are others before it is signed."""

    drawn: random.Random

    @classmethod
    def of(cls, one: Forged, drawn: random.Random) -> Mutated:
        """The certificate with RICH extensions, to be changed."""
        parts = {part.name: getattr(one, part.name) for part in fields(one) if part.init}
        made = cls(**parts | {"extensions": RICH})
        object.__setattr__(made, "drawn", drawn)
        return made

    def body(self) -> bytes:
        body = bytearray(super().body())
        for _ in range(self.drawn.choice([1, 1, 2])):
            place = self.drawn.randrange(len(body))
            flipped = body[place] ^ 1 << self.drawn.randrange(8)
            body[place] = self.drawn.choice([flipped, self.drawn.randrange(256), 0x30, 0x80])
        return bytes(body)


def mutations(count: int) -> Iterator[Case]:
    """As many CAs, of each of which one certificate is changed; the same ones each time, but for the keys."""
    drawn = random.Random(20261123)  # noqa: S311 (no secret)
    whole = three()
    for at in range(count):
        changed = drawn.randrange(3)
        path = [Mutated.of(one, drawn) if place == changed else one for place, one in enumerate(whole)]
        yield Case(f"mutation {at}", files_of(*reversed(path)))
