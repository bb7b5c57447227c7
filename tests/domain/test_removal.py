"""removal.plan: what an uninstall deletes in one cluster, and what it leaves, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain import lease, removal
from istio_mc.domain.istio.operator import operator_name
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind, ref_of
from istio_mc.domain.mesh import Mesh
from istio_mc.domain.observed import Observed

if TYPE_CHECKING:
    from collections.abc import Sequence

SYSTEM = "istio-system"
OURS = {"app.kubernetes.io/managed-by": "istio-mc"}
REMOTE = {"istio/multiCluster": "true"}
MESH = Mesh("mesh1", "1.26.0")


def made(kind: Kind, name: str, labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": labels or {}}
    if kind.namespaced:
        metadata["namespace"] = SYSTEM
    metadata |= more.pop("metadata", {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **more}


def planned(
    *live: dict[str, Any],
    manifest: tuple[dict[str, Any], ...] = (),
    ids: tuple[str, ...] = ("kt-k2p", "nhn-nks"),
    users: dict[str, Sequence[str]] | None = None,
    mesh: Mesh = MESH,
) -> removal.Removal:
    observed = Observed("v1.32.3", {ref_of(item): item for item in live})
    return removal.plan(mesh, observed, manifest, ids, users or {})


def names(going: tuple[removal.Deletion, ...]) -> list[str]:
    return [str(item) for item in going]


def reasons(found: removal.Removal) -> dict[str, str]:
    return {left.what: left.why for left in found.left}


NAMESPACE = made(objects.NAMESPACE, SYSTEM, OURS)
ISTIOD = made(objects.DEPLOYMENT, "istiod", {"app": "istiod"})
CANARY = made(objects.DEPLOYMENT, "istiod-canary", {"app": "istiod"})
READER = made(objects.SERVICE_ACCOUNT, "istio-reader-service-account", {"app": "istio-reader"})
CACERTS = made(objects.SECRET, "cacerts", OURS)
TOKEN = made(objects.SECRET, "istio-reader-service-account-istio-remote-secret-token")


@pytest.mark.parametrize(("manager", "goes"), [("istio-mc", True), ("kubectl", False)])
def test_the_token_of_another_account_goes_where_this_tool_made_it(manager: str, *, goes: bool) -> None:
    token = made(
        objects.SECRET,
        "reader-istio-remote-secret-token",
        metadata={"managedFields": [{"manager": manager}]},
    )
    assert bool(planned(token).objects) is goes


class TestWhatIstioctlMakes:
    def test_it_goes_where_it_is_there(self) -> None:
        found = planned(ISTIOD, manifest=(ISTIOD, made(objects.SERVICE, "istiod")))
        assert names(found.objects) == ["Deployment istio-system/istiod"]

    def test_a_crd_is_deleted_after_the_objects_and_not_among_them(self) -> None:
        crd = made(objects.CRD, "gateways.networking.istio.io")
        found = planned(ISTIOD, crd, manifest=(crd, ISTIOD))
        assert names(found.objects) == ["Deployment istio-system/istiod"]
        assert names(found.crds) == ["CustomResourceDefinition gateways.networking.istio.io"]

    def test_it_is_named_once_though_two_rules_find_it(self) -> None:
        tag = made(
            objects.MUTATING_WEBHOOK,
            "istio-revision-tag-default",
            {"istio.io/tag": "default", "istio.io/rev": "default"},
        )
        assert len(planned(tag, manifest=(tag,)).objects) == 1

    def test_the_reader_account_stays_for_another_revision(self) -> None:
        assert planned(READER, CANARY, manifest=(READER,)).objects == ()

    def test_all_else_of_the_revision_goes_beside_another(self) -> None:
        assert names(planned(ISTIOD, CANARY, manifest=(ISTIOD,)).objects) == [
            "Deployment istio-system/istiod"
        ]

    def test_the_reader_account_goes_where_no_other_revision_is_there(self) -> None:
        found = planned(READER, ISTIOD, manifest=(READER, ISTIOD))
        assert "ServiceAccount istio-system/istio-reader-service-account" in names(found.objects)

    def test_one_that_no_chart_made_stays(self) -> None:
        theirs = made(objects.SERVICE_ACCOUNT, "istio-reader-service-account")
        found = planned(theirs, ISTIOD, manifest=(theirs, ISTIOD))
        assert names(found.objects) == ["Deployment istio-system/istiod"]


def istioctls(
    kind: Kind,
    name: str,
    revision: str = "default",
    owner: str = "istio-mc",
    component: str = "Pilot",
) -> dict[str, Any]:
    """An object as istioctl labels all that it makes of a document."""
    labels = {
        "istio.io/rev": revision,
        "install.operator.istio.io/owning-resource": owner,
        "install.operator.istio.io/owning-resource-namespace": SYSTEM,
        "operator.istio.io/component": component,
    }
    return made(kind, name, labels)


class TestWhatAnotherVersionMadeOfTheSameDocument:
    """istioctl prunes only what has the label of its own version: an upgrade leaves what it makes no more."""

    BUDGET = istioctls(objects.PDB, "istiod")

    def test_it_goes_and_does_not_hold_the_namespace(self) -> None:
        found = planned(NAMESPACE, ISTIOD, self.BUDGET, manifest=(ISTIOD,))
        assert "PodDisruptionBudget istio-system/istiod" in names(found.objects)
        assert found.namespace

    def test_it_goes_where_nothing_else_of_the_document_is_left(self) -> None:
        assert names(planned(self.BUDGET).objects) == ["PodDisruptionBudget istio-system/istiod"]

    def test_it_goes_though_the_document_was_of_others_whose_istio_was_taken_over(self) -> None:
        gateway = istioctls(objects.DEPLOYMENT, "istio-ingressgateway", owner="guides-gateway")
        budget = istioctls(objects.PDB, "istio-ingressgateway", owner="guides-gateway")
        found = planned(NAMESPACE, gateway, budget, manifest=(gateway,))
        assert len(found.objects) == 2
        assert found.namespace

    @pytest.mark.parametrize(
        "other",
        [
            istioctls(objects.PDB, "istiod-canary", revision="canary"),
            istioctls(objects.DEPLOYMENT, "gateway-of-others", owner="of-others"),
            made(objects.PDB, "by-helm", {"install.operator.istio.io/owning-resource": "unknown"}),
        ],
        ids=lambda item: str(item["metadata"]["name"]),
    )
    def test_what_is_of_another_revision_or_document_stays(self, other: dict[str, Any]) -> None:
        assert names(planned(ISTIOD, other, manifest=(ISTIOD,)).objects) == ["Deployment istio-system/istiod"]

    def test_it_goes_beside_another_revision(self) -> None:
        assert names(planned(self.BUDGET, CANARY).objects) == ["PodDisruptionBudget istio-system/istiod"]

    def test_that_of_a_named_revision_goes_with_that_revision(self) -> None:
        mesh = Mesh("mesh1", "1.26.0", "one")
        budget = istioctls(objects.PDB, "istiod-one", revision="one", owner=operator_name(mesh))
        assert len(planned(budget, mesh=mesh).objects) == 1
        assert planned(self.BUDGET, mesh=mesh).objects == ()

    def test_what_no_component_of_the_document_made_stays(self) -> None:
        labels = {
            key: value for key, value in self.BUDGET["metadata"]["labels"].items() if "component" not in key
        }
        assert planned(made(objects.PDB, "istiod", labels)).objects == ()

    @pytest.mark.parametrize("lacking", ["owning-resource", "owning-resource-namespace"])
    def test_of_objects_that_name_no_document_none_stands_for_the_others(self, lacking: str) -> None:
        ours, theirs = istioctls(objects.DEPLOYMENT, "istiod"), istioctls(objects.PDB, "of-others")
        for one in (ours, theirs):
            del one["metadata"]["labels"][f"install.operator.istio.io/{lacking}"]
        found = planned(ours, theirs, manifest=(ours,))
        assert names(found.objects) == ["Deployment istio-system/istiod"]

    def test_what_all_revisions_share_stays_for_another_revision(self) -> None:
        shared = istioctls(objects.SERVICE_ACCOUNT, "shared", component="Base")
        assert planned(shared, CANARY).objects == ()
        assert len(planned(shared).objects) == 1

    def test_a_crd_is_not_among_them(self) -> None:
        crd = istioctls(objects.CRD, "gateways.networking.istio.io", component="Base")
        found = planned(crd, users={crd["metadata"]["name"]: ("a/one",)})
        assert found.objects == found.crds == ()


class TestTags:
    @pytest.mark.parametrize("kind", [objects.MUTATING_WEBHOOK, objects.VALIDATING_WEBHOOK, objects.SERVICE])
    def test_one_that_points_to_the_mesh_s_revision_goes(self, kind: Kind) -> None:
        tag = made(kind, "tag", {"istio.io/tag": "prod", "istio.io/rev": "default"})
        assert len(planned(tag).objects) == 1

    def test_one_that_points_to_another_revision_stays(self) -> None:
        tag = made(objects.MUTATING_WEBHOOK, "tag", {"istio.io/tag": "prod", "istio.io/rev": "canary"})
        assert planned(tag).objects == ()

    def test_a_webhook_that_is_no_tag_stays(self) -> None:
        webhook = made(objects.MUTATING_WEBHOOK, "of-others", {"istio.io/rev": "default"})
        assert planned(webhook).objects == ()

    def test_one_of_a_named_revision_goes_with_that_revision(self) -> None:
        tag = made(objects.MUTATING_WEBHOOK, "tag", {"istio.io/tag": "prod", "istio.io/rev": "one"})
        assert len(planned(tag, mesh=Mesh("mesh1", "1.26.0", "one")).objects) == 1


class TestSecrets:
    def test_the_remote_secret_of_a_member_goes_whoever_wrote_it(self) -> None:
        assert planned(made(objects.SECRET, "istio-remote-secret-nhn-nks", REMOTE)).objects

    def test_a_remote_secret_that_only_managed_fields_know_as_ours_goes(self) -> None:
        fields = {"managedFields": [{"manager": "kubectl"}, {"manager": "istio-mc"}]}
        former = made(objects.SECRET, "istio-remote-secret-former", REMOTE, metadata=fields)
        assert names(planned(former).objects) == ["Secret istio-system/istio-remote-secret-former"]

    def test_a_remote_secret_of_others_stays_and_is_named(self) -> None:
        fields = {"managedFields": [{"manager": "kubectl"}]}
        other = made(objects.SECRET, "istio-remote-secret-other", REMOTE, metadata=fields)
        found = planned(other)
        assert found.objects == ()
        assert "Secret istio-system/istio-remote-secret-other" in reasons(found)

    def test_a_remote_secret_of_which_no_writer_is_known_stays(self) -> None:
        assert planned(made(objects.SECRET, "istio-remote-secret-other", REMOTE)).objects == ()

    def test_a_secret_that_only_has_the_name_of_a_remote_one_stays(self) -> None:
        assert planned(made(objects.SECRET, "istio-remote-secret-nhn-nks")).objects == ()

    def test_cacerts_of_ours_goes(self) -> None:
        assert names(planned(CACERTS).objects) == ["Secret istio-system/cacerts"]

    def test_cacerts_of_others_stays_and_is_named(self) -> None:
        found = planned(made(objects.SECRET, "cacerts"))
        assert found.objects == ()
        assert reasons(found) == {"Secret istio-system/cacerts": "not created by istio-mc"}

    def test_cacerts_stays_while_another_revision_runs_under_it(self) -> None:
        found = planned(CACERTS, CANARY)
        assert found.objects == ()
        assert "another revision" in reasons(found)["Secret istio-system/cacerts"]

    def test_reader_tokens_go_those_of_a_later_suffix_too(self) -> None:
        later = made(objects.SECRET, TOKEN["metadata"]["name"] + "-1a2b3c4d")
        assert len(planned(TOKEN, later).objects) == 2

    def test_reader_tokens_stay_for_another_revision(self) -> None:
        assert planned(TOKEN, CANARY).objects == ()

    @pytest.mark.parametrize("labels", [{}, OURS], ids=["of others", "with our label"])
    def test_any_other_secret_stays_without_a_word(self, labels: dict[str, str]) -> None:
        found = planned(made(objects.SECRET, "of-others", labels))
        assert (found.objects, found.left) == ((), ())

    def test_one_that_this_tool_wrote_but_that_has_no_token_stays(self) -> None:
        fields = {"managedFields": [{"manager": "istio-mc"}]}
        assert planned(made(objects.SECRET, "of-others", metadata=fields)).objects == ()

    def test_beside_another_revision_too(self) -> None:
        found = planned(made(objects.SECRET, "of-others"), TOKEN, CANARY)
        assert [left.what for left in found.left] == ["Deployment istio-system/istiod-canary"]


class TestGateways:
    def test_the_cross_network_gateway_goes(self) -> None:
        gateway = made(objects.ISTIO_GATEWAY, "cross-network-gateway")
        assert names(planned(gateway).objects) == ["Gateway istio-system/cross-network-gateway"]

    def test_an_istio_gateway_of_others_stays(self) -> None:
        assert planned(made(objects.ISTIO_GATEWAY, "of-others")).objects == ()

    @pytest.mark.parametrize(
        ("labels", "gateway_class", "goes"),
        [(OURS, "istio-remote", True), ({}, "istio-remote", False), (OURS, "istio", False)],
    )
    def test_only_a_remote_gateway_of_ours_goes(
        self, labels: dict[str, str], gateway_class: str, *, goes: bool
    ) -> None:
        spec = {"gatewayClassName": gateway_class}
        gateway = made(objects.KUBERNETES_GATEWAY, "istio-remote-nhn-nks", labels, spec=spec)
        assert bool(planned(gateway).objects) is goes

    @pytest.mark.parametrize(("labels", "goes"), [(OURS, True), ({}, False)])
    def test_only_a_pool_of_ours_goes(self, labels: dict[str, str], *, goes: bool) -> None:
        pool = made(objects.IP_ADDRESS_POOL, "istio-ingressgateway", labels)
        assert bool(planned(pool).objects) is goes


class TestCrds:
    ISTIO = made(objects.CRD, "gateways.networking.istio.io")
    GATEWAY_API = "gateways.gateway.networking.k8s.io"

    def test_one_of_istio_goes(self) -> None:
        assert len(planned(self.ISTIO).crds) == 1

    def test_one_that_others_use_stays_with_their_objects_named(self) -> None:
        found = planned(self.ISTIO, users={self.ISTIO["metadata"]["name"]: ("b/two", "a/one")})
        assert found.crds == ()
        assert "a/one, b/two" in next(iter(reasons(found).values()))

    @pytest.mark.parametrize(("count", "ends"), [(3, "a/o0, a/o1, a/o2"), (4, "a/o0, a/o1, a/o2 and 1 more")])
    def test_at_most_three_of_their_objects_are_named(self, count: int, ends: str) -> None:
        found = planned(self.ISTIO, users={self.ISTIO["metadata"]["name"]: [f"a/o{n}" for n in range(count)]})
        assert next(iter(reasons(found).values())).endswith(ends)

    def test_one_that_stays_keeps_no_other(self) -> None:
        theirs = made(objects.CRD, self.GATEWAY_API)
        assert len(planned(theirs, self.ISTIO).crds) == 1
        ours = made(objects.CRD, "httproutes.gateway.networking.k8s.io", OURS)
        assert len(planned(self.ISTIO, ours, CANARY).crds) == 1

    def test_one_that_is_used_by_nothing_goes(self) -> None:
        assert len(planned(self.ISTIO, users={self.ISTIO["metadata"]["name"]: ()}).crds) == 1

    def test_another_revision_keeps_those_of_istio(self) -> None:
        found = planned(self.ISTIO, CANARY)
        assert found.crds == ()
        assert "another revision" in reasons(found)["CustomResourceDefinition gateways.networking.istio.io"]

    def test_those_of_the_gateway_api_go_where_an_install_put_them(self) -> None:
        assert len(planned(made(objects.CRD, self.GATEWAY_API, OURS)).crds) == 1

    def test_those_of_the_gateway_api_that_others_installed_stay(self) -> None:
        found = planned(made(objects.CRD, self.GATEWAY_API))
        assert found.crds == ()
        assert reasons(found) == {f"CustomResourceDefinition {self.GATEWAY_API}": "not installed by istio-mc"}

    def test_another_revision_does_not_keep_the_gateway_api_of_ours_that_is_not_in_use(self) -> None:
        assert len(planned(made(objects.CRD, self.GATEWAY_API, OURS), CANARY).crds) == 1

    def test_the_gateway_api_of_ours_stays_while_it_is_in_use(self) -> None:
        crd = made(objects.CRD, self.GATEWAY_API, OURS)
        assert planned(crd, users={self.GATEWAY_API: ("a/one",)}).crds == ()


class TestTheNamespace:
    def test_it_goes_where_only_ours_is_in_it(self) -> None:
        assert planned(NAMESPACE, ISTIOD, CACERTS, manifest=(ISTIOD,)).namespace

    def test_it_stays_where_it_is_of_others(self) -> None:
        found = planned(made(objects.NAMESPACE, SYSTEM))
        assert not found.namespace
        assert reasons(found) == {"Namespace istio-system": "not created by istio-mc"}

    def test_it_stays_for_another_revision_that_is_named(self) -> None:
        found = planned(NAMESPACE, CANARY)
        assert not found.namespace
        assert found.other_revisions == ("istiod-canary",)
        assert reasons(found)["Namespace istio-system"] == "used by another revision of Istio"
        assert "Deployment istio-system/istiod-canary" in reasons(found)

    def test_where_there_is_none_nothing_is_reported(self) -> None:
        found = planned(made(objects.SERVICE, "of-others"))
        assert not found.namespace
        assert found.left == ()

    def test_it_stays_where_others_keep_something_in_it(self) -> None:
        found = planned(NAMESPACE, made(objects.CONFIG_MAP, "of-others"))
        assert not found.namespace
        assert reasons(found)["Namespace istio-system"].endswith("ConfigMap istio-system/of-others")

    @pytest.mark.parametrize(
        ("count", "ends"),
        [(3, "ConfigMap istio-system/c2"), (4, "ConfigMap istio-system/c2 and 1 more")],
    )
    def test_at_most_three_of_others_are_named(self, count: int, ends: str) -> None:
        found = planned(NAMESPACE, *(made(objects.CONFIG_MAP, f"c{n}") for n in range(count)))
        assert reasons(found)["Namespace istio-system"].endswith(ends)

    @pytest.mark.parametrize(
        "item",
        [
            made(objects.POD, "istiod-x", {"app": "istiod"}),
            made(objects.CONFIG_MAP, "istio-leader"),
            made(
                objects.CONFIG_MAP, "renamed-roots", {"istio.io/config": "true"}, data={"root-cert.pem": "x"}
            ),
            made(objects.CONFIG_MAP, "renamed-crl", {"istio.io/config": "true"}, data={"ca-crl.pem": ""}),
            made(
                objects.CONFIG_MAP,
                "renamed-both",
                {"istio.io/config": "true"},
                data={"root-cert.pem": "x", "ca-crl.pem": ""},
            ),
            made(objects.CONFIG_MAP, "kube-root-ca.crt"),
            made(objects.SERVICE_ACCOUNT, "default"),
            made(objects.SECRET, "default-token-x", type="kubernetes.io/service-account-token"),
            made(objects.SERVICE, "owned", metadata={"ownerReferences": [{"kind": "Gateway"}]}),
        ],
        ids=lambda item: f"{item['kind']}-{item['metadata']['name']}",
    )
    def test_what_kubernetes_and_istiod_keep_there_does_not_hold_it(self, item: dict[str, Any]) -> None:
        assert planned(NAMESPACE, ISTIOD, item, manifest=(ISTIOD,)).namespace

    @pytest.mark.parametrize(
        "item",
        [
            made(objects.POD, "other-x", {"app": "other"}),
            made(objects.SERVICE, "istio-of-others"),
            made(
                objects.CONFIG_MAP, "root", {"istio.io/config": "true"}, data={"root-cert.pem": "", "a": ""}
            ),
            made(objects.CONFIG_MAP, "empty", {"istio.io/config": "true"}),
            made(objects.CONFIG_MAP, "roots-of-others", data={"root-cert.pem": "x"}),
            made(objects.SECRET, "of-others", type="Opaque"),
        ],
        ids=lambda item: f"{item['kind']}-{item['metadata']['name']}",
    )
    def test_what_others_put_there_holds_it(self, item: dict[str, Any]) -> None:
        assert not planned(NAMESPACE, ISTIOD, item, manifest=(ISTIOD,)).namespace

    def test_a_pod_whose_app_is_named_like_something_that_goes_and_no_deployment_holds_it(self) -> None:
        pod = made(objects.POD, "x", {"app": "istio-reader"})
        assert not planned(NAMESPACE, READER, pod, manifest=(READER,)).namespace

    def test_a_pod_without_an_app_holds_it(self) -> None:
        assert not planned(NAMESPACE, ISTIOD, made(objects.POD, "x"), manifest=(ISTIOD,)).namespace

    def test_an_object_of_another_namespace_does_not_hold_it(self) -> None:
        elsewhere = made(objects.CONFIG_MAP, "of-others", metadata={"namespace": "default"})
        assert planned(NAMESPACE, elsewhere).namespace


ELECTED = {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}


@pytest.mark.parametrize(
    ("item", "elects"),
    [
        (made(objects.LEASE, "istio-leader"), True),
        (made(objects.CONFIG_MAP, "istio-leader", metadata=ELECTED), True),
        (made(objects.LEASE, lease.NAME), False),  # a run of istio-mc holds it
        (made(objects.LEASE, "leader-of-others"), False),
        (made(objects.CONFIG_MAP, "leader-of-others", metadata=ELECTED), False),
        (made(objects.CONFIG_MAP, "istio-sidecar-injector"), False),
    ],
    ids=lambda item: f"{item['kind']}-{item['metadata']['name']}" if isinstance(item, dict) else "",
)
def test_istiods_elect_one_of_them_by_a_lease_or_an_annotated_object(
    item: dict[str, Any], *, elects: bool
) -> None:
    assert removal.is_election(item) is elects
