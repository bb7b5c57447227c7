"""A command line that is none ends in the envelope too, for programs that asked for one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import yaml

from istio_mc.cli.last_resort import output_format
from tests.conftest import Ran

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Ran]

REFUSED = {
    "verify --nope": ("verify", "--nope: no such option"),
    "contexts --concurrency many": ("contexts", "--concurrency"),
    "contexts --concurrency 0": ("contexts", "--concurrency"),
    "tools download": ("tools download", "DIR: missing"),
    "sample test --calls 3": ("sample test", "--calls"),
    "sample tset": ("sample", "did you mean test?"),
    "link kt": ("link", "unexpected extra argument(s) (kt)"),
    "nope": ("", 'no such command "nope"'),
    "": ("", "missing command"),
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_refused_command_line_has_the_envelope(istio_mc: Run, line: str) -> None:
    done = istio_mc("-o", "json", *line.split())
    command, message = REFUSED[line]
    assert done.code == 2
    assert done.envelope["command"] == command
    assert (done.envelope["status"], done.envelope["data"]) == ("error", None)
    (error,) = done.envelope["errors"]
    assert error["code"] == "usage"
    assert message in error["message"]
    assert error["hint"] == " ".join(filter(None, ("istio-mc", command, "--help")))


def test_standard_error_is_the_same_as_without_json(istio_mc: Run) -> None:
    plain = istio_mc("verify", "--nope")
    assert plain.out == ""
    assert istio_mc("verify", "--nope", "-o", "json").err == plain.err
    assert plain.code == 2


def test_a_group_without_a_verb_is_reported_in_one_line(istio_mc: Run) -> None:
    (error,) = istio_mc("-o", "json", "sample").envelope["errors"]
    assert error["message"] == "no command given"


def test_yaml_is_answered_in_yaml(istio_mc: Run) -> None:
    assert yaml.safe_load(istio_mc("verify", "--nope", "-o", "yaml").out)["errors"][0]["code"] == "usage"


def test_help_is_help_whatever_the_output(istio_mc: Run) -> None:
    done = istio_mc("verify", "--help", "-o", "json")
    assert done.code == 0
    assert done.out.startswith("Usage: ")


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("verify", "table"),
        ("verify -o json", "json"),
        ("-o yaml verify", "yaml"),
        ("verify --output=json", "json"),
        ("verify --output json", "json"),
        ("verify -ojson", "json"),
        ("verify -o=yaml", "yaml"),
        ("-o yaml verify -o json", "json"),
        ("", "table"),
        ("verify -o", "table"),
        ("verify -o xml", "table"),
    ],
)
def test_the_output_is_read_wherever_it_stands(line: str, output: str) -> None:
    assert output_format(line.split()) == output


def test_a_program_that_is_started_as_a_module_has_the_same_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "istio_mc", "verify", "--nope", "-o", "json"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    printed = json.loads(done.stdout)
    assert (printed["command"], printed["errors"][0]["hint"]) == ("verify", "istio-mc verify --help")
