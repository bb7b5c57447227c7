"""mesh.yaml: what it may say, and how its faults are told. Read from real files: the lines are YAML's own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from istio_mc.domain.hosts import address_fault, https_url_fault
from istio_mc.domain.problem import InputError, Problem
from istio_mc.domain.settings.flags import API_SERVER, GATEWAY_ADDRESS, override, parse_assignments
from istio_mc.domain.settings.model import (
    ApiServerSettings,
    CaSettings,
    ClusterSettings,
    GatewayApiSettings,
    IstioSettings,
    Settings,
)
from istio_mc.gateways.host.settings_file import load_settings

if TYPE_CHECKING:
    from pathlib import Path

ENDS = "beginning and ending with a letter or digit"
ID_RULE = f"at most 63 lower-case letters, digits and '-', {ENDS}"
CLUSTER_KEYS = "context, id, network, gatewayAddress, apiServer, values"
TOP_KEYS = (
    "apiVersion, kind, meshID, certsDir, ca, strict, lang, istio, gatewayAPI, tools, links, values, clusters"
)
NETWORK_RULE = f"at most 63 letters, digits, '-', '_' and '.', {ENDS}"
HEAD = "apiVersion: istio-mc/v1alpha1\nkind: Mesh\n"


def load(folder: Path, text: str, *, head: str = HEAD) -> Settings:
    (folder / "mesh.yaml").write_text(head + textwrap.dedent(text))
    return load_settings(None, folder)


def faults_of(folder: Path, text: str, *, head: str = HEAD) -> list[str]:
    """The faults without the file's name; with their hints."""
    with pytest.raises(InputError) as caught:
        load(folder, text, head=head)
    return [
        problem.message.removeprefix(f"{folder}/mesh.yaml:") + (f" ({problem.hint})" if problem.hint else "")
        for problem in caught.value.problems
    ]


def test_without_a_file_all_is_default(tmp_path: Path) -> None:
    found = load_settings(None, tmp_path)
    assert found == Settings(certs_dir=tmp_path / "certs")
    assert (found.mesh_id, found.istio.version, found.istio.tag, found.gateway_api.install) == (
        "mesh1",
        None,
        None,
        True,
    )
    assert found.file is None


@pytest.mark.parametrize(("file", "imported"), [(None, False), ("mesh.yaml", True)])
def test_pydantic_is_imported_only_for_a_file(tmp_path: Path, file: str | None, imported: bool) -> None:  # noqa: FBT001
    if file:
        (tmp_path / file).write_text(HEAD)
    code = (
        "import sys; from pathlib import Path\n"
        "from istio_mc.gateways.host.settings_file import load_settings\n"
        "from istio_mc.domain.settings import flags, keys, model, template\n"
        "load_settings(None, Path.cwd())\n"
        "print('pydantic' in sys.modules or 'pydantic_core' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"{imported}\n"


def test_a_file_without_values_has_all_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "clusters:\n") == Settings(
        certs_dir=tmp_path / "certs", file=tmp_path / "mesh.yaml"
    )


def test_a_requested_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_settings(tmp_path / "no.yaml", tmp_path)
    assert caught.value.problems[0].message == f"{tmp_path}/no.yaml does not exist"
    with pytest.raises(InputError, match="cannot be read"):
        load_settings(tmp_path, tmp_path)


