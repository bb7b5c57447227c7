"""`istio-mc bundle`: what is in the archive, what never is, and how the verb ends."""

from __future__ import annotations

import base64
import io
import json
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from istio_mc.ops.bundle import folders
from tests.conftest import Ran
from tests.support.bundles import contents
from tests.support.fake_api import FakeApi, Reply, free_port, write_kubeconfig
from tests.support.world import ca_certs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Run = Callable[..., Ran]
SYSTEM = "/api/v1/namespaces/istio-system"
PASSWORD = "Sesame-open-7"  # noqa: S105 - planted, to be looked for
KEY = ca_certs("kt").ca_key.decode()
POD = {
    "metadata": {"name": "istiod-1", "namespace": "istio-system", "labels": {"app": "istiod"}},
    "spec": {
        "containers": [
            {
                "name": "discovery",
                "env": [
                    {"name": "DB_PASSWORD", "value": PASSWORD},
                    {"name": "CLUSTER_ID", "value": "kt-k2p"},
                ],
            }
        ]
    },
    "status": {
        "phase": "Running",
        "containerStatuses": [{"name": "discovery", "restartCount": 1}],
    },
}
SECRET = {
    "metadata": {"name": "opaque", "namespace": "istio-system"},
    "data": {"x": base64.b64encode(b"only-known-by-its-value").decode()},
}
CONFIG = {
    "metadata": {"name": "mesh", "namespace": "istio-system"},
    "data": {"mesh": f"key: |\n{KEY}\nrootNamespace: istio-system\n"},
}


@pytest.fixture
def istiod() -> Iterator[FakeApi]:
    """What listens on the ports of istiod's pod."""
    with FakeApi().serve() as server:
        server.on("/debug/syncz", [])
        server.on("/debug/clusterz", [])
        server.on("/debug/mesh", {"trustDomain": "cluster.local", "token": PASSWORD})
        yield server


@pytest.fixture
def config(api: FakeApi, istiod: FakeApi, tmp_path: Path) -> Path:
    """A kubeconfig with a cluster that answers; secrets stand in many of its answers."""
    api.on("/version", {"gitVersion": "v1.32.3"})
    api.on(f"{SYSTEM}/pods", {"items": [POD]})
    api.on(f"{SYSTEM}/secrets", {"items": [SECRET]})
    api.on(f"{SYSTEM}/configmaps", {"items": [CONFIG]})
    api.on(f"{SYSTEM}/events", {"items": [{"metadata": {"name": "e"}, "message": "only-known-by-its-value"}]})
    api.on(f"{SYSTEM}/pods/istiod-1/log", Reply(f"starting\ntoken={PASSWORD}\n{KEY}\nready\n".encode()))
    api.on(
        "/apis",
        {
            "groups": [
                {
                    "name": "networking.istio.io",
                    "preferredVersion": {"groupVersion": "networking.istio.io/v1"},
                }
            ]
        },
    )
    api.on(
        "/apis/networking.istio.io/v1",
        {"resources": [{"name": "gateways", "kind": "Gateway", "verbs": ["list"]}]},
    )
    api.on(
        "/apis/networking.istio.io/v1/gateways",
        {"items": [{"metadata": {"name": "web", "namespace": "shop"}}]},
    )
    port = ("127.0.0.1", int(istiod.url.rpartition(":")[2]))
    api.on_forward("istio-system", "istiod-1", p15014=port)
    return write_kubeconfig(tmp_path / "kt.yaml", {"kt": api.url})


def arguments(config: Path, *more: str) -> tuple[str, ...]:
    return ("bundle", "--kubeconfig", str(config), "--contexts", "kt", "-f", "b.tar.gz", *more)


