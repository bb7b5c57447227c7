"""A program that was fetched is run before it is put in place: it must start and report its version."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.gateways.tools_find import own_platform, version_of

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.tools import Artifact

_DOCS = "troubleshooting.md#tool-not-started"


def refuse_unusable(artifact: Artifact, program: Path, place: str, deadline: float) -> None:
    """Runs a program's version command, where the program is for this machine's platform.

    Args:
        artifact: What it is expected to be.
        program: Where it is, not yet in its place.
        place: Where it was fetched from, for messages.
        deadline: `time.monotonic()` value by which the run ends.

    Raises:
        ProblemError: `tool-not-started`: it does not start, or reports no version.
            `tool-version-mismatch`: it reports another one.
    """
    with suppress(InputError):  # a platform that no tool is published for
        if artifact.platform == own_platform():
            _run(artifact, program, place, deadline)


def _run(artifact: Artifact, program: Path, place: str, deadline: float) -> None:
    # A kubeconfig that cannot be read is no fault of the program.
    env = {**os.environ, "KUBECONFIG": os.devnull}
    version, output = version_of(artifact.tool, program, deadline, env)
    if version == artifact.version:
        return
    if version is None:
        raise ProblemError(
            Problem(
                code="tool-not-started",
                message=f"{artifact} from {place} does not run on this machine; nothing was replaced",
                seen=output.replace(str(program), str(artifact.tool)),
                expected=f"version {artifact.version}, reported by its version command",
                hint=Advice(
                    f"check {place}; where programs in {program.parent.parent} must not run (noexec), "
                    "choose another folder with --bin-dir"
                ),
                docs=_DOCS,
            )
        )
    raise ProblemError(
        Problem(
            code="tool-version-mismatch",
            message=f"{place} contains {artifact.tool} {version}; nothing was replaced",
            seen=f"version {version}",
            expected=f"version {artifact.version}",
            hint=Advice(f"check {place}: it has another version's file under this name"),
            docs=_DOCS,
        )
    )
