"""link.token-age: how old the token is that others read a cluster with, and when it expires."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.checks import access, remote_access, token_age
from istio_mc.checks.model import Severity
from istio_mc.checks.runner import run
from istio_mc.domain.istio import documents
from istio_mc.domain.kube import objects
from istio_mc.domain.links.token_times import TokenTimes, token_times
from istio_mc.domain.mesh import ApiServer
from tests.support.world import CA, World

if TYPE_CHECKING:
    from istio_mc.checks.model import Result

USED = "token"
AGE = timedelta(days=365)
NOW = datetime(2026, 11, 30, tzinfo=UTC)
READER = "istio-reader-service-account"


def secret(name: str, token: str, created: str) -> dict[str, Any]:
    return {
        "apiVersion": objects.SECRET.api_version,
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": name,
            "creationTimestamp": created,
            "annotations": {"kubernetes.io/service-account.name": READER},
        },
        "data": {"token": base64.b64encode(token.encode()).decode(), "ca.crt": ""},
    }


def bound(made: datetime, expires: datetime) -> str:
    """A token as TokenRequest returns it, with a signature of nobody."""
    claims = {"iat": int(made.timestamp()), "exp": int(expires.timestamp())}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def test_the_token_of_a_secret_is_as_old_as_the_secret_and_does_not_expire() -> None:
    secrets = [secret("one", "a", "2026-01-01T00:00:00Z"), secret("two", "b", "2026-02-01T00:00:00Z")]
    assert token_times("b", secrets, READER) == TokenTimes(datetime(2026, 2, 1, tzinfo=UTC))


def test_a_requested_token_contains_its_expiry() -> None:
    token = bound(NOW, NOW + timedelta(days=90))
    assert token_times(token, [], READER) == TokenTimes(NOW, NOW + timedelta(days=90))


@pytest.mark.parametrize("token", ["", "no token", "a.b.c", "e30.W10.x"])
def test_what_is_no_token_has_no_times(token: str) -> None:
    assert token_times(token, [], READER) == TokenTimes()


def results_of(created: str, token: str = USED, most: timedelta | None = AGE) -> list[Result]:
    """The results where others read kt with this token, made at that time."""
    world = World(now=NOW)
    world.remove("kt", "Secret", documents.READER_TOKEN_SECRET)
    world.objects["kt"].append(secret("reader", token, created))
    for other in ("ncloud", "nhn"):
        own = world.find(other, "Secret", "istio-remote-secret-kt-k2p")
        kubeconfig = documents.remote_kubeconfig("kt-k2p", ApiServer("https://kt:6443"), token, CA)
        own["data"] = documents.remote_secret("kt-k2p", kubeconfig)["data"]
    facts = replace(world.facts(), token_age=most)
    return [*run((*access.CHECKS, *token_age.EXPIRED, *token_age.CHECKS), facts)]


def judged(created: str, token: str = USED, most: timedelta | None = AGE) -> list[tuple[str, str]]:
    """What is reported of the age of kt's token, made at that time."""
    return [
        (one.problem.code if one.problem else one.verdict, one.seen)
        for one in results_of(created, token, most)
        if one.check.id == token_age.TOKEN_AGE and one.target.cluster == "kt"
    ]


def test_a_token_that_is_not_old_passes_with_its_age() -> None:
    assert judged("2026-11-01T00:00:00Z") == [("ok", "29 days old, does not expire")]


def test_a_token_older_than_the_setting_is_a_warning() -> None:
    assert judged("2025-11-01T00:00:00Z") == [("token-old", "394 days old, does not expire")]
    assert judged("2025-11-01T00:00:00Z", most=None) == [("ok", "394 days old, does not expire")]


@pytest.mark.parametrize(("made_days_ago", "verdict"), [(50, "ok"), (70, "token-expires")])
def test_a_token_is_to_be_renewed_when_a_third_of_its_life_is_left(made_days_ago: int, verdict: str) -> None:
    made = NOW - timedelta(days=made_days_ago)
    ((found, _),) = judged("", token=bound(made, made + timedelta(days=90)))
    assert found == verdict


def judged_expired(made_days_ago: int) -> list[tuple[str, str, str | None]]:
    """What is reported of the expiry of kt's token, which is accepted for 90 days: with its severity."""
    made = NOW - timedelta(days=made_days_ago)
    return [
        (one.problem.code if one.problem else one.verdict, one.seen, one.check.severity)
        for one in results_of("", bound(made, made + timedelta(days=90)))
        if one.check.id == remote_access.TOKEN_EXPIRED and one.target.cluster == "kt"
    ]


def test_a_token_that_has_expired_is_an_error() -> None:
    assert judged_expired(91) == [("token-expired", "expired 2026-11-29 00:00 UTC", Severity.ERROR)]


def test_a_token_that_expires_later_is_none() -> None:
    assert judged_expired(89) == [("ok", "expires 2026-12-01 00:00 UTC", Severity.ERROR)]


def test_a_token_without_an_expiry_does_not_expire() -> None:
    results = results_of("2020-01-01T00:00:00Z", USED)
    assert {one.verdict for one in results if one.check.id == remote_access.TOKEN_EXPIRED} == {"ok"}


def test_an_expired_token_is_the_cause_that_it_is_also_close_to_its_expiry() -> None:
    made = NOW - timedelta(days=91)
    (age,) = [
        one
        for one in results_of("", bound(made, made + timedelta(days=90)))
        if one.check.id == token_age.TOKEN_AGE and one.target.cluster == "kt"
    ]
    assert [str(cause) for cause in age.caused_by] == ["link.token-expired kt"]


def test_a_token_that_no_secret_has_is_of_unknown_age() -> None:
    world = World(now=NOW)
    for name in world.objects:
        world.remove(name, "Secret", documents.READER_TOKEN_SECRET)
    results = run((*access.CHECKS, *token_age.CHECKS), replace(world.facts(), token_age=AGE))
    assert {one.verdict for one in results if one.check.id == token_age.TOKEN_AGE} == {"unknown"}
