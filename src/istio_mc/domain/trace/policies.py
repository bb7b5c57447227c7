"""The AuthorizationPolicies of the server, as far as they can be decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube.objects import annotations_of, labels_of
from istio_mc.domain.kube.policies import Policies
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few
from istio_mc.domain.trace.matching import applies_to, edit, ref
from istio_mc.domain.trace.model import Outcome, Path, State, broken
from istio_mc.domain.trace.routing import is_http

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView

_SHOWN = 5
_DRY_RUN = "istio.io/dry-run"
_LOCAL = "cluster.local"
"""In a principal of a policy it means the trust domain of the cluster and its aliases
(pilot/pkg/security/trustdomain/bundle.go, Istio 1.26.0)."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as an AuthorizationPolicy sees it.

    Attributes:
        trust_domain: Of the client's certificate; empty where it has none.
        local_domains: The trust domain of the cluster that is called, and its aliases.
        addresses: Where connections come from: across networks, the gateway of the cluster that is called.
        providers: Names of the external authorizers of that cluster; None where they are unknown.
        tokens: Whether a RequestAuthentication of that cluster reads tokens for the pods; None: unknown.
    """

    trust_domain: str
    namespace: str
    account: str
    port: int | None
    http: bool
    local_domains: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    providers: frozenset[str] | None = None
    tokens: bool | None = None

    @property
    def principal(self) -> str:
        """The principal in its certificate; empty where none is seen."""
        return f"{self.trust_domain}/ns/{self.namespace}/sa/{self.account}" if self.trust_domain else ""


def authorization(path: Path) -> Outcome:
    """The AuthorizationPolicies of the target let the client in, as far as that can be decided.

    Those that apply to the gateway do not matter: where it passes TLS on, istiod gives it no authorization
    filters (pilot/pkg/networking/core/gateway.go, builtAutoPassthroughFilterChains, Istio 1.26.0).
    """
    target = path.target
    domains = (target.trust_domain, *map(str, target.mesh_config.get("trustDomainAliases") or ()))
    caller = Caller(
        path.client.trust_domain,
        path.client_namespace,
        path.client_account,
        path.target_port,
        is_http(path),
        domains,
        _addresses(path),
        frozenset(str(one.get("name")) for one in target.mesh_config.get("extensionProviders") or ()),
    )
    pods = [one.pod for one in target.endpoints if one.pod]
    policies = _applying(target, path.service.namespace, pods, target.config.authorization_policies)
    readers = _reading_tokens(path, pods)
    caller = replace(caller, tokens=None if readers is None else bool(readers))
    at_workload = decide(policies, caller)
    if problem := _without_tokens(path, policies, caller) or _refusal(path, at_workload, caller.principal):
        return broken(problem)
    if open_ones := [*at_workload.undecided, *((readers or ()) if caller.http else ())]:
        names = few(map(ref, open_ones), _SHOWN)
        return Outcome(State.OK, f"depends on the request: {names}", is_open=True)
    return Outcome(State.OK, f"{caller.principal} is let in" if policies else "no policy")


def _reading_tokens(path: Path, pods: Sequence[Object]) -> list[Object] | None:
    """The RequestAuthentications of the pods, which refuse requests with an invalid token; None: not read."""
    found = path.target.request_authentications
    return None if found is None else _applying(path.target, path.service.namespace, pods, found)


def _without_tokens(path: Path, policies: Sequence[Object], caller: Caller) -> Problem | None:
    """The problem of rules that require a token where nothing reads tokens: no request ever has one."""
    decision = decide(policies, caller)
    if (
        caller.tokens is not False
        or not decision.refusing
        or decide(policies, replace(caller, tokens=None)).refusing
    ):
        return None
    target, other = path.target, path.client
    found = next(iter(other.request_authentications or ()), None) if other is not target else None
    words = ("-n", path.service.namespace, "get", "requestauthentication", "-o", "yaml")
    return Problem(
        code=Code.AUTHORIZATION_REFUSES,
        cluster=target.context,
        message=f"{target.context}: {ref(decision.refusing[0])} requires a token that nothing reads",
        seen=f"no RequestAuthentication applies to the pods of {path.service}",
        expected="a RequestAuthentication for the tokens that the rules of the policy name",
        hint=Advice(f"create it, like that of {other.context}: ", kubectl(other.context, *words))
        if found
        else edit(target, decision.refusing[0], "create one, or remove the tokens from its rules: "),
    )


def _addresses(path: Path) -> tuple[str, ...]:
    """Where the target's pods see connections come from; nothing where that is unknown."""
    pods = path.target.gateway_pods if path.through_gateway else (path.client.client or {},)
    addresses = [str(pod.get("status", {}).get("podIP") or "") for pod in pods]
    return tuple(addresses) if all(addresses) else ()