def test_all_settings(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    found = load(
        tmp_path / "sub",
        """\
        meshID: prod
        certsDir: ../keys
        ca: {key: ec-384, validity: 3650d}
        strict: true
        istio: {version: 1.27.1, revision: canary, hub: registry.local:5000/istio, tag: 1.27.1-distroless}
        gatewayAPI: {install: false, version: 1.4.0, manifest: crds.yaml}
        values: {global: {proxy: {logLevel: info}}}
        clusters:
          - context: kt
            id: kt-k2p
            network: network1
            gatewayAddress: 198.18.0.21
            apiServer: https://198.18.0.10:6443
            values: {pilot: {env: {A: "1"}}}
          - context: arn:aws:eks:x:1:cluster/y
            gatewayAddress: [gw.example.com, "2001:db8::1", gw.example.com]
            apiServer: {server: https://api.example.com/k8s/c1, caFile: ca.pem, tlsServerName: inside}
          - context: nhn
        """,
    )
    folder = tmp_path / "sub"
    assert found == Settings(
        certs_dir=folder / "../keys",
        ca=CaSettings("ec-384", "3650d"),
        strict=True,
        mesh_id="prod",
        istio=IstioSettings("1.27.1", "canary", "registry.local:5000/istio", "1.27.1-distroless"),
        gateway_api=GatewayApiSettings(install=False, version="1.4.0", manifest=str(folder / "crds.yaml")),
        values={"global": {"proxy": {"logLevel": "info"}}},
        clusters=(
            ClusterSettings(
                "kt",
                "kt-k2p",
                "network1",
                ("198.18.0.21",),
                ApiServerSettings("https://198.18.0.10:6443"),
                {"pilot": {"env": {"A": "1"}}},
            ),
            ClusterSettings(
                "arn:aws:eks:x:1:cluster/y",
                gateway_addresses=("gw.example.com", "2001:db8::1"),
                api_server=ApiServerSettings("https://api.example.com/k8s/c1", folder / "ca.pem", "inside"),
                values={},
            ),
            ClusterSettings("nhn", values={}),
        ),
        file=folder / "mesh.yaml",
    )
    assert found.cluster("kt").id == "kt-k2p"
    assert found.cluster("other") == ClusterSettings("other")


def test_invalid_keys_and_validities_are_reported_with_their_lines(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "ca:\n  key: rsa-1024\n  validity: 10y\n", head=HEAD) == [
        "4: ca.key: 'rsa-1024' is not one of rsa-2048, rsa-3072, rsa-4096, ec-256, ec-384",
        "5: ca.validity: '10y' is not a number of hours or days, such as 3650d",
    ]


def test_every_form_that_a_key_accepts_is_named(tmp_path: Path) -> None:
    text = "clusters:\n  - context: kt\n    gatewayAddress: 10.5\n    apiServer: 5\n"
    assert faults_of(tmp_path, text) == [
        "5: clusters[0].gatewayAddress: expected a string or a list, saw a number (Put it in quotes)",
        "6: clusters[0].apiServer: expected a URL or a mapping, saw a number",
    ]


def test_a_manifest_may_be_a_url(tmp_path: Path) -> None:
    url = "https://example.com/install.yaml"
    assert load(tmp_path, f"gatewayAPI: {{manifest: '{url}'}}\n").gateway_api.manifest == url


def test_all_faults_are_reported_together_in_file_order_with_their_lines(tmp_path: Path) -> None:
    assert faults_of(
        tmp_path,
        """\
        apiVersion: istio-mc/v2
        meshId: x
        certsDir: ""
        istio:
          version: 1.26
          revision: Canary
          hub: "bad hub"
          tag: [a]
          color: red
        gatewayAPI:
          install: "yes"
          manifest: http://example.com/x
        values:
          global: {1: a}
        clusters:
          - context: kt
            id: KT_K2P
            network: "a b"
            gatewayAdress: 1.2.3.4
            gatewayAddress:
              - 198.18.0.300
              - 5
            apiServer: http://x
          - context: kt
            network: n
            gatewayAddress: 127.0.0.1
            apiServer: {caFile: x, tlsServerName: "a b"}
          - id: a
            network: n
            apiServer: [x]
          - context: c
            id: a
            values: [x]
          - text
          -
        """,
        head="",
    ) == [
        "1: apiVersion: expected istio-mc/v1alpha1, saw 'istio-mc/v2' (Write apiVersion: istio-mc/v1alpha1)",
        "1: kind: expected Mesh, saw nothing (Write kind: Mesh)",
        "2: meshId: is not a known key (Did you mean meshID?)",
        "3: certsDir: '' is empty",
        "5: istio.version: expected a string, saw a number (Put it in quotes)",
        "6: istio.revision: 'Canary' is not a DNS-1123 label",
        "7: istio.hub: 'bad hub' is not an image registry such as docker.io/istio",
        "8: istio.tag: expected a string, saw a list",
        "9: istio.color: is not a known key (Known here: version, revision, hub, tag)",
        "11: gatewayAPI.install: expected true or false, saw a string",
        "12: gatewayAPI.manifest: 'http://example.com/x' is not an https:// URL",
        "14: values.global.1: expected a string as key, saw a number (Put it in quotes)",
        f"17: clusters[0].id: 'KT_K2P' is not valid: expected {ID_RULE}",
        f"18: clusters[0].network: 'a b' is not valid: expected {NETWORK_RULE}",
        "19: clusters[0].gatewayAdress: is not a known key (Did you mean gatewayAddress?)",
        "21: clusters[0].gatewayAddress[0]: '198.18.0.300' is neither an IP address nor a host name",
        "22: clusters[0].gatewayAddress[1]: expected a string, saw a number",
        "23: clusters[0].apiServer: 'http://x' is not an https:// URL",
        "24: clusters[1].context: kt is already that of clusters[0] in line 16",
        "26: clusters[1].gatewayAddress: '127.0.0.1' is not reachable from other clusters",
        "27: clusters[1].apiServer.tlsServerName: 'a b' is neither an IP address nor a host name",
        "28: clusters[2]: has no context (Add context: NAME, as istio-mc contexts --offline lists it)",
        "29: clusters[2].network: n is already that of clusters[1] in line 25",
        "30: clusters[2].apiServer: expected a URL or a mapping, saw a list",
        "32: clusters[3].id: a is already that of clusters[2] in line 28",
        "33: clusters[3].values: expected a mapping, saw a list",
        f"34: clusters[4]: expected a mapping, saw a string (Known here: {CLUSTER_KEYS})",
        f"35: clusters[5]: expected a mapping, saw nothing (Known here: {CLUSTER_KEYS})",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("- a\n", f"1: expected a mapping, saw a list (Known here: {TOP_KEYS})"),
        ("", "1: kind: expected Mesh, saw nothing (Write kind: Mesh)"),
    ],
)
def test_a_file_with_other_content_is_reported(tmp_path: Path, text: str, fault: str) -> None:
    assert fault in faults_of(tmp_path, text, head="")


