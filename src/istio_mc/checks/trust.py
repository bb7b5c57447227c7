"""Trust: every cluster runs under the same root."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain import objects, pem
from istio_mc.domain.cacerts import ROOT_CERT, CaCerts
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pem import NamedPem
from istio_mc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from istio_mc.domain.observed import Observed

CACERTS = "trust.cacerts"
_DISTRIBUTED = "istio-ca-root-cert"
_SHOWN = 20


def _cacerts(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    try:
        return Finding(f"root {_in_cacerts(facts.observed[name])[:_SHOWN]}…")
    except ProblemError as error:
        return Finding(error.problems[0].message, error.problems[0])


def _one_root(facts: Facts, _target: Target) -> Finding:
    roots: dict[str, dict[str, str]] = {}
    for name, observed in facts.observed.items():
        for source, fingerprint in _roots_of(observed).items():
            roots.setdefault(fingerprint, {})[f"{name} ({source})"] = name
    if not roots:
        return Finding("no root", _no_root())
    if len(roots) == 1:
        return Finding(f"root {next(iter(roots))[:_SHOWN]}…")
    seen = "; ".join(f"{fingerprint}: {', '.join(places)}" for fingerprint, places in roots.items())
    fewest = min(roots.values(), key=len)
    problem = Problem(
        code="roots-differ",
        message="the clusters do not all run under one root CA",
        seen=seen,
        expected="one root everywhere",
        hint=f"kubectl --context {next(iter(fewest.values()))} -n {SYSTEM_NAMESPACE} "
        "rollout restart deployment istiod, once its Secret cacerts holds the mesh's root",
    )
    return Finding(f"{len(roots)} roots", problem)


def _no_root() -> Problem:
    return Problem(
        code="no-root",
        message="no cluster shows a root CA",
        seen="neither a readable Secret cacerts nor a root that istiod gives out",
        expected="one root everywhere",
        hint="istio-mc install",
    )


def _roots_of(observed: Observed) -> dict[str, str]:
    """The root as the Secret has it, and as istiod gives it out to namespaces."""
    found = {}
    with suppress(ProblemError):  # told by the check of that cluster's own cacerts
        found["cacerts"] = _in_cacerts(observed)
    if given_out := observed.find(objects.CONFIG_MAP, _DISTRIBUTED):
        try:
            found[_DISTRIBUTED] = _fingerprint((given_out.get("data") or {}).get(ROOT_CERT, "").encode())
        except ProblemError:
            found[_DISTRIBUTED] = "unreadable"
    return found


def _in_cacerts(observed: Observed) -> str:
    secret = observed.find(objects.SECRET, "cacerts")
    if secret is None:
        raise ProblemError(
            Problem(
                code="cacerts-missing",
                message="there is no Secret cacerts: istiod signs with a root of its own",
                seen=f"no Secret {SYSTEM_NAMESPACE}/cacerts",
                expected="the intermediate CA that the mesh's root issued to this cluster",
                hint="istio-mc install",
            )
        )
    return _fingerprint(CaCerts.from_secret_data(secret.get("data") or {}).root_cert)


def _fingerprint(bundle: bytes) -> str:
    return pem.fingerprint(pem.load_certificates(NamedPem(ROOT_CERT, bundle))[0])


CHECKS = (
    Check(
        id=CACERTS,
        topic="trust",
        description="the Secret cacerts is there and whole",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_cacerts,
        needs=(REACHABLE,),
        docs="troubleshooting.md#cacerts",
    ),
    Check(
        id="trust.one-root",
        topic="trust",
        description="all clusters run under one root CA, in cacerts and as istiod gives it out",
        severity=Severity.ERROR,
        scope=Scope.MESH,
        ask=_one_root,
        needs=(REACHABLE,),
        docs="troubleshooting.md#roots-differ",
    ),
)
