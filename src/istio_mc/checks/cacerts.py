"""Trust checks of the Secrets cacerts: each CA is complete and valid, and all have the same root CA."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from istio_mc.checks import hints
from istio_mc.checks.access import CLOCK, NO_NAMESPACE, moment
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target, cached
from istio_mc.domain.hint import Advice, Hint, istio_mc
from istio_mc.domain.istio.choice import istiod_version
from istio_mc.domain.istio.istiod import crl_fault, reads_crl, signs_for_itself
from istio_mc.domain.istio.root_rotation import may_have_several_roots
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki import cacerts, signing
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.chain import SOON, path_faults, path_warnings
from istio_mc.domain.pki.pem import issued_by
from istio_mc.domain.pki.signing import contents_of
from istio_mc.domain.problem import Code, Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.domain.observed import Observed
    from istio_mc.domain.pki.signing import Certificates, Signing

CACERTS = "trust.cacerts"
ROOT_VALID = "trust.root-valid"
VALID = "trust.valid"
ONE_ROOT = "trust.one-root"

_ANY_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
_DATES = frozenset({Code.CA_EXPIRED, Code.CA_NOT_YET_VALID})
_ENDS = Code.CA_EXPIRES_SOON
_SHOWN = 20


@cached
def cas(facts: Facts) -> Mapping[str, Signing]:
    """The CAs of the clusters whose cacerts can be read; the others fail CACERTS."""
    result = {}
    for name, observed in facts.observed.items():
        try:
            result[name] = signing.signing(_files(observed))
        except ProblemError:
            continue
    return result


@cached
def _untrusted_members(facts: Facts) -> Mapping[str, tuple[str, ...]]:
    return signing.untrusted_members(cas(facts))


def _files(observed: Observed) -> CaCerts:
    secret = observed.find(objects.SECRET, "cacerts")
    if secret is None:
        raise ProblemError.of(
            code=Code.CACERTS_MISSING,
            message=f"no Secret {SYSTEM_NAMESPACE}/cacerts: istiod uses a self-signed root CA",
            seen=f"no Secret {SYSTEM_NAMESPACE}/cacerts",
            expected="an intermediate CA issued by the mesh's root CA",
        )
    return CaCerts.from_secret_data(secret.get("data") or {})


def _cacerts(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    observed = facts.observed[name]
    try:
        files = _files(observed)
        # VALID checks the dates, so any moment is as good.
        faults = [fault for fault in cacerts.faults(files, _ANY_MOMENT) if fault.code not in _DATES]
    except ProblemError as error:
        faults = list(error.problems)
    if not faults:
        lists = _revocation_lists(facts, observed)
        return Finding(str(lists.seen) if lists else "", lists)
    first = faults[0]
    problem = Problem(
        code=first.code,
        message=first.message + _what_istiod_does(facts, observed, first),
        seen="; ".join(fault.seen or fault.message for fault in faults),
        expected=first.expected or "a CA that istiod and the proxies accept",
        hint=_secret_fix(facts, observed),
    )
    return Finding(first.message, problem)


def _revocation_lists(facts: Facts, observed: Observed) -> Problem | None:
    """The Problem of the revocation lists in the Secret of an istiod that reads them."""
    istiod = observed.find(objects.DEPLOYMENT, observed.own(facts.mesh).istiod)
    fault = crl_fault(contents_of(observed.find(objects.SECRET, "cacerts") or {}))
    if not (istiod and fault and reads_crl([istiod], facts.mesh.version)):
        return None
    return Problem(
        code=Code.CACERTS_CRL,
        message="revocation lists in Secret cacerts do not match its CA: istiod does not start",
        seen=fault,
        expected="a list signed by each certificate of cert-chain.pem, or no ca-crl.pem",
        hint=Advice("replace or remove ca-crl.pem in the Secret; istio-mc does not change it"),
    )


def _what_istiod_does(facts: Facts, observed: Observed, fault: Problem) -> str:
    """How istiod's version behaves with a Secret that is not complete, as the end of a message."""
    if fault.code != Code.CACERTS_PARTIAL:
        return ""
    deployment = observed.find(objects.DEPLOYMENT, observed.own(facts.mesh).istiod)
    version = (deployment and istiod_version(deployment)) or facts.mesh.version
    keys = (observed.find(objects.SECRET, "cacerts") or {}).get("data") or {}
    does = "uses a self-signed root CA" if signs_for_itself(keys, version) else "does not start"
    return f": istiod {version} {does}"


