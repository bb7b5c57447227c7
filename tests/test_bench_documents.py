"""The baseline's documents: the guide's own, with the lab's values in them as in istio-mc's."""

from __future__ import annotations

import yaml

from benchmarks.clean import is_istios
from benchmarks.documents import control_plane, gateway, settings_of
from lab import files

SETTINGS = settings_of(yaml.safe_load(files.mesh()))


def test_the_control_plane_is_profile_demo_without_gateways() -> None:
    spec = control_plane(SETTINGS, "kt-k2p", "network1")["spec"]
    gateways = spec["components"]["ingressGateways"] + spec["components"]["egressGateways"]
    assert (spec["profile"], [one["enabled"] for one in gateways]) == ("demo", [False, False])


def test_the_gateway_is_a_document_of_its_own_with_profile_empty() -> None:
    spec = gateway(SETTINGS, "kt-k2p", "network1")["spec"]
    assert (spec["profile"], spec["components"]["ingressGateways"][0]["name"]) == (
        "empty",
        "istio-ingressgateway",
    )


def test_the_two_documents_have_names_of_their_own_so_that_neither_prunes_the_other() -> None:
    names = {make(SETTINGS, "a", "b")["metadata"]["name"] for make in (control_plane, gateway)}
    assert len(names) == 2


def test_the_lab_s_values_are_in_both_documents() -> None:
    for make in (control_plane, gateway):
        values = make(SETTINGS, "kt-k2p", "network1")["spec"]["values"]
        assert values["pilot"]["env"]["PILOT_ENABLE_ALPN_FILTER"] == "false"


def test_the_lab_s_mesh_config_stands_where_istioctl_reads_it() -> None:
    spec = control_plane(SETTINGS, "kt-k2p", "network1")["spec"]
    assert spec["meshConfig"]["defaultProviders"] == {"metrics": []}
    assert "meshConfig" not in spec["values"]


def test_the_guide_s_mesh_config_stays_under_the_lab_s() -> None:
    spec = control_plane(SETTINGS, "kt-k2p", "network1")["spec"]
    assert spec["meshConfig"]["enablePrometheusMerge"] is True


def test_the_manually_set_address_is_of_kt_alone() -> None:
    assert SETTINGS.addresses == {"kt": "198.18.0.21"}


def test_objects_of_istio_are_distinguished_from_those_of_the_cluster() -> None:
    names = {
        "clusterrole.rbac.authorization.k8s.io/istiod-clusterrole-istio-system": True,
        "mutatingwebhookconfiguration.admissionregistration.k8s.io/istio-sidecar-injector": True,
        "customresourcedefinition.apiextensions.k8s.io/gateways.networking.istio.io": True,
        "customresourcedefinition.apiextensions.k8s.io/gateways.gateway.networking.k8s.io": True,
        "customresourcedefinition.apiextensions.k8s.io/ippools.crd.projectcalico.org": False,
        "clusterrole.rbac.authorization.k8s.io/cluster-admin": False,
    }
    assert {name: is_istios(name) for name in names} == names
