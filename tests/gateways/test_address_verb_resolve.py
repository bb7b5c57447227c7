"""Host names are looked up within a deadline, and what goes wrong is told."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from istio_mc.gateways.host.dns import resolve

if TYPE_CHECKING:
    import pytest


def test_a_name_gives_its_addresses() -> None:
    assert "127.0.0.1" in resolve("localhost").addresses


def test_a_name_that_does_not_exist_gives_the_reason() -> None:
    found = resolve("gw.invalid")
    assert (found.addresses, bool(found.fault)) == ((), True)


def test_a_name_that_cannot_be_written_in_dns_gives_the_reason() -> None:
    assert resolve("a" * 64 + ".example").fault


def test_a_silent_resolver_is_waited_for_until_its_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()

    def silent(*_: object, **__: object) -> NoReturn:
        over.wait(5)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    begun = time.monotonic()
    found = resolve("gw.example.com", 0.1)
    assert time.monotonic() - begun < 2
    assert found.fault == "no response within 0.1 s"
    over.set()
