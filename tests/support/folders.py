"""Folders of this process's tests, which go with it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path


@cache
def shared_folder() -> Path:
    """A folder for what all meshes of this process share."""
    folder = Path(tempfile.mkdtemp(prefix="istio-mc-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
