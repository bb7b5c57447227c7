"""NO_PROXY as Go's httpproxy reads it."""

from __future__ import annotations

import pytest

from istio_mc.domain.hosts import is_bypassed


@pytest.mark.parametrize(
    ("no_proxy", "server", "bypassed"),
    [
        ("*", "https://a.example", True),
        ("x, *", "https://a.example", True),
        ("example", "https://a.example", True),
        ("a.example", "https://a.example", True),
        ("a.example", "https://ba.example", False),
        (".example", "https://example", False),
        (".example", "https://a.example", True),
        ("*.example", "https://a.example:6443", True),
        ("*.example", "https://example", False),
        (" A.Example ", "https://a.example", True),
        ("a.example:443", "https://a.example", True),
        ("a.example:443", "https://a.example:6443", False),
        ("10.0.0.0/8", "https://10.1.2.3:6443", True),
        ("10.0.0.0/8", "https://11.1.2.3:6443", False),
        ("10.1.2.3:6443", "https://10.1.2.3:6443", True),
        ("10.1.2.3", "https://10.1.2.3:6443", True),
        ("fd00::/8", "https://[fd00::1]:6443", True),
        ("[fd00::1]:6443", "https://[fd00::1]:6443", True),
        ("fd00::1", "https://[fd00::1]:6443", True),
        (".3", "https://10.1.2.3", False),
        ("", "https://a.example", False),
    ],
)
def test_the_same_servers_are_called_without_a_proxy(no_proxy: str, server: str, *, bypassed: bool) -> None:
    assert is_bypassed(server, no_proxy) is bypassed
