"""Keys made beforehand."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from istio_mc.domain.pki.certificates import KeySpec, KeyType
from istio_mc.domain.pki.pem import dump_key
from istio_mc.ops.ca.intermediates import SpareKeys

if TYPE_CHECKING:
    from istio_mc.domain.pki.pem import PrivateKey

EC = KeySpec(KeyType.EC, 256)


class Counted:
    """Makes keys, and counts them."""

    def __init__(self) -> None:
        self.made = 0
        self.first = threading.Event()

    def generate(self) -> PrivateKey:
        self.made += 1
        self.first.set()
        return EC.generate()


def test_keys_are_generated_before_they_are_requested() -> None:
    maker = Counted()
    with SpareKeys(maker, 1):
        assert maker.first.wait(10)


def test_no_key_is_given_out_twice() -> None:
    with SpareKeys(EC, 3) as keys:
        made = {dump_key(keys.generate()) for _ in range(5)}
    assert len(made) == 5


def test_a_request_for_more_generates_them() -> None:
    maker = Counted()
    with SpareKeys(maker, 1) as keys:
        for _ in range(3):
            keys.generate()
    assert maker.made == 3


def test_none_is_generated_where_none_is_required() -> None:
    maker = Counted()
    with SpareKeys(maker, 0):
        pass
    assert maker.made == 0
