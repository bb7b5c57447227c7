"""Planning: which steps a cluster gets, in which order, and what is fetched or made for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from istio_mc.domain import plan
from istio_mc.domain.events import Event, State, silent
from istio_mc.domain.gateway.address import remote_gateway
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Ref, ref_of
from istio_mc.domain.links.state import Others
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.observed import Observed
from istio_mc.domain.plan import Step
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.settings.model import (
    ClusterSettings,
    GatewayApiSettings,
    IstioSettings,
    Settings,
    ToolsSettings,
)
from istio_mc.gateways.tools import manifests
from istio_mc.ops.install import manifest, prepare
from istio_mc.ops.install.planning import (
    ClusterPlan,
    IstioObjects,
    drift_before_link,
    istio_step,
    plan_cluster,
)
from istio_mc.ops.session import istio_version
from istio_mc.ops.session.run import Run
from istio_mc.ops.session.session import Session
from tests.support.sessions import changed
from tests.support.world import CHOICE, CLUSTERS, EC, MESH, objects_of, webhook

if TYPE_CHECKING:
    from istio_mc.domain.events import Progress
    from istio_mc.domain.istio.choice import IstioChoice
    from istio_mc.domain.kube.kubeconfig import Kubeconfig
    from istio_mc.domain.pki.certificates import KeySpec
    from istio_mc.gateways.host.ca_store import CaStore
    from istio_mc.gateways.istio.istioctl import Istioctl
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.ca.trust import Trust
    from istio_mc.ops.session.clusters import Clusters

KT = CLUSTERS["kt"]
SETTINGS = Settings(Path("/certs"))
CACERTS = Step(plan.CACERTS, ("missing",))
ISTIO = Step(plan.ISTIO, ("differs",))
CRD_NAME = "gateways.gateway.networking.k8s.io"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": CRD_NAME, "labels": {"of": "upstream"}},
}
STANDING = remote_gateway(CLUSTERS["nhn"], ["203.0.113.7"])


def observed(*more: dict[str, Any], gateway_api: bool = True, without: tuple[str, ...] = ()) -> Observed:
    """kt as an install leaves it, with more, and without objects of these names."""
    live = [item for item in objects_of("kt") if item["metadata"]["name"] not in without]
    live.append(webhook("Mutating", "istio-revision-tag-default", b""))
    live.append(webhook("Validating", "istio-revision-tag-default", b""))
    for item in live[-2:]:
        item["metadata"]["labels"]["istio.io/tag"] = "default"
    return Observed("v1.32.3", {ref_of(item): item for item in [*live, *more]}, gateway_api=gateway_api)


def session_with(
    settings: Settings = SETTINGS,
    *,
    progress: Progress = silent,
    kubeconfig: object = None,
    **clusters: object,
) -> Session:
    """A session with these settings, whose clusters have nothing but what is given."""
    run = Run(1.0, 1, progress, folder=Path("nowhere"))
    found = SimpleNamespace(**clusters)
    return Session(run, cast("Clusters", found), settings, cast("Kubeconfig", kubeconfig))


def trusted(cacerts: Step | None = None, reason: str | None = None) -> Trust:
    found = SimpleNamespace(
        steps={"kt": cacerts} if cacerts else {}, restarts={"kt": reason} if reason else {}
    )
    return cast("Trust", found)


class TestSteps:
    def plan(
        self, live: Observed, trust: Trust, *crds: dict[str, Any], istio: Step | None = None
    ) -> ClusterPlan:
        made = plan_cluster(MESH, KT, live, trust, istio, crds, [STANDING])
        assert (made.cluster, made.observed) == (KT, live)
        return made

    def planned(
        self, live: Observed, trust: Trust, *crds: dict[str, Any], istio: Step | None = None
    ) -> tuple[str, ...]:
        return tuple(step.name for step in self.plan(live, trust, *crds, istio=istio).steps)

    def test_a_cluster_gets_what_it_lacks_in_order_and_the_restart_right_after_its_certificates(
        self,
    ) -> None:
        live = observed(gateway_api=False, without=(SYSTEM_NAMESPACE, "cross-network-gateway"))
        assert self.planned(live, trusted(CACERTS, "they changed"), CRD, istio=ISTIO) == (
            "namespace", "cacerts", "restart", "istio", "expose", "gateway-api", "remote-gateways"
        )  # fmt: skip

    def test_what_a_cluster_has_is_reported_as_unchanged(self) -> None:
        events: list[Event] = []
        todo = self.plan(observed(STANDING), trusted())
        assert todo.steps == ()
        prepare._report_unchanged(session_with(progress=events.append).run, todo)
        assert events == [
            Event("kt", step, State.UNCHANGED)
            for step in ("namespace", "cacerts", "istio", "expose", "gateway-api")
        ]

    @pytest.mark.parametrize("is_ours", [True, False])
    def test_a_namespace_that_others_made_does_not_become_ours(self, *, is_ours: bool) -> None:
        live = observed(STANDING)
        labels = live.objects[Ref("", "Namespace", None, SYSTEM_NAMESPACE)]["metadata"]["labels"]
        del labels["topology.istio.io/network"]
        if not is_ours:
            del labels["app.kubernetes.io/managed-by"]
        (step,) = plan_cluster(MESH, KT, live, trusted(), None, [], []).steps
        assert step.name == plan.NAMESPACE
        desired = step.documents[0]["metadata"]["labels"]
        assert desired["topology.istio.io/network"] == KT.network
        assert ("app.kubernetes.io/managed-by" in desired) is is_ours

    def test_an_istiod_that_is_not_there_is_not_restarted(self) -> None:
        live = observed(STANDING, without=("istiod",))
        assert self.planned(live, trusted(CACERTS, "they changed")) == ("cacerts",)

    @pytest.mark.parametrize(
        ("has", "fetched", "steps"),
        [
            (True, True, ("remote-gateways",)),
            (True, False, ("remote-gateways",)),
            (False, True, ("gateway-api", "remote-gateways")),
            (False, False, ()),  # mesh.yaml keeps it away
        ],
    )
    def test_gateways_for_other_clusters_need_the_gateway_api(
        self, steps: tuple[str, ...], *, has: bool, fetched: bool
    ) -> None:
        assert self.planned(observed(gateway_api=has), trusted(), *[CRD] * fetched) == steps


class TestDrift:
    def drift(self, live: Observed, *, install: bool = True, istio: Step | None = ISTIO) -> tuple[str, ...]:
        # nhn's gateway is known to ncloud: a run would write it to kt too.
        seen = {"kt": live, "ncloud": Observed("v1.32.3", {ref_of(STANDING): STANDING}, gateway_api=True)}
        found = drift_before_link(MESH, CLUSTERS, seen, "kt", CACERTS, istio, gateway_api=install)
        return tuple(step.name for step in found)

    @pytest.mark.parametrize(
        ("has", "install", "steps"),
        [
            (True, True, ("remote-gateways",)),
            (True, False, ("remote-gateways",)),
            (False, True, ("gateway-api",)),
            (False, False, ()),
        ],
    )
    def test_is_what_an_install_would_do(self, steps: tuple[str, ...], *, has: bool, install: bool) -> None:
        assert self.drift(observed(gateway_api=has), install=install) == ("cacerts", "istio", *steps)

    def test_reports_nothing_of_istio_where_it_was_not_compared(self) -> None:
        assert self.drift(observed(STANDING), istio=None) == ("cacerts",)


class TestIstio:
    def step(self, live: Observed, revision: str = "", *made: dict[str, Any]) -> Step | None:
        """What is to be done where istioctl makes these objects."""
        mesh = replace(MESH, revision=revision)
        found = IstioObjects(made, live.objects) if live.find(objects.DEPLOYMENT, mesh.istiod) else None
        return istio_step(mesh, KT, live, found)

    def test_that_is_not_there_is_not_compared_and_no_file_is_written_for_it(self, tmp_path: Path) -> None:
        session = changed(session_with(), folder=tmp_path)
        live = observed(without=("istiod",))
        assert manifest.read_istio(session, MESH, KT, live, cast("Istioctl", None)) is None
        assert list(tmp_path.iterdir()) == []

    def test_that_is_as_desired_needs_nothing(self) -> None:
        assert self.step(observed()) is None

    def test_that_is_missing_is_installed(self) -> None:
        step = self.step(observed(without=("istiod",)))
        assert step is not None
        assert step.reasons == ("Deployment istiod is missing",)
        assert [str(ref) for ref in step.refs] == ["Deployment istio-system/istiod"]
        assert [document["kind"] for document in step.documents] == ["IstioOperator"]

    @pytest.mark.parametrize("kind", ["Mutating", "Validating"])
    def test_whose_default_tag_is_missing_is_finished_with_whatever_else_differs(self, kind: str) -> None:
        service: dict[str, Any] = {"apiVersion": "v1", "kind": "Service"}
        service["metadata"] = {"name": "istiod", "namespace": SYSTEM_NAMESPACE}
        live = observed()
        tag = next(ref for ref in live.objects if ref.kind.startswith(kind) and ref.name.endswith("default"))
        kept = {ref: one for ref, one in live.objects.items() if ref != tag}
        step = self.step(replace(live, objects=kept), "", service)
        assert step is not None
        assert step.reasons == (
            "Service istio-system/istiod is missing",
            f"{kind}WebhookConfiguration of revision tag default is missing",
        )
        assert step.refs == (ref_of(service), tag)
        assert [document["kind"] for document in step.documents] == ["IstioOperator"]

    def test_of_a_named_revision_has_no_default_tag(self) -> None:
        live = observed()
        tags = {ref for ref in live.objects if ref.name == "istio-revision-tag-default"}
        canary = objects_of("kt")[2]
        canary["metadata"]["name"] = "istiod-canary"
        kept = {ref: item for ref, item in live.objects.items() if ref not in tags}
        assert self.step(replace(live, objects={**kept, ref_of(canary): canary}), "canary") is None


class TestTheGatewayApi:
    @pytest.fixture
    def fetched(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
        calls: list[tuple[str, dict[str, Any]]] = []
        namespace = {"kind": "Namespace", "metadata": {"name": "of-upstream"}}

        def get(source: str, **given: Any) -> list[dict[str, Any]]:
            calls.append((source, given))
            return [namespace, CRD]

        monkeypatch.setattr(manifests, "documents", get)
        return calls

    def crds(self, live: dict[str, Observed], **gateway_api: Any) -> tuple[Session, list[dict[str, Any]]]:
        session = session_with(replace(SETTINGS, gateway_api=GatewayApiSettings(**gateway_api)))
        return session, prepare._gateway_api(session, live, CHOICE)

    SOME = {"kt": observed(gateway_api=True), "nhn": observed(gateway_api=False)}  # noqa: RUF012 - read only

    def test_its_crds_and_nothing_else_are_installed_with_the_label_by_which_an_uninstall_knows_them(
        self, fetched: list[tuple[str, dict[str, Any]]]
    ) -> None:
        session, found = self.crds(self.SOME, sha256="b")
        labels = {"of": "upstream", "app.kubernetes.io/managed-by": "istio-mc"}
        assert found == [{**CRD, "metadata": {"name": CRD_NAME, "labels": labels}}]
        ((source, given),) = fetched
        assert source.startswith("https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.3.0/")
        assert given == {"sha256": "b", "deadline": session.run.deadline, "progress": session.run.progress}

    def test_they_come_from_the_source_in_mesh_yaml(self, fetched: list[tuple[str, dict[str, Any]]]) -> None:
        session, _ = self.crds(self.SOME, manifest="/own.yaml", sha256="a")
        given = {"sha256": "a", "deadline": session.run.deadline, "progress": session.run.progress}
        assert fetched == [("/own.yaml", given)]

    @pytest.mark.parametrize(
        ("live", "install"), [({"kt": observed()}, True), ({"kt": observed(gateway_api=False)}, False)]
    )
    def test_nothing_is_fetched_where_every_cluster_has_it_or_mesh_yaml_keeps_it_away(
        self, fetched: list[tuple[str, dict[str, Any]]], live: dict[str, Observed], *, install: bool
    ) -> None:
        assert self.crds(live, install=install)[1] == []
        assert fetched == []


@pytest.mark.parametrize(
    ("bare", "dry_run", "keys"), [(True, False, 4), (True, True, 0), (False, False, 0), (False, True, 0)]
)
def test_keys_are_made_ahead_for_the_root_and_each_cluster_of_a_mesh_without_a_root(
    monkeypatch: pytest.MonkeyPatch, keys: int, *, bare: bool, dry_run: bool
) -> None:
    made: list[tuple[KeySpec, int]] = []
    monkeypatch.setattr(prepare, "SpareKeys", lambda *given: made.append(given))
    monkeypatch.setattr(prepare, "is_bare", lambda _store: bare)
    store = cast("CaStore", SimpleNamespace(read=lambda: None))
    session = session_with(contexts=(1, 2, 3))
    prepare._keys_ahead(session, store, cast("CaOptions", SimpleNamespace(key=EC)), dry_run=dry_run)
    assert made == [(EC, keys)]


class TestClustersOutsideTheRun:
    LABELS: tuple[dict[str, str], ...] = (
        {"topology.istio.io/network": "network7", "istio-mc/cluster-id": "seven"},
        {"topology.istio.io/network": "network8"},
        {"istio-mc/cluster-id": "nine"},
        {},
    )

    def others(self, *clusters: ClusterSettings) -> tuple[list[str], Others]:
        queried: list[str] = []

        def labels_around(contexts: list[Any]) -> tuple[dict[str, str], ...]:
            queried.extend(context.name for context in contexts)
            return self.LABELS

        contexts = [SimpleNamespace(name=name) for name in ("kt", "other")]
        session = session_with(
            replace(SETTINGS, clusters=clusters),
            kubeconfig=SimpleNamespace(contexts=contexts),
            names=("kt",),
            labels_around=labels_around,
        )
        return queried, prepare._others(session)

    def test_their_networks_are_taken(self) -> None:
        for clusters in ((), (ClusterSettings("kt", network="network1"), ClusterSettings("nhn"))):
            queried, found = self.others(*clusters)
            assert queried == ["other"]
            assert found == Others(frozenset({"network7", "network8"}), frozenset({"seven"}))

    def test_they_are_not_queried_where_mesh_yaml_sets_the_network_of_every_cluster(self) -> None:
        assert self.others(ClusterSettings("kt", network="network1")) == ([], Others())


class TestTheVersion:
    TODAY = date(2026, 1, 1)
    BEFORE = Problem(code=Code.RELEASES_OLD, message="before")

    def chosen(self, session: Session, live: dict[str, Observed], choice: IstioChoice) -> IstioChoice:
        """What is chosen, where that is the choice for these clusters."""

        def decide(*given: object) -> IstioChoice:
            assert given == (session, live, self.TODAY)
            return choice

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(istio_version, "decide", decide)
            return prepare._chosen(session, live, self.TODAY)

    def test_is_not_chosen_where_no_cluster_can_be_read(self) -> None:
        session = session_with(unusable={"kt": (self.BEFORE,)})
        with pytest.raises(ProblemError) as error:
            self.chosen(session, {}, CHOICE)
        assert error.value.problems == (self.BEFORE,)

    @pytest.mark.parametrize(("pinned", "live"), [(None, {"kt": observed()}), ("1.26.0", {})])
    def test_is_chosen_where_a_cluster_can_be_read_or_mesh_yaml_names_it(
        self, pinned: str | None, live: dict[str, Observed]
    ) -> None:
        settings = replace(SETTINGS, istio=IstioSettings(version=pinned))
        assert self.chosen(session_with(settings, unusable={}), live, CHOICE) is CHOICE

    def test_has_to_be_named_where_none_fits(self) -> None:
        with pytest.raises(InputError):
            self.chosen(session_with(), {"kt": observed()}, replace(CHOICE, problem=self.BEFORE))


class TestIstioctl:
    @pytest.fixture(autouse=True)
    def found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The one that is found is of 1.27.0, wherever it is looked for."""

        def find(
            _environment: object, bin_dir: Path | None, desired: str, deadline: float
        ) -> SimpleNamespace:
            assert (bin_dir, deadline) == (Path("/bin"), 9.0)
            assert desired in {"1.20.0", "1.26.0", "1.27.0"}
            if desired == "1.20.0":
                raise ProblemError(Problem(code=Code.ISTIOCTL_MISSING, message="there is none"))
            return SimpleNamespace(version="1.27.0", path=Path("/bin/istioctl"))

        monkeypatch.setattr(manifest, "find_istioctl", find)

    SETTINGS = replace(SETTINGS, tools=ToolsSettings(bin_dir=Path("/bin")))

    def refusal(self, choice: IstioChoice | None) -> Problem:
        with pytest.raises(InputError) as error:
            manifest.istioctl_of("1.26.0", self.SETTINGS, 9.0, choice)
        return error.value.problems[0]

    def test_of_the_meshs_version_is_used(self) -> None:
        assert manifest.istioctl_of("1.27.0", self.SETTINGS, 9.0).path == Path("/bin/istioctl")

    def test_of_another_version_is_refused_with_the_reason_for_the_version(self) -> None:
        assert self.refusal(None).expected == "1.26.0"
        pinned = self.refusal(CHOICE)
        assert pinned.expected == f"1.26.0 ({CHOICE.reason})"
        assert str(pinned.hint) == "istio-mc tools install istioctl --istioctl 1.26.0"

    def test_of_another_version_than_the_one_chosen_by_default_may_be_pinned(self) -> None:
        problem = self.refusal(replace(CHOICE, is_default=True))
        assert str(problem.hint).endswith("--istio-version 1.27.0")

    @pytest.mark.parametrize(
        ("version", "is_there"), [("1.27.0", True), ("1.26.0", False), ("1.20.0", False)]
    )
    def test_is_at_hand_where_there_is_one_of_the_meshs_version(
        self, version: str, *, is_there: bool
    ) -> None:
        found = manifest.istioctl_at_hand(replace(MESH, version=version), self.SETTINGS, 9.0)
        assert (found is not None) is is_there
