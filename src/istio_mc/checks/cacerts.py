"""Trust, as the Secrets have it: each cluster's CA is whole and valid, and all stand under one root."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from istio_mc.checks import hints
from istio_mc.checks.access import CLOCK, NAMESPACE, REACHABLE, moment
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target, once_told
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, Hint, istio_mc
from istio_mc.domain.istio.choice import istiod_version
from istio_mc.domain.istio.istiod import crl_fault, reads_crl, signs_for_itself
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki import cacerts, signing
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.chain import SOON, path_faults, path_warnings
from istio_mc.domain.pki.signing import contents_of
from istio_mc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.domain.observed import Observed
    from istio_mc.domain.pki.signing import Certificates, Outsider, Signing

CACERTS = "trust.cacerts"
ROOT_VALID = "trust.root-valid"
VALID = "trust.valid"
ONE_ROOT = "trust.one-root"

_ANY_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
_DATES = frozenset({Code.CA_EXPIRED, Code.CA_NOT_YET_VALID})
_ENDS = Code.CA_EXPIRES_SOON
_SHOWN = 20


@once_told
def cas(facts: Facts) -> Mapping[str, Signing]:
    """The CAs of the clusters whose cacerts can be read; of the others another check tells."""
    found = {}
    for name, observed in facts.observed.items():
        try:
            found[name] = signing.signing(_files(observed))
        except ProblemError:
            continue
    return found


@once_told
def _outsiders(facts: Facts) -> Mapping[str, Outsider]:
    return signing.outsiders(cas(facts))


def _files(observed: Observed) -> CaCerts:
    secret = observed.find(objects.SECRET, "cacerts")
    if secret is None:
        raise ProblemError(
            Problem(
                code=Code.CACERTS_MISSING,
                message="there is no Secret cacerts: istiod signs with a root of its own",
                seen=f"no Secret {SYSTEM_NAMESPACE}/cacerts",
                expected="the intermediate CA that the mesh's root issued to this cluster",
            )
        )
    return CaCerts.from_secret_data(secret.get("data") or {})


def _cacerts(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    observed = facts.observed[name]
    try:
        files = _files(observed)
        # Dates are another check's, so any moment does.
        found = [fault for fault in cacerts.faults(files, _ANY_MOMENT) if fault.code not in _DATES]
    except ProblemError as error:
        found = list(error.problems)
    if not found:
        lists = _revocation_lists(facts, observed)
        return Finding(
            str(lists.seen) if lists else "an intermediate CA, its key, and the way to its root", lists
        )
    first = found[0]
    problem = Problem(
        code=first.code,
        message=first.message + _what_istiod_does(facts, observed, first),
        seen="; ".join(fault.seen or fault.message for fault in found),
        expected=first.expected or "a CA that istiod and the proxies take",
        hint=_mend_secret(facts, observed),
    )
    return Finding(first.message, problem)


def _revocation_lists(facts: Facts, observed: Observed) -> Problem | None:
    """What is wrong with the revocation lists in the Secret of an istiod that reads them."""
    istiod = observed.find(objects.DEPLOYMENT, facts.mesh.istiod)
    fault = crl_fault(contents_of(observed.find(objects.SECRET, "cacerts") or {}))
    if not (istiod and fault and reads_crl([istiod], facts.mesh.version)):
        return None
    return Problem(
        code=Code.CACERTS_CRL,
        message="the revocation lists in the Secret cacerts do not match its CA: istiod does not start",
        seen=fault,
        expected="a list signed by each certificate of cert-chain.pem, or no ca-crl.pem",
        hint=Advice("replace ca-crl.pem in the Secret, or remove it: istio-mc leaves it alone"),
    )


def _what_istiod_does(facts: Facts, observed: Observed, fault: Problem) -> str:
    """What the cluster's istiod does when it starts with a Secret that is not complete, by its version."""
    if fault.code != Code.CACERTS_PARTIAL:
        return ""
    deployment = observed.find(objects.DEPLOYMENT, facts.mesh.istiod)
    version = (deployment and istiod_version(deployment)) or facts.mesh.version
    keys = (observed.find(objects.SECRET, "cacerts") or {}).get("data") or {}
    does = "signs with a root of its own" if signs_for_itself(keys, version) else "does not start"
    return f": istiod {version} {does}"


