"""Selects the program to use: from bin-dir, from the private cache, or from PATH."""

from __future__ import annotations

import math
import os
import platform
import shutil
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain.problem import InputError, ProblemError
from istio_mc.domain.tools import VERSION_ARGUMENTS, Platform, Tool, platform_of, version_in_output
from istio_mc.gateways.host import process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istio_mc.gateways.tools.cache import Cache

BIN_DIR_VARIABLE = "ISTIO_MC_BIN_DIR"
_VERSION_S = 15.0


class Origin(StrEnum):
    """Where a program is from."""

    BIN_DIR = "bin-dir"
    CACHE = "cache"
    PATH = "PATH"


@dataclass(frozen=True, slots=True)
class FoundTool:
    """A program on this machine."""

    path: Path
    origin: Origin
    version: str | None
    output: str = ""


def own_platform() -> Platform:
    """This machine's platform.

    Raises:
        InputError: No tool is published for this platform.
    """
    return platform_of(platform.system(), platform.machine())


def find(
    tool: Tool,
    version: str | None,
    env: Mapping[str, str],
    cache: Cache,
    bin_dir: Path | None = None,
    deadline: float = math.inf,
) -> FoundTool | None:
    """Returns the program to use: the first one of the required version.

    The search order is bin-dir, cache, PATH. If none has that version, the result is the first one that
    exists, and the caller handles the difference.
    """
    first: FoundTool | None = None
    for origin, path in _candidates(tool, version, env, cache, bin_dir):
        program_version, output = version_of(tool, path, deadline)
        tool_found = FoundTool(path, origin, program_version, output)
        if version is None or program_version == version:
            return tool_found
        first = first or tool_found
    return first


def version_of(
    tool: Tool, path: Path, deadline: float = math.inf, env: Mapping[str, str] | None = None
) -> tuple[str | None, str]:
    """The version that a program reports (None: it reports none), and its output in that case."""
    timeout_s = process.within(_VERSION_S, deadline)
    try:
        arguments: list[str | Path] = [path, *VERSION_ARGUMENTS[tool]]
        done = process.run(arguments, timeout_s=timeout_s, name=f"{tool} version", env=env)
    except process.ProcessCancelled:
        raise
    except ProblemError as error:
        return None, error.problems[0].message
    program_version = version_in_output(tool, done.stdout)
    return program_version, process.tail(done.stderr + b"\n" + done.stdout) or f"exit code {done.returncode}"


def _candidates(
    tool: Tool, version: str | None, env: Mapping[str, str], cache: Cache, bin_dir: Path | None
) -> Iterator[tuple[Origin, Path]]:
    if bin_dir and (path := shutil.which(tool, path=str(bin_dir))):
        yield Origin.BIN_DIR, Path(path)
    with suppress(InputError):  # no tool is published for this platform, so the cache has none
        cached = cache.program(tool, version or "", own_platform())
        if version and os.access(cached, os.X_OK):
            yield Origin.CACHE, cached
    if path := shutil.which(tool, path=env.get("PATH", os.defpath)):
        yield Origin.PATH, Path(path)
