"""Certificates of the stand-in API servers: made once for all tests of a process."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.self_signed import self_signed, server_context

if TYPE_CHECKING:
    import ssl

HOST = "127.1"
"""Leads to 127.0.0.1, but does not read as this machine, which no remote secret may name."""


@dataclass(frozen=True)
class Material:
    """What an API server shows who it is with.

    Attributes:
        certificate: PEM, its own CA.
        context: For its sockets.
    """

    certificate: bytes
    context: ssl.SSLContext


@cache
def material() -> Material:
    """The API servers' certificate."""
    made = self_signed(HOST)
    with tempfile.TemporaryDirectory() as folder:
        return Material(made.certificate, server_context(made.write(Path(folder) / "both.pem")))
