"""tools list: which program would be used, and which clusters it fits."""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from istio_mc.domain.istio import releases
from istio_mc.domain.istio.releases import OLD_AFTER_DAYS, Support
from istio_mc.domain.problem import InputError
from istio_mc.domain.settings.model import (
    Digests,
    GatewayApiSettings,
    HelmSettings,
    IstioctlSettings,
    IstioSettings,
    KubectlSettings,
    ManifestSettings,
    Settings,
    ToolsSettings,
)
from istio_mc.domain.tools import Tool, artifact
from istio_mc.gateways.istio.releases import release_table
from istio_mc.gateways.tools.cache import Cache
from istio_mc.gateways.tools.find import own_platform
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.tools.listing import ListResult, listed
from istio_mc.present.tools import listed as report
from tests.support.fake_api import FakeApi, free_port, kubeconfig
from tests.support.mirror import CRDS, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TODAY = date(2026, 5, 1)


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Three clusters, of which one does not answer; their kubeconfig is written."""
    with FakeApi().serve() as old, FakeApi().serve() as new:
        old.on("/version", {"gitVersion": "v1.28.10"})
        new.on("/version", {"gitVersion": "v1.31.4"})
        servers = {"kt": old.url, "nhn": new.url, "ncloud": f"http://127.0.0.1:{free_port()}"}
        (tmp_path / "config").write_text(json.dumps(kubeconfig(servers)))
        yield servers


def put(path: Path, tool: Tool, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(program(tool, version))
    path.chmod(0o755)
    return path


def run(
    folder: Path,
    *contexts: str,
    istio: str = "1.26.0",
    today: date = TODAY,
    inputs: Inputs | None = None,
    bin_dir: Path | None = None,
) -> ListResult:
    return listed(
        inputs or Inputs(kubeconfig=str(folder / "config"), contexts=contexts, timeout_s=20),
        Settings(certs_dir=folder, istio=IstioSettings(version=istio)),
        Cache(folder / "cache"),
        {"PATH": str(folder / "path")},
        today,
        release_table(),
        bin_dir=bin_dir,
    )


def codes(result: ListResult) -> list[tuple[str, str | None]]:
    return [(problem.code, problem.cluster) for problem in result.warnings]


@pytest.mark.parametrize(
    ("istio", "known"),
    [
        ("1.26.0", {"istio-defects", "istio-security"}),
        ("1.30.3", {"istio-defects", "istio-security"}),
        ("1.31.4", set()),
    ],
)
def test_known_defects_of_the_chosen_istio_are_a_warning(tmp_path: Path, istio: str, known: set[str]) -> None:
    hazards = {"istio-defects", "istio-security", "hub-switched-off"}
    assert {code for code, _ in codes(run(tmp_path, istio=istio))} & hazards == known


def test_the_program_that_would_be_used_is_reported_with_its_origin(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    kubectl = put(tmp_path / "bin/kubectl", Tool.KUBECTL, "1.32.3")
    helm = put(tmp_path / "path/helm", Tool.HELM, "3.16.4")
    istioctl = put(cache.program(Tool.ISTIOCTL, "1.26.0", own_platform()), Tool.ISTIOCTL, "1.26.0")
    result = run(tmp_path, bin_dir=tmp_path / "bin")
    shown = report(result).data["tools"]
    assert [{k: v for k, v in one.items() if k not in ("digest", "pinnedSha256")} for one in shown] == [
        tool("kubectl", "1.32.3", str(kubectl), "bin-dir"),
        tool("helm", "3.16.4", str(helm), "PATH"),
        tool("istioctl", "1.26.0", str(istioctl), "cache"),
        tool("gateway-api", "1.3.0", None, None),
    ]


def tool(name: str, desired: str, path: str | None, origin: str | None) -> dict[str, object]:
    return {
        "name": name,
        "desired": desired,
        "version": desired if path else None,
        "path": path,
        "origin": origin,
        "matches": path is not None,
    }


def digests(folder: Path, settings: Settings | None = None) -> dict[str, str]:
    """What `tools list` says of each file's digest, in JSON; the table says the same in words."""
    cache, env = Cache(folder / "cache"), {"PATH": str(folder / "path")}
    inputs = Inputs(kubeconfig=str(folder / "config"), timeout_s=20)
    made = report(listed(inputs, settings or Settings(certs_dir=folder), cache, env, TODAY, release_table()))
    text = StringIO()
    made.render(Console(file=text, width=400))
    words = {"pinned": "pinned", "published": "published with it", "not-verified": "not verified"}
    for one, row in zip(made.data["tools"], text.getvalue().splitlines()[1:5], strict=True):
        assert f"  {words[one['digest']]}  " in row
    return {one["name"]: one["digest"] for one in made.data["tools"]}


