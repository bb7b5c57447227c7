"""Tokens that clusters are read with: their age, and when they expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.access import REACHABLE, moment
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.checks.remote_access import TOKEN
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


def _age(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    cluster, live = facts.clusters[name], facts.observed[name]
    held = [
        one
        for holder, remotes in facts.remotes.items()
        if holder != name
        for one in of_cluster(remotes, cluster.cluster_id)[:1]
    ]
    tokens = used_tokens(held)
    if not tokens:
        return Finding("no other cluster reads it with a token")
    times = [token_times(token, live.of(objects.SECRET), cluster.reader) for token in tokens]
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
        message="the token that other clusters read this one with expires soon, or has expired",
        seen=seen,
        expected="a new token before two thirds of its life are over",
        hint=istio_mc("link", "--rotate", contexts=[name]),
    )


CHECKS = (
    Check(
        id=TOKEN_AGE,
        topic="link",
        title="age of reader token",
        passes="the reader token is not older than links.tokenAge",
        looks_at="the token in the other clusters' remote secrets, and the Secret with it",
        usual_cause="tokens of readers do not expire, and no one has replaced it",
        fix=f"`{istio_mc('link', '--rotate')}`",
        severity=Severity.WARNING,
        scope=Scope.CLUSTER,
        evaluate=_age,
        needs=(REACHABLE,),
        because=(TOKEN,),
        docs="day-two.md#tokens",
    ),
)
