"""Files that must contain exactly one YAML document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from istio_mc.cli.app import app
from istio_mc.domain.problem import InputError
from istio_mc.gateways.host.settings_file import load_settings, parse_yaml

if TYPE_CHECKING:
    from pathlib import Path

MESH = b"apiVersion: istio-mc/v1alpha1\nkind: Mesh\nmeshID: one\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (MESH + b"---\n" + MESH, 5),
        (MESH + b"...\n---\n" + MESH, 6),
        (b"---\n" + MESH + b"---\n# a comment\n" + MESH, 7),
        (MESH + b"--- not a mapping\n", 4),
        (b"---\n---\n" + MESH + b"---\n---\n" + MESH, 8),
    ],
)
def test_a_second_document_is_refused_with_its_line(tmp_path: Path, text: bytes, line: int) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_bytes(text)
    with pytest.raises(InputError) as caught:
        load_settings(None, tmp_path)
    (problem,) = caught.value.problems
    assert problem.code == "yaml-second-document"
    assert problem.message.startswith(f"{file}:{line}:")


def test_every_further_document_and_every_repeated_key_is_reported() -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(b"a: 1\na: 2\n---\nb: 1\n---\nc: 1\n", "mesh.yaml")
    assert [problem.message.split(": ")[0] for problem in caught.value.problems] == [
        "mesh.yaml:2:1",
        "mesh.yaml:4:1",
        "mesh.yaml:6:1",
    ]


@pytest.mark.parametrize(
    "text",
    [b"---\n" + MESH, MESH + b"---\n", MESH + b"...\n", b"---\n---\n" + MESH, MESH + b"---\n# nothing\n"],
)
def test_empty_documents_do_not_count(text: bytes) -> None:
    assert parse_yaml(text, "mesh.yaml").value == parse_yaml(MESH, "mesh.yaml").value


def test_a_mistake_in_a_second_document_is_not_hidden() -> None:
    with pytest.raises(InputError, match=r"mesh.yaml:5:\d+: not YAML"):
        parse_yaml(MESH + b"---\n]\n", "mesh.yaml")


@pytest.mark.parametrize("verb", [["config", "show"], ["tools", "install", "--dry-run"]])
def test_a_verb_ends_with_exit_code_2(
    tmp_path: Path, verb: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ISTIO_MC_CONFIG", raising=False)
    (tmp_path / "mesh.yaml").write_bytes(MESH + b"---\n" + MESH)
    done = CliRunner().invoke(app, [*verb, "-o", "json"])
    assert done.exit_code == 2
    (error,) = json.loads(done.stdout)["errors"]
    assert f"{tmp_path}/mesh.yaml:5:" in error["message"]
