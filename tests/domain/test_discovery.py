"""What istiod's debug endpoints list: gateways, and endpoints by service, namespace and cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from istio_mc.domain.istio.discovery import (
    IstiodView,
    Missing,
    NetworkGateway,
    missing_endpoints,
    read_endpoints,
    read_gateways,
    ready_addresses,
)

# In the form of istiod 1.26.0 (pilot/pkg/model/service.go, IstioEndpoint), shortened.
ENDPOINT = {
    "Labels": {"app": "reviews", "topology.istio.io/cluster": "kt-k2p"},
    "Addresses": ["10.201.0.7"],
    "ServicePortName": "http",
    "Network": "network1",
    "Locality": {"Label": "", "ClusterID": "kt-k2p"},
    "EndpointPort": 9080,
    "TLSMode": "istio",
    "HealthStatus": 1,
}


def shardz(shards: object, host: str = "reviews.sample.svc.cluster.local", of: str = "sample") -> bytes:
    return json.dumps({host: {of: {"Shards": shards, "ServiceAccounts": {}}}}).encode()


def test_endpoints_are_addresses_by_cluster_and_service() -> None:
    two = {**ENDPOINT, "Addresses": ["10.201.0.8", "fd00::8"]}
    raw = shardz({"Kubernetes/kt-k2p": [ENDPOINT, two], "Kubernetes/nhn-nks": None, "External/kt-k2p": [two]})
    assert read_endpoints(raw) == {
        "kt-k2p": {("sample", "reviews"): {"10.201.0.7", "10.201.0.8", "fd00::8"}},
        "nhn-nks": {("sample", "reviews"): frozenset()},
    }


@pytest.mark.parametrize(
    "raw", [b"null", b"{}", shardz(None), shardz({}, of="other"), shardz({}, host="a.com")]
)
def test_an_istiod_that_has_nothing_lists_nothing(raw: bytes) -> None:
    assert read_endpoints(raw) == {}


@pytest.mark.parametrize("raw", [b"<html>", b'{"a.b.svc.c": {"b": {}}}', b"[1]"])
def test_something_else_is_an_error(raw: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        read_endpoints(raw)


def test_gateways_are_those_of_all_networks() -> None:
    row = {"Network": "network1", "Cluster": "kt-k2p", "Addr": "198.18.0.21", "Port": 15443, "HBONEPort": 0}
    assert read_gateways(json.dumps([row]).encode()) == (NetworkGateway("network1", "198.18.0.21", 15443),)
    assert [read_gateways(raw) for raw in (b"null", b"", b"[]")] == [(), (), ()]


def slice_of(*endpoints: dict[str, Any], **more: object) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": "reviews"}
    return {"metadata": {"namespace": "sample", "labels": labels}, "endpoints": list(endpoints), **more}


def test_ready_addresses_are_those_of_all_slices_of_a_service() -> None:
    slices = [
        slice_of({"addresses": ["10.0.0.1"], "conditions": {"ready": True}}, {"addresses": ["10.0.0.2"]}),
        slice_of({"addresses": ["10.0.0.3"], "conditions": {"ready": False}}),
        slice_of({"addresses": ["fd00::1"], "conditions": {}}),
        slice_of({"addresses": ["name.example"]}, addressType="FQDN"),
        {"metadata": {"namespace": "sample"}, "endpoints": [{"addresses": ["10.0.0.9"]}]},
    ]
    assert ready_addresses(slices) == {("sample", "reviews"): {"10.0.0.1", "10.0.0.2", "fd00::1"}}


def test_missing_endpoints_are_counted_by_service() -> None:
    view = IstiodView("x", (), {"kt-k2p": {("a", "one"): frozenset({"1", "2"})}})
    expected = {("a", "one"): frozenset({"1", "2", "3"}), ("a", "two"): frozenset({"4"})}
    found = missing_endpoints(view, "kt-k2p", expected)
    assert found == Missing(4, {("a", "one"): 1, ("a", "two"): 1})
    assert str(found) == "2 of 4 endpoints"
    assert missing_endpoints(view, "nhn-nks", expected).count == 4
    assert missing_endpoints(view, "kt-k2p", {("a", "one"): frozenset({"1"})}).services == {}


def test_a_second_reading_adds_endpoints_and_replaces_gateways() -> None:
    first = IstiodView("x", (), {"kt": {("a", "one"): frozenset({"1"})}})
    gateway = NetworkGateway("network1", "198.18.0.21", 15443)
    second = IstiodView(
        "x", (gateway,), {"kt": {("a", "one"): frozenset({"2"})}, "nhn": {("a", "one"): frozenset({"3"})}}
    )
    both = first.with_endpoints(second)
    assert both.gateways == (gateway,)
    assert both.endpoints == {"kt": {("a", "one"): {"1", "2"}}, "nhn": {("a", "one"): {"3"}}}
