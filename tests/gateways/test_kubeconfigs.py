"""Which kubeconfig files are read, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from istio_mc.domain.problem import InputError
from istio_mc.gateways.kube.kubeconfig import kubeconfig_paths, read_kubeconfig

HOME = Path("/home/me")
GOOD = """
apiVersion: v1
kind: Config
current-context: kt
clusters: [{name: kt-k, cluster: {server: "https://kt", certificate-authority: ca.crt}}]
users: [{name: me, user: {token: abc}}]
contexts: [{name: kt, context: {cluster: kt-k, user: me}}]
"""


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults_of(*paths: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_kubeconfig(paths)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("option", "env", "paths"),
    [
        (None, {}, ["/home/me/.kube/config"]),
        (None, {"KUBECONFIG": ""}, ["/home/me/.kube/config"]),
        (None, {"KUBECONFIG": "a:b:c"}, ["a", "b", "c"]),
        ("x", {"KUBECONFIG": "a:b"}, ["x"]),
        ("x:~/y", {}, ["x", "/home/me/y"]),
        ("", {"KUBECONFIG": "a"}, ["a"]),
        (None, {"KUBECONFIG": ":a::b:a:"}, ["a", "b"]),
        (None, {"KUBECONFIG": ":"}, []),
    ],
)
def test_the_option_comes_before_the_variable_before_the_home_folder(
    option: str | None, env: dict[str, str], paths: list[str]
) -> None:
    assert kubeconfig_paths(option, env, HOME) == [Path(path) for path in paths]


def test_a_file_is_read_and_its_paths_are_absolute(tmp_path: Path) -> None:
    path = write(tmp_path / "kt", GOOD)
    kubeconfig = read_kubeconfig([path])
    (kt,) = kubeconfig.contexts
    assert kt.files == (str(path),)
    assert kt.cluster_entry["certificate-authority"] == str(tmp_path / "ca.crt")
    assert kubeconfig.current_context == "kt"


def test_a_relative_path_is_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "kt", GOOD)
    monkeypatch.chdir(tmp_path)
    assert read_kubeconfig([Path("kt")]).contexts[0].files == (str(tmp_path / "kt"),)


def test_missing_files_among_others_are_warned_of(tmp_path: Path) -> None:
    kubeconfig = read_kubeconfig([tmp_path / "no", write(tmp_path / "kt", GOOD)])
    assert [warning.code for warning in kubeconfig.warnings] == ["kubeconfig-missing"]
    assert len(kubeconfig.contexts) == 1


def test_where_all_are_missing_they_are_named(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path / "a", tmp_path / "b")
    assert fault == f"no kubeconfig: {tmp_path}/a, {tmp_path}/b do not exist"
    assert faults_of() == ["the list of kubeconfig files is empty"]


def test_an_empty_file_is_an_empty_kubeconfig(tmp_path: Path) -> None:
    assert read_kubeconfig([write(tmp_path / "empty", "\n")]).contexts == ()


def test_dates_and_second_documents_are_taken_as_kubectl_takes_them(tmp_path: Path) -> None:
    text = "contexts: [{name: 2026-01-01, context: {cluster: a}}]\n---\nkind: Foo\n"
    assert read_kubeconfig([write(tmp_path / "x", text)]).contexts[0].name == "2026-01-01"


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = "x: &x {cluster: a}\ncontexts: [{name: c, context: {<<: *x, user: u}}]\n"
    (context,) = read_kubeconfig([write(tmp_path / "x", text)]).contexts
    assert (context.cluster, context.user) == ("a", "u")


def test_the_faults_of_all_files_are_reported_together(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert faults_of(
        write(tmp_path / "good", GOOD),
        write(tmp_path / "tab", "a: 1\nb:\n\t- x\n"),
        write(tmp_path / "list", "- a\n"),
        write(tmp_path / "binary", b"a: b\n\x00\x01"),
        write(tmp_path / "shape", "contexts: [{name: a, context: []}]\n"),
        folder,
    ) == [
        f"{tmp_path}/tab:3:1: not YAML: found character that cannot start any token",
        f"{tmp_path}/binary:2: not YAML: control characters are not allowed",
        f"{tmp_path}/folder: cannot be read: Is a directory",
        f"{tmp_path}/list: expected a mapping, saw a list",
        f"{tmp_path}/shape: contexts[0].context: expected a mapping, saw a list",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: !!int s3cret\n",
        "token: 's3cret\n",
        "? [s3cret]\n: 1\n? {s3cret: 1}\n: 2\n",
        "a: *s3\n",
        "a: !!binary s3cret\n",
    ],
)
def test_yaml_that_cannot_be_read_is_refused_without_its_values(tmp_path: Path, text: str) -> None:
    (fault,) = faults_of(write(tmp_path / "x", text))
    assert fault.startswith(f"{tmp_path}/x")
    assert "s3cret" not in fault


def test_keys_that_repeat_are_warned_of_with_their_place_and_the_last_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "twice", GOOD + "kind: Config\ncurrent-context: b\ncurrent-context: kt\n")
    kubeconfig = read_kubeconfig([path])
    assert kubeconfig.current_context == "kt"
    assert {warning.code for warning in kubeconfig.warnings} == {"kubeconfig-key-repeated"}
    assert {warning.seen for warning in kubeconfig.warnings} == {"the last one is used"}
    assert [warning.message for warning in kubeconfig.warnings] == [
        f"{path}:8:1: kind is also in line 3",
        f"{path}:9:1: current-context is also in line 4",
        f"{path}:10:1: current-context is also in line 9",
    ]


def test_a_file_that_powershell_wrote_in_utf_16_is_read(tmp_path: Path) -> None:
    (context,) = read_kubeconfig([write(tmp_path / "x", GOOD.encode("utf-16"))]).contexts
    assert context.name == "kt"


def test_a_file_with_comments_only_is_an_empty_kubeconfig(tmp_path: Path) -> None:
    assert read_kubeconfig([write(tmp_path / "x", "# nothing yet\n---\n")]).contexts == ()


@pytest.mark.parametrize("text", ["- a\n", "text\n", "12\n"])
def test_a_file_that_holds_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (fault,) = faults_of(write(tmp_path / "x", text))
    assert fault.startswith(f"{tmp_path}/x: expected a mapping, saw a ")