def _mend_secret(facts: Facts, observed: Observed) -> Hint:
    data = (observed.find(objects.SECRET, "cacerts") or {}).get("data") or {}
    if "tls.crt" in data:
        return Advice(
            "have who made the Secret, cert-manager for example, issue it anew: istio-mc leaves it alone"
        )
    return hints.install(facts)


def _roots(facts: Facts) -> dict[str, Certificates]:
    """The root each cluster signs under."""
    return {name: ca.path[-1:] for name, ca in cas(facts).items()}


def _root_valid(facts: Facts, _target: Target) -> Finding:
    faults: dict[Problem, list[str]] = {}
    ends = []
    for name, root in _roots(facts).items():
        ends += [certificate.not_valid_after_utc for certificate in root]
        now = moment(facts, name)
        for fault in path_faults(root, now) if now else ():
            if fault.code in _DATES:
                faults.setdefault(fault, []).append(name)
    if not faults:
        return Finding(f"until {min(ends):%Y-%m-%d}" if ends else "no root")
    fault, names = next(iter(faults.items()))
    return Finding(
        str(fault.seen),
        Problem(
            code=fault.code,
            message=f"the root CA of {', '.join(names)}: {fault.message}",
            seen=fault.seen,
            expected=fault.expected,
            hint=_NEW_ROOT if fault.code == Code.CA_EXPIRED else _CLOCK,
        ),
    )


_NEW_ROOT = Advice(
    "a root cannot be renewed in place: make a new one in another folder, and give it to every cluster: ",
    istio_mc("install", "--certs-dir", "FOLDER", "--replace-ca", "CONTEXT"),
)
_CLOCK = Advice("see that the clocks of this machine and of the clusters' nodes are right")


def _valid(facts: Facts, target: Target) -> Finding:
    ca = cas(facts)[str(target.cluster)]
    below = ca.path[:-1] or (ca.certificate,)
    now = moment(facts, str(target.cluster))
    faults = [fault for fault in path_faults(below, now) if fault.code in _DATES] if now else []
    if not faults:
        return Finding(f"until {min(c.not_valid_after_utc for c in below):%Y-%m-%d}")
    (fault, *_) = faults
    problem = Problem(
        code=fault.code,
        message=fault.message,
        seen=fault.seen,
        expected=fault.expected,
        hint=_mend_secret(facts, facts.observed[str(target.cluster)]),
    )
    return Finding(str(fault.seen), problem)


def _root_lasts(facts: Facts, _target: Target) -> Finding:
    found = [warning for root in _roots(facts).values() for warning in _warnings(facts, root)]
    return _told_soon(found, _NEW_ROOT)


def _lasts(facts: Facts, target: Target) -> Finding:
    ca = cas(facts)[str(target.cluster)]
    found = _warnings(facts, ca.path[:-1] or (ca.certificate,))
    return _told_soon(found, _mend_secret(facts, facts.observed[str(target.cluster)]))


def _warnings(facts: Facts, path: Certificates) -> list[Problem]:
    return path_warnings(path, facts.now, within=SOON) if facts.now else []


def _told_soon(found: Sequence[Problem], mend: Hint) -> Finding:
    if not found:
        return Finding("it does")
    first = found[0]
    hint = mend if first.code == _ENDS else first.hint
    problem = Problem(
        code=first.code, message=first.message, seen=first.seen, expected=first.expected, hint=hint
    )
    return Finding(first.message, problem)


