"""examples/kubeconfigs: read by the product's own reader, and its README's commands run as they stand."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from istio_mc.domain import naming
from istio_mc.domain.kube.kubeconfig import Context, Kubeconfig, uses_exec
from istio_mc.gateways.kube.kubeconfig import read_kubeconfig

pytestmark = pytest.mark.thorough

FOLDER = Path(__file__).parents[2] / "examples/kubeconfigs"
README = (FOLDER / "README.md").read_text()
FILES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml"))
UUID = "00000000-0000-4000-8000-000000000000"
AS_HANDED_OUT = ("kt.yaml", "ncloud.yaml", "nhn.yaml")
RENAMED = ("kt.yaml", "renamed/ncloud.yaml", "renamed/nhn.yaml")
SHOWN_AS = "/home/me/kubeconfigs"


def joined(*files: str) -> Kubeconfig:
    return read_kubeconfig([FOLDER / file for file in files])


def ids(contexts: tuple[Context, ...]) -> dict[str, str]:
    return naming.derive_cluster_ids({context.name: context.cluster for context in contexts}, {})


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell line in a folder, `istio-mc` being the one under test; both outputs as one."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ISTIO_MC", "KUBECONFIG"))}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=kept | {"PATH": programs, "HOME": str(folder), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("file", FILES)
def test_each_file_holds_one_context_that_can_be_used(file: str) -> None:
    kubeconfig = joined(file)
    (context,) = kubeconfig.contexts
    assert (context.problems, kubeconfig.warnings) == ((), ())
    assert kubeconfig.current_context == context.name


def test_as_handed_out_the_three_join_without_a_clash() -> None:
    kubeconfig = joined(*AS_HANDED_OUT)
    assert kubeconfig.warnings == ()
    assert naming.same_clusters(kubeconfig.contexts) == ()
    assert ids(kubeconfig.contexts) == {
        "kt": "kt-k2p",
        f"nks_kr_ncloud-nks_{UUID}": f"nks-kr-ncloud-nks-{UUID}",
        f"nks_nhn-nks_{UUID}": f"nks-nhn-nks-{UUID}",
    }


def test_renamed_they_are_the_guides_listing() -> None:
    kubeconfig = joined(*RENAMED)
    assert [(c.name, c.cluster, c.user) for c in kubeconfig.contexts] == [
        ("kt", "kt-k2p", "kt-k2p"),
        ("ncloud", "ncloud-nks", "ncloud-nks"),
        ("nhn", "nhn-nks", "nhn-nks"),
    ]
    assert list(ids(kubeconfig.contexts).values()) == ["kt-k2p", "ncloud-nks", "nhn-nks"]


@pytest.mark.parametrize("name", ["ncloud.yaml", "nhn.yaml"])
def test_a_renamed_file_differs_in_names_alone(name: str) -> None:
    (before,), (after,) = joined(name).contexts, joined(f"renamed/{name}").contexts
    assert before.cluster_entry == after.cluster_entry
    assert before.user_entry == after.user_entry


@pytest.mark.parametrize("name", ["ncloud.yaml", "renamed/ncloud.yaml"])
def test_ncloud_gets_its_token_from_its_plugin(name: str) -> None:
    (context,) = joined(name).contexts
    assert uses_exec(context.user_entry)
    assert context.user_entry["exec"] == {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "ncp-iam-authenticator",
        "args": ["token", "--clusterUuid", UUID, "--region", "KR"],
        "interactiveMode": "IfAvailable",
    }


@pytest.mark.parametrize("file", FILES)
def test_there_is_no_secret_in_any_of_them(file: str) -> None:
    document = yaml.safe_load((FOLDER / file).read_text())
    for user in document["users"]:
        assert set(user["user"]) <= {"exec", "client-certificate-data", "client-key-data"}
    for key, value in _texts(document):
        if key.endswith("-data"):
            assert base64.b64decode(value, validate=True).startswith(b"PLACEHOLDER: ")
        if key == "server":
            assert re.search(r"//(203\.0\.113\.|0{8}-)", value), f"{value} may be somebody's"


def _texts(value: Any, key: str = "") -> list[tuple[str, str]]:  # noqa: ANN401 - whatever YAML holds
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in _texts(item, name)]
    if isinstance(value, list):
        return [found for item in value for found in _texts(item, key)]
    return [(key, value)] if isinstance(value, str) else []


def blocks() -> list[list[tuple[str, str]]]:
    """The README's console blocks: commands, each with the output shown below it."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        found.append([(command, output) for command, _, output in (part.partition("\n") for part in parts)])
    return found


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block[-1][0][:60])
def test_the_readmes_commands_print_what_it_shows(block: list[tuple[str, str]], tmp_path: Path) -> None:
    folder = tmp_path / "kubeconfigs"
    shutil.copytree(FOLDER, folder)
    done = run(folder, "\n".join(["set -e", *(command for command, _ in block)]))
    seen = [line.rstrip() for line in done.stdout.replace(str(folder), SHOWN_AS).splitlines()]
    desired = [line.rstrip() for line in block[-1][1].splitlines()]
    if desired[-1:] == ["…"]:
        desired.pop()
        seen = seen[: len(desired)]
    assert desired
    assert (done.returncode, seen) == (0, desired)


def test_contexts_as_json_for_the_three_as_handed_out(tmp_path: Path) -> None:
    kubeconfig = ":".join(str(FOLDER / file) for file in AS_HANDED_OUT)
    done = run(tmp_path, f"istio-mc contexts --offline -o json --kubeconfig {kubeconfig}")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["status"], answer["messages"]) == (0, "success", [])
    assert answer["data"]["currentContext"] == "kt"
    assert [
        (c["cluster"], c["clusterId"], c["reachable"], c["problems"]) for c in answer["data"]["contexts"]
    ] == [
        ("kt-k2p", "kt-k2p", None, []),
        (f"nks_kr_ncloud-nks_{UUID}", f"nks-kr-ncloud-nks-{UUID}", None, []),
        (f"nks_nhn-nks_{UUID}", f"nks-nhn-nks-{UUID}", None, []),
    ]


def test_the_readmes_table_of_ids_is_what_comes_out() -> None:
    _, _, section = README.partition("## How names become cluster IDs")
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", section, re.MULTILINE)
    assert len(rows) == 5
    assert {name: naming.cluster_id(name) for name, _ in rows} == dict(rows)


def test_the_readme_names_every_file_there_is() -> None:
    assert [file for file in FILES if f"| `{file}` |" not in README] == []
