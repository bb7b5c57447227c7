"""Standard streams that are full, closed, narrow, or lack characters: no traceback, and the same result."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest
import yaml

from istio_mc.cli import streams
from istio_mc.present.output import encoding
from istio_mc.present.output.envelope import Envelope, Exit
from tests.support.fake_api import FakeApi, write_kubeconfig
from tests.support.self_signed import self_signed, server_context

if TYPE_CHECKING:
    from pathlib import Path

NOT_WRITTEN = "the result could not be written to standard output"
NAMES = "서울 é √ ‼ ×"
ENCODINGS = ["euc-kr", "latin-1", "ascii", "cp437", "cp1252"]


def shell(folder: Path, script: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash, in which `mc` is the program."""
    program = f"mc() {{ '{sys.executable}' -m istio_mc \"$@\"; }}\n"
    return subprocess.run(
        ["bash", "-c", program + script],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"}
        | {"HOME": str(folder)}
        | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=90,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A cluster that does not answer, with names that few encodings have."""
    path = tmp_path / "config"
    document = {
        "clusters": [{"name": f"c {NAMES}", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": NAMES, "context": {"cluster": f"c {NAMES}", "user": "u"}}],
    }
    path.write_text(json.dumps(document))
    return path


class TestAMarkOrName:
    @pytest.mark.parametrize(
        ("text", "code", "shown"),
        [
            ("√ × ‼ … → –", "ascii", "+ x ! ... -> -"),
            ("√ × ‼", "euc-kr", "√ × !"),
            ("√ × é", "latin-1", "+ × é"),
            ("서울", "ascii", "\\uc11c\\uc6b8"),
            ("🙂", "latin-1", "\\U0001f642"),
            ("a\udcff", "utf-8", "a\\xff"),
            ("half \ud83d", "utf-8", "half \\ud83d"),
        ],
    )
    def test_that_an_encoding_lacks_is_written_in_ascii(self, text: str, code: str, shown: str) -> None:
        streams.register()
        assert text.encode(code, streams.ERRORS).decode(code) == shown


class TestADocument:
    ENVELOPE = Envelope("contexts", Exit.DONE, {"name": NAMES, "bytes": "\udcff"})

    @pytest.mark.parametrize("code", [*ENCODINGS, "utf-8"])
    @pytest.mark.parametrize("output", ["json", "yaml"])
    def test_has_the_same_text_in_every_encoding(self, code: str, output: str) -> None:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=code, errors="strict")
        encoding.write(self.ENVELOPE.texts(output), stream)
        stream.flush()
        load = json.loads if output == "json" else yaml.safe_load
        assert load(raw.getvalue().decode(code))["data"]["name"] == NAMES

    def test_has_no_piece_twice_where_one_of_them_is_no_text(self) -> None:
        names = [
            f"name {number} \udcff" if number in {300, 900} else f"名 {number}" for number in range(1000)
        ]
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="utf-8", errors="strict")
        encoding.write(Envelope("contexts", Exit.DONE, {"names": names}).texts("json"), stream)
        stream.flush()
        assert json.loads(raw.getvalue())["data"]["names"] == names
        assert raw.getvalue().startswith(b'{\n  "schemaVersion"')

    def test_in_xml_has_references(self) -> None:
        assert encoding.references("<a>√ é</a>") == "<a>&#8730; &#233;</a>"


class TestTheTerminalsSize:
    @pytest.mark.parametrize(
        ("columns", "settled"),
        [
            ("0", None),
            ("-5", None),
            ("abc", None),
            ("", None),
            ("²", None),
            ("9" * 30, None),
            ("1", "20"),
            ("20", "20"),
            ("80", "80"),
            ("9999", "9999"),
            ("99999", "10000"),
        ],
    )
    def test_is_skipped_where_nothing_fits(
        self, monkeypatch: pytest.MonkeyPatch, columns: str, settled: str | None
    ) -> None:
        monkeypatch.setenv("COLUMNS", columns)
        streams.settle_size()
        assert os.environ.get("COLUMNS") == settled


@pytest.mark.thorough
@pytest.mark.parametrize("columns", ["0", "abc", "-5", "1", "9" * 30])
def test_any_value_of_columns_has_a_result(tmp_path: Path, config: Path, columns: str) -> None:
    done = shell(tmp_path, f"mc contexts --offline --kubeconfig {config}", COLUMNS=columns)
    assert (done.returncode, done.stderr) == (0, b"")
    assert NAMES in done.stdout.decode()


WRITING = [
    "--help",
    "--version",
    "verify --help",
    "config schema",
    "config schema -o json",
    "contexts --offline --kubeconfig config",
    "verify --list",
    "verify --list -o short",
    "report -f - --kubeconfig config --timeout 2s --contexts '" + NAMES + "'",
    "bundle -f - --kubeconfig config --timeout 2s --contexts '" + NAMES + "'",
    "status --watch --every 1s --kubeconfig config --timeout 2s --contexts '" + NAMES + "'",
    "status --watch --every 1s --kubeconfig config --timeout 2s -o json --contexts '" + NAMES + "'",
]


@pytest.mark.thorough
@pytest.mark.usefixtures("config")
class TestStandardOutput:
    @pytest.mark.parametrize("line", WRITING)
    @pytest.mark.parametrize("to", [">/dev/full", ">&-", ">/dev/full <&-"])
    def test_that_cannot_be_written_is_one_error(self, tmp_path: Path, line: str, to: str) -> None:
        done = shell(tmp_path, f"mc {line} {to}")
        assert done.returncode == 1
        assert done.stdout == b""
        assert done.stderr.decode().count(NOT_WRITTEN) == 1
        assert b"Traceback" not in done.stderr

    @pytest.mark.parametrize("line", WRITING)
    def test_without_a_reader_is_no_error(self, tmp_path: Path, line: str) -> None:
        done = shell(tmp_path, f"mc {line} | true")
        assert b"Traceback" not in done.stderr
        assert NOT_WRITTEN not in done.stderr.decode()

    def test_that_is_full_does_not_change_what_a_refused_line_ends_with(self, tmp_path: Path) -> None:
        done = shell(tmp_path, "mc verify --nope -o json >/dev/full")
        assert done.returncode == 2
        assert done.stderr.decode().count(NOT_WRITTEN) == 1

    def test_that_does_not_block_is_waited_for(self, tmp_path: Path) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with subprocess.Popen(
            [sys.executable, "-m", "istio_mc", "verify", "--list"], stdout=writer, cwd=tmp_path
        ) as run:
            os.close(writer)
            with os.fdopen(reader, "rb") as file:
                assert file.read().endswith(b"\n")
        assert run.returncode == 0


@pytest.mark.thorough
@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("to", ["2>/dev/full", "2>&-", "2> >(true)"])
class TestStandardError:
    def test_that_cannot_be_written_does_not_change_the_result(self, tmp_path: Path, to: str) -> None:
        for line in (
            "contexts --kubeconfig config --timeout 2s",
            f"verify --kubeconfig config --timeout 2s --contexts '{NAMES}' -v",
            f"verify --kubeconfig config --timeout 2s --contexts '{NAMES}' -o json",
        ):
            plain, lost = shell(tmp_path, f"mc {line}"), shell(tmp_path, f"mc {line} {to}")
            assert lost.returncode == plain.returncode
            assert lost.stdout == plain.stdout

    def test_that_cannot_be_written_does_not_change_what_a_refused_line_ends_with(
        self, tmp_path: Path, to: str
    ) -> None:
        assert shell(tmp_path, f"mc verify --nope {to}").returncode == 2


@pytest.mark.thorough
@pytest.mark.usefixtures("config")
class TestEncodings:
    @pytest.mark.parametrize("code", ENCODINGS)
    @pytest.mark.parametrize("output", ["table", "json", "yaml", "short", "junit", "github"])
    def test_every_format_can_be_written_in_each(self, tmp_path: Path, code: str, output: str) -> None:
        line = f"verify --kubeconfig config --timeout 2s --contexts '{NAMES}' -o {output}"
        done = shell(tmp_path, f"mc {line}", PYTHONIOENCODING=f"{code}:strict")
        assert done.returncode == 4, done.stderr
        assert b"Traceback" not in done.stderr
        assert done.stdout.decode(code)
        done.stderr.decode(code)

    def test_a_locale_without_any_of_them_does_the_same(self, tmp_path: Path) -> None:
        line = "contexts --kubeconfig config --timeout 2s"
        done = shell(tmp_path, f"mc {line}", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
        assert done.returncode == 0, done.stderr
        assert b"\\uc11c\\uc6b8 \\xe9 + ! x" in done.stdout
        assert (done.stdout + done.stderr).isascii()

    @pytest.mark.parametrize("output", ["table", "json", "yaml"])
    def test_an_argument_that_is_no_text_is_named(self, tmp_path: Path, output: str) -> None:
        done = shell(tmp_path, f"mc contexts --kubeconfig config --contexts $'\\xff' -o {output}")
        assert done.returncode == 2
        assert "no such context: \ufffd".encode() in done.stderr
        if output == "json":
            assert json.loads(done.stdout)["errors"][0]["seen"] == "\udcff"


@pytest.mark.thorough
def test_warnings_of_libraries_stay_off_the_terminal(tmp_path: Path) -> None:
    both = self_signed("127.0.0.1").write(tmp_path / "both.pem")
    with FakeApi(server_context(both)).serve() as server:
        path = write_kubeconfig(tmp_path / "c", {"kt": server.url})
        document = json.loads(path.read_text())
        document["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
        path.write_text(json.dumps(document))
        done = shell(tmp_path, "mc contexts --kubeconfig c --timeout 5s")
    assert server.calls
    assert b"Warning" not in done.stderr


def test_warnings_stay_errors_in_tests() -> None:
    with pytest.raises(UserWarning, match="kept"):
        warnings.warn("kept", stacklevel=1)
