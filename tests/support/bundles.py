"""Reads bundles back."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def contents(archive: Path) -> dict[str, str]:
    """The files of a bundle, by their path in it."""
    with tarfile.open(archive) as unpacked:
        return {
            entry.name.partition("/")[2]: content.read().decode()
            for entry in unpacked.getmembers()
            if (content := unpacked.extractfile(entry))
        }
