"""config: what a first mesh.yaml holds, and where each effective setting came from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from istio_mc.domain.problem import InputError
from istio_mc.domain.settings.model import ClusterSettings, Settings
from istio_mc.domain.settings.schema import json_schema
from istio_mc.domain.settings.template import TemplateCluster, scalar, template
from istio_mc.gateways.host.settings_file import load_settings
from istio_mc.ops import config
from istio_mc.ops.session.inputs import Inputs, Overrides

EXAMPLES = Path(__file__).parents[2] / "examples"
KUBECONFIGS = EXAMPLES / "kubeconfigs"
THREE = ":".join(str(KUBECONFIGS / name) for name in ("kt.yaml", "renamed/ncloud.yaml", "renamed/nhn.yaml"))
HEAD = "apiVersion: istio-mc/v1alpha1\nkind: Mesh\n"


def init(folder: Path, *, force: bool = False, to_file: bool = True) -> config.Written:
    inputs = Inputs(kubeconfig=THREE, contexts=("nhn", "kt"), config=folder / "mesh.yaml")
    return config.init(inputs, force=force, to_file=to_file)


def shown(
    folder: Path,
    inputs: Inputs | None = None,
    overrides: Overrides | None = None,
    *,
    env: dict[str, str] | None = None,
    given: frozenset[str] = frozenset(),
) -> dict[str, tuple[object, str, str | None]]:
    """Value, source and origin by key, the folder's name left out."""
    options = config.ShowOptions(inputs or Inputs(), overrides or Overrides(), given)
    found = config.show(options, env or {}, folder, Path("/home/me"))
    return {
        setting.key: (
            setting.value,
            str(setting.source),
            setting.origin and setting.origin.replace(f"{folder}/", ""),
        )
        for setting in found.settings
    }


def test_a_first_mesh_yaml_lists_only_the_clusters(tmp_path: Path) -> None:
    written = init(tmp_path)
    assert (written.file, written.contexts) == (tmp_path / "mesh.yaml", ("nhn", "kt"))
    assert load_settings(None, tmp_path) == Settings(
        certs_dir=tmp_path / "certs",
        clusters=(ClusterSettings("nhn"), ClusterSettings("kt")),
        file=tmp_path / "mesh.yaml",
    )


def test_a_first_mesh_yaml_passes_the_published_schema(tmp_path: Path) -> None:
    jsonschema.Draft7Validator(json_schema()).validate(yaml.safe_load(init(tmp_path).text))


def test_all_that_is_commented_out_can_be_switched_on(tmp_path: Path) -> None:
    text = re.sub(r"^( *)#(?=\w)", r"\1", init(tmp_path, to_file=False).text, flags=re.MULTILINE)
    (tmp_path / "mesh.yaml").write_text(text)
    found = load_settings(None, tmp_path)
    assert (found.istio.revision, found.values) == ("canary", {"global": {"proxy": {"logLevel": "info"}}})
    assert [(cluster.id, cluster.network) for cluster in found.clusters] == [
        ("nhn-nks", "network1"),
        ("kt-k2p", "network2"),
    ]
    assert found.clusters[0].api_server is not None


def test_a_first_mesh_yaml_shows_every_setting_of_a_mesh_and_a_cluster(tmp_path: Path) -> None:
    text = init(tmp_path, to_file=False).text
    missing = [key for key in _keys(json_schema()) if not re.search(rf"\b{key}\b", text)]
    # Digests are named once, and how an API server's certificate is checked is for those who need it.
    assert set(missing) <= {"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "server"} | {
        "caFile",
        "tlsServerName",
    }


def _keys(schema: object) -> set[str]:
    if isinstance(schema, list):
        return {key for item in schema for key in _keys(item)}
    if not isinstance(schema, dict):
        return set()
    properties = schema.get("properties", {})
    return set(properties) | {key for item in [*schema.values(), *properties.values()] for key in _keys(item)}