class TestTheDigestOfEachFile:
    def test_is_pinned_published_or_not_verified(self, tmp_path: Path) -> None:
        assert digests(tmp_path) == {
            "kubectl": "pinned",
            "helm": "pinned",
            "istioctl": "published",
            "gateway-api": "not-verified",
        }

    def test_can_be_pinned_in_mesh_yaml_for_each(self, tmp_path: Path) -> None:
        every = Digests(*["a" * 64] * 4)
        pinned = ToolsSettings(
            kubectl=KubectlSettings("1.31.0", sha256=every),
            helm=HelmSettings("3.15.0", sha256=every),
            istioctl=IstioctlSettings(sha256=every),
            gateway_api=ManifestSettings(sha256="a" * 64),
        )
        settings = Settings(certs_dir=tmp_path, tools=pinned)
        assert set(digests(tmp_path, settings).values()) == {"pinned"}

    def test_of_another_version_is_not_the_one_known_here(self, tmp_path: Path) -> None:
        settings = Settings(certs_dir=tmp_path, tools=ToolsSettings(helm=HelmSettings("3.15.0")))
        assert digests(tmp_path, settings)["helm"] == "published"

    def test_of_a_program_from_elsewhere_is_not_verified(self, tmp_path: Path) -> None:
        put(tmp_path / "path/helm", Tool.HELM, "3.16.4")
        assert digests(tmp_path)["helm"] == "not-verified"

    @pytest.mark.parametrize(("file_sha256", "expected"), [(None, "pinned"), ("b" * 64, "published")])
    def test_of_an_installed_program_is_the_one_it_was_installed_with(
        self, tmp_path: Path, file_sha256: str | None, expected: str
    ) -> None:
        path = put(tmp_path / "path/helm", Tool.HELM, "3.16.4")
        item = artifact(Tool.HELM, "3.16.4", own_platform())
        Cache(tmp_path / "cache").remember_program(item.url, str(file_sha256 or item.sha256), path)
        assert digests(tmp_path)["helm"] == expected

    @pytest.mark.parametrize(
        ("sha256", "expected"), [(hashlib.sha256(CRDS).hexdigest(), "pinned"), (None, "not-verified")]
    )
    def test_of_kept_crds_is_pinned_only_where_they_match(
        self, tmp_path: Path, sha256: str | None, expected: str
    ) -> None:
        cache = Cache(tmp_path / "cache")
        kept = cache.manifest(artifact(Tool.GATEWAY_API, "1.3.0", own_platform()).url)
        cache.make_folder(kept.parent)
        kept.write_bytes(CRDS)
        pinned = GatewayApiSettings(sha256=sha256)
        assert digests(tmp_path, Settings(certs_dir=tmp_path, gateway_api=pinned))["gateway-api"] == expected


def test_manifests_are_found_in_the_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    url = "https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.3.0/standard-install.yaml"
    cache.make_folder(cache.manifest(url).parent)
    cache.manifest(url).write_bytes(CRDS)
    assert run(tmp_path).tools[3].manifest == cache.manifest(url)


def test_missing_programs_are_reported_with_one_command(tmp_path: Path) -> None:
    put(tmp_path / "path/helm", Tool.HELM, "3.16.4")
    (missing,) = [p for p in run(tmp_path, today=date(2025, 6, 1)).warnings if p.code == "tools-missing"]
    assert missing.message == "not installed: kubectl 1.32.3, istioctl 1.26.0, gateway-api 1.3.0"
    assert str(missing.hint) == "istio-mc tools install kubectl istioctl gateway-api"


def test_another_version_than_desired_is_reported(tmp_path: Path) -> None:
    path = put(tmp_path / "path/istioctl", Tool.ISTIOCTL, "1.25.0")
    (other,) = [p for p in run(tmp_path).warnings if p.code == "tool-version"]
    assert (other.seen, other.expected) == (f"{path}: 1.25.0", "1.26.0")


