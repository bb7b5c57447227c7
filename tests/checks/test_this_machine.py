"""Names that lead to this machine are known, by whatever they are called, and told where that matters."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from istio_mc.checks.catalogue import ALL, PREFLIGHT
from istio_mc.checks.runner import run
from istio_mc.domain.hosts import address_fault, host_fault, is_for_us_only, is_loopback
from istio_mc.domain.this_machine import Here, Name, Use, leads_here, names_of
from istio_mc.gateways.host.dns import names_here
from tests.support.world import CLUSTERS, World

if TYPE_CHECKING:
    from istio_mc.checks.model import Check, Result

API, GATEWAY = Name(Use.API_SERVER, "api.example"), Name(Use.GATEWAY, "gw.example")


class TestLoopback:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",  # noqa: S104 - nothing binds to it
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "localhost",
            "LocalHost.",
            "kt.localhost",
            "localhost.localdomain",
            "localhost4.localdomain4",
            "localhost.example",
            "ip6-localhost",
            "ip6-loopback",
        ],
    )
    def test_it_means_the_machine_that_reads_it(self, host: str) -> None:
        url = f"https://[{host}]:6443" if ":" in host else f"https://{host}:6443"
        assert (is_loopback(host), is_for_us_only(url)) == (True, True)
        assert address_fault(host.rstrip(".")) == "is not reachable from other clusters"

    @pytest.mark.parametrize(
        "host", ["10.0.0.1", "128.0.0.1", "::2", "mylocalhost", "local.example", "kt.example"]
    )
    def test_anything_else_does_not(self, host: str) -> None:
        assert not is_loopback(host)
        assert address_fault(host) is None

    def test_a_certificate_may_bear_such_a_name(self) -> None:
        assert host_fault("localhost") is None


class TestNames:
    @pytest.mark.parametrize(
        ("host", "addresses", "own", "why"),
        [
            ("api.example", ["127.0.0.1"], "box", "api.example resolves to 127.0.0.1 here"),
            ("api.example", ["::1", "203.0.113.1"], "box", "api.example resolves to ::1 here"),
            ("box", ["198.51.100.7"], "box.example", "box is this machine's own name"),
            ("Box", [], "box", "Box is this machine's own name"),
            ("box.example", ["127.0.1.1"], "box.example", "box.example resolves to 127.0.1.1 here"),
            ("box.example", ["198.51.100.7"], "box.example", ""),
            ("api.example", ["203.0.113.1"], "box", ""),
            ("api.example", [], "", ""),
        ],
    )
    def test_it_leads_here_by_its_addresses_or_by_being_this_machines_own(
        self, host: str, addresses: list[str], own: str, why: str
    ) -> None:
        assert leads_here(host, addresses, own) == why

    def test_names_are_resolved_as_the_system_does(self) -> None:
        own = socket.gethostname().partition(".")[0]
        found = names_here([Name(Use.API_SERVER, "127.1"), Name(Use.GATEWAY, own), API])
        assert [one.name.host for one in found] == ["127.1", own]

    def test_addresses_and_names_of_loopback_need_no_resolver(self) -> None:
        world = World()
        world.find("kt", "Service", "istio-ingressgateway")["status"] = {
            "loadBalancer": {"ingress": [{"hostname": "gw.example"}, {"hostname": "localhost"}]}
        }
        facts = world.facts()
        assert Name(Use.GATEWAY, "gw.example") in names_of("kt", CLUSTERS["kt"], facts.observed, {})
        assert all(
            name.host not in ("localhost", "198.18.0.21")
            for name in names_of("kt", CLUSTERS["kt"], facts.observed, facts.remotes)
        )


def run_check(world: World, checks: tuple[Check, ...] = ALL, **here: tuple[Here, ...]) -> list[Result]:
    facts = replace(world.facts(), here=here)
    return [one for one in run(checks, facts) if one.check.id == "names.this-machine" and one.problem]


class TestCheck:
    def test_a_gateways_name_that_leads_here_is_a_warning(self) -> None:
        (result,) = run_check(World(), kt=(Here(GATEWAY, "gw.example resolves to 127.0.0.1 here"),))
        assert result.problem is not None
        assert (result.is_warning, result.problem.code) == (True, "name-of-this-machine")
        assert "gateway name resolves" in result.problem.message

    def test_an_api_servers_name_at_which_all_istiods_have_synced_it_is_none(self) -> None:
        here = (Here(API, "api.example resolves to 127.0.0.1 here"),)
        world = World()
        assert run_check(world, kt=here) == []
        world.status("ncloud", "kt", "timeout")
        assert len(run_check(world, kt=here)) == 1

    def test_what_its_own_istiod_reports_of_it_does_not_count(self) -> None:
        world = World()
        world.status("kt", "kt", "timeout")
        assert run_check(world, kt=(Here(API, "api.example resolves to 127.0.0.1 here"),)) == []

    def test_before_an_install_nothing_is_synced(self) -> None:
        here = (Here(API, "api.example resolves to 127.0.0.1 here"),)
        facts = replace(World().facts(), here={"kt": here}, seen={})
        found = [one for one in run(PREFLIGHT, facts) if one.problem and one.check.topic == "names"]
        assert [(one.problem.code, one.is_error) for one in found if one.problem] == [
            ("name-of-this-machine", False)
        ]


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1"])
def test_a_gateway_whose_address_means_each_machine_is_an_error(address: str) -> None:
    world = World()
    service = world.find("kt", "Service", "istio-ingressgateway")
    service["spec"]["externalIPs"] = []
    service["status"] = {"loadBalancer": {"ingress": [{"hostname": address}]}}
    (result,) = [one for one in run(ALL, world.facts()) if one.is_root_cause]
    assert result.problem is not None
    assert (result.check.id, result.problem.code) == ("gateway.address", "gateway-address-for-us-only")
