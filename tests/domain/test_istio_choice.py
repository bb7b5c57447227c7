"""Which Istio a mesh gets: pinned, what it runs, or the newest tested one that supports every cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from istio_mc.domain.istio.choice import IstioChoice, Servers, choose, gateway_api_of, istiod_version, running
from istio_mc.domain.istio.releases import EndOfLife, IstioRelease, ReleaseTable
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.observed import Observed

TODAY = date(2026, 11, 29)
ENDED, OVERDUE = ", but past its end of life", ", but past its expected end of life"
TABLE = ReleaseTable(
    read=date(2026, 11, 28),
    istio=(
        IstioRelease(
            (1, 26), date(2025, 5, 8), EndOfLife(date(2025, 12, 22)), newest="1.26.8", lab=("1.26.0",),
            oldest_kubernetes=(1, 29), newest_kubernetes=(1, 33), gateway_api="1.3.0",
        ),
        IstioRelease(
            (1, 28), date(2025, 11, 5), EndOfLife(date(2026, 7, 1)), newest="1.28.10",
            oldest_kubernetes=(1, 30), newest_kubernetes=(1, 34), gateway_api="1.4.1",
        ),
        IstioRelease(
            (1, 29), date(2026, 2, 16), EndOfLife(expected=date(2026, 8, 31)), newest="1.29.10",
            lab=("1.29.1",), oldest_kubernetes=(1, 31), newest_kubernetes=(1, 35), gateway_api="1.4.1",
        ),
        IstioRelease(
            (1, 30), date(2026, 5, 18), EndOfLife(expected=date(2026, 11, 30)), newest="1.30.8",
            lab=("1.30.1", "1.30.4"), oldest_kubernetes=(1, 32), newest_kubernetes=(1, 36),
            gateway_api="1.5.1",
        ),
        IstioRelease(
            (1, 31), date(2026, 8, 31), newest="1.31.4", lab=("1.31.0",), oldest_kubernetes=(1, 32),
            gateway_api="1.6.0",
        ),
        IstioRelease((1, 32), date(2026, 11, 25), newest="1.32.0"),
    ),
    kubernetes={(1, minor): date(2030, 1, 1) for minor in range(28, 38)},
)  # fmt: skip


def servers(*versions: str, silent: tuple[str, ...] = ()) -> Servers:
    return Servers({f"c{number}": version for number, version in enumerate(versions, 1)}, silent=silent)


def default(*versions: str, today: date | None = TODAY, silent: tuple[str, ...] = ()) -> IstioChoice:
    return choose(TABLE, servers(*versions, silent=silent), today)


class TestTheDefault:
    @pytest.mark.parametrize(
        ("versions", "text"),
        [
            (
                ("v1.32.3", "v1.33.1", "v1.34.0"),
                "Istio 1.31.4: newest supported minor for Kubernetes 1.32–1.34; tested with 1.31.0",
            ),
            (
                ("v1.33.13",) * 3,
                "Istio 1.31.4: newest supported minor for Kubernetes 1.33; tested with 1.31.0",
            ),
            (  # the upper bound of 1.31 is unknown: what 1.30 supports it is taken to support
                ("v1.36.1",),
                "Istio 1.31.4: newest supported minor for Kubernetes 1.36; tested with 1.31.0",
            ),
            (
                ("v1.31.0", "v1.35.2"),
                f"Istio 1.29.10: newest tested minor for Kubernetes 1.31–1.35{OVERDUE}; tested with 1.29.1",
            ),
            (
                ("v1.30.4", "v1.30.3"),
                f"Istio 1.26.8: newest tested minor for Kubernetes 1.30{ENDED}; tested with 1.26.0",
            ),
            (
                ("v1.32.3-gke.1", "v1.34.1+k3s1", "v1.33.0-eks-a737599"),
                "Istio 1.31.4: newest supported minor for Kubernetes 1.32–1.34; tested with 1.31.0",
            ),
        ],
    )
    def test_is_the_newest_tested_minor_that_supports_every_cluster(
        self, versions: tuple[str, ...], text: str
    ) -> None:
        chosen = default(*versions)
        assert str(chosen) == text
        assert chosen.problem is None
        assert chosen.is_default

    def test_is_a_supported_minor_rather_than_a_newer_one_past_its_end(self) -> None:
        ended = replace(TABLE.istio[4], end=EndOfLife(date(2026, 10, 1)))
        table = replace(TABLE, istio=(*TABLE.istio[:4], ended, TABLE.istio[5]))
        assert choose(table, servers("v1.33.0"), TODAY).version == "1.30.8"

    def test_depends_on_the_day_it_is_given(self) -> None:
        table = replace(TABLE, istio=TABLE.istio[:2])
        text = str(choose(table, servers("v1.33.0"), date(2025, 12, 22)))
        assert text == "Istio 1.26.8: newest supported minor for Kubernetes 1.33; tested with 1.26.0"
        assert "past its end of life" in str(choose(table, servers("v1.33.0"), date(2025, 12, 23)))

    def test_is_never_a_minor_that_was_not_tested(self) -> None:
        assert default("v1.34.0").version == "1.31.4"
        assert default("v1.30.0", "v1.33.0").version == "1.26.8"  # 1.28 supports both too

    def test_names_the_newest_tested_patch(self) -> None:
        table = replace(TABLE, istio=TABLE.istio[:4])
        assert choose(table, servers("v1.36.0"), TODAY).tested == "1.30.4"

    def test_is_the_tested_patch_where_no_newer_one_is_known(self) -> None:
        table = replace(TABLE, istio=(replace(TABLE.istio[0], newest=None),))
        assert choose(table, servers("v1.30.0"), TODAY).version == "1.26.0"

    def test_names_the_clusters_with_unknown_kubernetes_version(self) -> None:
        chosen = default("v1.32.3", "unknown", silent=("nhn",))
        assert chosen.reason == "newest supported minor for Kubernetes 1.32, c2, nhn unknown"

    def test_without_clusters_is_the_newest_supported_tested_minor(self) -> None:
        assert str(default()) == (
            "Istio 1.31.4: newest supported minor (no cluster was read); tested with 1.31.0"
        )

    def test_is_an_error_with_the_table_and_a_version_to_name_where_none_fits(self) -> None:
        problem = choose(
            TABLE, Servers({"kt": "v1.30.4", "ncloud": "v1.28.10", "nhn": "v1.30.3"}), TODAY
        ).problem
        assert problem
        assert problem.code == "istio-none-fits"
        assert problem.seen == "Kubernetes 1.28: ncloud; Kubernetes 1.30: kt, nhn"
        assert problem.expected == (
            "versions that one release supports (1.26: 1.29 to 1.33; 1.29: 1.31 to 1.35; 1.30: 1.32 to 1.36; "
            "1.31: 1.32 to unknown)"
        )
        assert str(problem.hint) == "name a version; 1.26.8 is the nearest: --istio-version 1.26.8"

    @pytest.mark.parametrize(
        ("versions", "nearest"),
        [
            (("v1.28.0",), "1.26.8"),
            (("v1.37.0",), "1.31.4"),
            (("v1.29.0", "v1.36.0"), "1.31.4"),
            (("v1.31.0", "v1.36.0"), "1.31.4"),
            (("v1.20.0",), "1.26.8"),
        ],
    )
    def test_the_version_to_name_is_the_nearest_tested_one(
        self, versions: tuple[str, ...], nearest: str
    ) -> None:
        chosen = default(*versions)
        assert chosen.problem
        assert chosen.version == nearest


class TestPinned:
    def test_is_taken_whatever_the_clusters_are(self) -> None:
        here = replace(servers("v1.28.10"), running={"c1": "1.30.4"})
        chosen = choose(TABLE, here, TODAY, pinned="1.26.0", by="--istio-version")
        assert str(chosen) == "Istio 1.26.0: set by --istio-version; tested with 1.26.0"
        assert (chosen.problem, chosen.warning, chosen.is_default) == (None, None, False)

    @pytest.mark.parametrize(
        ("version", "tested"),
        [
            ("1.30.1", "tested with 1.30.1"),
            ("1.30.8", "tested with 1.30.4"),
            ("1.28.0", "no patch of this minor was tested"),
            ("1.99.0", "no patch of this minor was tested"),
        ],
    )
    def test_is_shown_with_what_was_tested_of_its_minor(self, version: str, tested: str) -> None:
        assert str(choose(TABLE, Servers(), TODAY, pinned=version, by="x")).endswith(f"; {tested}")


class TestAMeshThatRunsOne:
    @pytest.mark.parametrize("version", ["1.26.0", "1.28.3", "1.33.1"])
    def test_keeps_its_own(self, version: str) -> None:
        here = replace(servers("v1.33.0", "v1.33.0"), running={"c1": version, "c2": version})
        chosen = choose(TABLE, here, TODAY)
        assert (chosen.version, chosen.reason) == (version, "used by the mesh")
        assert (chosen.problem, chosen.warning, chosen.is_default) == (None, None, False)

    def test_keeps_it_where_a_cluster_joins(self) -> None:
        here = replace(servers("v1.33.0", "v1.33.0"), running={"c1": "1.28.3"})
        assert choose(TABLE, here, TODAY).version == "1.28.3"

    def test_in_the_middle_of_an_upgrade_goes_on_to_the_newer_one(self) -> None:
        chosen = choose(TABLE, Servers(running={"kt": "1.29.10", "nhn": "1.30.4", "x": "1.29.9"}), TODAY)
        assert chosen.version == "1.30.4"
        assert chosen.reason == "newest version in the mesh (kt 1.29.10, nhn 1.30.4, x 1.29.9)"
        assert chosen.warning
        assert chosen.warning.code == "istio-versions-differ"

    def test_whose_version_cannot_be_read_needs_it_named(self) -> None:
        chosen = choose(TABLE, Servers(running={"kt": None}), TODAY)
        assert chosen.problem
        assert (chosen.problem.code, chosen.is_known) == ("istio-version-unknown", False)

    def test_with_an_unreadable_one_is_reported(self) -> None:
        chosen = choose(TABLE, Servers(running={"kt": None, "nhn": "1.30.4"}), TODAY)
        assert (chosen.version, chosen.problem) == ("1.30.4", None)
        assert chosen.warning
        assert chosen.warning.seen == "kt unknown, nhn 1.30.4"


def istiod(image: str, revision: str = "default", **labels: str) -> dict[str, Any]:
    name = "istiod" if revision == "default" else f"istiod-{revision}"
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "istio-system",
            "labels": {"app": "istiod", "istio.io/rev": revision, **labels},
        },
        "spec": {"template": {"spec": {"containers": [{"name": "discovery", "image": image}]}}},
    }


def cluster(*items: dict[str, Any], member: bool = True) -> Observed:
    labels = {"istio-mc/mesh-id": "mesh1"} if member else {}
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "istio-system", "labels": labels},
    }
    return Observed("v1.33.0", {ref_of(item): item for item in (namespace, *items)})


@pytest.mark.parametrize(
    ("image", "labels", "version"),
    [
        ("docker.io/istio/pilot:1.26.0", {}, "1.26.0"),
        ("docker.io/istio/pilot:1.31.0-distroless", {}, "1.31.0"),
        ("registry:5000/istio/pilot:1.31.0-rc.1", {}, "1.31.0-rc.1"),
        ("docker.io/istio/pilot:1.29.1@sha256:abc", {}, "1.29.1"),
        ("registry:5000/pilot", {"operator.istio.io/version": "1.27.2"}, "1.27.2"),
        ("r/pilot@sha256:abc", {"app.kubernetes.io/version": "1.27.3"}, "1.27.3"),
        ("r/pilot:latest", {"operator.istio.io/version": "unknown"}, None),
        ("r/pilot:ours-7", {}, None),
    ],
)
def test_an_istiods_version_is_its_images_else_a_labels(
    image: str, labels: dict[str, str], version: str | None
) -> None:
    assert istiod_version(istiod(image, **labels)) == version


class TestWhatTheMeshRuns:
    def test_is_what_its_members_run(self) -> None:
        observed = {
            "kt": cluster(istiod("istio/pilot:1.28.0")),
            "nhn": cluster(istiod("istio/pilot:1.31.0"), member=False),
            "bare": cluster(),
        }
        assert running(observed, "") == {"kt": "1.28.0"}

    def test_is_what_there_is_where_none_is_a_member_yet(self) -> None:
        observed = {"kt": cluster(istiod("istio/pilot:1.28.0"), member=False), "bare": cluster(member=False)}
        assert running(observed, "") == {"kt": "1.28.0"}

    def test_is_of_its_own_revision(self) -> None:
        both = cluster(istiod("istio/pilot:1.28.0"), istiod("istio/pilot:1.29.1", "canary"))
        assert running({"kt": both}, "") == {"kt": "1.28.0"}
        assert running({"kt": both}, "canary") == {"kt": "1.29.1"}

    def test_is_of_another_revision_where_its_own_is_not_there_yet(self) -> None:
        assert running({"kt": cluster(istiod("istio/pilot:1.28.0"))}, "canary") == {"kt": "1.28.0"}

    def test_is_nothing_without_an_istiod(self) -> None:
        assert running({"kt": cluster()}, "") == {}


@pytest.mark.parametrize(
    ("istio", "gateway_api"),
    [
        ("1.26.0", "1.3.0"), ("1.31.4", "1.6.0"), ("1.27.3", "1.3.0"), ("1.32.0", "1.6.0"),
        ("1.20.0", "1.3.0"), ("unknown", "1.6.0"),
    ],
)  # fmt: skip
def test_the_gateway_api_is_the_one_that_istio_is_built_with(istio: str, gateway_api: str) -> None:
    assert gateway_api_of(TABLE, istio) == gateway_api