def _secret_fix(facts: Facts, observed: Observed) -> Hint:
    data = (observed.find(objects.SECRET, "cacerts") or {}).get("data") or {}
    if "tls.crt" in data:
        return Advice("issue the Secret again with the tool that manages it, for example cert-manager")
    return hints.install(facts)


def _roots(facts: Facts) -> dict[str, Certificates]:
    """The root CA of each cluster."""
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
            message="root CA has expired" if fault.code == Code.CA_EXPIRED else "root CA is not valid yet",
            seen=f"{', '.join(names)}: {fault.seen}",
            expected=fault.expected,
            hint=_NEW_ROOT if fault.code == Code.CA_EXPIRED else _CLOCK,
        ),
    )


_NEW_ROOT = Advice(
    "a root CA cannot be renewed in place: create one in another folder, and install it in every cluster: ",
    istio_mc("install", "--certs-dir", "FOLDER", "--replace-ca", "CONTEXT"),
)
_CLOCK = Advice("check the clocks of this machine and of the clusters' nodes")


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
        hint=_secret_fix(facts, facts.observed[str(target.cluster)]),
    )
    return Finding(str(fault.seen), problem)


def _root_lasts(facts: Facts, _target: Target) -> Finding:
    warnings = [warning for root in _roots(facts).values() for warning in _warnings(facts, root)]
    return _expiry(warnings, _NEW_ROOT)


def _lasts(facts: Facts, target: Target) -> Finding:
    ca = cas(facts)[str(target.cluster)]
    warnings = _warnings(facts, ca.path[:-1] or (ca.certificate,))
    return _expiry(warnings, _secret_fix(facts, facts.observed[str(target.cluster)]))


def _warnings(facts: Facts, path: Certificates) -> list[Problem]:
    return path_warnings(path, facts.now, within=SOON) if facts.now else []


def _expiry(warnings: Sequence[Problem], renewal: Hint) -> Finding:
    if not warnings:
        return Finding("")
    first = warnings[0]
    hint = renewal if first.code == _ENDS else first.hint
    problem = Problem(
        code=first.code, message=first.message, seen=first.seen, expected=first.expected, hint=hint
    )
    return Finding(first.message, problem)


