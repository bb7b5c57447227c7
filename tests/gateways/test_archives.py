"""Archives are read, not obeyed: built here, good and hostile."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.tools import install
from istio_mc.gateways.tools.install import copy_member
from tests.support.mirror import archive

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = b"#!/bin/sh\n" + b"x" * 5000


def unpacked(folder: Path, data: bytes, member: str = "linux-amd64/helm") -> bytes:
    path = folder / "helm.tar.gz"
    path.write_bytes(data)
    to = io.BytesIO()
    copy_member(path, member, to)
    return to.getvalue()


def refusal(folder: Path, data: bytes, member: str = "linux-amd64/helm") -> Problem:
    with pytest.raises(ProblemError) as caught:
        unpacked(folder, data, member)
    (problem,) = caught.value.problems
    return problem


def entry(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize("name", ["linux-amd64/helm", "./linux-amd64/helm"])
def test_the_named_file_is_read(tmp_path: Path, name: str) -> None:
    assert unpacked(tmp_path, archive({"linux-amd64/LICENSE": b"free", name: PROGRAM})) == PROGRAM


def test_nothing_else_is_unpacked(tmp_path: Path) -> None:
    hostile = {
        "../outside": b"x",
        str(tmp_path / "absolute"): b"x",
        "linux-amd64/../../above": b"x",
        "linux-amd64/helm": PROGRAM,
    }
    (tmp_path / "in").mkdir()
    links = (
        entry("linux-amd64", tarfile.SYMTYPE, str(tmp_path)),
        entry("hard", tarfile.LNKTYPE, "/etc/passwd"),
        entry("pipe", tarfile.FIFOTYPE),
    )
    assert unpacked(tmp_path / "in", archive(hostile, *links)) == PROGRAM
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["helm.tar.gz", "in"]


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.DIRTYPE, "a folder"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, kind: bytes, seen: str) -> None:
    problem = refusal(tmp_path, archive({}, entry("linux-amd64/helm", kind, "/etc/passwd")))
    assert (problem.code, problem.seen) == ("archive-unsafe", seen)
    assert problem.message == "linux-amd64/helm in helm.tar.gz is not unpacked"


def test_a_file_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "MAX_MEMBER", 1000)
    assert refusal(tmp_path, archive({"linux-amd64/helm": PROGRAM})).seen == f"{len(PROGRAM)} bytes"


def test_an_archive_that_goes_on_and_on_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_MAX_BEFORE", 1 << 20)
    data = archive({"zeros": bytes(3 << 20), "linux-amd64/helm": PROGRAM})
    assert refusal(tmp_path, data).seen == "more than 1 MiB before it"


def test_an_archive_for_another_platform_is_reported_with_its_content(tmp_path: Path) -> None:
    problem = refusal(tmp_path, archive({"darwin-arm64/helm": PROGRAM, "darwin-arm64/LICENSE": b""}))
    assert problem.code == "archive-member-missing"
    assert problem.message == "helm.tar.gz does not contain linux-amd64/helm"
    assert problem.seen == "'darwin-arm64/helm', 'darwin-arm64/LICENSE'"


@pytest.mark.parametrize("end", [10, 60, -12])
def test_an_archive_cut_short_is_refused(tmp_path: Path, end: int) -> None:
    data = archive({"linux-amd64/helm": bytes(range(256)) * 400})
    assert refusal(tmp_path, data[:end]).code in ("archive-unreadable", "archive-member-missing")


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x1f\x8b" + b"x" * 100, bytes(2000)])
def test_a_file_that_is_no_archive_is_reported(tmp_path: Path, data: bytes) -> None:
    problem = refusal(tmp_path, data)
    assert (problem.code, problem.expected) == ("archive-unreadable", "a complete .tar.gz archive")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    data = bytearray(archive({"linux-amd64/helm": bytes(range(256)) * 400}))
    data[len(data) // 2] ^= 0xFF
    assert refusal(tmp_path, bytes(data)).code == "archive-unreadable"