def test_yaml_that_cannot_be_read_is_reported_with_its_place(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, "a: [\n")
    assert "not YAML" in fault
    assert faults_of(tmp_path, "meshID: a\nmeshID: b\n") == [
        "4:1: meshID is also in line 3 (Remove one of the two)"
    ]


def test_lines_are_right_in_what_a_merge_key_brings_in(tmp_path: Path) -> None:
    text = "values: &v {a: 1}\nclusters:\n  - context: a\n    values: {<<: *v, 5: x}\n"
    assert faults_of(tmp_path, text)[0].startswith("6: clusters[0].values.5")


def test_values_may_be_anything_whose_keys_are_strings(tmp_path: Path) -> None:
    assert load(tmp_path, "values: {a: [{b: [1, null]}, c], d: null}\n").values == {
        "a": [{"b": [1, None]}, "c"],
        "d": None,
    }
    assert faults_of(tmp_path, "values:\n  a:\n    - b\n    - c:\n        true: x\n") == [
        "7: values.a[1].c.true: expected a string as key, saw a boolean (Put it in quotes)"
    ]


keys = st.sampled_from(
    [
        "apiVersion",
        "kind",
        "meshID",
        "istio",
        "version",
        "clusters",
        "context",
        "id",
        "gatewayAddress",
        "apiServer",
    ]
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


@given(anything)
def test_any_document_at_all_gives_settings_or_an_input_error(document: object) -> None:
    from pathlib import Path

    from istio_mc.domain.settings.parse import parse_settings

    problems: tuple[Problem, ...] = ()
    try:
        parse_settings(document, {}, Path("/m/mesh.yaml"))
    except InputError as error:
        problems = error.problems
    assert all(problem.message.startswith("/m/mesh.yaml:1: ") for problem in problems)


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_at_all_give_an_input_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "mesh.yaml").write_bytes(data)
    with pytest.raises(InputError):
        load_settings(None, tmp_path)


