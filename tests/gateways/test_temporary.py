"""What a run keeps for its own time goes when it ends, and what a killed run left goes with the next."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host import files, temporary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = """
import os, pathlib, sys
from istio_mc.gateways.host import files, temporary
elsewhere = pathlib.Path(sys.argv[1])
files.write(temporary.make_folder() / "kubeconfig", b"token")
files.write(temporary.make_folder(elsewhere) / "ca-key.pem", b"key")
with files.replacing(elsewhere / "mesh.yaml") as file:
    file.write(b"half")
    file.flush()
    print("here", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of these tests alone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(temporary, "_state", temporary._State())
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "mesh.yaml").write_text("the user's own")
    return folder


@contextmanager
def another_run(tmp: Path, elsewhere: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has made all there is to make, and goes on."""
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(elsewhere)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp)},
    )  # fmt: skip
    try:
        assert run.stdout
        assert run.stdout.readline() == "here\n"
        yield run
    finally:
        run.kill()
        run.communicate()


@pytest.fixture
def abandoned(tmp: Path, elsewhere: Path) -> Path:
    """The folder that a killed run left."""
    with another_run(tmp, elsewhere) as run:
        run.kill()
    (folder,) = tmp.iterdir()
    return folder


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_run_left_is_removed_wherever_it_is(
    tmp: Path, elsewhere: Path, abandoned: Path
) -> None:
    assert len(list(abandoned.glob("*/kubeconfig"))) == 1
    assert len(listed(elsewhere)) == 3

    temporary.remove_abandoned()

    assert listed(tmp) == []
    assert listed(elsewhere) == ["mesh.yaml"]
    assert (elsewhere / "mesh.yaml").read_text() == "the user's own"


def test_what_a_run_that_lives_has_made_stays(tmp: Path, elsewhere: Path) -> None:
    with another_run(tmp, elsewhere):
        theirs, before = listed(tmp), listed(elsewhere)
        temporary.remove_abandoned()
        files.write(elsewhere / "mesh.yaml", b"ours")
        assert set(theirs) <= set(listed(tmp))
        assert listed(elsewhere) == before


def test_many_runs_that_start_at_once_do_not_mind_each_other(tmp: Path, abandoned: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(temporary.remove_abandoned) for _ in range(16)]:
            done.result()
    assert not abandoned.exists()
    assert listed(tmp) == []


def test_a_folder_of_another_user_stays(abandoned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    temporary.remove_abandoned()
    assert abandoned.exists()


def test_a_folder_that_others_may_enter_stays(abandoned: Path) -> None:
    abandoned.chmod(0o755)
    temporary.remove_abandoned()
    assert abandoned.exists()


def test_a_folder_of_another_program_stays_whatever_its_name(tmp: Path) -> None:
    """Also what istio-mc keeps for a person: the document of an istioctl that failed."""
    (tmp / "istio-mc-failed-x1").mkdir(mode=0o700)
    (tmp / "istio-mc-failed-x1/istio-operator.yaml").touch()
    (tmp / "istio-mc-notes").touch()
    temporary.remove_abandoned()
    assert listed(tmp) == ["istio-mc-failed-x1", "istio-mc-notes"]


def test_no_link_is_followed(tmp: Path, elsewhere: Path, abandoned: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    abandoned.rename(away)
    (tmp / "istio-mc-link").symlink_to(away)
    temporary.remove_abandoned()
    assert away.exists()
    assert len(listed(elsewhere)) == 3


def test_a_list_removes_only_files_that_a_run_could_have_created(
    tmp: Path, elsewhere: Path, abandoned: Path, tmp_path: Path
) -> None:
    link = tmp_path / ".x.istio-mc.tmp"
    link.symlink_to(elsewhere)
    (abandoned / "elsewhere").write_bytes(
        b"\0".join(
            os.fsencode(path) for path in (elsewhere / "mesh.yaml", link, tmp_path / "absent.istio-mc.tmp")
        )
        + b"\0"
        + os.fsencode(elsewhere)[:-4]  # cut off in the middle
    )
    before = listed(elsewhere)
    temporary.remove_abandoned()
    assert listed(tmp) == []
    assert listed(elsewhere) == before
    assert link.is_symlink()


def test_the_end_of_a_run_removes_everything_temporary_and_nothing_more_is_created(
    tmp: Path, elsewhere: Path
) -> None:
    folder, staging = temporary.make_folder(), temporary.make_folder(elsewhere)
    made, handle = temporary.make_file(elsewhere / "mesh.yaml")
    os.close(handle)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, staging, made)]

    temporary.remove_all()

    assert modes == [0o700, 0o700, 0o600]
    assert listed(tmp) == []
    assert listed(elsewhere) == ["mesh.yaml"]
    for parent in ((), (elsewhere,)):
        with pytest.raises(ProblemError):
            temporary.make_folder(*parent)
    with pytest.raises(ProblemError):
        files.write(elsewhere / "mesh.yaml", b"late")
    temporary.remove(folder)
    temporary.remove_all()


def test_a_copy_that_a_killed_run_left_before_a_restart_is_removed_by_the_next_write(
    elsewhere: Path, abandoned: Path
) -> None:
    (abandoned / "elsewhere").unlink()  # with the other temporary files
    files.write(elsewhere / "mesh.yaml", b"ours")
    with temporary.folder(elsewhere):
        pass
    assert listed(elsewhere) == ["mesh.yaml"]


def test_files_are_written_where_there_is_no_folder_for_temporary_files(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere / "absent"))
    temporary.remove_abandoned()
    files.write(elsewhere / "mesh.yaml", b"ours")
    assert (elsewhere / "mesh.yaml").read_bytes() == b"ours"
    assert listed(elsewhere) == ["mesh.yaml"]
    with pytest.raises(ProblemError) as error:
        temporary.make_folder()
    assert str(error.value.problems[0].hint) == "set TMPDIR to a folder that can be written"


def test_a_long_name_leaves_room_for_that_of_its_unfinished_copy(elsewhere: Path) -> None:
    files.write(elsewhere / ("n" * 250), b"whole")
    files.write(elsewhere / ("한" * 80), b"whole")
    assert len(listed(elsewhere)) == 3


def test_a_folder_that_is_swept_away_before_it_is_opened_is_made_again(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another run, or thread, does that makes a folder in the same place."""
    opened, sweeps = os.open, iter([True])

    def swept_first(path: Path, flags: int, *rest: int, **given: int) -> int:
        if str(path).startswith(str(elsewhere)) and next(sweeps, False):
            path.rmdir()
        return opened(path, flags, *rest, **given)

    monkeypatch.setattr(os, "open", swept_first)
    with temporary.folder(elsewhere) as made:
        assert made.is_dir()