def _applying(
    view: ClusterView, namespace: str, pods: Sequence[Object], policies: Iterable[Object]
) -> list[Object]:
    root, labels = view.root_namespace, [labels_of(pod) for pod in pods]
    return [
        one
        for one in Policies.of(policies).selecting((namespace, root), labels)
        if annotations_of(one).get(_DRY_RUN, "").lower() != "true" and applies_to(one, namespace, root, pods)
    ]


def _refusal(path: Path, decision: Decision, principal: str) -> Problem | None:
    if not decision.refusing:
        return None
    first, action = decision.refusing[0], decision.action
    names = few(map(ref, decision.refusing), _SHOWN)
    seen = {
        "DENY": f"a rule of action DENY matches: {names}",
        "ALLOW": f"no rule of action ALLOW matches: {names}",
        "CUSTOM": f"the MeshConfig has no extensionProvider of this name: {_provider(first)}",
    }[action]
    return Problem(
        code=Code.AUTHORIZATION_REFUSES,
        cluster=path.target.context,
        message=f"{path.target.context}: {ref(first)} refuses {principal}",
        seen=seen,
        expected="rules that let the client in, where it is to be let in",
        hint=_correct(path, first, action),
    )


def _provider(policy: Object) -> str:
    return str((policy["spec"].get("provider") or {}).get("name"))


def _correct(path: Path, policy: Object, action: str) -> Advice:
    change = {
        "DENY": "take the client out of its rules: ",
        "ALLOW": "let the client in by a rule: ",
        "CUSTOM": "name a provider of meshConfig.extensionProviders: ",
    }
    return edit(path.target, policy, change[action])


@dataclass(frozen=True, slots=True)
class Decision:
    """What policies say of a caller.

    Attributes:
        refusing: Those that refuse it whatever it requests.
        undecided: Those that refuse it or not by what it requests.
    """

    refusing: tuple[Object, ...] = ()
    action: str = ""
    undecided: tuple[Object, ...] = ()


def decide(policies: Iterable[Object], caller: Caller) -> Decision:
    """CUSTOM before DENY before ALLOW, as istiod orders them; AUDIT refuses nothing.

    What an external authorizer decides is left undecided.
    """
    by_action: dict[str, list[Object]] = {}
    for one in policies:
        by_action.setdefault(str((one.get("spec") or {}).get("action") or "ALLOW"), []).append(one)
    undecided = []
    for one in (*by_action.get("CUSTOM", ()), *by_action.get("DENY", ())):
        is_custom = one["spec"].get("action") == "CUSTOM"
        outcome = _matches(one, caller, deny=True)
        if outcome and not (is_custom and _has_provider(one, caller)):
            return Decision((one,), "CUSTOM" if is_custom else "DENY")
        if outcome is not False:
            undecided.append(one)
    allowing = by_action.get("ALLOW", [])
    verdicts = [_matches(one, caller, deny=False) for one in allowing]
    if allowing and not any(verdict or verdict is None for verdict in verdicts):
        return Decision(tuple(allowing), "ALLOW")
    if allowing and True not in verdicts:
        undecided += [one for one, verdict in zip(allowing, verdicts, strict=True) if verdict is None]
    return Decision(undecided=tuple(undecided))


def _has_provider(policy: Object, caller: Caller) -> bool:
    """Whether the external authorizer is there; where it is not, istiod refuses what the rules match."""
    name = (policy["spec"].get("provider") or {}).get("name")
    return caller.providers is None or name in caller.providers


Verdict = bool | None
"""Whether something is so; None: that depends on the request."""

Decided = dict[str, "Callable[[list[str]], Verdict]"]


def _all(verdicts: Iterable[Verdict]) -> Verdict:
    all_verdicts = list(verdicts)
    if False in all_verdicts:
        return False
    return None if None in all_verdicts else True


def _any(verdicts: Iterable[Verdict]) -> Verdict:
    all_verdicts = list(verdicts)
    if True in all_verdicts:
        return True
    return None if None in all_verdicts else False


def _not(verdict: Verdict) -> Verdict:
    return None if verdict is None else not verdict


def _matches(policy: Object, caller: Caller, *, deny: bool) -> Verdict:
    # Without HTTP a rule of ALLOW with a field of requests matches nothing; one of DENY drops the field.
    request: Verdict = None if caller.http else deny
    decided = _decided(caller, str(policy["metadata"]["namespace"]))
    rules = (policy.get("spec") or {}).get("rules") or []
    return _any(_rule(rule or {}, decided, request) for rule in rules)