def _one_root(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    members = cas(facts)
    outside = _untrusted_members(facts)
    ca = members[name]
    if name not in outside:
        return Finding(f"root {ca.root[:_SHOWN]}…")
    problem = Problem(
        code=Code.ROOTS_DIFFER,
        message="cluster and mesh do not trust each other's root CA",
        seen=_format_roots(members),
        expected="every cluster trusts the root CA of every other cluster",
        hint=_root_fix(facts, name, members, outside),
    )
    return Finding(f"root {ca.root[:_SHOWN]}…", problem)


def _format_roots(members: Mapping[str, Signing]) -> str:
    """Each root CA with its clusters, and each cluster that trusts other root CAs."""
    by_root: dict[str, list[str]] = {}
    for name, ca in members.items():
        by_root.setdefault(ca.root, []).append(name)
    seen = [f"{', '.join(names)}: root {root}" for root, names in by_root.items()]
    seen += [
        f"{name} trusts {', '.join(sorted(ca.trusted))}"
        for name, ca in members.items()
        if ca.trusted != {ca.root}
    ]
    return "; ".join(seen)


def _root_fix(
    facts: Facts, name: str, members: Mapping[str, Signing], outside: Mapping[str, tuple[str, ...]]
) -> Hint:
    merge = ("ca", "rotate", "--merge")
    can_merge = _can_merge(facts, members)
    if not signing.most_trust(members, outside):
        words = (*merge, "--certs-dir", "FOLDER")
        if not can_merge:
            words = ("install", "--certs-dir", "FOLDER", "--replace-ca", "CONTEXT")
        return Advice(
            "choose one of these root CAs for the mesh; then, with its folder: ",
            istio_mc(*words, contexts=facts.clusters),
        )
    if can_merge:
        return istio_mc(*merge, contexts=facts.clusters)
    if not outside[name]:
        return Advice(f"add the root CA of the other clusters to root-cert.pem in Secret cacerts of {name}")
    return istio_mc("install", "--replace-ca", name, contexts=facts.clusters)


def _can_merge(facts: Facts, members: Mapping[str, Signing]) -> bool:
    """Whether roots can be merged while clusters serve: each istiod uses its Secret, and may change it."""
    return members.keys() == facts.clusters.keys() and all(
        (serving := facts.serving.get(name))
        and all(issued_by(one.certificate, ca.certificate) for one in serving)
        and all(map(may_have_several_roots, facts.observed[name].istiods))
        for name, ca in members.items()
    )


CHECKS = (
    Check(
        id=CACERTS,
        title="Secret cacerts",
        passes="Secret cacerts is complete and valid",
        looks_at="the Secret `cacerts`: chain, key, and constraints of the certificates",
        usual_cause="the Secret was edited, or contains files of two CAs",
        fix=hints.INSTALL,
        evaluate=_cacerts,
        because=NO_NAMESPACE,
        docs="troubleshooting.md#cacerts",
    ),
    Check(
        id=ROOT_VALID,
        title="root CA validity",
        passes="root CA is valid",
        looks_at="the dates of the root in each `cacerts`",
        usual_cause="the root has expired, or a clock is wrong",
        fix="create a root in another folder, and install it in every cluster with `--replace-ca`",
        scope=Scope.MESH,
        evaluate=_root_valid,
        because=(CLOCK,),
        docs="troubleshooting.md#ca-expired",
    ),
    Check(
        id=VALID,
        title="intermediate CA validity",
        passes="intermediate CA is valid",
        looks_at="the dates of the intermediate CA in `cacerts`",
        usual_cause="the intermediate has expired and was not renewed",
        fix=hints.INSTALL,
        evaluate=_valid,
        needs=(CACERTS,),
        because=(CLOCK, ROOT_VALID),
        docs="troubleshooting.md#ca-expired",
    ),
    Check(
        id="trust.root-lasts",
        title="root CA expiry",
        passes=f"root CA is valid for {SOON.days} more days, without risky constraints",
        looks_at="the same dates, and constraints on names and uses",
        usual_cause="the root expires soon",
        fix="plan a new root before the old one expires",
        severity=Severity.WARNING,
        scope=Scope.MESH,
        evaluate=_root_lasts,
        docs="troubleshooting.md#ca-expired",
    ),
    Check(
        id="trust.lasts",
        title="intermediate CA expiry",
        passes=f"intermediate CA is valid for {SOON.days} more days, without risky constraints",
        looks_at="the same for the intermediate CA",
        usual_cause="the intermediate expires soon",
        fix=hints.INSTALL,
        severity=Severity.WARNING,
        evaluate=_lasts,
        needs=(CACERTS,),
        docs="troubleshooting.md#ca-expired",
    ),
    Check(
        id=ONE_ROOT,
        title="common root CA",
        passes="clusters trust each other's root CA",
        looks_at="the root of each cluster's CA, and the roots that each cluster trusts",
        usual_cause=("a cluster was installed with its own root: the guide's scripts create one in each run"),
        fix="`istio-mc ca rotate --merge`, or install that cluster with `--replace-ca`",
        evaluate=_one_root,
        needs=(CACERTS,),
        docs="troubleshooting.md#roots-differ",
    ),
)
