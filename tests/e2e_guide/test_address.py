"""kt's provider gives its gateway no address: istiods and proxies take the one that `address` gives it.

On the lab a static NAT outside kt's cluster has 198.18.0.21 and forwards each port to its nodePort, as the
guide has its reader set it up by hand.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import (
    CONTEXTS,
    GATEWAY,
    SYSTEM,
    Site,
    command,
    get,
    kubectl,
    rolled_out,
    soon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "istio-ingressgateway"
NAT = "198.18.0.21"


@pytest.fixture(scope="module")
def silent(whole: Site) -> Iterator[Site]:
    """The mesh under a mesh.yaml that knows of no gateway's address, with the sample in it."""
    whole.run("sample", "deploy").exits(0)
    clusters = [{"context": name} for name in CONTEXTS]
    site = Site.at(whole.folder / "silent", certs=whole.certs, clusters=clusters)
    yield site
    site.run("install", "--gateway-address", f"kt={NAT}").exits(0)


def service(context: str = "kt") -> dict[str, Any]:
    found: dict[str, Any] = get(context, "service", SERVICE)
    return found


def known(context: str, network: str) -> list[tuple[str, str]]:
    """Which gateways of a network an istiod knows: the cluster it read each from, and its address."""
    requested = ("exec", "-n", SYSTEM, "deployment/istiod", "--", "pilot-discovery", "request", "GET")
    found = json.loads(kubectl(context, *requested, "/debug/networkz")) or []
    return [(one["Cluster"], one["Addr"]) for one in found if one["Network"] == network]


def assert_matrix(site: Site) -> None:
    """Every client reaches every version, once proxies have taken in the last change."""
    deadline = time.monotonic() + 30
    while (result := site.run("sample", "test", "-o", "json")).code and time.monotonic() < deadline:
        time.sleep(1)
    result.exits(0)


def install_with_istioctl(site: Site) -> list[str]:
    """An install that has to run istioctl in kt, for the gateway there is not as wanted; its steps."""
    kubectl("kt", "set", "env", GATEWAY, "-n", SYSTEM, "ISTIO_META_ROUTER_MODE=standard")
    done = site.run("install", "-o", "json").exits(0)
    cluster = next(one for one in done.data["clusters"] if one["name"] == "kt")
    return [step["name"] for step in cluster["steps"]]


def test_by_an_external_ip_the_matrix_is_complete_and_a_later_install_keeps_it(silent: Site) -> None:
    silent.run("address", "--unset", "kt", "--yes").exits(0)
    done = silent.run("address", "--set", f"kt={NAT}", "--via", "external-ip", "-o", "json").exits(0)
    assert done.data["changed"]
    assert service()["spec"]["externalIPs"] == [NAT]
    assert_matrix(silent)

    assert "istio" in install_with_istioctl(silent)

    assert service()["spec"]["externalIPs"] == [NAT]
    assert_matrix(silent)


@pytest.fixture(scope="module")
def unknown(silent: Site) -> Site:
    """kt's gateway without an address, and istiods that know of none: restarted as `--unset` says."""
    silent.run("address", "--set", f"kt={NAT}").exits(0)
    done = silent.run("address", "--unset", "kt", "--yes", "-o", "json").exits(0)
    (warning,) = [one for one in done.json["messages"] if one["code"] == "address-remembered"]
    command("sh", "-c", warning["hint"])
    for name in ("ncloud", "nhn"):
        rolled_out(name, "deployment/istiod")
    return silent


@pytest.fixture(scope="module")
def by_gateway(unknown: Site) -> Site:
    """Gateway resources in the other clusters alone give the address of kt's gateway."""
    assert {name: known(name, "network1") for name in ("ncloud", "nhn")} == {"ncloud": [], "nhn": []}
    unknown.run("address", "--set", f"kt={NAT}", "--via", "gateway").exits(0)
    return unknown


def test_gateway_resources_alone_give_a_complete_matrix_and_a_clean_verify(by_gateway: Site) -> None:
    assert_matrix(by_gateway)
    assert {name: known(name, "network1") for name in ("ncloud", "nhn")} == {
        "ncloud": [("ncloud-nks", NAT)],
        "nhn": [("nhn-nks", NAT)],
    }
    by_gateway.run("verify", "--wait", "20s", "--skip", "cni").exits(0)


def test_a_gateway_resource_that_goes_is_forgotten_at_once(by_gateway: Site) -> None:
    soon(lambda: known("ncloud", "network1") != [], "ncloud's istiod has read the Gateway")

    done = by_gateway.run("address", "--unset", "kt", "--yes", "-o", "json").exits(0)

    assert [one["code"] for one in done.json["messages"] if one["code"] == "address-remembered"] == []
    soon(lambda: known("ncloud", "network1") == [], "ncloud's istiod has forgotten the Gateway")


def test_the_table_for_the_console_has_the_node_and_its_ports(whole: Site) -> None:
    (kt,) = whole.run("address", "--console", "kt", "-o", "json").exits(0).data["clusters"]
    entries = next(one["entries"] for one in kt["screens"] if one["title"] == "Load balancers")
    ports = {str(one["port"]): str(one["nodePort"]) for one in service()["spec"]["ports"]}
    assert {one["port"] for one in entries} <= ports.keys()
    assert [(one["servers"], one["serverPort"]) for one in entries] == [
        ("198.18.0.11", ports[one["port"]]) for one in entries
    ]