def _decided(caller: Caller, namespace: str) -> Decided:
    """What can be decided, by the fields of rules and by the keys of conditions.

    Args:
        namespace: That of the policy.
    """

    def namespaces(given: list[str]) -> Verdict:
        return bool(caller.principal) and any(matches_text(one, caller.namespace) for one in given)

    fields: Decided = {
        "principals": lambda given: _principal(given, caller),
        "namespaces": namespaces,
        "serviceAccounts": lambda given: _account(given, caller, namespace),
        "ipBlocks": lambda given: _within(given, caller),
        "ports": lambda given: None if caller.port is None else str(caller.port) in given,
    }
    if caller.http and caller.tokens is False:
        fields |= dict.fromkeys(_OF_TOKENS, lambda _given: False)
    return {**fields, **{key: fields[field] for key, field in _KEYS.items()}}


_CLAIMS = "request.auth.claims"
_OF_TOKENS = (
    "requestPrincipals",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    _CLAIMS,
)
"""What is read from a token; of claims the key goes on in brackets."""

_KEYS = {
    "source.principal": "principals",
    "source.namespace": "namespaces",
    "source.serviceAccount": "serviceAccounts",
    "source.ip": "ipBlocks",
    "destination.port": "ports",
}
"""Keys of conditions that are as fields of rules."""


def _rule(rule: Mapping[str, Any], decided: Decided, request: Verdict) -> Verdict:
    parts = [
        _any(_fields(one.get(key) or {}, decided, request) for one in rule[field])
        for field, key in (("from", "source"), ("to", "operation"))
        if rule.get(field)
    ]
    return _all([*parts, *(_condition(one, decided, request) for one in rule.get("when") or [])])


def _fields(given: Mapping[str, Any], decided: Decided, request: Verdict) -> Verdict:
    """Whether all fields of a source or of an operation fit; those that begin with `not` are negated."""
    verdicts = []
    for key, values in given.items():
        is_negated = key.startswith("not")
        plain = key[3:4].lower() + key[4:] if is_negated else key
        if values:
            verdicts.append(_look(plain, values, decided, request, is_negated=is_negated))
    return _all(verdicts)


def _condition(condition: Mapping[str, Any], decided: Decided, request: Verdict) -> Verdict:
    key = str(condition.get("key"))
    return _all(
        _look(key, condition[field], decided, request, is_negated=field == "notValues")
        for field in ("values", "notValues")
        if condition.get(field)
    )


def _look(
    key: str, values: Iterable[object], decided: Decided, request: Verdict, *, is_negated: bool
) -> Verdict:
    key = _CLAIMS if key.startswith(f"{_CLAIMS}[") else key
    if key not in decided:
        return _unknown(key, request)
    found = decided[key](list(map(str, values)))
    return _not(found) if is_negated else found


_OF_CONNECTIONS = ("destination.ip", "connection.sni")


def _unknown(key: str, request: Verdict) -> Verdict:
    """What a field says that cannot be decided; those of connections depend on the call, HTTP or not."""
    return None if key in _OF_CONNECTIONS else request


def _principal(given: Iterable[str], caller: Caller) -> bool:
    return bool(caller.principal) and any(
        matches_text(one, caller.principal) for entry in given for one in _with_aliases(str(entry), caller)
    )


def _with_aliases(principal: str, caller: Caller) -> list[str]:
    domain, slash, rest = principal.partition("/")
    if slash and domain != "*" and (domain == _LOCAL or domain in caller.local_domains):
        return [f"{one}/{rest}" for one in caller.local_domains] or [principal]
    return [principal]


def _account(given: Iterable[str], caller: Caller, namespace: str) -> bool:
    """Whether it is one of these service accounts; a name alone is one of the policy's namespace."""
    own = f"{caller.namespace}/{caller.account}"
    return bool(caller.principal) and any(
        own == (one if "/" in one else f"{namespace}/{one}") for one in given
    )


def _within(given: Iterable[str], caller: Caller) -> Verdict:
    """Whether connections come from such addresses; unknown where some of them do."""
    blocks = [ip_network(str(one), strict=False) for one in given]
    verdicts = {any(ip_address(one) in block for block in blocks) for one in caller.addresses}
    return verdicts.pop() if len(verdicts) == 1 else None


def matches_text(pattern: str, value: str) -> bool:
    """Whether a value fits a pattern of an AuthorizationPolicy: exact, `*`, `prefix*` or `*suffix`."""
    if pattern == "*":
        return bool(value)
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return pattern == value
