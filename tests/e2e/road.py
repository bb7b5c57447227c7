"""The road to the clusters' API servers, as a proxy: slow, and closed whenever a test says so."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Self

from tests.connect_proxy import ConnectProxy
from tests.e2e.harness import merged_kubeconfig, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Road(ConnectProxy):
    """A CONNECT proxy on this machine, as `proxy-url` of a kubeconfig names one.

    Attributes:
        delay_s: How long each piece of what clients send is kept back, in seconds.
        travelled: Set once somebody has come along.
    """

    def __init__(self, delay_s: float) -> None:
        super().__init__()
        self.delay_s = delay_s
        self.travelled = threading.Event()
        self._open = threading.Event()
        self._open.set()

    def kubeconfig(self, path: Path) -> str:
        """Writes the lab's kubeconfig with this road to every cluster; its path."""
        document = merged_kubeconfig()
        for entry in document["clusters"]:
            entry["cluster"]["proxy-url"] = self.url
        return write_kubeconfig(path, document)

    def close(self) -> None:
        """Nothing gets through any more."""
        self._open.clear()

    def passes(self) -> None:
        """Waits until a piece may go on."""
        self.travelled.set()
        time.sleep(self.delay_s)
        self._open.wait()

    @contextlib.contextmanager
    def there(self) -> Iterator[Self]:
        """The road, for as long as a `with` block lasts."""
        with super().there():
            try:
                yield self
            finally:
                self._open.set()
