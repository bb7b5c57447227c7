"""Rules of AuthorizationPolicies that require a token, with and without a RequestAuthentication."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.trace.hops import walk
from tests.domain.test_trace_hops import config, path, problem_of, service

JWT = {"kind": "RequestAuthentication", "metadata": {"name": "jwt", "namespace": "sample"}, "spec": {}}
TOKEN = [{"from": [{"source": {"requestPrincipals": ["*"]}}]}]
NO_TOKEN = [{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}]
CLAIM = [{"when": [{"key": "request.auth.claims[group]", "values": ["admin"]}]}]


def policy_of(rules: list[Any], action: str = "ALLOW") -> dict[str, Any]:
    spec = {"action": action, "rules": rules}
    return {
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "jwt", "namespace": "sample"},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("found", "authentications", "state", "is_open"),
    [
        (policy_of(TOKEN), (), "broken", False),
        (policy_of(CLAIM), (), "broken", False),
        (policy_of(NO_TOKEN, "DENY"), (), "broken", False),
        (policy_of(TOKEN, "DENY"), (), "ok", False),
        (policy_of(TOKEN), (JWT,), "ok", True),
        (policy_of(TOKEN), ({**JWT, "metadata": {"name": "jwt", "namespace": "shop"}},), "broken", False),
        # Not read: nothing is said of tokens.
        (policy_of(TOKEN), None, "ok", True),
        (policy_of([{}]), (JWT,), "ok", True),
    ],
)
def test_a_rule_of_tokens_refuses_all_where_nothing_reads_tokens(
    found: dict[str, Any], authentications: tuple[dict[str, Any], ...] | None, state: str, *, is_open: bool
) -> None:
    target = {**config(authorization_policies=[found]), "request_authentications": authentications}
    last = walk(path(None, target)).hops
    outcome = next(one.outcome for one in last if one.hop.id == "authorization")
    assert (outcome.state.value, outcome.is_open) == (state, is_open)


def test_missing_authentication_is_copied_from_the_cluster_that_has_it() -> None:
    target = {**config(authorization_policies=[policy_of(TOKEN)]), "request_authentications": ()}
    alone, copied = problem_of(None, target), problem_of({"request_authentications": (JWT,)}, target)
    assert alone.message == "nhn: AuthorizationPolicy sample/jwt requires a token that nothing reads"
    assert "edit authorizationpolicy jwt" in str(alone.hint)
    assert "kubectl --context kt -n sample get requestauthentication -o yaml" in str(copied.hint)


def test_a_policy_that_refuses_the_client_anyway_is_named_for_that() -> None:
    both = [{"from": [{"source": {"requestPrincipals": ["*"], "namespaces": ["shop"]}}]}]
    target = {**config(authorization_policies=[policy_of(both)]), "request_authentications": ()}
    assert "refuses cluster.local/ns/sample/sa/sleep" in problem_of(None, target).message


def test_tokens_on_a_non_http_port_are_ignored_as_in_istiod() -> None:
    tcp = {"service": service(ports=[{"name": "tcp", "port": 9080}])}
    deny = config(authorization_policies=[policy_of(TOKEN, "DENY")])
    assert walk(path(tcp, {**tcp, **deny, "request_authentications": ()})).broken
