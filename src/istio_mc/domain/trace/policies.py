"""Hops at the server: PeerAuthentication and AuthorizationPolicy, as far as they can be decided."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from istio_mc.domain.codes import Code
from istio_mc.domain.hint import kubectl
from istio_mc.domain.problem import Problem
from istio_mc.domain.text import few
from istio_mc.domain.trace.matching import applies_to, ref
from istio_mc.domain.trace.model import OK, Outcome, Path, State, broken
from istio_mc.domain.trace.routing import edit, is_http

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from istio_mc.domain.hint import Advice, Hint
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView

_SHOWN = 5
_LOCAL = "cluster.local"
"""In a principal of a policy it means the trust domain of the cluster and its aliases
(pilot/pkg/security/trustdomain/bundle.go, Istio 1.26.0)."""


def peer_authentication(path: Path) -> Outcome:
    """MTLS is not turned off for the pods; each istiod goes by the PeerAuthentications of its own cluster."""
    if not path.through_gateway:
        return OK
    pods = [one.pod for one in path.target.endpoints if one.pod]
    for view in dict.fromkeys((path.target.context, path.client.context)):
        of = path.target if view == path.target.context else path.client
        mode, policy = effective_mode(of, path.service.namespace, pods, path.target_port)
        if mode == "DISABLE" and policy:
            return broken(
                Problem(
                    code=Code.PEER_AUTHENTICATION_OFF,
                    cluster=of.context,
                    message=f"{of.context}: {ref(policy)} turns mTLS off for {path.service}",
                    seen="mtls mode DISABLE",
                    expected="PERMISSIVE or STRICT: calls from another network are mTLS",
                    hint=_permissive(of, policy, path.target_port),
                )
            )
    return OK


def _permissive(view: ClusterView, policy: Object, port: int | None) -> Hint:
    metadata, spec = policy["metadata"], policy.get("spec") or {}
    if str(port) in (spec.get("portLevelMtls") or {}):
        return edit(view, policy, "set mode PERMISSIVE for the port: ")
    patch = json.dumps({"spec": {"mtls": {"mode": "PERMISSIVE"}}})
    words = ("patch", "peerauthentication", metadata["name"], "--type", "merge", "-p", patch)
    return kubectl(view.context, "-n", metadata["namespace"], *words)


def effective_mode(
    view: ClusterView, namespace: str, pods: Sequence[Object], port: int | None
) -> tuple[str, Object | None]:
    """The mTLS mode that PeerAuthentications set, and the one that sets it.

    One with a selector counts before one of the namespace, and that before one of the root namespace; of
    equal ones the oldest counts (pilot/pkg/security/authn/policy_applier.go, Istio 1.26.0).
    """
    root = view.root_namespace
    found: dict[int, list[Object]] = {}
    for one in view.config.peer_authentications:
        has_selector = bool(((one.get("spec") or {}).get("selector") or {}).get("matchLabels"))
        of = one["metadata"]["namespace"]
        if of == namespace and has_selector and applies_to(one, namespace, namespace, pods):
            found.setdefault(0, []).append(one)
        elif of == namespace and not has_selector:
            found.setdefault(1, []).append(one)
        elif of == root and not has_selector:
            found.setdefault(2, []).append(one)
    for rank in sorted(found):
        oldest = min(found[rank], key=lambda one: str(one["metadata"].get("creationTimestamp") or ""))
        spec = oldest.get("spec") or {}
        levels = [(spec.get("portLevelMtls") or {}).get(str(port)), spec.get("mtls")]
        for level in levels:
            mode = (level or {}).get("mode", "UNSET")
            if mode != "UNSET":
                return str(mode), oldest
    return "PERMISSIVE", None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as an AuthorizationPolicy sees it.

    Attributes:
        trust_domain: Of the client's certificate; empty where it has none.
        namespace: Its namespace.
        account: Its service account.
        port: The port that is called.
        http: Whether the policy sees HTTP requests.
        local_domains: The trust domain of the cluster that is called, and its aliases.
    """

    trust_domain: str
    namespace: str
    account: str
    port: int | None
    http: bool
    local_domains: tuple[str, ...] = ()

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
    )
    pods = [one.pod for one in target.endpoints if one.pod]
    policies = _applying(target, path.service.namespace, pods)
    at_workload = decide(policies, caller)
    if problem := _refusal(path, at_workload, f"refuses {caller.principal}"):
        return broken(problem)
    if at_workload.undecided:
        names = few(map(ref, at_workload.undecided), _SHOWN)
        return Outcome(State.OK, f"depends on the request: {names}")
    return Outcome(State.OK, f"{caller.principal} is let in" if policies else "no policy")


