"""A page or an archive that a verb writes for people: complete, and never over a file of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, InputError
from istio_mc.gateways.host import files

if TYPE_CHECKING:
    from collections.abc import Callable

STANDARD_OUTPUT = "-"


def place(
    name: str,
    *,
    force: bool,
    output: str | None = None,
    ours: Callable[[bytes], bool] = lambda _: False,
) -> Path | None:
    """Where to write; decided before any request to a cluster, so that a refusal comes at once.

    Args:
        output: The form of the result on standard output, `table` where None.
        ours: Whether a file that begins so is one that this tool may write over.

    Returns:
        The file; None: standard output.

    Raises:
        InputError: `output-taken`, `file-exists`, or `file-unwritable` where there is no such folder.
    """
    if name == STANDARD_OUTPUT:
        if output not in (None, "table"):
            raise InputError.of(
                code=Code.OUTPUT_TAKEN,
                message=f"standard output cannot contain both the file and {output}",
                seen=f"--file - and --output {output}",
                expected="one of them",
                hint=Advice("name a file with --file"),
            )
        return None
    path = Path(name)
    with files.as_problem(Code.FILE_UNWRITABLE, f"cannot write {path}"):
        is_folder, has_folder, is_there = path.is_dir(), path.parent.is_dir(), path.exists()
    if is_folder or not has_folder:
        raise InputError.of(
            code=Code.FILE_UNWRITABLE,
            message=f"cannot write {path}",
            seen="it is a folder" if is_folder else f"no folder {path.parent}",
            hint=Advice("name a file in a folder that is there with --file"),
        )
    if is_there and not force and not ours(files.beginning(path)):
        raise InputError.of(
            code=Code.FILE_EXISTS,
            message=f"{path} already exists",
            seen="a file that is not to be written over",
            expected="a name that is free",
            hint=Advice("use another name with --file, or overwrite it with --force"),
        )
    return path


def write(to: Path | None, data: bytes, *, private: bool) -> None:
    """Writes the file at once and whole; nothing where it goes to standard output, which is the edge's.

    Raises:
        ProblemError: `file-unwritable`.
    """
    if to is not None:
        files.write(to, data, mode=files.PRIVATE_FILE if private else files.SHARED_FILE)
