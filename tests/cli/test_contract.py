"""What scripts rely on: exit codes, the envelope, and which stream says what."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from istio_mc.cli import edge
from tests.conftest import Ran
from tests.support.fake_api import FakeApi, Reply, free_port, kubeconfig, status, write_kubeconfig
from tests.support.marks import in_thorough

Run = Callable[..., Ran]
NAMESPACE = "/api/v1/namespaces/istio-system"
ENVELOPE = {"schemaVersion", "command", "status", "data", "messages", "errors"}
PROBLEM = {"code", "cluster", "message", "seen", "expected", "hint", "hintType", "docs"}
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")


def namespace(mesh: str = "mesh1", cluster_id: str = "kt-k2p", network: str = "network1") -> object:
    labels = {
        "istio-mc/mesh-id": mesh,
        "istio-mc/cluster-id": cluster_id,
        "topology.istio.io/network": network,
        "app.kubernetes.io/managed-by": "istio-mc",
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system", "labels": labels}}


@pytest.fixture
def config(api: FakeApi, tmp_path: Path) -> Path:
    """A kubeconfig with one cluster that answers and is a member."""
    api.on("/version", {"gitVersion": "v1.32.3"})
    api.on(NAMESPACE, namespace())
    return write_kubeconfig(tmp_path / "kt.yaml", {"kt": api.url})


@pytest.fixture
def half(api: FakeApi, config: Path, tmp_path: Path) -> Path:
    """The same, and a cluster on whose port nobody listens."""
    assert config.exists()
    servers = {"kt": api.url, "nhn": f"http://127.0.0.1:{free_port()}"}
    return write_kubeconfig(tmp_path / "half.yaml", servers)


class TestWhereOptionsStand:
    @pytest.mark.parametrize(
        "options",
        [
            ["--kubeconfig", "kt.yaml"],
            ["--kubeconfig", "kt.yaml", "--contexts", "kt"],
            ["--kubeconfig", "kt.yaml", "-o", "json"],
            ["--kubeconfig", "kt.yaml", "--output", "yaml"],
            ["--kubeconfig", "kt.yaml", "--config", "m.yaml", "-o", "json"],
            ["--kubeconfig", "kt.yaml", "--timeout", "1m", "--concurrency", "1"],
            ["--kubeconfig", "kt.yaml", "--no-progress", "--no-color"],
        ],
        ids=lambda options: " ".join(options[2:]) or "kubeconfig",
    )
    @pytest.mark.usefixtures("config")
    def test_before_and_after_the_verb_are_the_same(
        self, istio_mc: Run, tmp_path: Path, options: list[str]
    ) -> None:
        settings = {
            "apiVersion": "istio-mc/v1alpha1",
            "kind": "Mesh",
            "clusters": [{"context": "kt", "id": "kt-k2p"}],
        }
        (tmp_path / "m.yaml").write_text(json.dumps(settings))
        before, after = (
            istio_mc(*options, "contexts", "--offline"),
            istio_mc("contexts", "--offline", *options),
        )
        assert before == after
        assert before.code == 0, before.err

    @pytest.mark.usefixtures("config")
    def test_the_one_after_the_verb_counts(self, istio_mc: Run) -> None:
        done = istio_mc("--kubeconfig", "none.yaml", "contexts", "--offline", "--kubeconfig", "kt.yaml")
        assert done.code == 0, done.err

    @pytest.mark.parametrize(
        "line",
        [
            "contexts --contexts kt --contexts nhn",
            "--contexts kt contexts --contexts nhn",
            "--contexts kt --contexts nhn contexts",
            "contexts --contexts kt,nhn",
        ],
    )
    def test_contexts_add_up_wherever_they_stand(self, istio_mc: Run, half: Path, line: str) -> None:
        done = istio_mc(*line.split(), "--offline", "--kubeconfig", half, "-o", "json")
        assert [found["name"] for found in done.envelope["data"]["contexts"]] == ["kt", "nhn"]

    @pytest.mark.parametrize("line", ["--contexts kt contexts", "contexts --contexts kt"])
    def test_contexts_choose_wherever_they_stand(self, istio_mc: Run, half: Path, line: str) -> None:
        done = istio_mc(*line.split(), "--offline", "--kubeconfig", half, "-o", "json")
        assert [found["name"] for found in done.envelope["data"]["contexts"]] == ["kt"]

    @pytest.mark.usefixtures("config")
    def test_checks_add_up(self, istio_mc: Run) -> None:
        listed = "verify --list -o json --only link --only trust --skip link.secret --skip link.token"
        found = istio_mc(*listed.split()).envelope["data"]["checks"]
        assert {check["topic"] for check in found} >= {"link", "trust"}
        assert not {"link.secret", "link.token"}.intersection(check["id"] for check in found)

    @pytest.mark.usefixtures("config")
    def test_nothing_is_left_of_them_for_the_next_run(self, istio_mc: Run) -> None:
        istio_mc("-o", "json", "--kubeconfig", "kt.yaml", "contexts", "--offline")
        assert istio_mc("contexts", "--offline", "--kubeconfig", "kt.yaml").out.startswith(" ")


class TestExitCodes:
    def test_0_done(self, istio_mc: Run, config: Path) -> None:
        assert istio_mc("contexts", "--kubeconfig", config).code == 0

    def test_1_failed(self, istio_mc: Run, config: Path) -> None:
        assert istio_mc("sample", "test", "--kubeconfig", config).code == 1

    def test_2_an_unknown_context_with_the_known_ones(self, istio_mc: Run, half: Path) -> None:
        done = istio_mc("verify", "--kubeconfig", half, "--contexts", "kt,nope")
        assert done.code == 2
        assert "nope" in done.err
        assert "kt, nhn" in done.err

    def test_2_no_kubeconfig(self, istio_mc: Run) -> None:
        done = istio_mc("contexts")
        assert done.code == 2
        assert "--kubeconfig" in done.err

    def test_2_an_option_that_is_none(self, istio_mc: Run) -> None:
        assert istio_mc("contexts", "--nope").code == 2

    @pytest.mark.parametrize("text", ["soon", "0s", "0", "10 m", "1m1h", "1.h", "10x", "-1m", "1h 30m"])
    def test_2_a_deadline_that_is_none(self, istio_mc: Run, config: Path, text: str) -> None:
        done = istio_mc("contexts", "--kubeconfig", config, "--timeout", text, "-o", "json")
        assert done.code == 2
        assert [error["code"] for error in done.envelope["errors"]] == ["usage"]

    def test_2_an_unknown_check(self, istio_mc: Run, config: Path) -> None:
        done = istio_mc("verify", "--kubeconfig", config, "--only", "nope")
        assert done.code == 2
        assert "istio-mc verify --list" in done.err

    def test_2_no_check_is_left(self, istio_mc: Run, config: Path) -> None:
        done = istio_mc("verify", "--kubeconfig", config, "--only", "link", "--skip", "link")
        assert done.code == 2
        assert "leave no check" in done.err

    def test_a_mistyped_check_is_answered_with_what_was_meant(self, istio_mc: Run, config: Path) -> None:
        done = istio_mc(
            "verify", "--kubeconfig", config, "--only", "link.sekret", "--skip", "trst", "-o", "json"
        )

        (problem,) = done.envelope["errors"]
        assert problem["expected"] == "link.secret, trust, or another from istio-mc verify --list"

    @pytest.mark.parametrize("verb", [("install", "--dry-run"), ("config", "init")])
    def test_2_no_clusters_are_named_and_every_context_is_not_suggested_as_the_answer(
        self, istio_mc: Run, half: Path, verb: tuple[str, ...]
    ) -> None:
        """Pasted, it would make a mesh of all that the kubeconfig holds."""
        done = istio_mc(*verb, "--kubeconfig", half, "-o", "json")
        (error,) = done.envelope["errors"]
        assert (done.code, error["code"], error["hintType"]) == (2, "no-contexts", "manual")
        assert "--contexts kt,nhn" in error["hint"]

    def test_2_a_mesh_without_members(self, istio_mc: Run, config: Path, api: FakeApi) -> None:
        api.on(NAMESPACE, status(404, "none"))
        done = istio_mc("verify", "--kubeconfig", config)
        assert done.code == 2
        assert "--contexts" in done.err

    def test_2_members_of_two_meshes(self, istio_mc: Run, config: Path, api: FakeApi, tmp_path: Path) -> None:
        assert config.exists()
        with FakeApi().serve() as other:
            other.on(NAMESPACE, namespace("mesh2", "nhn-nks", "network2"))
            both = write_kubeconfig(tmp_path / "both", {"kt": api.url, "nhn": other.url})
            done = istio_mc("verify", "--kubeconfig", both)
        assert done.code == 2
        assert "mesh1: kt; mesh2: nhn" in done.err

    def test_3_some_clusters_done_and_some_not(self, istio_mc: Run, half: Path) -> None:
        done = istio_mc(
            "sample", "remove", "--yes", "--kubeconfig", half, "--contexts", "kt,nhn", "-o", "json"
        )
        assert done.code == 3
        assert done.envelope["status"] == "partial"
        assert [(c["name"], c["status"]) for c in done.envelope["data"]["clusters"]] == [
            ("kt", "removed"),
            ("nhn", "failed"),
        ]

    def test_4_checks_failed(self, istio_mc: Run, config: Path) -> None:
        done = istio_mc("verify", "--kubeconfig", config, "-o", "json")
        assert done.code == 4
        assert done.envelope["data"]["failed"] > 0

    def test_4_a_cluster_cannot_be_reached(self, istio_mc: Run, half: Path) -> None:
        done = istio_mc("verify", "--kubeconfig", half, "--contexts", "kt,nhn", "-o", "json")
        assert done.code == 4
        unreachable = [error for error in done.envelope["errors"] if error["cluster"] == "nhn"]
        assert [error["code"] for error in unreachable] == ["cluster-unreachable"]

    def test_a_check_that_is_left_out_does_not_break_those_that_need_it(
        self, istio_mc: Run, half: Path
    ) -> None:
        done = istio_mc(
            "verify", "--kubeconfig", half, "--contexts", "kt,nhn", "--skip", "access", "-o", "json"
        )
        results = [c for c in done.envelope["data"]["checks"] if c["cluster"] == "nhn"]
        others = [c for c in results if c["topic"] != "access" and c["peer"] is None]
        assert {c["verdict"] for c in others} == {"unknown"}
        assert {cause["id"] for c in others for cause in c["causedBy"]} == {"access.reachable"}

    def test_4_an_unknown_result_is_no_success_though_its_cause_is_excluded(
        self, istio_mc: Run, half: Path
    ) -> None:
        done = istio_mc(
            "verify", "--kubeconfig", half, "--contexts", "kt,nhn", "--skip", "access", "-o", "json"
        )
        assert done.code == 4
        assert {"id": "access.reachable", "cluster": "nhn", "peer": None} in done.envelope["data"][
            "rootCauses"
        ]

    def test_a_cluster_that_cannot_be_reached_is_no_failure_of_contexts(
        self, istio_mc: Run, half: Path
    ) -> None:
        done = istio_mc("contexts", "--kubeconfig", half, "-o", "json")
        assert done.code == 0
        assert [found["reachable"] for found in done.envelope["data"]["contexts"]] == [True, False]


class TestEnvelope:
    COMMANDS = (
        ("contexts", "--offline"),
        ("contexts",),
        ("verify",),
        ("verify", "--list"),
        ("link", "--dry-run"),
        ("sample", "test"),
        ("sample", "remove"),
        ("ca", "show"),
        ("ca", "verify"),
        ("contexts", "--contexts", "nope"),
        ("contexts", "--timeout", "soon"),
        ("contexts", "--config", "none.yaml"),
    )

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_is_all_there_is_on_standard_output(
        self, istio_mc: Run, config: Path, command: tuple[str, ...]
    ) -> None:
        done = istio_mc(*command, "--kubeconfig", config, "-o", "json")
        found = done.envelope
        assert set(found) == ENVELOPE
        assert found["schemaVersion"] == 2
        assert " ".join(command).startswith(found["command"])
        assert (found["status"] == "success") == (done.code == 0)
        assert all(set(problem) == PROBLEM for problem in found["errors"] + found["messages"])

    def test_of_an_error_has_null_as_data(self, istio_mc: Run, config: Path) -> None:
        found = istio_mc("contexts", "--kubeconfig", config, "--contexts", "nope", "-o", "json").envelope
        assert found["data"] is None
        assert [error["code"] for error in found["errors"]] == ["context-unknown"]

    def test_in_yaml_has_the_same_data(self, istio_mc: Run, config: Path) -> None:
        one = istio_mc("contexts", "--offline", "--kubeconfig", config, "-o", "json").envelope
        assert (
            yaml.safe_load(istio_mc("contexts", "--offline", "--kubeconfig", config, "-o", "yaml").out) == one
        )

    def test_errors_are_also_printed_for_people(self, istio_mc: Run, config: Path) -> None:
        done = istio_mc("contexts", "--kubeconfig", config, "--contexts", "nope", "-o", "json")
        assert "nope" in done.err

    def test_of_contexts_names_each_cluster_as_the_other_verbs_do(self, istio_mc: Run, config: Path) -> None:
        (found,) = istio_mc("contexts", "--kubeconfig", config, "-o", "json").envelope["data"]["contexts"]
        assert {
            "name", "cluster", "user", "namespace", "server", "files", "clusterId", "network", "reachable",
            "problems",
        } <= set(found)  # fmt: skip
        assert (found["clusterId"], found["network"]) == ("kt-k2p", "network1")

    def test_holds_no_token(self, istio_mc: Run, config: Path) -> None:
        done = istio_mc("contexts", "--kubeconfig", config, "-o", "json")
        assert "token-of-kt" not in done.out + done.err

    def test_shows_the_id_that_mesh_yaml_gives(self, istio_mc: Run, api: FakeApi, config: Path) -> None:
        api.on(NAMESPACE, status(404, "none"))
        Path("mesh.yaml").write_text(
            "apiVersion: istio-mc/v1alpha1\nkind: Mesh\nclusters:\n- {context: kt, id: seoul}\n"
        )
        (found,) = istio_mc("contexts", "--kubeconfig", config, "-o", "json").envelope["data"]["contexts"]
        assert found["clusterId"] == "seoul"


class TestRemoving:
    def test_without_a_terminal_and_without_yes_is_refused(
        self, istio_mc: Run, api: FakeApi, config: Path
    ) -> None:
        done = istio_mc("sample", "remove", "--kubeconfig", config)
        assert done.code == 2
        assert "--yes" in done.err
        assert {method for method, _ in api.calls} == {"GET"}


class TestManyClusters:
    def test_a_hundred_are_queried_concurrently_but_no_more_than_allowed(
        self, istio_mc: Run, api: FakeApi, tmp_path: Path
    ) -> None:
        api.on("/version", Reply({"gitVersion": "v1.32.3"}, delay_s=0.01))
        api.on(NAMESPACE, Reply(namespace(), delay_s=0.01))
        # The same server under a hundred names: each context has its own path, and so its own cluster.
        document = kubeconfig({f"c{number:03}": api.url for number in range(100)})
        (tmp_path / "many").write_text(json.dumps(document))
        done = istio_mc(
            "contexts", "--kubeconfig", tmp_path / "many", "--concurrency", "7", "-o", "json", "--no-progress"
        )
        found = done.envelope["data"]["contexts"]
        assert [context["name"] for context in found] == [f"c{number:03}" for number in range(100)]
        assert {context["reachable"] for context in found} == {True}
        assert 2 <= api.most_at_once <= 7
        assert len(api.calls) == 200  # istio-system and the version of each, once

    def test_behind_silent_clusters_the_others_are_still_queried(
        self, istio_mc: Run, api: FakeApi, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert config.exists()
        monkeypatch.setattr("istio_mc.ops.session.clusters._QUERY_DEADLINE_S", 0.3)
        with FakeApi().serve() as silent:
            silent.on(NAMESPACE, Reply(delay_s=5))
            servers = {f"silent{number}": silent.url for number in range(3)} | {"kt": api.url}
            done = istio_mc(
                "contexts", "--kubeconfig", write_kubeconfig(tmp_path / "c", servers), "--concurrency", "1",
                "-o", "json",
            )  # fmt: skip
        found = {context["name"]: context["reachable"] for context in done.envelope["data"]["contexts"]}
        assert found == {"silent0": False, "silent1": False, "silent2": False, "kt": True}


class TestColour:
    def shown(self, *arguments: str, **env: str) -> str:
        """What a terminal gets."""
        ours, theirs = pty.openpty()
        kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLORTERM")}
        child = subprocess.Popen(
            [sys.executable, "-m", "istio_mc", *arguments],
            stdin=theirs, stdout=theirs, stderr=theirs,
            env=kept | {"TERM": "xterm", "KUBECONFIG": "/nowhere/config"} | env,
        )  # fmt: skip
        os.close(theirs)
        text, until = b"", time.monotonic() + 30
        while time.monotonic() < until and select.select([ours], [], [], 30)[0]:
            try:
                some = os.read(ours, 4096)
            except OSError:  # Linux tells the end of a terminal so
                break
            text += some
        os.close(ours)
        assert child.wait(30) == 2
        return text.decode()

    @pytest.mark.thorough
    def test_a_terminal_gets_it(self) -> None:
        assert COLOUR.search(self.shown("contexts"))

    @pytest.mark.thorough
    def test_no_color_takes_it_away(self) -> None:
        assert not COLOUR.search(self.shown("contexts", NO_COLOR="1"))

    def test_a_pipe_gets_none(self, istio_mc: Run) -> None:
        assert "\x1b" not in istio_mc("contexts").err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h1m1s", 3661),
        ("10", 10),
        ("1.5h", 5400),
        ("500ms", 0.5),
        ("1s500ms", 1.5),
        ("0.5", 0.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert edge.seconds(text, "--timeout") == pytest.approx(seconds)


class TestVerbose:
    @pytest.mark.thorough
    def test_every_call_is_logged_on_standard_error_without_a_token(self, config: Path) -> None:
        argv = ["contexts", "--verbose", "-o", "json", "--kubeconfig", str(config)]
        done = subprocess.run(
            [sys.executable, "-m", "istio_mc", *argv],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd=config.parent,
        )
        assert "kt: GET /version: 200 in" in done.stderr
        assert "token-of-kt" not in done.stderr
        assert json.loads(done.stdout)["status"] == "success"


@pytest.mark.thorough
@pytest.mark.parametrize("output", ["table", *in_thorough("json")])
def test_a_full_disk_is_reported_in_a_sentence(output: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "istio_mc", "verify", "--list", "-o", output],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error[file-unwritable]: the result could not be written to standard output\n"
    )
    assert "Traceback" not in done.stderr
