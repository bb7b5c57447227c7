"""What every cluster looks up of every other one is looked up in an index, not in a list of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from istio_mc.checks import discovery
from istio_mc.checks.model import Cause, Result, Target, Verdict
from istio_mc.checks.remote_secret import not_synced
from istio_mc.checks.runner import run
from istio_mc.domain.gateway import address
from istio_mc.domain.istio.discovery import IstiodView, NetworkGateway
from istio_mc.domain.istio.istiod import RemoteCluster
from istio_mc.domain.links.remote_secrets import RemoteSecret, RemoteSecrets, of_cluster
from istio_mc.present.verify.faults import explained
from tests.support.world import IDS, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

MANY = 50


class Counted:
    """How often something was read."""

    def __init__(self) -> None:
        self.reads = 0


@dataclass(frozen=True)
class Secret(RemoteSecret):
    counted: Counted | None = None

    def __getattribute__(self, name: str) -> object:
        if name == "cluster_id":
            object.__getattribute__(self, "counted").reads += 1
        return object.__getattribute__(self, name)


def test_remote_secrets_are_grouped_once_however_many_clusters_look_for_theirs() -> None:
    counted = Counted()
    secrets = RemoteSecrets(Secret(f"secret-{one}", f"c{one}", None, counted=counted) for one in range(MANY))
    found = [of_cluster(secrets, f"c{one}") for one in range(MANY)]
    assert [[one.secret for one in each] for each in found] == [[f"secret-{one}"] for one in range(MANY)]
    assert of_cluster(secrets, "another") == []
    assert counted.reads == MANY


def test_a_list_of_remote_secrets_is_searched_as_before() -> None:
    both = [RemoteSecret("first", "kt", None), RemoteSecret("second", "kt", None)]
    assert of_cluster(both, "kt") == of_cluster(RemoteSecrets(both), "kt") == both


def counting(counted: Counted) -> type[tuple[Any, ...]]:
    """A tuple that counts how often it is gone through."""

    class Once(tuple[Any, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[Any]:
            counted.reads += 1
            return super().__iter__()

        def __reversed__(self) -> Iterator[Any]:
            return iter([*self][::-1])

    return Once


def test_an_istiod_s_gateways_are_grouped_once_however_many_networks_are_looked_for() -> None:
    counted = Counted()
    gateways = [NetworkGateway(f"network{one}", f"10.0.0.{one}", 15443) for one in range(MANY)]
    view = IstiodView("istiod-1", counting(counted)(gateways), {})
    found = [view.addresses_of(f"network{one}") for one in range(MANY)]
    assert found == [frozenset({f"10.0.0.{one}"}) for one in range(MANY)]
    assert view.addresses_of("another") == frozenset()
    assert counted.reads == 1


def test_reports_of_an_istiod_are_grouped_once_and_the_first_of_equal_ids_is_used() -> None:
    world, counted = World(), Counted()
    rows = [RemoteCluster("istiod-1", IDS["ncloud"], "s", status) for status in ("timeout", "synced")]
    world.seen["kt"]["istiod-1"] = counting(counted)(rows)
    facts = world.facts()
    found = [not_synced(facts, Target("kt", peer)) for peer in ("ncloud", "nhn")]
    assert found == [{"istiod-1": "timeout"}, {"istiod-1": "absent"}]
    assert counted.reads == 1


def test_addresses_of_gateways_are_read_once_for_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = address.used_addresses

    def used_addresses(context: str, *rest: Any) -> tuple[str, ...]:
        read.append(context)
        return whole(context, *rest)

    monkeypatch.setattr(address, "used_addresses", used_addresses)
    results = run([one for one in discovery.CHECKS if one.id == discovery.GATEWAYS], World().facts())
    assert len(results) == 6
    assert read == [*IDS]


class Unhashable(Target):
    def __hash__(self) -> int:
        raise AssertionError(self)


def test_what_passed_is_not_searched_for_causes() -> None:
    check = discovery.CHECKS[0]
    passed = [Result(check, Unhashable("kt", f"c{one}"), Verdict.OK) for one in range(MANY)]
    failed = Result(check, Target("kt", "nhn"), Verdict.FAILED)
    cause = Cause(check.id, failed.target)
    unknown = Result(check, Target("nhn", "kt"), Verdict.UNKNOWN, caused_by=(cause,))
    assert explained([*passed, failed, unknown]) == {cause: [unknown]}