def _applying(view: ClusterView, namespace: str, pods: Sequence[Object]) -> list[Object]:
    return [
        one
        for one in view.config.authorization_policies
        if applies_to(one, namespace, view.root_namespace, pods)
    ]


def _refusal(path: Path, decision: Decision, what: str) -> Problem | None:
    if not decision.refusing:
        return None
    first, action = decision.refusing[0], decision.action
    seen = (
        f"a rule of action DENY matches: {few(map(ref, decision.refusing), _SHOWN)}"
        if action == "DENY"
        else f"no rule of action ALLOW matches: {few(map(ref, decision.refusing), _SHOWN)}"
    )
    return Problem(
        code=Code.AUTHORIZATION_REFUSES,
        cluster=path.target.context,
        message=f"{path.target.context}: {ref(first)} {what}",
        seen=seen,
        expected="rules that let the client in, where it is to be let in",
        hint=_correct(path, first, action),
    )


def _correct(path: Path, policy: Object, action: str) -> Advice:
    change = "take the client out of its rules: " if action == "DENY" else "let the client in by a rule: "
    return edit(path.target, policy, change)


@dataclass(frozen=True, slots=True)
class Decision:
    """What policies say of a caller.

    Attributes:
        refusing: Those that refuse it whatever it requests.
        action: Their action.
        undecided: Those that refuse it or not by what it requests.
    """

    refusing: tuple[Object, ...] = ()
    action: str = ""
    undecided: tuple[Object, ...] = ()


def decide(policies: Iterable[Object], caller: Caller) -> Decision:
    """DENY before ALLOW, as istiod orders them; CUSTOM is left undecided, AUDIT refuses nothing."""
    by_action: dict[str, list[Object]] = {}
    for one in policies:
        by_action.setdefault(str((one.get("spec") or {}).get("action") or "ALLOW"), []).append(one)
    undecided = list(by_action.get("CUSTOM", ()))
    for one in by_action.get("DENY", ()):
        found = _matches(one, caller, deny=True)
        if found:
            return Decision((one,), "DENY")
        if found is None:
            undecided.append(one)
    allowing = by_action.get("ALLOW", [])
    verdicts = [_matches(one, caller, deny=False) for one in allowing]
    if allowing and not any(verdict or verdict is None for verdict in verdicts):
        return Decision(tuple(allowing), "ALLOW")
    if allowing and True not in verdicts:
        undecided += [one for one, verdict in zip(allowing, verdicts, strict=True) if verdict is None]
    return Decision(undecided=tuple(undecided))


Verdict = bool | None
"""Whether something is so; None: that depends on the request."""


def _all(verdicts: Iterable[Verdict]) -> Verdict:
    found = list(verdicts)
    if False in found:
        return False
    return None if None in found else True


def _any(verdicts: Iterable[Verdict]) -> Verdict:
    found = list(verdicts)
    if True in found:
        return True
    return None if None in found else False


def _not(verdict: Verdict) -> Verdict:
    return None if verdict is None else not verdict


def _matches(policy: Object, caller: Caller, *, deny: bool) -> Verdict:
    rules = (policy.get("spec") or {}).get("rules") or []
    return _any(_rule(rule, caller, deny=deny) for rule in rules)


