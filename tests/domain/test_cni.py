"""Settings of Cilium and Calico matter where they keep calls from the sidecars, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.calico import calico_of
from istio_mc.domain.cilium import needs
from istio_mc.domain.observed import uses_istio_cni

KPR, SOCK, HOSTNS, EXCLUSIVE = (
    "kube-proxy-replacement",
    "bpf-lb-sock",
    "bpf-lb-sock-hostns-only",
    "cni-exclusive",
)


def wrong(config: dict[str, str], *, istio_cni: bool = False) -> list[str]:
    return [need.key for need in needs(config, istio_cni=istio_cni) if not need.is_met]


class TestCilium:
    @pytest.mark.parametrize(
        "config",
        [
            {SOCK: "true"},
            {SOCK: "true", KPR: "false"},
            {SOCK: "true", KPR: "partial"},
            {KPR: "strict"},
            {KPR: "strict", SOCK: "false"},
            {KPR: "true"},
            {KPR: "true", SOCK: "false"},
            {KPR: "probe"},
            {"enable-host-reachable-services": "true"},
        ],
    )
    @pytest.mark.parametrize("value", [{}, {HOSTNS: "false"}])
    def test_socket_load_balancing_has_to_stay_in_the_hosts_namespace(
        self, config: dict[str, str], value: dict[str, str]
    ) -> None:
        assert wrong(config | value) == [HOSTNS]
        assert wrong(config | {HOSTNS: "true"}) == []

    @pytest.mark.parametrize(
        "config", [{}, {KPR: "false"}, {KPR: "disabled"}, {KPR: "partial"}, {KPR: "false", SOCK: "false"}]
    )
    def test_beside_kube_proxy_it_is_off_and_does_not_matter(self, config: dict[str, str]) -> None:
        assert wrong(config | {HOSTNS: "false", EXCLUSIVE: "true"}) == []

    @pytest.mark.parametrize(("value", "expected"), [("true", [EXCLUSIVE]), ("false", []), (None, [])])
    def test_only_istios_cni_plugin_has_to_be_left_alone(
        self, value: str | None, expected: list[str]
    ) -> None:
        config = {EXCLUSIVE: value} if value else {}
        assert (wrong(config, istio_cni=True), wrong(config)) == (expected, [])

    def test_the_reason_for_a_setting_is_reported(self) -> None:
        (need,) = needs({KPR: "true", SOCK: "true"}, istio_cni=False)
        assert "bpf-lb-sock: true, kube-proxy-replacement: true" in need.why


@pytest.mark.parametrize(
    ("values", "used"),
    [
        ({"pilot": {"cni": {"enabled": True}}}, True),
        ({"istio_cni": {"enabled": True}}, True),
        ({"pilot": {"cni": {"enabled": False}}}, False),
        ({"pilot": {"cni": None}}, False),
        ({}, False),
    ],
)
def test_istios_cni_plugin_is_used_where_the_values_enable_it(values: dict[str, Any], *, used: bool) -> None:
    assert uses_istio_cni(values) is used


def node(**environment: str) -> dict[str, Any]:
    env = [{"name": name, "value": value} for name, value in environment.items()]
    return {"spec": {"template": {"spec": {"containers": [{"name": "calico-node", "env": env}]}}}}


class TestCalico:
    @pytest.mark.parametrize(
        ("spec", "bypasses"),
        [
            ({"bpfEnabled": True}, True),
            ({"bpfEnabled": True, "bpfConnectTimeLoadBalancing": "TCP"}, True),
            ({"bpfEnabled": True, "bpfConnectTimeLoadBalancing": "Enabled"}, True),
            ({"bpfEnabled": True, "bpfConnectTimeLoadBalancing": "Disabled"}, False),
            ({"bpfEnabled": True, "bpfConnectTimeLoadBalancingEnabled": True}, True),
            ({"bpfEnabled": True, "bpfConnectTimeLoadBalancingEnabled": False}, False),
            (
                {
                    "bpfEnabled": True,
                    "bpfConnectTimeLoadBalancing": "Disabled",
                    "bpfConnectTimeLoadBalancingEnabled": True,
                },
                True,
            ),
            ({"bpfEnabled": False, "bpfConnectTimeLoadBalancing": "TCP"}, False),
            ({"bpfConnectTimeLoadBalancing": "TCP"}, False),
            ({}, False),
        ],
    )
    def test_it_bypasses_sidecars_in_ebpf_mode_by_default(
        self, spec: dict[str, Any], *, bypasses: bool
    ) -> None:
        assert calico_of(node(), {"spec": spec}).bypasses_sidecars is bypasses

    def test_the_environment_of_calico_node_wins(self) -> None:
        on = calico_of(node(FELIX_BPFENABLED="true"), {"spec": {"bpfEnabled": False}})
        off = calico_of(
            node(FELIX_BPFENABLED="true", FELIX_BPFConnectTimeLoadBalancing="Disabled"), {"spec": {}}
        )
        assert (on.bypasses_sidecars, off.bypasses_sidecars) == (True, False)

    def test_without_a_configuration_it_is_not_in_ebpf_mode(self) -> None:
        assert not calico_of(node(), None).bypasses_sidecars

    def test_its_setting_is_reported(self) -> None:
        assert str(calico_of(node(), {"spec": {"bpfEnabled": True}})) == (
            "bpfEnabled: true, bpfConnectTimeLoadBalancing: unset, which is on"
        )
