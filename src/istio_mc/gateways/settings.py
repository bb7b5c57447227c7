"""mesh.yaml: found and read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import InputError, Problem
from istio_mc.domain.settings import Settings
from istio_mc.domain.settings_file import parse_settings
from istio_mc.gateways import files
from istio_mc.gateways.yamldoc import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

FILE_NAME = "mesh.yaml"


def load_settings(path: Path | None, cwd: Path, read: Callable[[Path], bytes] = files.content) -> Settings:
    """Reads the mesh's settings.

    Args:
        path: The file that was asked for; None: `mesh.yaml` in the working folder, if it is there.
        cwd: The working folder.
        read: Reads a file.

    Returns:
        What the file says; all defaults, and `file` None, where there is none.

    Raises:
        InputError: The file that was asked for is missing; or a file cannot be read or holds faults: all of
            them, each with file and line.
    """
    file = Path(os.path.abspath(cwd / (path if path is not None else FILE_NAME)))  # noqa: PTH100 - lexically
    try:
        data = read(file)
    except FileNotFoundError:
        if path is None:
            return Settings(certs_dir=cwd / "certs")
        problem = Problem(
            code="settings-missing",
            message=f"{file} does not exist",
            hint=Advice("Correct --config; without it ./mesh.yaml is read if it is there"),
        )
        raise InputError(problem) from None
    except OSError as error:
        problem = Problem(code="settings-unreadable", message=f"{file}: cannot be read: {error.strerror}")
        raise InputError(problem) from error
    document = parse_yaml(data, str(file), with_lines=True)
    return parse_settings(document.value, document.lines, file)