def test_a_file_that_is_there_is_not_overwritten_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("mine")
    with pytest.raises(InputError) as caught:
        init(tmp_path)
    assert caught.value.problems[0].code == "file-exists"
    assert (
        str(caught.value.problems[0].hint) == "--force replaces it; --stdout only shows what would be written"
    )
    assert (tmp_path / "mesh.yaml").read_text() == "mine"
    init(tmp_path, force=True)
    assert load_settings(None, tmp_path).clusters[0].context == "nhn"
    assert [path.name for path in tmp_path.iterdir()] == ["mesh.yaml"]


def test_with_stdout_nothing_is_written(tmp_path: Path) -> None:
    assert init(tmp_path, to_file=False).file is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("contexts", "code"),
    [
        ((), "no-contexts"),
        (("kt", "nowhere"), "context-unknown"),
        (("kt", "kt"), "context-named-twice"),
    ],
)
def test_contexts_must_be_named_and_be_there(tmp_path: Path, contexts: tuple[str, ...], code: str) -> None:
    with pytest.raises(InputError) as caught:
        config.init(
            Inputs(kubeconfig=THREE, contexts=contexts, config=tmp_path / "m"), force=False, to_file=True
        )
    assert [problem.code for problem in caught.value.problems] == [code]
    assert list(tmp_path.iterdir()) == []


def test_two_contexts_of_one_cluster_are_refused() -> None:
    kubeconfig = f"{KUBECONFIGS / 'nhn.yaml'}:{KUBECONFIGS / 'renamed/nhn.yaml'}"
    contexts = ("nks_nhn-nks_00000000-0000-4000-8000-000000000000", "nhn")
    with pytest.raises(InputError) as caught:
        config.init(Inputs(kubeconfig=kubeconfig, contexts=contexts), force=False, to_file=False)
    assert [problem.code for problem in caught.value.problems] == ["cluster-named-twice"]