def _rule(rule: Mapping[str, Any] | None, caller: Caller, *, deny: bool) -> Verdict:
    rule = rule or {}
    request: Verdict = None if caller.http else deny
    # Without HTTP a rule of action ALLOW with such a field matches nothing; one of DENY drops the field.
    parts: list[Verdict] = []
    if rule.get("from"):
        parts.append(_any(_source(one.get("source") or {}, caller, request) for one in rule["from"]))
    if rule.get("to"):
        parts.append(_any(_operation(one.get("operation") or {}, caller, request) for one in rule["to"]))
    parts += [_condition(one, caller, request) for one in rule.get("when") or []]
    return _all(parts)


def _source(source: Mapping[str, Any], caller: Caller, request: Verdict) -> Verdict:
    decided: dict[str, Callable[[list[str]], Verdict]] = {
        "principals": lambda given: _principal(given, caller),
        "namespaces": lambda given: _one_of(given, caller.namespace),
        "serviceAccounts": lambda given: _account(given, caller),
    }
    return _all(_field(key, value, decided, request) for key, value in source.items() if value)


def _operation(operation: Mapping[str, Any], caller: Caller, request: Verdict) -> Verdict:
    decided: dict[str, Callable[[list[str]], Verdict]] = {"ports": lambda given: _port(given, caller)}
    return _all(_field(key, value, decided, request) for key, value in operation.items() if value)


def _condition(condition: Mapping[str, Any], caller: Caller, request: Verdict) -> Verdict:
    decided: dict[str, Callable[[list[str]], Verdict]] = {
        "source.principal": lambda given: _principal(given, caller),
        "source.namespace": lambda given: _one_of(given, caller.namespace),
        "source.serviceAccount": lambda given: _account(given, caller),
        "destination.port": lambda given: _port(given, caller),
    }
    key = str(condition.get("key"))

    def look(given: list[str]) -> Verdict:
        return decided[key](given) if key in decided else _unknown(key, request)

    parts: list[Verdict] = []
    if condition.get("values"):
        parts.append(look(list(condition["values"])))
    if condition.get("notValues"):
        parts.append(_not(look(list(condition["notValues"]))))
    return _all(parts)


_OF_CONNECTIONS = ("ipBlocks", "source.ip", "destination.ip", "connection.sni")


def _unknown(key: str, request: Verdict) -> Verdict:
    """What a field says that cannot be decided; those of connections depend on the call, HTTP or not."""
    return None if key in _OF_CONNECTIONS else request


def _field(
    key: str, value: list[str], decided: Mapping[str, Callable[[list[str]], Verdict]], request: Verdict
) -> Verdict:
    is_negated = key.startswith("not")
    plain = key[3:4].lower() + key[4:] if is_negated else key
    if plain not in decided:
        return _unknown(plain, request)
    found = decided[plain](list(value))
    return _not(found) if is_negated else found


def _principal(given: Iterable[str], caller: Caller) -> bool:
    return bool(caller.principal) and any(
        matches_text(one, caller.principal) for entry in given for one in _with_aliases(str(entry), caller)
    )


def _with_aliases(principal: str, caller: Caller) -> list[str]:
    domain, slash, rest = principal.partition("/")
    if slash and domain != "*" and (domain == _LOCAL or domain in caller.local_domains):
        return [f"{one}/{rest}" for one in caller.local_domains] or [principal]
    return [principal]


def _account(given: Iterable[str], caller: Caller) -> Verdict:
    if not caller.principal:
        return False
    wanted = {f"{caller.namespace}/{caller.account}", caller.account}
    return any(str(one) in wanted for one in given)


def _one_of(given: Iterable[str], value: str) -> bool:
    return bool(value) and any(matches_text(str(one), value) for one in given)


def _port(given: Iterable[str], caller: Caller) -> Verdict:
    return None if caller.port is None else str(caller.port) in map(str, given)


def matches_text(pattern: str, value: str) -> bool:
    """Whether a value fits a pattern of an AuthorizationPolicy: exact, `*`, `prefix*` or `*suffix`."""
    if pattern == "*":
        return bool(value)
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return pattern == value
