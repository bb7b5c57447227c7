"""Checks of the tokens in remote secrets: age and expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.access import moment
from istio_mc.checks.model import Check, Facts, Finding, Severity, Target
from istio_mc.checks.remote_access import TOKEN, TOKEN_EXPIRED
from istio_mc.domain.hint import istio_mc
from istio_mc.domain.kube import objects
from istio_mc.domain.links.remote_secrets import of_cluster
from istio_mc.domain.links.token_times import TokenTimes, token_times, used_tokens
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import plural

if TYPE_CHECKING:
    from datetime import datetime

TOKEN_AGE = "link.token-age"  # noqa: S105 - a check's id
_SHARE_LEFT = 1 / 3
"""The share of a token's life that is left when its renewal is due."""


def _times(facts: Facts, name: str) -> list[TokenTimes]:
    """The times of the tokens that other clusters read this one with."""
    cluster, live = facts.clusters[name], facts.observed[name]
    held = [
        one
        for holder, remotes in facts.remotes.items()
        if holder != name
        for one in of_cluster(remotes, cluster.cluster_id)[:1]
    ]
    secrets = live.of(objects.SECRET)
    return [token_times(token, secrets, cluster.reader) for token in used_tokens(held)]


def _expired(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    now = moment(facts, name)
    ends = sorted(one.expires for one in _times(facts, name) if one.expires)
    if now is None or not ends:
        return Finding("")
    first = f"{ends[0]:%Y-%m-%d %H:%M}"
    if ends[0] > now:
        return Finding(f"expires {first} UTC")
    seen = f"expired {first} UTC"
    problem = Problem(
        code=Code.TOKEN_EXPIRED,
        message="the token that other clusters read this one with has expired",
        seen=seen,
        expected="a token that the API server accepts",
        hint=istio_mc("link", "--rotate", contexts=[name]),
    )
    return Finding(seen, problem)


def _age(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    times = _times(facts, name)
    if not times:
        return Finding("no other cluster reads it with a token")
    now = moment(facts, name)
    if now is None:
        return Finding("")
    if any(one.made is None for one in times):
        return Finding("made at an unknown time", unknown=True)
    oldest = min(times, key=lambda one: one.made or now)
    seen = _shown(oldest, now)
    ending = [one for one in times if one.expires and _is_due(one, now)]
    if ending:
        return Finding(_shown(ending[0], now), _expires(name, _shown(ending[0], now)))
    if oldest.made and facts.token_age and now - oldest.made > facts.token_age:
        return Finding(seen, _old(name, seen, facts.token_age.days))
    return Finding(seen)


def _is_due(times: TokenTimes, now: datetime) -> bool:
    if times.expires is None or times.made is None:
        return False
    return times.expires - now < (times.expires - times.made) * _SHARE_LEFT


def _shown(times: TokenTimes, now: datetime) -> str:
    made = f"{plural((now - times.made).days, 'day')} old" if times.made else "of unknown age"
    return f"{made}, {f'expires {times.expires:%Y-%m-%d %H:%M} UTC' if times.expires else 'does not expire'}"


def _old(name: str, seen: str, most_days: int) -> Problem:
    return Problem(
        code=Code.TOKEN_OLD,
        message="the token that other clusters read this one with is old",
        seen=seen,
        expected=f"at most {plural(most_days, 'day')} (links.tokenAge in mesh.yaml)",
        hint=istio_mc("link", "--rotate", contexts=[name]),
    )


def _expires(name: str, seen: str) -> Problem:
    return Problem(
        code=Code.TOKEN_EXPIRES,
        message="the token that other clusters read this one with expires soon",
        seen=seen,
        expected="a new token before two thirds of its life are over",
        hint=istio_mc("link", "--rotate", contexts=[name]),
    )


EXPIRED = (
    Check(
        id=TOKEN_EXPIRED,
        title="expiry of reader token",
        passes="the reader token has not expired",
        looks_at="the expiry in the tokens of the other clusters' remote secrets",
        usual_cause="tokens of `link --rotate --expires` were not renewed in time",
        fix=f"`{istio_mc('link', '--rotate')}`",
        evaluate=_expired,
        docs="day-two.md#tokens",
    ),
)

CHECKS = (
    Check(
        id=TOKEN_AGE,
        title="age of reader token",
        passes="the reader token is not older than links.tokenAge",
        looks_at="the token in the other clusters' remote secrets, and the Secret with it",
        usual_cause="tokens of readers do not expire, and no one has replaced it",
        fix=f"`{istio_mc('link', '--rotate')}`",
        severity=Severity.WARNING,
        evaluate=_age,
        because=(TOKEN_EXPIRED, TOKEN),
        docs="day-two.md#tokens",
    ),
)