def test_holds_what_a_ticket_needs(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    done = istio_mc(*arguments(config))

    assert done.code == 0, done.err
    found = contents(tmp_path / "b.tar.gz")
    kt = "clusters/kt"
    assert {"README.txt", "index.json", "verify.json", "report.html"} <= set(found)
    assert json.loads(found["verify.json"])["command"] == "verify"
    assert found[f"{kt}/version.txt"] == "v1.32.3\n"
    assert "CLUSTER_ID" in found[f"{kt}/istio-system/pods.yaml"]
    assert found[f"{kt}/istio-system/logs/istiod-1/discovery.log"].startswith("starting\n")
    assert f"{kt}/istio-system/logs/istiod-1/discovery.previous.log" in found
    assert "name: web" in found[f"{kt}/configuration/networking.istio.io/gateways.yaml"]
    assert "trustDomain" in found[f"{kt}/istiod/istiod-1/mesh.json"]


def test_no_secret_is_in_it(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    istio_mc(*arguments(config))
    everything = "\n".join(contents(tmp_path / "b.tar.gz").values())

    for planted in (PASSWORD, "only-known-by-its-value", "token-of-kt", *KEY.splitlines()[1:-1]):
        assert planted not in everything
        assert base64.b64encode(planted.encode()).decode().rstrip("=")[:-1] not in everything


@pytest.mark.thorough
def test_the_index_lists_redacted_and_missing_parts(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    done = istio_mc(*arguments(config, "-o", "json"))
    index = json.loads(contents(tmp_path / "b.tar.gz")["index.json"])

    (cluster,) = index["clusters"]
    missing = {entry["file"]: entry["code"] for entry in cluster["missing"]}
    assert missing["istiod/istiod-1/networkz.json"] == "stream-failed"
    listed = {f"clusters/kt/{file['path']}": file["bytes"] for file in cluster["files"]}
    written = {name: len(text.encode()) for name, text in contents(tmp_path / "b.tar.gz").items()}
    assert listed == {name: size for name, size in written.items() if name.startswith("clusters/")}
    assert index["redactions"] == done.envelope["data"]["redactions"]
    assert index["redactions"]["private key"] >= 2


@pytest.mark.thorough
def test_is_readable_by_its_owner_alone_and_leaves_nothing_else(
    istio_mc: Run, config: Path, tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    istio_mc(*arguments(config))

    assert set(tmp_path.iterdir()) - before == {tmp_path / "b.tar.gz"}
    assert stat.S_IMODE((tmp_path / "b.tar.gz").stat().st_mode) == 0o600


@pytest.mark.thorough
def test_no_request_is_made_twice(istio_mc: Run, config: Path, api: FakeApi) -> None:
    istio_mc(*arguments(config))

    reads = [call for call in api.calls if call[0] == "GET" and "portforward" not in call[1]]
    assert len(reads) == len(set(reads))


@pytest.mark.thorough
def test_logs_go_as_far_back_as_requested(istio_mc: Run, config: Path, api: FakeApi) -> None:
    istio_mc(*arguments(config, "--since", "2h", "--lines", "7"))

    (path,) = [path for _, path in api.calls if "/log?" in path and "previous" not in path]
    assert "sinceSeconds=7200" in path
    assert "tailLines=7" in path


def test_a_cluster_that_does_not_answer_is_a_note_in_it(
    istio_mc: Run, config: Path, api: FakeApi, tmp_path: Path
) -> None:
    assert config.exists()
    servers = {"kt": api.url, "nhn": f"http://127.0.0.1:{free_port()}"}
    both = write_kubeconfig(tmp_path / "both.yaml", servers)

    done = istio_mc("bundle", "--kubeconfig", both, "--contexts", "kt,nhn", "-f", "b.tar.gz", "-o", "json")

    assert done.code == 3
    assert [(error["code"], error["cluster"]) for error in done.envelope["errors"]] == [
        ("cluster-unreachable", "nhn")
    ]
    index = json.loads(contents(tmp_path / "b.tar.gz")["index.json"])
    nhn = {cluster["name"]: cluster for cluster in index["clusters"]}["nhn"]
    assert nhn["reachable"] is False
    assert [problem["code"] for problem in nhn["problems"]] == ["cluster-unreachable"]


@pytest.mark.thorough
def test_writes_over_nothing(istio_mc: Run, config: Path, tmp_path: Path, api: FakeApi) -> None:
    (tmp_path / "b.tar.gz").write_text("mine")

    done = istio_mc(*arguments(config))

    assert done.code == 2
    assert (tmp_path / "b.tar.gz").read_text() == "mine"
    assert api.calls == []


@pytest.mark.thorough
def test_writes_over_a_file_with_force(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    (tmp_path / "b.tar.gz").write_text("mine")

    assert istio_mc(*arguments(config, "--force")).code == 0
    assert contents(tmp_path / "b.tar.gz")


@pytest.mark.thorough
def test_the_default_file_name_contains_the_time(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    done = istio_mc("bundle", "--kubeconfig", config, "--contexts", "kt", "-o", "json")

    (made,) = tmp_path.glob("istio-mc-bundle-*.tar.gz")
    assert done.envelope["data"]["file"] == made.name
    with tarfile.open(made) as archive:
        assert archive.getnames()[0] == made.name.removesuffix(".tar.gz")


@pytest.mark.thorough
def test_a_dash_is_standard_output(config: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "istio_mc", *arguments(config)[:-2], "-f", "-"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=True,
    )

    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert any(name.endswith("/index.json") for name in archive.getnames())


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("contexts", "expected"),
    [
        (["kt", "user@cluster:6443"], ["clusters/kt", "clusters/user_cluster_6443"]),
        (["../../evil", "."], ["clusters/_.._evil", "clusters/_"]),
        (["a/b", "a_b", "a:b"], ["clusters/a_b", "clusters/a_b-2", "clusters/a_b-3"]),
    ],
)
def test_names_of_contexts_stay_within_the_bundle(contexts: list[str], expected: list[str]) -> None:
    assert list(folders(contexts).values()) == expected


@pytest.mark.thorough
def test_what_own_patterns_match_is_nowhere_in_it(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    done = istio_mc(*arguments(config, "--redact", "discovery", "--redact", "(?i)SHOP", "-o", "json"))

    assert done.code == 0, done.err
    found = contents(tmp_path / "b.tar.gz")
    assert [path for path, text in found.items() if "discovery" in path + text or "shop" in text] == []
    assert "name: web" in found["clusters/kt/configuration/networking.istio.io/gateways.yaml"]
    assert done.envelope["data"]["redactions"]["own pattern"] >= 3


@pytest.mark.thorough
def test_a_pattern_that_is_none_is_refused_before_anything_is_read(
    istio_mc: Run, config: Path, tmp_path: Path, api: FakeApi
) -> None:
    done = istio_mc(*arguments(config, "--redact", "a(b", "--redact", "c,", "-o", "json"))

    assert done.code == 2
    (error,) = done.envelope["errors"]
    assert error["seen"] == "missing ), unterminated subpattern at position 1"
    assert not (tmp_path / "b.tar.gz").exists()
    assert api.calls == []