def _one_root(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    members = cas(facts)
    outside = _outsiders(facts)
    ca = members[name]
    if name not in outside:
        return Finding(f"root {ca.root[:_SHOWN]}…")
    problem = Problem(
        code=Code.ROOTS_DIFFER,
        message=f"{name} and the rest of the mesh do not stand under one root CA",
        seen=_roots_told(members),
        expected="every cluster takes the root that every other signs under",
        hint=_mend_root(facts, name, members, outside),
    )
    return Finding(f"signs under {ca.root[:_SHOWN]}…", problem)


def _roots_told(members: Mapping[str, Signing]) -> str:
    """Each root with who signs under it, and each cluster that takes others than that one."""
    by_root: dict[str, list[str]] = {}
    for name, ca in members.items():
        by_root.setdefault(ca.root, []).append(name)
    told = [f"{', '.join(names)} sign under {root}" for root, names in by_root.items()]
    told += [
        f"{name} takes {', '.join(sorted(ca.trusted))}"
        for name, ca in members.items()
        if ca.trusted != {ca.root}
    ]
    return "; ".join(told)


def _mend_root(
    facts: Facts, name: str, members: Mapping[str, Signing], outside: Mapping[str, Outsider]
) -> Hint:
    if not signing.most_take(members, outside):
        return Advice(
            "decide which of these roots is the mesh's; then, with its folder: ",
            istio_mc("install", "--certs-dir", "FOLDER", "--replace-ca", "CONTEXT", contexts=facts.clusters),
        )
    if not outside[name].untrusted_by:
        return Advice(
            f"add the root that the others sign under to root-cert.pem in the Secret cacerts of {name}"
        )
    return istio_mc("install", "--replace-ca", name, contexts=facts.clusters)


CHECKS = (
    Check(
        id=CACERTS,
        topic="trust",
        title="the Secret cacerts is there and whole",
        looks_at="the Secret `cacerts`: chain, key, and what the certificates allow",
        usual_cause="the Secret was edited, or was put together of files of two CAs",
        fix=hints.INSTALL,
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_cacerts,
        needs=(REACHABLE,),
        because=(NAMESPACE,),
        docs="troubleshooting.md#cacerts",
    ),
    Check(
        id=ROOT_VALID,
        topic="trust",
        title="the root CA is valid now",
        looks_at="the dates of the root in each `cacerts`",
        usual_cause="the root has expired, or a clock is wrong",
        fix="make a new root in another folder, and install it in every cluster with `--replace-ca`",
        severity=Severity.ERROR,
        scope=Scope.MESH,
        ask=_root_valid,
        needs=(REACHABLE,),
        because=(CLOCK,),
        docs="troubleshooting.md#ca-expired",
    ),
    Check(
        id=VALID,
        topic="trust",
        title="the intermediate CA is valid now",
        looks_at="the dates of the intermediate CA in `cacerts`",
        usual_cause="the intermediate has expired: nobody issued a new one",
        fix=hints.INSTALL,
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_valid,
        needs=(CACERTS,),
        because=(CLOCK, ROOT_VALID),
        docs="troubleshooting.md#ca-expired",
    ),
    Check(
        id="trust.root-lasts",
        topic="trust",
        title=f"the root CA lasts {SOON.days} days more, and limits no names or uses",
        looks_at="the same dates, and limits of names and uses",
        usual_cause="the root ends soon",
        fix="plan a new root while the old one is valid",
        severity=Severity.WARNING,
        scope=Scope.MESH,
        ask=_root_lasts,
        needs=(REACHABLE,),
        docs="troubleshooting.md#ca-expired",
    ),
    Check(
        id="trust.lasts",
        topic="trust",
        title=f"the intermediate CA lasts {SOON.days} days more, and limits no names or uses",
        looks_at="the same of the intermediate CA",
        usual_cause="the intermediate ends soon",
        fix=hints.INSTALL,
        severity=Severity.WARNING,
        scope=Scope.CLUSTER,
        ask=_lasts,
        needs=(CACERTS,),
        docs="troubleshooting.md#ca-expired",
    ),
    Check(
        id=ONE_ROOT,
        topic="trust",
        title="the cluster takes the roots that the others sign under, and they take its own",
        looks_at="the roots that each cluster signs under, and those it takes",
        usual_cause=(
            "a cluster was installed with a root of its own: the guide's scripts make a new one in each run"
        ),
        fix="install in that cluster with the folder of the mesh's CA, and `--replace-ca`",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_one_root,
        needs=(CACERTS,),
        docs="troubleshooting.md#roots-differ",
    ),
)
