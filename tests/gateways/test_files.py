"""Files are written whole or not at all, privately, and over another only where that is wanted."""

from __future__ import annotations

import math
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host import files

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def code(error: pytest.ExceptionInfo[ProblemError]) -> str:
    (problem,) = error.value.problems
    return problem.code


def test_a_written_file_holds_the_content_and_is_private(tmp_path: Path) -> None:
    files.write(tmp_path / "key", b"content")
    assert (tmp_path / "key").read_bytes() == b"content"
    assert mode(tmp_path / "key") == 0o600


def test_the_requested_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.write(tmp_path / "public", b"", mode=0o644)
    finally:
        os.umask(before)
    assert mode(tmp_path / "public") == 0o644


def test_writing_leaves_no_other_name_behind(tmp_path: Path) -> None:
    files.write(tmp_path / "a", b"1")
    files.write(tmp_path / "a", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"2"


def test_an_exclusive_write_leaves_what_is_there_alone(tmp_path: Path) -> None:
    files.write(tmp_path / "root", b"old", exclusive=True)
    with pytest.raises(ProblemError) as error:
        files.write(tmp_path / "root", b"new", exclusive=True)
    assert code(error) == "file-exists"
    assert "root" in str(error.value)
    assert (tmp_path / "root").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_of_many_exclusive_writes_at_once_exactly_one_wins(tmp_path: Path) -> None:
    def attempt(number: int) -> bytes | None:
        content = str(number).encode()
        try:
            files.write(tmp_path / "root", content, exclusive=True)
        except ProblemError:
            return None
        return content

    with ThreadPoolExecutor(16) as pool:
        won = [content for content in pool.map(attempt, range(64)) if content is not None]
    assert won == [(tmp_path / "root").read_bytes()]


def test_a_write_that_fails_half_way_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(tmp_path / "root", b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProblemError) as error:
        files.write(tmp_path / "root", b"new")
    assert error.value.problems[0].seen == "No space left on device"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("root", b"old")]


def test_a_folder_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as error:
        files.write(tmp_path / "absent" / "root", b"")
    assert code(error) == "file-unwritable"


def test_a_private_folder_is_its_owners_alone(tmp_path: Path) -> None:
    files.make_private_folder(tmp_path / "certs")
    assert mode(tmp_path / "certs") == 0o700


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir(mode=0o755)
    files.make_private_folder(tmp_path / "certs")
    assert mode(tmp_path / "certs") == 0o755


def test_a_file_at_the_path_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "certs").touch()
    with pytest.raises(ProblemError) as error:
        files.make_private_folder(tmp_path / "certs")
    assert error.value.problems[0].seen == "Not a directory"


def test_reading_a_missing_file_reports_path_and_reason(tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as error:
        files.read(tmp_path / "absent.pem")
    (problem,) = error.value.problems
    assert (problem.code, problem.seen) == ("file-unreadable", "No such file or directory")
    assert "absent.pem" in problem.message


def test_a_file_that_may_be_absent_reads_as_none(tmp_path: Path) -> None:
    assert files.read_if_there(tmp_path / "absent") is None


def test_a_folder_at_the_path_of_an_optional_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as error:
        files.read_if_there(tmp_path)
    assert error.value.problems[0].seen == "Is a directory"


@pytest.mark.parametrize(("permissions", "exposed"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_key_that_others_may_read_is_noticed(tmp_path: Path, permissions: int, exposed: bool) -> None:  # noqa: FBT001 (a parameter of the table above)
    path = tmp_path / "key"
    path.touch()
    path.chmod(permissions)
    assert files.readable_by_others(path) is exposed


@pytest.mark.parametrize("name", ["a\0b", "half \ud83d"])
def test_a_name_that_no_file_can_have_is_reported(tmp_path: Path, name: str) -> None:
    for call in (files.read, files.read_if_there, files.make_private_folder):
        with pytest.raises(ProblemError) as error:
            call(tmp_path / name)
        assert "invalid file name" in str(error.value.problems[0].seen)
    with pytest.raises(ProblemError):
        files.write(tmp_path / name, b"")


def test_a_file_is_read_once_in_a_run_and_again_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first")
    reader = files.Reader()
    assert reader(path, math.inf) == b"first"
    path.write_bytes(b"second")
    assert reader(path, math.inf) == b"first"
    assert reader.again()(path, math.inf) == b"second"


def test_a_pipe_is_never_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(path.write_bytes, b"once")
        reader = files.Reader()
        assert reader(path, time.monotonic() + 60) == b"once"
        writer.result()
    assert reader(path, 0.0) == reader.again()(path, 0.0) == b"once"


def test_without_a_home_folder_there_is_the_root_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", none)
    assert str(files.home_folder()) == "/"
