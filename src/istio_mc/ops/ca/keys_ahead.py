"""Keys made while something else is waited for: an RSA key of 3072 bits takes a fifth of a second."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from concurrent.futures import Future

    from istio_mc.domain.pki.keys import KeyMaker
    from istio_mc.domain.pki.pem import PrivateKey


class SpareKeys:
    """Makes some keys beforehand, on every core; whoever wants more has them made on the spot."""

    def __init__(self, maker: KeyMaker, count: int) -> None:
        self._maker = maker
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
        self._made: deque[Future[PrivateKey]] = deque(self._pool.submit(maker.generate) for _ in range(count))

    def generate(self) -> PrivateKey:
        """A new random key, which nobody else gets."""
        try:
            next_one = self._made.popleft()
        except IndexError:
            return self._maker.generate()
        return next_one.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
