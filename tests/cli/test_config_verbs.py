"""`istio-mc config` as a user runs it: exit codes, what goes where, and which of two settings wins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
KUBECONFIG = ":".join(
    str(ROOT / "examples/kubeconfigs" / name)
    for name in ("kt.yaml", "renamed/ncloud.yaml", "renamed/nhn.yaml")
)
HEAD = "apiVersion: istio-mc/v1alpha1\nkind: Mesh\n"


def istio_mc(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key != "ISTIO_MC_CONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "istio_mc", *arguments],
        cwd=folder,
        env=kept | {"KUBECONFIG": KUBECONFIG, "HOME": str(folder), "COLUMNS": "200"} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def origin(folder: Path, key: str, *arguments: str, **variables: str) -> tuple[Any, str, str | None]:
    done = istio_mc(folder, *arguments, "-o", "json", **variables)
    found = {setting["key"]: setting for setting in json.loads(done.stdout)["data"]["settings"]}[key]
    return found["value"], found["source"], found["origin"]


@pytest.fixture
def two_files(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(f"{HEAD}meshID: {name}\n")
    return tmp_path


def test_init_writes_and_then_refuses_with_exit_code_2(tmp_path: Path) -> None:
    first = istio_mc(tmp_path, "config", "init", "--contexts", "kt,ncloud,nhn")
    assert (first.returncode, first.stdout) == (0, f"wrote {tmp_path}/mesh.yaml: kt, ncloud, nhn\n")
    assert yaml.safe_load((tmp_path / "mesh.yaml").read_text())["clusters"][2] == {"context": "nhn"}
    again = istio_mc(tmp_path, "config", "init", "--contexts", "kt")
    assert (again.returncode, again.stdout) == (2, "")
    assert f"{tmp_path}/mesh.yaml already exists" in again.stderr
    assert istio_mc(tmp_path, "config", "init", "--contexts", "kt", "--force").returncode == 0


def test_init_with_stdout_prints_the_file_and_nothing_else(tmp_path: Path) -> None:
    done = istio_mc(tmp_path, "config", "init", "--contexts", "kt", "--stdout")
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout)["clusters"] == [{"context": "kt"}]
    assert list(tmp_path.iterdir()) == []


def test_init_replaces_a_file_whose_content_is_broken(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("{")
    assert istio_mc(tmp_path, "config", "init", "--contexts", "kt", "--force").returncode == 0
    assert istio_mc(tmp_path, "config", "show").returncode == 0


def test_init_into_a_missing_folder_is_reported(tmp_path: Path) -> None:
    done = istio_mc(tmp_path, "config", "init", "--contexts", "kt", "--config", "no/mesh.yaml")
    assert done.returncode == 1
    assert "cannot write" in done.stderr


def test_what_init_writes_is_what_show_reads(tmp_path: Path) -> None:
    istio_mc(tmp_path, "config", "init", "--contexts", "nhn,kt")
    value, source, place = origin(tmp_path, "contexts", "config", "show")
    assert (value, source) == (["nhn", "kt"], "file")
    line = int(str(place).removeprefix(f"{tmp_path}/mesh.yaml:"))
    assert (tmp_path / "mesh.yaml").read_text().splitlines()[line - 1] == "clusters:"


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_flag_wins_over_the_environment_in_either_place(two_files: Path, place: str) -> None:
    flag, verb = ("--config", "one.yaml"), ("config", "show")
    arguments = (*flag, *verb) if place == "before" else (*verb, *flag)
    found = origin(two_files, "meshID", *arguments, ISTIO_MC_CONFIG="two.yaml")
    assert found == ("one", "file", f"{two_files}/one.yaml:3")


def test_without_a_flag_the_environment_names_the_file(two_files: Path) -> None:
    found = origin(two_files, "config", "config", "show", ISTIO_MC_CONFIG="two.yaml")
    assert found == (f"{two_files}/two.yaml", "environment", "ISTIO_MC_CONFIG")


def test_an_empty_variable_is_refused(two_files: Path) -> None:
    done = istio_mc(two_files, "config", "show", ISTIO_MC_CONFIG="")
    assert done.returncode == 2
    assert "$ISTIO_MC_CONFIG: set but empty" in done.stderr


def test_the_table_shows_paths_from_the_working_directory_and_json_shows_them_whole(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(HEAD + "certsDir: keys/mesh\n")
    table = istio_mc(tmp_path, "config", "show").stdout
    assert " keys/mesh\n" in "".join(f"{line.rstrip()}\n" for line in table.splitlines())
    assert str(tmp_path) not in table
    value, *_ = origin(tmp_path, "certsDir", "config", "show")
    assert value == f"{tmp_path}/keys/mesh"


def test_the_table_has_the_same_data_in_columns(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(HEAD + "clusters:\n  - {context: '[kt]', network: n1}\n")
    done = istio_mc(tmp_path, "config", "show", "--timeout", "90s")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "SETTING FROM VALUE"
    assert "clusters[[kt]].network file mesh.yaml:4 n1" in lines
    assert "clusters[[kt]].apiServer.server default (the kubeconfig's)" in lines
    assert "timeout flag --timeout 90s" in lines
    assert "gatewayAPI.install default true" in lines


def test_changed_leaves_out_what_is_a_default(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(f"{HEAD}meshID: mesh7\nclusters: [{{context: kt}}]\n")
    every = json.loads(istio_mc(tmp_path, "config", "show", "-o", "json").stdout)["data"]["settings"]
    done = istio_mc(tmp_path, "config", "show", "--changed", "--timeout", "90s", "-o", "json")
    changed = json.loads(done.stdout)["data"]["settings"]
    assert "default" not in {one["source"] for one in changed}
    assert {"meshID", "timeout"} <= {one["key"] for one in changed}
    assert len(changed) < len(every)


def test_names_in_brackets_are_names_and_no_markup(tmp_path: Path) -> None:
    (tmp_path / "odd").write_text(
        "clusters: [{name: c, cluster: {server: 'https://a'}}]\n"
        "contexts: [{name: '[/x]', context: {cluster: c}}]\n"
    )
    done = istio_mc(tmp_path, "contexts", "--offline", KUBECONFIG="odd")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split()[:2] == ["[/x]", "c"]


def test_a_mapping_of_which_one_key_is_set_is_shown_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(HEAD + "clusters: [{context: kt, apiServer: 'https://a'}]\n")
    done = istio_mc(tmp_path, "config", "show")
    shown = [line.split()[0] for line in done.stdout.splitlines() if "apiServer" in line]
    assert shown == [f"clusters[kt].apiServer.{key}" for key in ("server", "caFile", "tlsServerName")]


def test_ca_settings_of_the_file_apply_to_new_cas(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(f"{HEAD}ca: {{key: ec-384, validity: 365d}}\n")

    root = json.loads(istio_mc(tmp_path, "ca", "init", "-o", "json").stdout)["data"]["root"]

    assert root["key"] == "EC secp384r1"
    left = datetime.fromisoformat(root["notAfter"]) - datetime.now(UTC)
    assert timedelta(days=364) < left < timedelta(days=366)


def test_a_faulty_file_is_exit_code_2_with_every_line_in_the_envelope(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(HEAD + "meshId: a\nclusters: 5\n")
    done = istio_mc(tmp_path, "config", "show", "-o", "json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["status"], answer["data"]) == (2, "error", None)
    assert [(error["message"].partition(":")[2], error["hint"]) for error in answer["errors"]] == [
        ("3: meshId: is not a known key", "Did you mean meshID?"),
        ("4: clusters: expected a list, saw a number", None),
    ]


def test_the_schema_is_printed_bare_for_a_file_and_wrapped_for_json(tmp_path: Path) -> None:
    published = (ROOT / "docs/mesh.schema.json").read_text()
    assert istio_mc(tmp_path, "config", "schema").stdout == published
    answer = json.loads(istio_mc(tmp_path, "config", "schema", "-o", "json").stdout)
    assert answer["data"]["schema"] == json.loads(published)
