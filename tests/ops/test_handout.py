"""Where a page or an archive is written: over nothing of the user's, refused before any cluster is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.problem import InputError
from istio_mc.ops import handout

if TYPE_CHECKING:
    from pathlib import Path


def is_ours(begins: bytes) -> bool:
    return begins.startswith(b"ours")


def refusal(path: Path | str, *, force: bool = False, output: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        handout.place(str(path), force=force, output=output, ours=is_ours)
    (problem,) = error.value.problems
    return problem.code


def test_a_free_name_is_taken_and_the_file_is_private_where_it_has_to_be(tmp_path: Path) -> None:
    for private, mode in ((True, 0o600), (False, 0o644)):
        path = handout.place(str(tmp_path / f"{mode:o}"), force=False)
        handout.write(path, b"content", private=private)
        assert path
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"content", mode)


def test_a_file_of_the_users_is_written_over_with_force_only(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("notes of mine")
    assert refusal(path) == "file-exists"
    assert handout.place(str(path), force=True, ours=is_ours) == path


def test_a_file_that_this_tool_wrote_is_written_over_without(tmp_path: Path) -> None:
    path = tmp_path / "page"
    path.write_text("ours")
    assert handout.place(str(path), force=False, ours=is_ours) == path


@pytest.mark.parametrize("force", [True, False])
def test_a_folder_and_a_file_in_no_folder_are_refused_with_force_too(tmp_path: Path, *, force: bool) -> None:
    assert refusal(tmp_path, force=force) == "file-unwritable"
    assert refusal(tmp_path / "missing" / "page", force=force) == "file-unwritable"


@pytest.mark.parametrize("output", [None, "table"])
def test_standard_output_has_either_the_file_or_the_data(output: str | None) -> None:
    assert handout.place("-", force=False, output=output) is None
    handout.write(None, b"content", private=True)
    assert refusal("-", output="json") == "output-taken"
