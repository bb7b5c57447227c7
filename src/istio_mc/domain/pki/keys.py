"""What kinds of key the mesh's authorities have, and making one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import InputError, Problem

if TYPE_CHECKING:
    from istio_mc.domain.pki.pem import PrivateKey

DEFAULT_RSA_BITS = 3072
"""Ten years of validity end after 2030, up to when NIST SP 800-57 part 1 accepts RSA 2048 (112 bits)."""

DEFAULT_EC_BITS = 256
RSA_BITS = (2048, 3072, 4096)
CURVES: dict[int, ec.EllipticCurve] = {256: ec.SECP256R1(), 384: ec.SECP384R1()}


class KeyType(StrEnum):
    """The kinds of key that istiod signs with."""

    RSA = "rsa"
    EC = "ec"


class KeyMaker(Protocol):
    """Whatever makes keys of one kind."""

    def generate(self) -> PrivateKey:
        """A new random key."""


@dataclass(frozen=True, slots=True)
class KeySpec:
    """What kind of key to make.

    Attributes:
        size: Bits: 2048, 3072 or 4096 for RSA, 256 or 384 (the NIST curves) for EC.

    Raises:
        InputError: `key-size` where the size does not belong to the type.
    """

    type: KeyType = KeyType.RSA
    size: int = DEFAULT_RSA_BITS

    def __post_init__(self) -> None:
        allowed = RSA_BITS if self.type is KeyType.RSA else tuple(CURVES)
        if self.size not in allowed:
            raise InputError(
                Problem(
                    code=Code.KEY_SIZE,
                    message=f"{self.type.upper()} keys of {self.size} bits are not made",
                    seen=str(self.size),
                    expected=", ".join(map(str, allowed)),
                    hint=Advice("give --key-size one of these"),
                )
            )

    @classmethod
    def of(cls, kind: KeyType | str, size: int | None = None) -> KeySpec:
        """The spec for a type, with that type's default size (RSA 3072, EC 256) where none is given.

        Raises:
            InputError: `key-size`, or `key-type` for a type other than rsa and ec.
        """
        try:
            kind = KeyType(kind)
        except ValueError as error:
            raise InputError(
                Problem(
                    code=Code.KEY_TYPE,
                    message=f"no such type of key: {kind}",
                    seen=str(kind),
                    expected="rsa, ec",
                )
            ) from error
        default = DEFAULT_RSA_BITS if kind is KeyType.RSA else DEFAULT_EC_BITS
        return cls(kind, default if size is None else size)

    @classmethod
    def like(cls, key: object) -> KeySpec:
        """The spec nearest to a CA's public key: its kind, and its size where keys of that size are made."""
        if isinstance(key, rsa.RSAPublicKey):
            return cls(KeyType.RSA, key.key_size) if key.key_size in RSA_BITS else cls.of(KeyType.RSA)
        if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size in CURVES:
            return cls(KeyType.EC, key.key_size)
        return cls.of(KeyType.EC)

    def __str__(self) -> str:
        return f"{self.type.upper()} {self.size}"

    def generate(self) -> PrivateKey:
        """A new random key."""
        if self.type is KeyType.RSA:
            return rsa.generate_private_key(public_exponent=65_537, key_size=self.size)
        return ec.generate_private_key(CURVES[self.size])
