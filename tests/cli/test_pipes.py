"""Files that are pipes, such as `--kubeconfig <(…)`: read once in a run, and waited for to its deadline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_help import COMMANDS
from tests.conftest import Ran
from tests.support.fake_api import FakeApi, write_kubeconfig
from tests.support.marks import in_thorough

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Ran]

NEEDED = {
    "install": "--dry-run",
    "uninstall": "--dry-run",
    "tools install": "--dry-run",
    "tools download": "folder --dry-run",
    "report": "-f page.html --force",
    "bundle": "-f bundle.tar.gz --force",
    "config init": "--stdout",
    "cilium fix": "--dry-run",
    "cilium revert": "--dry-run",
    "sample remove": "--yes",
    "ca issue": "--certs-dir certs",
    "ca init": "--certs-dir certs",
}
QUICK = ("contexts", "verify", "install", "uninstall", "config show", "ca init")
NINE = ",".join(["*a{0}"] * 9)
SETTINGS = {"apiVersion": "istio-mc/v1alpha1", "kind": "Mesh", "clusters": [{"context": "kt", "id": "seoul"}]}


@contextmanager
def pipe(content: str) -> Iterator[str]:
    """The path of a pipe as a shell makes it: what is read from it is gone."""
    reader, writer = os.pipe()
    os.write(writer, content.encode())
    os.close(writer)
    yield f"/dev/fd/{reader}"
    os.close(reader)


@pytest.mark.parametrize("verb", [*QUICK, *in_thorough(*(verb for verb in COMMANDS if verb not in QUICK))])
def test_a_verb_does_the_same_with_pipes_as_with_files(
    istio_mc: Run, api: FakeApi, tmp_path: Path, verb: str
) -> None:
    words = [*verb.split(), *NEEDED.get(verb, "").split(), "--timeout", "20s", "--no-progress"]
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", {"kt": api.url})
    settings = tmp_path / "settings"
    settings.write_text(json.dumps(SETTINGS))
    files = istio_mc(*words, "--kubeconfig", kubeconfig, "--config", settings)
    with pipe(kubeconfig.read_text()) as first, pipe(settings.read_text()) as second:
        pipes = istio_mc(*words, "--kubeconfig", first, "--config", second)
    assert pipes.code == files.code, pipes.err
    for name in ("cannot be read", "no such context", "no kubeconfig", "not YAML"):
        assert name not in pipes.err


def test_a_pipe_that_nothing_is_written_to_ends_with_the_run(istio_mc: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")
    done = istio_mc("contexts", "--kubeconfig", tmp_path / "never", "--timeout", "1s", "-o", "json")
    assert done.code == 2
    (error,) = done.envelope["errors"]
    assert error["code"] == "kubeconfig-unreadable"
    assert "the writer of the pipe sent nothing in time" in error["message"]


@pytest.mark.parametrize("verb", ["ca show", "ca verify", "ca init"])
def test_a_pipe_in_the_folder_of_the_ca_is_not_waited_for(istio_mc: Run, tmp_path: Path, verb: str) -> None:
    (tmp_path / "certs").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "certs" / "root-cert.pem")
    done = istio_mc(*verb.split(), "-o", "json")
    assert done.code in (1, 4)
    assert [error["code"] for error in done.envelope["errors"]] == ["file-unreadable"]


def test_what_does_not_end_is_not_read_to_the_end(istio_mc: Run) -> None:
    done = istio_mc("contexts", "--kubeconfig", "/dev/zero")
    assert done.code == 2
    assert "it is larger than 64 MiB" in done.err


@pytest.mark.parametrize(
    "line", ["contexts --kubeconfig {}", "config show --config {}", "ca show --certs-dir {}"]
)
def test_a_name_that_no_file_can_have_is_reported(istio_mc: Run, line: str) -> None:
    done = istio_mc(*line.format("x" * 5000).split(), "-o", "json")
    assert done.code in (1, 2)
    assert "File name too long" in done.out


def test_a_folder_where_a_file_is_expected_is_reported(istio_mc: Run, tmp_path: Path) -> None:
    (tmp_path / "certs" / "root-cert.pem.new").mkdir(parents=True)
    done = istio_mc("ca", "init", "-o", "json")
    assert done.code == 1
    assert [error["code"] for error in done.envelope["errors"]] == ["file-unwritable"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("values: &a {b: *a}", "an alias contains itself"),
        ("values:\n a0: &a0 [x]\n" + "".join(f" a{n}: &a{n} [{NINE.format(n - 1)}]\n" for n in range(1, 9)),
         "aliases repeat too much"),
        ("values: " + "[" * 5000, "not YAML"),
        ("values: " + "- " * 5000 + "x", "not YAML"),
    ],
)  # fmt: skip
def test_settings_that_have_no_end_are_refused(
    istio_mc: Run, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "mesh.yaml").write_text(f"apiVersion: istio-mc/v1alpha1\nkind: Mesh\n{text}\n")
    done = istio_mc("config", "show")
    assert done.code == 2
    assert message in done.err
