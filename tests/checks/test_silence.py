"""discovery.silent: since when a cluster does not respond, and which services live only there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from istio_mc.checks import access, silence
from istio_mc.checks.runner import run
from istio_mc.domain.istio.discovery import Discovery, IstiodView
from istio_mc.domain.istio.istiod import RemoteCluster
from istio_mc.domain.links.silence import Silence, Trace, services_only_in
from istio_mc.domain.links.silence import silence as silence_of
from tests.support.world import World

EARLY, LATE = "2026-11-01T08:00:00Z", "2026-11-20T08:00:00Z"
OF_NHN = "istio-remote-secret-nhn-nks"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def secret(
    written: str, manager: str = "istio-mc", of: str = "nhn-nks", operation: str = "Apply"
) -> dict[str, Any]:
    fields = [{"manager": manager, "operation": operation, "time": written}]
    return {"metadata": {"name": OF_NHN, "managedFields": fields}, "data": {of: ""}}


def istiod(name: str, started: str) -> dict[str, Any]:
    status = {"name": "discovery", "state": {"running": {"startedAt": started}}}
    return {"metadata": {"name": name}, "status": {"containerStatuses": [status]}}


def report(pod: str, status: str) -> dict[str, tuple[RemoteCluster, ...]]:
    return {pod: (RemoteCluster(pod, "nhn-nks", f"istio-system/{OF_NHN}", status),)}


def times(silence: Silence) -> tuple[datetime | None, datetime | None]:
    return (
        silence.responded.time if silence.responded else None,
        silence.silent.time if silence.silent else None,
    )


def test_it_responded_when_istio_mc_wrote_its_remote_secret_last() -> None:
    secrets = {"kt": [secret(EARLY)], "ncloud": [secret(LATE)]}
    assert times(silence_of("nhn-nks", secrets, {}, {})) == (moment(LATE), None)


@pytest.mark.parametrize(
    "other",
    [secret(LATE, manager="kubectl"), secret(LATE, operation="Update"), secret(LATE, of="ncloud-nks")],
)
def test_writes_of_others_and_other_changes_and_secrets_give_no_time(other: dict[str, Any]) -> None:
    assert times(silence_of("nhn-nks", {"kt": [secret(EARLY), other]}, {}, {})) == (moment(EARLY), None)


def test_it_responded_after_the_start_of_an_istiod_that_has_synced_with_it() -> None:
    pods = {"kt": [istiod("a", LATE)]}
    found = silence_of("nhn-nks", {"kt": [secret(EARLY)]}, pods, {"kt": report("a", "synced")})
    assert times(found) == (moment(LATE), None)


@pytest.mark.parametrize("status", ["timeout", "syncing", "closed"])
def test_it_is_silent_since_the_start_of_the_first_istiod_that_has_not_synced(status: str) -> None:
    pods = {"kt": [istiod("a", "2026-11-21T00:00:00Z")], "ncloud": [istiod("b", LATE)]}
    reports = {"kt": report("a", status), "ncloud": report("b", status)}
    found = silence_of("nhn-nks", {"kt": [secret(EARLY)]}, pods, reports)
    assert times(found) == (moment(EARLY), moment(LATE))


def test_an_istiod_that_has_not_synced_shows_nothing_where_it_responded_later() -> None:
    pods = {"kt": [istiod("a", EARLY)]}
    found = silence_of("nhn-nks", {"kt": [secret(LATE)]}, pods, {"kt": report("a", "timeout")})
    assert times(found) == (moment(LATE), None)


def test_the_text_states_that_the_time_is_unknown() -> None:
    assert str(silence_of("nhn-nks", {"kt": [secret(EARLY, manager="kubectl")]}, {}, {})) == (
        "nothing shows since when it is silent"
    )


def test_its_text_has_the_times_and_what_shows_them() -> None:
    both = Silence(Trace(moment(EARLY), "one"), Trace(moment(LATE), "two"))
    assert str(both) == (
        "responded at or after 2026-11-01 08:00 UTC: one; silent since at least 2026-11-20 08:00 UTC: two"
    )


def view(**endpoints: list[str]) -> IstiodView:
    return IstiodView(
        "istiod-1",
        (),
        {
            f"{name}-nks": {("shop", service): frozenset(["10.0.0.1"]) for service in services}
            for name, services in endpoints.items()
        },
    )


def test_services_without_endpoints_in_other_clusters_exist_only_there() -> None:
    views = [view(nhn=["cart", "web"], kt=["web"]), view(nhn=["cart", "pay"], kt=["pay"])]
    assert services_only_in("nhn-nks", views) == ("shop/cart",)


def test_endpoints_of_another_silent_cluster_do_not_count() -> None:
    assert services_only_in("nhn-nks", [view(nhn=["web"], kt=["web"])], ["kt-nks"]) == ("shop/web",)


def test_services_are_unknown_if_no_istiod_has_an_endpoint_of_the_cluster() -> None:
    assert services_only_in("nhn-nks", [view(kt=["web"])]) is None


def judged(world: World) -> dict[str, tuple[str, str]]:
    """What is reported of each cluster."""
    results = run((*access.CHECKS, *silence.CHECKS), world.facts())
    return {
        str(one.target.cluster): (one.problem.code if one.problem else one.verdict, one.seen)
        for one in results
        if one.check.id == silence.SILENT
    }


def test_a_cluster_that_responds_passes() -> None:
    assert {verdict for verdict, _ in judged(World()).values()} == {"ok"}


def test_a_silent_cluster_is_a_warning_with_the_services_that_exist_only_there() -> None:
    world = World()
    world.silence("nhn")
    only = view(nhn=["cart"])
    world.discovery = {name: Discovery({"istiod-1": only}, {}) for name in ("kt", "ncloud")}
    verdict, seen = judged(world)["nhn"]
    assert (verdict, seen.rpartition("; ")[2]) == ("cluster-silent", "only there: shop/cart")


def test_a_cluster_that_no_other_is_linked_with_is_unknown() -> None:
    world = World()
    world.silence("nhn")
    for name in ("kt", "ncloud"):
        world.remove(name, "Secret", OF_NHN)
    assert judged(world)["nhn"] == ("unknown", "no cluster that responds is linked with nhn-nks")
