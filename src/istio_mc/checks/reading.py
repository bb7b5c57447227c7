"""Reading: the address, CA and token of each remote secret, tried from here; and what istiod says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks import hints
from istio_mc.checks.access import REACHABLE
from istio_mc.checks.link import ASKED, SECRET, UNIQUE, USABLE, held, not_synced
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.checks.names import CLUSTER_ID, IDENTITY
from istio_mc.domain.hint import Advice, Hint, istio_mc, kubectl
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem
from istio_mc.domain.reading import Reading, Tried

if TYPE_CHECKING:
    from istio_mc.domain.remote_secrets import Access

ADDRESS = "link.address"
TRUSTED = "link.trusted"
API_SERVER = "link.api-server"
TOKEN = "link.token"  # noqa: S105 - a check's id
RIGHTS = "link.rights"
SYNCED = "link.synced"
_NOT_PROOF = "tried from here; another network may see it otherwise"


def _tried(facts: Facts, target: Target) -> tuple[Access | None, Tried]:
    access = held(facts, target)[0].access
    found = facts.peers.get(str(target.peer), {})
    return access, found.get(access, Tried(Reading.STRANGE, "not tried")) if access else Tried(Reading.OK)


def _mend(facts: Facts, target: Target, access: Access) -> Hint:
    """`link` writes what is wanted; where that is what failed, somebody has to say another address."""
    wanted = facts.clusters[str(target.peer)].api_server
    if access.server != wanted.server or access.tls_server_name != wanted.tls_server_name:
        return hints.relink(facts)
    given = ("--api-server", f"{target.peer}=https://ADDRESS")
    return Advice(
        istio_mc("link", *given, contexts=facts.clusters), f", an address that {target.cluster} reaches"
    )


def _address(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.UNREACHABLE:
        return Finding(access.server if access else "none")
    synced = not not_synced(facts, target) and facts.seen.get(str(target.cluster))
    if synced and not access.is_loopback:
        return Finding(f"{access.server}: not reached from here, and synced by istiod")
    private = "; a private address, which means another network in each place" if access.is_private else ""
    problem = Problem(
        code="api-server-not-reached",
        message=f"{target.peer} is not reached at the API server address that {target.cluster} has of it",
        seen=f"{access.server}: {tried.detail}{private} ({_NOT_PROOF}, and istiod has not synced it)",
        expected=f"the API server of {target.peer}",
        hint=_mend(facts, target, access),
    )
    return Finding(access.server, problem)


def _from_here(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.UNREACHABLE:
        return Finding("reached from here")
    problem = Problem(
        code="api-server-not-reached-from-here",
        message=f"whether {target.cluster} still reaches the API server of {target.peer} cannot be told "
        "from here: istiod tells of its first sync only",
        seen=f"{access.server}: {tried.detail}; istiod: synced",
        expected="an answer, or a network that this machine is not part of",
        hint=Advice(
            kubectl(str(target.cluster), "-n", SYSTEM_NAMESPACE, "logs", "-l", "app=istiod", "--since=10m")
        ),
    )
    return Finding(f"{access.server}: not from here", problem)


def _trusted(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.UNTRUSTED:
        return Finding("its certificate verifies")
    problem = Problem(
        code="api-server-not-trusted",
        message=f"the remote secret of {target.peer} in {target.cluster} holds another CA than that of what "
        "answers at its address",
        seen=f"{access.server}: {tried.detail}",
        expected=f"a certificate of {target.peer}'s API server, issued by the CA in the remote secret",
        hint=hints.relink(facts),
    )
    return Finding("not trusted", problem)


def _api_server(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.STRANGE:
        return Finding("it is one")
    problem = Problem(
        code="not-an-api-server",
        message=f"what answers at the API server address that {target.cluster} has of {target.peer} does not "
        "answer as an API server does",
        seen=f"{access.server}: {tried.detail} ({_NOT_PROOF})",
        expected=f"the API server of {target.peer}, which says what the token may do",
        hint=_mend(facts, target, access),
    )
    return Finding("something else answers", problem)


def _token(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.UNAUTHENTICATED:
        return Finding("taken")
    problem = Problem(
        code="reader-token-refused",
        message=f"{target.peer} does not take the token that {target.cluster} has of it",
        seen=tried.detail,
        expected="a token of istio-reader-service-account that lives",
        hint=hints.relink(facts),
    )
    return Finding("refused", problem)


def _rights(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.DENIED:
        return Finding("enough")
    problem = Problem(
        code="reader-rights-missing",
        message=f"the token that {target.cluster} has of {target.peer} may not read what istiod reads",
        seen=f"may not: {tried.detail}",
        expected="the ClusterRole of istio-reader-service-account, and its binding",
        hint=hints.install(facts),
    )
    return Finding("too few", problem)


def _synced(facts: Facts, target: Target) -> Finding:
    name, peer = str(target.cluster), str(target.peer)
    bad = not_synced(facts, target)
    if not bad:
        return Finding("synced")
    cluster_id = facts.clusters[peer].cluster_id
    problem = Problem(
        code="not-synced",
        message=f"istiod of {name} does not see {peer} as synced",
        seen="; ".join(f"{pod}: {found}" for pod, found in bad.items()),
        expected="synced",
        # istiod 1.26.0 never opens again by itself what it has closed over a kubeconfig it refused.
        hint=hints.restart_istiod(facts, name)
        if "closed" in bad.values()
        else Advice(
            "see what its log says of ",
            cluster_id,
            ": ",
            kubectl(name, "-n", SYSTEM_NAMESPACE, "logs", next(iter(bad))),
        ),
    )
    return Finding(", ".join(sorted(set(bad.values()))), problem)


_TRY = (USABLE, SECRET, REACHABLE)
_READS = (Observation.PEERS,)

CHECKS = (
    Check(
        id=ADDRESS,
        topic="link",
        description="the API server's address in the remote secret leads to it (or istiod has synced it)",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_address,
        needs=_TRY,
        reads=(Observation.PEERS, Observation.CLUSTERZ),
        tells_failures=True,
        docs="troubleshooting.md#api-server-not-reached",
    ),
    Check(
        id="link.address-from-here",
        topic="link",
        description="the API server's address in the remote secret is reached from here too",
        severity=Severity.WARNING,
        scope=Scope.PAIR,
        ask=_from_here,
        needs=(*_TRY, ADDRESS),
        reads=_READS,
        docs="troubleshooting.md#api-server-not-reached",
    ),
    Check(
        id=TRUSTED,
        topic="link",
        description="the CA in the remote secret is that of the API server",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_trusted,
        needs=_TRY,
        reads=_READS,
        docs="troubleshooting.md#api-server-not-trusted",
    ),
    Check(
        id=API_SERVER,
        topic="link",
        description="what answers at the address in the remote secret is an API server",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_api_server,
        needs=_TRY,
        reads=_READS,
        docs="troubleshooting.md#not-an-api-server",
    ),
    Check(
        id=TOKEN,
        topic="link",
        description="the API server takes the token in the remote secret",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_token,
        needs=_TRY,
        reads=_READS,
        docs="troubleshooting.md#reader-token-refused",
    ),
    Check(
        id=RIGHTS,
        topic="link",
        description="the token may read what istiod reads",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_rights,
        needs=_TRY,
        reads=_READS,
        docs="troubleshooting.md#reader-rights-missing",
    ),
    Check(
        id=SYNCED,
        topic="link",
        description="every istiod has synced every other cluster (its first sync; istiod tells no more)",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_synced,
        needs=(ASKED, SECRET),
        because=(IDENTITY, CLUSTER_ID, USABLE, UNIQUE, ADDRESS, TRUSTED, API_SERVER, TOKEN, RIGHTS),
        reads=(Observation.CLUSTERZ,),
        docs="troubleshooting.md#not-synced",
    ),
)