@given(
    context=st.text(min_size=1).filter(lambda text: text.strip() not in ("", "b")),
    cluster=st.text(),
    server=st.text(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_survives_the_round_trip_through_the_template(
    tmp_path: Path, context: str, cluster: str, server: str
) -> None:
    text = template([TemplateCluster(context, cluster, server, "an-id"), TemplateCluster("b", "b", "b", "b")])
    (tmp_path / "mesh.yaml").write_text(text)
    found = load_settings(None, tmp_path).clusters
    assert [cluster.context for cluster in found] == [context, "b"]


@pytest.mark.parametrize(
    "text", ["yes", "1.10", "null", "a: b", "#a", "2026-01-01", "", "- a", "{a", "a\u2028b", "이름"]
)
def test_a_scalar_reads_back_as_it_was(text: str) -> None:
    assert "\n" not in scalar(text)
    assert yaml.safe_load(f"key: {scalar(text)}") == {"key": text}


def test_without_anything_all_is_default(tmp_path: Path) -> None:
    found = shown(tmp_path)
    assert {source for _, source, _ in found.values()} == {"default"}
    assert found["istio.version"] == (None, "default", None)
    assert found["kubeconfig"] == (["/home/me/.kube/config"], "default", None)
    assert found["contexts"] == (None, "default", None)
    assert found["certsDir"] == (f"{tmp_path}/certs", "default", None)


def test_values_of_the_file_are_reported_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(
        HEAD
        + """\
istio: {version: 1.27.1}
gatewayAPI:
  install: false
values:
  global:
    proxy: {logLevel: info}
clusters:
  - context: kt
    gatewayAddress:
      - 203.0.113.7
      - gw.example.com
    apiServer: https://203.0.113.10:6443
  - context: nhn
    apiServer:
      server: https://api.example.com
      tlsServerName: inside
"""
    )
    found = shown(tmp_path)
    assert {key: value for key, value in found.items() if value[1] == "file"} == {
        "contexts": (["kt", "nhn"], "file", "mesh.yaml:9"),
        "istio.version": ("1.27.1", "file", "mesh.yaml:3"),
        "gatewayAPI.install": (False, "file", "mesh.yaml:5"),
        "values.global.proxy.logLevel": ("info", "file", "mesh.yaml:8"),
        "clusters[kt].gatewayAddress": (["203.0.113.7", "gw.example.com"], "file", "mesh.yaml:11"),
        "clusters[kt].apiServer.server": ("https://203.0.113.10:6443", "file", "mesh.yaml:14"),
        "clusters[nhn].apiServer.server": ("https://api.example.com", "file", "mesh.yaml:17"),
        "clusters[nhn].apiServer.tlsServerName": ("inside", "file", "mesh.yaml:18"),
    }
    assert found["istio.tag"] == (None, "default", None)
    assert found["clusters[nhn].gatewayAddress"] == (None, "default", None)


def test_flags_override_the_file_and_are_reported_as_flags(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(
        HEAD + "certsDir: keys\nclusters:\n  - {context: kt, gatewayAddress: 203.0.113.7, id: kt-k2p}\n"
        "  - {context: nhn, apiServer: {server: https://a, tlsServerName: inside}}\n"
    )
    found = shown(
        tmp_path,
        Inputs(kubeconfig="a:b", contexts=("nhn", "kt", "new"), timeout_s=90, concurrency=4),
        Overrides(Path("/else"), ("kt=203.0.113.9", "new=gw.example.com"), ("nhn=https://b",)),
        given=frozenset({"timeout"}),
    )
    assert {key: value for key, value in found.items() if value[1] == "flag"} == {
        "kubeconfig": (["a", "b"], "flag", "--kubeconfig"),
        "contexts": (["nhn", "kt", "new"], "flag", "--contexts"),
        "timeout": ("90s", "flag", "--timeout"),
        "certsDir": ("/else", "flag", "--certs-dir"),
        "clusters[kt].gatewayAddress": (["203.0.113.9"], "flag", "--gateway-address"),
        "clusters[new].gatewayAddress": (["gw.example.com"], "flag", "--gateway-address"),
        "clusters[nhn].apiServer.server": ("https://b", "flag", "--api-server"),
    }
    assert found["clusters[nhn].apiServer.tlsServerName"] == ("inside", "file", "mesh.yaml:6")
    assert found["clusters[kt].id"] == ("kt-k2p", "file", "mesh.yaml:5")


def test_values_of_the_environment_are_reported_as_such(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(HEAD)
    file = str(tmp_path / "other.yaml")
    env = {"KUBECONFIG": "a:b", "ISTIO_MC_CONFIG": file}
    found = shown(tmp_path, Inputs(config=Path(file)), env=env)
    assert found["kubeconfig"] == (["a", "b"], "environment", "KUBECONFIG")
    assert found["config"] == (file, "environment", "ISTIO_MC_CONFIG")
    assert shown(tmp_path, Inputs(config=Path(file)))["config"] == (file, "flag", "--config")


def test_a_context_that_is_left_out_by_a_flag_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(HEAD + "clusters: [{context: kt}, {context: nhn}]\n")
    found = shown(tmp_path, Inputs(contexts=("nhn",)))
    assert {key.partition(".")[0] for key in found if key.startswith("clusters")} == {"clusters[nhn]"}


def test_a_flag_for_a_cluster_that_is_not_of_the_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        shown(tmp_path, Inputs(contexts=("nhn",)), Overrides(gateway_addresses=("kt=203.0.113.9",)))
    assert [(problem.code, problem.seen) for problem in caught.value.problems] == [("not-in-this-run", "kt")]


def test_all_faults_of_a_file_are_reported(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(HEAD + "meshId: a\nistio: 5\n")
    with pytest.raises(InputError) as caught:
        shown(tmp_path)
    assert [problem.message.removeprefix(f"{tmp_path}/") for problem in caught.value.problems] == [
        "mesh.yaml:3: meshId: is not a known key",
        "mesh.yaml:4: istio: expected a mapping, saw a number",
    ]


def test_all_that_is_shown_is_json(tmp_path: Path) -> None:
    options = config.ShowOptions(Inputs(config=EXAMPLES / "mesh-all.yaml"), Overrides(), frozenset())
    found = config.show(options, {}, tmp_path, tmp_path)
    assert json.loads(json.dumps([setting.value for setting in found.settings])) == [
        setting.value for setting in found.settings
    ]


def test_the_version_of_a_flag_is_reported_as_such(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(HEAD + "istio: {version: 1.27.1}\n")
    found = shown(tmp_path, overrides=Overrides(istio_version="v1.30.4"))
    assert found["istio.version"] == ("1.30.4", "flag", "--istio-version")
