"""Credential plugins, as real programs."""

from __future__ import annotations

import base64
import json
import os
import shlex
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from istio_mc.domain.kube.kubeconfig import Context, KubeconfigFile, merge
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.kube.credentials import Credential, private_kubeconfig, resolve
from tests.support.self_signed import self_signed

V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"
TOKEN = "s3cret-token"  # noqa: S105


def script(folder: Path, body: str, name: str = "plugin") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def answer(api_version: str = V1, **status: str) -> str:
    document = {"kind": "ExecCredential", "apiVersion": api_version, "status": status or {"token": TOKEN}}
    return f"printf %s {shlex.quote(json.dumps(document))}"


def context(user: dict[str, Any], name: str = "kt", cluster: dict[str, Any] | None = None) -> Context:
    document: dict[str, object] = {
        "clusters": [{"name": f"{name}-k", "cluster": {"server": f"https://{name}:6443", **(cluster or {})}}],
        "users": [{"name": f"{name}-me", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": f"{name}-k", "user": f"{name}-me"}}],
    }
    return merge([KubeconfigFile(f"/f/{name}", document)]).contexts[0]


def plugin(command: str, name: str = "kt", cluster: dict[str, Any] | None = None, **more: Any) -> Context:
    return context(
        {"exec": {"command": command, "apiVersion": V1, "interactiveMode": "Never", **more}}, name, cluster
    )


def one(found: Context, deadline_s: float = 20, *, terminal: bool = False) -> Credential | Problem:
    return resolve([found], deadline_s, terminal=terminal)[found.name]


def given(found: Context, **options: Any) -> Credential:
    credential = one(found, **options)
    assert isinstance(credential, Credential), credential
    return credential


def failed(found: Context, deadline_s: float = 20) -> Problem:
    problem = one(found, deadline_s)
    assert isinstance(problem, Problem)
    assert problem.cluster == found.name
    assert TOKEN not in repr(problem)
    return problem


def pair() -> tuple[str, str]:
    made = self_signed(common_name="me")
    return made.certificate.decode(), made.key.decode()


def test_a_context_without_a_plugin_passes_through() -> None:
    credential = given(context({"token": "abc", "as": "boss"}))
    assert credential.user_entry == {"token": "abc", "as": "boss"}


def test_a_plugin_beside_a_token_is_not_run() -> None:
    credential = given(context({"token": "abc", "exec": plugin("no-such-program").user_entry["exec"]}))
    assert credential.user_entry == {"token": "abc"}


@pytest.mark.parametrize("api_version", [V1, V1BETA1])
def test_a_plugins_token_takes_the_plugins_place(tmp_path: Path, api_version: str) -> None:
    command = script(tmp_path, answer(api_version, token=TOKEN, expirationTimestamp="2031-02-03T04:05:06Z"))
    found = context(
        {"exec": {"command": command, "apiVersion": api_version, "interactiveMode": "Never"}, "as": "x"}
    )
    credential = given(found)
    assert credential.user_entry == {"token": TOKEN, "as": "x"}
    assert TOKEN not in repr(credential)


def test_a_plugins_certificate_takes_the_plugins_place(tmp_path: Path) -> None:
    certificate, key = pair()
    command = script(tmp_path, answer(clientCertificateData=certificate, clientKeyData=key))
    entry = given(plugin(command)).user_entry
    assert base64.b64decode(str(entry["client-certificate-data"])).decode() == certificate
    assert base64.b64decode(str(entry["client-key-data"])).decode() == key


def test_v1beta1_needs_no_interactive_mode(tmp_path: Path) -> None:
    command = script(tmp_path, answer(V1BETA1))
    assert given(context({"exec": {"command": command, "apiVersion": V1BETA1}})).user_entry == {
        "token": TOKEN
    }


def test_the_plugin_gets_its_arguments_its_environment_and_a_closed_input(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    command = script(
        tmp_path,
        f'(echo "$1|$2|$COLOUR|$HOME|$(cat)"; printf %s "$KUBERNETES_EXEC_INFO") > {seen}; {answer()}',
    )
    given(plugin(command, args=["a b", "--x"], env=[{"name": "COLOUR", "value": "red"}]))
    words, info = seen.read_text().split("\n", 1)
    assert words == f"a b|--x|red|{os.environ['HOME']}|"
    assert json.loads(info) == {"kind": "ExecCredential", "apiVersion": V1, "spec": {"interactive": False}}


def test_a_plugin_gets_its_cluster_info_where_provided(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("PEM")
    cluster = {
        "certificate-authority": str(tmp_path / "ca.crt"),
        "tls-server-name": "inside",
        "proxy-url": "http://proxy",
        "extensions": [
            {"name": "other", "extension": {}},
            {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}},
        ],
    }
    command = script(tmp_path, f'printf %s "$KUBERNETES_EXEC_INFO" > {tmp_path}/info; {answer()}')
    given(plugin(command, cluster=cluster, provideClusterInfo=True))
    assert json.loads((tmp_path / "info").read_text())["spec"]["cluster"] == {
        "server": "https://kt:6443",
        "tls-server-name": "inside",
        "proxy-url": "http://proxy",
        "certificate-authority-data": base64.b64encode(b"PEM").decode(),
        "config": {"audience": "x"},
    }
    missing = plugin(command, cluster={"certificate-authority": "/no/such/ca"}, provideClusterInfo=True)
    assert failed(missing).code == "file-unreadable"


def test_plugins_run_in_parallel_and_a_failure_of_one_does_not_affect_the_others(tmp_path: Path) -> None:
    slow = script(tmp_path, f"sleep 0.6; {answer()}")
    contexts = [plugin(slow, f"c{number}", args=[str(number)]) for number in range(6)]
    contexts.append(plugin(script(tmp_path, "exit 1", "broken"), "bad"))
    started = time.monotonic()
    results = resolve(contexts, 20, terminal=False)
    assert time.monotonic() - started < 3
    assert list(results) == [found.name for found in contexts]
    assert [name for name, result in results.items() if isinstance(result, Problem)] == ["bad"]


def test_a_plugin_runs_once_for_all_contexts_with_the_same_input(tmp_path: Path) -> None:
    command = script(tmp_path, f"echo x >> {tmp_path}/calls; {answer()}")
    results = resolve([plugin(command, "a"), plugin(command, "b"), plugin(command, "c", args=["y"])], 20)
    assert all(isinstance(result, Credential) for result in results.values())
    assert (tmp_path / "calls").read_text() == "x\nx\n"


def test_contexts_that_share_a_failing_plugin_each_have_their_problem(tmp_path: Path) -> None:
    command = script(tmp_path, "exit 1")
    results = resolve([plugin(command, "a"), plugin(command, "b")], 20)
    assert [result.cluster for result in results.values() if isinstance(result, Problem)] == ["a", "b"]


def test_a_failing_plugin_is_reported_with_its_exit_code_and_the_end_of_its_stderr(tmp_path: Path) -> None:
    command = script(
        tmp_path,
        f"echo {TOKEN}; exec >&2; echo login expired; echo sent Bearer {TOKEN} and eyJhbGciOi.eyJz; exit 7",
    )
    problem = failed(plugin(command, args=["get-token", "--client-secret", "hush"]))
    assert problem.code == "credential-plugin-failed"
    assert (
        problem.message
        == f"the credential plugin {command} get-token … of user kt-me failed with exit code 7"
    )
    assert problem.seen == "login expired\nsent Bearer [removed] and [removed]"
    assert str(problem.hint) == "Check its output: kubectl --context kt get --raw /version"
    assert "hush" not in repr(problem)


def test_a_plugin_that_hangs_is_ended_with_its_children_at_its_deadline(tmp_path: Path) -> None:
    command = script(
        tmp_path, f"echo open a browser >&2; sleep 60 & echo $! > {tmp_path}/pid; echo {TOKEN}; wait"
    )
    started = time.monotonic()
    problem = failed(plugin(command), deadline_s=0.5)
    assert time.monotonic() - started < 5
    assert problem.code == "credential-plugin-timeout"
    assert problem.message.endswith("did not respond within 0.5 s")
    assert problem.seen == "open a browser"
    pid = int((tmp_path / "pid").read_text())
    stat_file = Path(f"/proc/{pid}/stat")
    assert not stat_file.exists() or stat_file.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_missing_plugin_is_reported_with_its_authors_hint() -> None:
    problem = failed(plugin("no-such-plugin", installHint="Install \x1b[1mit\x1b[0m from there"))
    assert (problem.code, str(problem.hint)) == ("credential-plugin-missing", "Install it from there")
    assert problem.message == "the credential plugin no-such-plugin of user kt-me is not installed"
    bare = failed(plugin("/no/such/plugin"))
    assert str(bare.hint) == "Install /no/such/plugin, or correct the kubeconfig (/f/kt)"


def test_a_plugin_that_cannot_be_executed_is_not_called_missing(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    assert "cannot be executed" in failed(plugin(str(tmp_path / "plain"))).message
    (tmp_path / "lost").write_text("#!/no/such/interpreter\n")
    (tmp_path / "lost").chmod(0o755)
    assert "cannot be executed" in failed(plugin(str(tmp_path / "lost"))).message


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("true", "printed nothing instead of an ExecCredential"),
        (f"echo {TOKEN}", "printed something that is not JSON instead of an ExecCredential"),
        (f"echo '[\"{TOKEN}\"]'", "printed a list instead of an ExecCredential"),
        (
            answer(V1BETA1),
            f"received a request for an ExecCredential of {V1} and printed one of {V1BETA1}",
        ),
        (
            f'echo \'{{"token": "{TOKEN}"}}\'',
            f"received a request for an ExecCredential of {V1} and printed something else",
        ),
        (
            f'echo \'{{"kind": "ExecCredential", "apiVersion": "{V1}"}}\'',
            "printed an ExecCredential without a status",
        ),
        (answer(token=""), "printed an ExecCredential without a token and without a certificate"),
        (
            answer(token=f"{TOKEN}\n"),
            "printed an ExecCredential whose token contains a control character, such as a line break",
        ),
        (
            answer(token=TOKEN, clientKeyData="x"),
            "printed an ExecCredential with only one of certificate and key",
        ),
        (
            answer(token=TOKEN, expirationTimestamp=TOKEN),
            "printed an ExecCredential whose expirationTimestamp is not a time",
        ),
        (
            f'echo \'{{"kind": "ExecCredential", "apiVersion": "{V1}", "status": {{"token": [1]}}}}\'',
            "printed an ExecCredential whose token is a list",
        ),
        (
            answer(clientCertificateData=TOKEN, clientKeyData=TOKEN),
            "printed a certificate or key that cannot be read",
        ),
        (
            answer(clientCertificateData=pair()[0], clientKeyData=pair()[1]),
            "printed a certificate and a key that do not belong together",
        ),
    ],
)
def test_an_unusable_response_is_reported_without_its_content(tmp_path: Path, body: str, what: str) -> None:
    problem = failed(plugin(script(tmp_path, body)))
    assert problem.message.endswith(f"of user kt-me {what}")


def test_a_plugin_that_needs_a_terminal_is_not_run_without_one(tmp_path: Path) -> None:
    command = script(tmp_path, f"touch {tmp_path}/ran; {answer()}")
    assert failed(plugin(command, interactiveMode="Always")).message.endswith(
        "prompts on a terminal, but there is none"
    )
    assert not (tmp_path / "ran").exists()


def test_a_plugin_with_a_prompt_has_no_more_time_than_the_run(tmp_path: Path) -> None:
    slow = {"command": script(tmp_path, "exec sleep 600"), "apiVersion": V1, "interactiveMode": "Always"}
    found = context({"exec": slow})
    answer = resolve([found], 20, terminal=True, until=time.monotonic() + 0.3)["kt"]
    assert isinstance(answer, Problem)
    assert answer.code == "credential-plugin-timeout"


def test_plugins_may_prompt_on_a_terminal(tmp_path: Path) -> None:
    command = script(tmp_path, f'printf "%s\\n" "$KUBERNETES_EXEC_INFO" >> {tmp_path}/info; {answer()}')
    assert given(plugin(command, interactiveMode="Always"), terminal=True).user_entry["token"]
    (info,) = (tmp_path / "info").read_text().splitlines()
    assert json.loads(info)["spec"]["interactive"] is True


def test_a_plugin_that_can_do_without_the_terminal_gets_it_only_when_it_failed(tmp_path: Path) -> None:
    without_prompt = script(tmp_path, f"echo x >> {tmp_path}/calls; {answer()}")
    given(plugin(without_prompt, interactiveMode="IfAvailable"), terminal=True)
    assert (tmp_path / "calls").read_text() == "x\n"
    prompts = script(
        tmp_path,
        f'case "$KUBERNETES_EXEC_INFO" in *\'"interactive": true\'*) {answer()} ;; *) exit 1 ;; esac',
        "asks",
    )
    assert given(plugin(prompts, interactiveMode="IfAvailable"), terminal=True).user_entry == {"token": TOKEN}
    assert failed(plugin(prompts, interactiveMode="IfAvailable")).code == "credential-plugin-failed"


@pytest.mark.parametrize("name", ["gcp", "azure", "oidc", "other"])
def test_a_legacy_auth_provider_is_rejected_with_a_replacement(name: str) -> None:
    problem = failed(context({"auth-provider": {"name": name, "config": {"access-token": TOKEN}}}))
    assert problem.code == "auth-provider-unsupported"
    assert name in problem.message
    assert problem.hint


def test_a_context_with_problems_keeps_its_problem() -> None:
    assert failed(context({"client-certificate": "x"})).code == "user-unusable"


def test_a_kubeconfig_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    document = {"current-context": "kt/admin@x", "users": [{"name": "y", "user": {"token": TOKEN}}]}
    path = private_kubeconfig(folder, document)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert json.loads(path.read_text()) == document
    assert path.parent == folder
    other = private_kubeconfig(folder, {**document, "current-context": "kt-admin-x"})
    assert other != path
    assert private_kubeconfig(folder, document) == path
    assert sorted(folder.iterdir()) == sorted([path, other])


def test_a_folder_that_others_may_enter_gets_no_credentials(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    with pytest.raises(ProblemError) as caught:
        private_kubeconfig(folder, {})
    assert caught.value.problems[0].code == "folder-not-private"
    assert not list(folder.iterdir())
