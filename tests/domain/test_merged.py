"""Services of one name and namespace in several clusters."""

from __future__ import annotations

from typing import Any

from istio_mc.domain.istio.services import MergedService, Services, endpoints_of, merged


def service(name: str = "reviews", namespace: str = "shop", port: int = 80, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": more.pop("labels", {})}
    return {"metadata": metadata, "spec": {"ports": [{"name": "http", "port": port}], **more}}


def found(*here: dict[str, Any], kt: dict[str, Any] | None = None) -> tuple[MergedService, ...]:
    """Services in nhn, and one in kt."""
    counts = {("shop", "reviews"): 2}
    return merged({"kt": Services((kt or service(),), (), counts), "nhn": Services(here, (), counts)})


class TestMerged:
    def test_of_equal_name_and_namespace(self) -> None:
        (one,) = found(service(), service("other"))
        assert (str(one), one.endpoints, one.agrees) == ("shop/reviews", {"kt": 2, "nhn": 2}, True)

    def test_of_another_namespace_is_another(self) -> None:
        assert found(service(namespace="other")) == ()

    def test_what_stays_in_its_cluster_is_left_out(self) -> None:
        own = [
            service("kubernetes", "default"),
            service("kube-dns", "kube-system"),
            service("istiod", "istio-system"),
        ]
        assert [merged({"a": Services((s,)), "b": Services((s,))}) for s in own] == [(), (), ()]

    def test_a_name_that_points_elsewhere_is_left_out(self) -> None:
        assert found(service(type="ExternalName")) == ()

    def test_endpoints_in_one_cluster_alone_spread_nothing(self) -> None:
        (one,) = merged(
            {"a": Services((service(),), (), {("shop", "reviews"): 1}), "b": Services((service(),))}
        )
        assert not one.spreads

    def test_ports_that_differ_are_reported(self) -> None:
        (one,) = found(service(port=81))
        assert one.disagreement == "kt: http 80/TCP; nhn: http 81/TCP"

    def test_labels_that_differ_are_reported(self) -> None:
        (one,) = found(
            service(labels={"app": "b", "same": "x"}), kt=service(labels={"app": "a", "same": "x"})
        )
        assert one.disagreement == "labels kt: app=a; nhn: app=b"

    def test_labels_of_whoever_deployed_it_are_no_difference(self) -> None:
        (one,) = found(service(labels={"app.kubernetes.io/managed-by": "Helm"}))
        assert one.agrees


def test_endpoints_that_are_not_ready_do_not_count() -> None:
    item = {
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "reviews"}},
        "endpoints": [{"conditions": {"ready": False}}, {"conditions": {"ready": True}}, {}],
    }
    assert endpoints_of([item]) == {("shop", "reviews"): 2}
