"""Wanted against live: what counts as a difference, as it was found on clusters with Istio 1.26.0."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain.kube.diff import Difference, differences, quantity
from istio_mc.domain.kube.objects import ref_of

HPA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "istiod", "namespace": "istio-system"},
    "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "istiod"}},
}


def deployment(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "istiod", "namespace": "istio-system"},
        "spec": spec,
    }


def webhook(name: str, kind: str = "MutatingWebhookConfiguration", **hook: Any) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "webhooks": [{"name": "rev.istio.io", **hook}],
    }


def found(desired: dict[str, Any], live: dict[str, Any]) -> list[Difference]:
    return differences([desired], {ref_of(live): live})


def paths(desired: dict[str, Any], live: dict[str, Any]) -> list[str]:
    return [difference.path for difference in found(desired, live)]


def resources(cpu: object, memory: object = "1Gi") -> dict[str, Any]:
    container = {"name": "discovery", "resources": {"limits": {"cpu": cpu, "memory": memory}}}
    return deployment(template={"spec": {"containers": [container]}})


class TestWhatIsPassedOver:
    def test_fields_the_document_does_not_set(self) -> None:
        live = deployment(replicas=1, paused=True) | {"status": {"replicas": 1}}
        assert found(deployment(replicas=1), live) == []

    def test_the_version_of_the_api_that_served_it(self) -> None:
        assert found(deployment(replicas=1), deployment(replicas=1) | {"apiVersion": "apps/v1beta1"}) == []

    def test_the_owning_resource(self) -> None:
        label = "install.operator.istio.io/owning-resource"
        desired, live = deployment(), deployment()
        desired["metadata"]["labels"] = {label: "unknown", "app": "istiod"}
        live["metadata"]["labels"] = {label: "istio-mc", "app": "istiod"}
        assert found(desired, live) == []

    def test_the_owning_resource_where_there_is_no_label_at_all(self) -> None:
        desired = deployment()
        desired["metadata"]["labels"] = {"install.operator.istio.io/owning-resource": "unknown"}
        assert found(desired, deployment()) == []

    @pytest.mark.parametrize(
        ("desired", "live"),
        [
            (resources("2000m"), resources("2")),
            (resources(2), resources("2")),
            (resources("2", "1024Mi"), resources("2", "1Gi")),
            (resources("0.5"), resources("500m")),
        ],
        ids=["2000m=2", "2='2'", "1024Mi=1Gi", "0.5=500m"],
    )
    def test_quantities_as_the_server_writes_them(
        self, desired: dict[str, Any], live: dict[str, Any]
    ) -> None:
        assert found(desired, live) == []

    @pytest.mark.parametrize("empty", [None, "", [], {}, {"inner": {"list": []}}], ids=repr)
    def test_empty_values_that_the_server_drops(self, empty: object) -> None:
        assert found(deployment(volumes=empty), deployment()) == []

    @pytest.mark.parametrize("kind", ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"])
    def test_what_istiod_fills_into_webhooks(self, kind: str) -> None:
        desired = webhook("istio-validator", kind, failurePolicy="Ignore", clientConfig={"caBundle": ""})
        live = webhook("istio-validator", kind, failurePolicy="Fail", clientConfig={"caBundle": "TFM0="})
        assert found(desired, live) == []

    def test_the_injector_that_the_default_tag_took_over_from(self) -> None:
        desired = webhook(
            "istio-sidecar-injector", namespaceSelector={"matchLabels": {"istio-injection": "enabled"}}
        )
        live = webhook(
            "istio-sidecar-injector", namespaceSelector={"matchLabels": {"istio.io/deactivated": "never"}}
        )
        assert found(desired, live) == []

    def test_replicas_that_an_hpa_of_the_same_documents_governs(self) -> None:
        live = [deployment(replicas=5), HPA]
        assert differences([deployment(replicas=1), HPA], {ref_of(item): item for item in live}) == []

    def test_a_null_beside_what_others_wrote_there(self) -> None:
        # Istio's gateway Service has `annotations: null`; MetalLB writes from which pool its address is.
        service: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "gateway", "namespace": "a"},
        }
        live = copy.deepcopy(service)
        live["metadata"]["annotations"] = {"metallb.io/ip-allocated-from-pool": "pool"}
        service["metadata"]["annotations"] = None
        assert found(service, live) == []

    def test_items_that_others_added_to_a_list_of_named_ones(self) -> None:
        ours, theirs = {"name": "A", "value": "1"}, {"name": "INJECTED", "value": "x"}
        assert found(deployment(env=[ours]), deployment(env=[theirs, ours])) == []


class TestWhatCounts:
    def test_an_object_that_is_not_there(self) -> None:
        (difference,) = differences([deployment()], {})
        assert str(difference) == "Deployment istio-system/istiod is missing"

    def test_an_injector_that_is_not_there(self) -> None:
        (difference,) = differences([webhook("istio-sidecar-injector")], {})
        assert difference.path == ""

    def test_a_value_that_is_another(self) -> None:
        (difference,) = found(deployment(serviceAccountName="istiod"), deployment(serviceAccountName="me"))
        assert str(difference) == (
            "Deployment istio-system/istiod spec.serviceAccountName is me, desired istiod"
        )

    def test_a_long_text_is_shown_on_one_line_from_its_first_difference(self) -> None:
        page = "accessLogFile: /dev/stdout\ndefaultConfig:\n" + "".join(f"  a{n}: {n}\n" for n in range(30))
        desired, live = (deployment(mesh=f"{page}  meshId: {mesh}\nrest: {page}") for mesh in ("one", "two"))

        (difference,) = found(desired, live)

        line = str(difference)
        assert "\n" not in line
        assert "meshId: two rest: accessLogFile" in line.partition(", desired ")[0]
        assert "meshId: one rest: accessLogFile" in line.partition(", desired ")[2]
        assert len(line) < 220

    def test_a_value_that_is_absent(self) -> None:
        (difference,) = found(deployment(replicas=1), deployment())
        assert str(difference).endswith("spec.replicas is absent, desired 1")

    def test_an_item_of_a_named_list_is_shown_by_its_name(self) -> None:
        desired = deployment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
        live = deployment(env=[{"name": "B", "value": "3"}, {"name": "A", "value": "1"}])
        assert paths(desired, live) == ["spec.env.B.value"]

    def test_an_item_that_is_missing_from_a_named_list(self) -> None:
        assert paths(deployment(env=[{"name": "A"}, {"name": "B"}]), deployment(env=[{"name": "A"}])) == [
            "spec.env.B"
        ]

    @pytest.mark.parametrize("live", [["*.local", "x"], ["x"], []], ids=str)
    def test_a_plain_list_that_is_another(self, live: list[str]) -> None:
        assert found(deployment(hosts=["*.local"]), deployment(hosts=live))

    def test_quantities_that_differ(self) -> None:
        assert paths(resources("2000m"), resources("3")) == [
            "spec.template.spec.containers.discovery.resources.limits.cpu"
        ]

    def test_text_like_a_quantity_elsewhere(self) -> None:
        assert paths(deployment(version="1.0"), deployment(version="1")) == ["spec.version"]

    def test_replicas_without_an_hpa(self) -> None:
        assert paths(deployment(replicas=1), deployment(replicas=5)) == ["spec.replicas"]

    def test_replicas_that_an_hpa_of_another_namespace_governs(self) -> None:
        other = copy.deepcopy(HPA)
        other["metadata"]["namespace"] = "elsewhere"  # type: ignore[index]
        live = [deployment(replicas=5), other]
        reported = differences([deployment(replicas=1), other], {ref_of(item): item for item in live})
        assert [difference.path for difference in reported] == ["spec.replicas"]

    def test_other_fields_of_webhooks(self) -> None:
        desired, live = webhook("w", sideEffects="None"), webhook("w", sideEffects="Some")
        assert paths(desired, live) == ["webhooks.rev.istio.io.sideEffects"]

    def test_long_values_are_cut(self) -> None:
        (difference,) = found(deployment(text="x" * 500), deployment(text="y" * 500))
        assert len(str(difference)) < 250


class TestQuantity:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("2000m", 2), ("1Gi", 1024**3), ("1024Mi", 1024**3), ("1k", 1000), ("1M", 10**6), (2, 2),
            ("0.1", Decimal("0.1")), ("100n", Decimal("1e-7")), ("-1", -1), ("+1", 1), (".5", Decimal("0.5")),
            ("5.", 5), ("1e3", 1000), ("1E3", 1000), ("1E", 10**18), ("12e-1", Decimal("1.2")),
        ],
    )  # fmt: skip
    def test_numbers_with_their_suffixes(self, text: object, number: object) -> None:
        assert quantity(text) == number

    @pytest.mark.parametrize("text", ["", "x", "1.2.3", ".", "-", "1 Gi", "Mi", "1gi", "1m2", None, "1e"])
    def test_what_is_none(self, text: object) -> None:
        assert quantity(text) is None

    @given(st.text(alphabet="0123456789.+-eEnumkMGTPi ", max_size=12))
    def test_any_text_is_a_number_or_none(self, text: str) -> None:
        found = quantity(text)
        assert found is None or found.is_finite()

    @given(st.integers(0, 10**6))
    def test_thousandths_are_thousandths(self, number: int) -> None:
        assert quantity(f"{number * 1000}m") == quantity(number)

    @given(st.integers(0, 10**6), st.sampled_from([("Ki", "Mi"), ("Mi", "Gi"), ("Gi", "Ti")]))
    def test_1024_of_one_is_one_of_the_next(self, number: int, suffixes: tuple[str, str]) -> None:
        small, large = suffixes
        assert quantity(f"{number * 1024}{small}") == quantity(f"{number}{large}")


SCALARS = st.sampled_from([None, True, False, 0, 2, 0.5, "", "2", "2000m", "1Gi", "x", "é"])
KEYS = st.sampled_from(["name", "limits", "cpu", "env", "replicas", "failurePolicy", ""])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(KEYS, JSON, max_size=5))
def test_a_document_compared_with_itself_has_no_differences(spec: dict[str, Any]) -> None:
    assert found(deployment(**spec), copy.deepcopy(deployment(**spec))) == []


@given(st.dictionaries(KEYS, JSON, max_size=5), st.dictionaries(KEYS, JSON, max_size=5))
def test_any_two_documents_can_be_compared(one: dict[str, Any], other: dict[str, Any]) -> None:
    for difference in found(deployment(**one), deployment(**other)):
        assert difference.path.startswith("spec")


@given(st.dictionaries(KEYS, JSON, max_size=5), st.dictionaries(KEYS, JSON, max_size=5))
def test_what_others_added_is_no_difference(one: dict[str, Any], more: dict[str, Any]) -> None:
    assert found(deployment(**one), deployment(**{**more, **copy.deepcopy(one)})) == []