@pytest.mark.parametrize("good", ["198.18.0.21", "2001:db8::1", "gw.example.com", "GW", "a-1.b2"])
def test_addresses_are_ips_and_host_names(good: str) -> None:
    assert address_fault(good) is None


@pytest.mark.parametrize(
    "bad",
    ["", "1.2.3", "198.18.0.300", "a_b", "a b", "https://a", "a:80", "127.0.0.1", "0.0.0.0", "::1", "a..b"],  # noqa: S104
)
def test_other_texts_are_no_addresses(bad: str) -> None:
    assert address_fault(bad) is not None


@pytest.mark.parametrize(
    "good",
    ["https://1.2.3.4:6443", "https://[2001:db8::1]:6443", "https://a.b/k8s/clusters/c-1", "https://a"],
)
def test_api_servers_are_https_urls(good: str) -> None:
    assert https_url_fault(good) is None


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "a",
        "a:6443",
        "http://a",
        "https://",
        "https://a:x",
        "https://a:99999",
        "https://[::1",
        "https://me:pw@a",
        "https://a?x=1",
        "https://a#x",
        "https://a b",
        "https://1.2.3.400",
    ],
)
def test_other_texts_are_no_api_servers(bad: str) -> None:
    assert https_url_fault(bad) is not None


def test_assignments_are_read_in_order() -> None:
    found = parse_assignments(["kt=198.18.0.21", " a=b = c "], GATEWAY_ADDRESS)
    assert list(found.items()) == [("kt", "198.18.0.21"), ("a=b", "c")]
    assert parse_assignments([], API_SERVER) == {}


def test_malformed_assignments_are_refused_all_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_assignments(["kt", "=x", "a=", "b=1", "b=2"], API_SERVER)
    assert [problem.message for problem in caught.value.problems] == [
        "--api-server: 'kt' is not CONTEXT=VALUE",
        "--api-server: '=x' is not CONTEXT=VALUE",
        "--api-server: 'a=' is not CONTEXT=VALUE",
        "--api-server: b has two values: 1 and 2",
    ]
    assert str(caught.value.problems[0].hint) == "For example --api-server kt=https://203.0.113.7:6443"


def test_flags_win_over_the_file() -> None:
    from pathlib import Path

    file = ClusterSettings(
        "kt",
        "id",
        gateway_addresses=("1.1.1.1",),
        api_server=ApiServerSettings("https://a", Path("/ca"), "n"),
    )
    assert override(file) == file
    flags = override(
        file, gateway_address="2.2.2.2, gw.example.com", api_server=ApiServerSettings("https://b")
    )
    assert flags.gateway_addresses == ("2.2.2.2", "gw.example.com")
    assert flags.api_server == ApiServerSettings("https://b", Path("/ca"), "n")
    assert flags.id == "id"
    assert override(
        ClusterSettings("nhn"), api_server=ApiServerSettings("https://b")
    ).api_server == ApiServerSettings("https://b")
    with pytest.raises(InputError) as caught:
        override(file, gateway_address="x y,1.1.1.1", api_server=ApiServerSettings("b", None, "c d"))
    assert [problem.message for problem in caught.value.problems] == [
        "--gateway-address: 'x y' is neither an IP address nor a host name",
        "--api-server: 'b' is not an https:// URL",
        "--api-server-name: 'c d' is neither an IP address nor a host name",
    ]
