"""What must be the same before a mesh is taken over and after."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from tests.e2e.harness import get, secret

if TYPE_CHECKING:
    from pathlib import Path


def digests(folder: Path) -> dict[str, str]:
    """Every file's SHA-256: the files hold keys, which no failure may print."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def ca_digest(context: str) -> str:
    """SHA-256 of what a cluster's Secret cacerts holds."""
    return hashlib.sha256(repr(sorted((secret(context, "cacerts") or {}).items())).encode()).hexdigest()


def pods(context: str) -> dict[str, Any]:
    found = get(context, "pods")["items"]
    return {
        pod["metadata"]["uid"]: [status["restartCount"] for status in pod["status"]["containerStatuses"]]
        for pod in found
    }