def test_without_clusters_none_is_queried_and_that_is_reported(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.clusters == ()
    assert result.not_read == f"no kubeconfig: {tmp_path}/config does not exist"
    assert report(result).data["notRead"] == result.not_read


def test_clusters_that_are_no_members_are_not_taken(tmp_path: Path, clusters: dict[str, str]) -> None:
    assert clusters
    assert run(tmp_path).not_read == "no cluster of the kubeconfig is a member of a mesh"


def test_a_cluster_that_is_named_must_be_there(tmp_path: Path, clusters: dict[str, str]) -> None:
    assert clusters
    with pytest.raises(InputError, match="none"):
        run(tmp_path, "none")


def test_each_cluster_shows_whether_kubectl_and_istio_fit_it(
    tmp_path: Path, clusters: dict[str, str]
) -> None:
    put(tmp_path / "path/kubectl", Tool.KUBECTL, "1.32.3")
    result = run(tmp_path, *clusters)
    assert {c.context: (c.server, c.skew, c.support) for c in result.clusters} == {
        "kt": ("v1.28.10", 4, Support.TOO_OLD),
        "nhn": ("v1.31.4", 1, Support.SUPPORTED),
        "ncloud": (None, None, Support.UNKNOWN),
    }


def test_incompatible_versions_are_a_warning_of_that_cluster(
    tmp_path: Path, clusters: dict[str, str]
) -> None:
    put(tmp_path / "path/kubectl", Tool.KUBECTL, "1.32.3")
    result = run(tmp_path, *clusters)
    assert [code for code in codes(result) if code[1]] == [
        ("kubectl-skew", "kt"),
        ("kubernetes-too-old", "kt"),
        ("cluster-unreachable", "ncloud"),
    ]
    skew, too_old = [problem for problem in result.warnings if problem.cluster == "kt"]
    assert skew.message == "kubectl is 4 minors newer than the API server"
    assert str(skew.hint) == "istio-mc tools install kubectl --kubectl 1.28.10"
    assert (too_old.seen, too_old.expected, too_old.hint) == (
        "v1.28.10",
        "Kubernetes 1.29 to 1.33",
        None,
    )


def test_an_istio_that_fits_and_is_maintained_is_named(tmp_path: Path, clusters: dict[str, str]) -> None:
    result = run(tmp_path, *clusters, istio="1.24.0", today=date(2025, 6, 1))
    assert ("kubernetes-too-old", "nhn") not in codes(result)
    newer = run(tmp_path, *clusters, istio="1.30.0", today=date(2026, 4, 10))
    (problem,) = [p for p in newer.warnings if (p.code, p.cluster) == ("kubernetes-too-old", "nhn")]
    assert str(problem.hint) == "supported releases that fit: 1.28.10, 1.29.10"


@pytest.mark.parametrize(
    ("istio", "today", "code"),
    [
        ("1.26.0", date(2025, 12, 22), None),
        ("1.26.0", date(2025, 12, 23), "istio-end-of-life"),
        ("1.29.1", date(2026, 10, 12), None),  # the expected month has passed, the policy's day has not
        ("1.29.1", date(2026, 10, 13), "istio-end-of-life-expected"),
        ("1.31.0", date(2030, 1, 1), None),  # no source has an end of it
    ],
)
def test_an_istio_past_its_end_of_life_is_a_warning(
    tmp_path: Path, istio: str, today: date, code: str | None
) -> None:
    found = [one for one, _ in codes(run(tmp_path, istio=istio, today=today)) if one.startswith("istio-end")]
    assert found == ([code] if code else [])


def test_a_table_that_is_too_old_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "OLD_AFTER_DAYS", OLD_AFTER_DAYS)
    read = release_table().read
    old = ("releases-old", None)
    assert old not in codes(run(tmp_path, today=read + timedelta(days=90)))
    result = run(tmp_path, today=read + timedelta(days=91))
    (problem,) = [one for one in result.warnings if one.code == "releases-old"]
    assert problem.message == "the table of Istio releases is 91 days old"


def test_an_istio_the_table_does_not_have_is_a_warning(tmp_path: Path) -> None:
    assert ("istio-unknown", None) in codes(run(tmp_path, istio="1.99.0"))


def test_the_table_of_releases_is_part_of_the_data(tmp_path: Path) -> None:
    data = report(run(tmp_path)).data
    releases = {one["release"]: one for one in data["istioReleases"]}
    assert releases["1.26"] == {
        "release": "1.26",
        "newest": "1.26.8",
        "kubernetes": {"oldest": "1.29", "newest": "1.33"},
        "endOfLife": "2025-12-22",
        "expectedEndOfLife": None,
        "expired": True,
        "gatewayAPI": "1.3.0",
        "tested": ["1.26.0"],
    }
    assert (releases["1.29"]["endOfLife"], releases["1.29"]["expectedEndOfLife"]) == (None, "2026-10-12")
    assert releases["1.32"]["kubernetes"] == {"oldest": None, "newest": None}
    assert {"release": "1.31", "endOfLife": "2025-11-11", "expired": True} in data["kubernetesReleases"]
    assert data["releasesRead"] == release_table().read.isoformat()
