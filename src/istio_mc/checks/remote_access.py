"""Reading: the address, CA and token of each remote secret, tried from here; and what istiod says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks import hints
from istio_mc.checks.access import REACHABLE
from istio_mc.checks.identity import CLUSTER_ID, IDENTITY
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.checks.remote_secret import (
    ASKED,
    SECRET,
    UNIQUE,
    USABLE,
    from_files,
    link_again,
    not_synced,
    used,
)
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, Command, Hint, istio_mc, kubectl
from istio_mc.domain.istio.documents import reader_token_secret
from istio_mc.domain.istio.operator import merged
from istio_mc.domain.kube import objects
from istio_mc.domain.links.remote_secrets import CertificateFault, Reading, Tried
from istio_mc.domain.links.state import has_rights_of_charts, is_made_by_charts, reader_namespace
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from istio_mc.domain.links.remote_secrets import Access

ADDRESS = "link.address"
TRUSTED = "link.trusted"
API_SERVER = "link.api-server"
TOKEN = "link.token"  # noqa: S105 - a check's id
RIGHTS = "link.rights"
SYNCED = "link.synced"
_NOT_PROOF = "tried from here; another network may see it otherwise"


def _tried(facts: Facts, target: Target) -> tuple[Access | None, Tried]:
    if from_files(facts, target):
        folder = facts.clusters[str(target.cluster)].kubeconfig_folder
        return None, Tried(Reading.UNTRIED, f"istiod reads a kubeconfig in {folder}")
    access = used(facts, target).access
    found = facts.peers.get(str(target.peer), {})
    return access, found.get(access, Tried(Reading.STRANGE, "not tried")) if access else Tried(Reading.OK)


def _passed(tried: Tried, seen: str) -> Finding:
    """What is said where no fault was seen: with credentials that only istiod has, nothing is known."""
    untried = tried.reading is Reading.UNTRIED
    return Finding(f"not tried from here: {tried.detail}" if untried else seen, unknown=untried)


def _elsewhere(facts: Facts, target: Target) -> Hint:
    """Another address, where `link` would write this one again."""
    return link_again(
        facts, target, _other_address(facts, target, f"an address that {target.cluster} reaches")
    )


def _other_address(facts: Facts, target: Target, what: str) -> Advice:
    command = istio_mc("link", "--api-server", f"{target.peer}=https://ADDRESS", contexts=facts.clusters)
    return Advice(command, f", {what}; {_kept(target, 'server')}")


def _kept(target: Target, key: str) -> str:
    return f"apiServer.{key} of {target.peer} in mesh.yaml keeps it"


def _address(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.UNREACHABLE:
        return _passed(tried, access.server if access else "none")
    synced = not not_synced(facts, target) and facts.seen.get(str(target.cluster))
    if synced and not access.is_loopback:
        return Finding(f"{access.server}: not reached from here, and synced by istiod")
    private = "; a private address, which means another network in each place" if access.is_private else ""
    problem = Problem(
        code=Code.API_SERVER_NOT_REACHED,
        message=f"{target.peer} is not reached at the API server address that {target.cluster} has of it",
        seen=f"{access.server}: {tried.detail}{private} ({_NOT_PROOF}, and istiod has not synced it)",
        expected=f"the API server of {target.peer}",
        hint=_elsewhere(facts, target),
    )
    return Finding(access.server, problem)


def _from_here(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.UNREACHABLE:
        return _passed(tried, "reached from here")
    problem = Problem(
        code=Code.API_SERVER_NOT_REACHED_FROM_HERE,
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
        return _passed(tried, "its certificate verifies")
    fault = tried.certificate or CertificateFault.ISSUER
    problem = Problem(
        code=Code.API_SERVER_NOT_TRUSTED,
        message=f"{target.cluster} does not trust what responds at the address it has of {target.peer}: "
        f"{_DISTRUST[fault]}",
        seen=f"{access.server}: {tried.detail}",
        expected=f"a valid certificate for {access.tls_server_name or access.host}, issued by the CA in the "
        "remote secret",
        hint=_trust(facts, target, fault),
    )
    return Finding("not trusted", problem)


_DISTRUST = {
    CertificateFault.ISSUER: "its certificate is not issued by the CA in the remote secret",
    CertificateFault.NAME: "its certificate is for other names",
    CertificateFault.DATES: "its certificate has expired or is not valid yet",
}


def _trust(facts: Facts, target: Target, fault: CertificateFault) -> Hint:
    if fault is CertificateFault.DATES:  # no other remote secret changes that
        return Advice(f"renew the certificate of the API server of {target.peer}")
    if fault is CertificateFault.NAME:
        command = istio_mc("link", "--api-server-name", f"{target.peer}=NAME", contexts=facts.clusters)
        option = Advice(command, f", a name in that certificate; {_kept(target, 'tlsServerName')}")
    else:
        command = istio_mc("link", "--api-server-ca", f"{target.peer}=FILE", contexts=facts.clusters)
        option = Advice(command, f", the CA of that certificate in PEM; {_kept(target, 'caFile')}")
    return link_again(facts, target, option)


def _api_server(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.STRANGE:
        return _passed(tried, "it is one")
    problem = Problem(
        code=Code.NOT_AN_API_SERVER,
        message=f"what answers at the API server address that {target.cluster} has of {target.peer} does not "
        "answer as an API server does",
        seen=f"{access.server}: {tried.detail} ({_NOT_PROOF})",
        expected=f"the API server of {target.peer}, which says what the token may do",
        hint=_elsewhere(facts, target),
    )
    return Finding("something else answers", problem)


def _token(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.UNAUTHENTICATED:
        return _passed(tried, "taken")
    problem = Problem(
        code=Code.READER_TOKEN_REFUSED,
        message=f"{target.peer} does not take the token that {target.cluster} has of it",
        seen=f"{access.server}: {tried.detail}",
        expected=f"a token of {facts.clusters[str(target.peer)].reader} that lives",
        hint=link_again(facts, target, _other_token(facts, target)),
    )
    return Finding("refused", problem)


def _other_token(facts: Facts, target: Target) -> Advice:
    # A proxy such as Rancher's has users of its own, and knows no service account of the cluster behind it.
    direct = _other_address(
        facts, target, f"where a proxy with users of its own is before the API server of {target.peer}"
    )
    peer = str(target.peer)
    secret = reader_token_secret(account=facts.clusters[peer].reader)["metadata"]["name"]
    token = kubectl(peer, "-n", SYSTEM_NAMESPACE, "delete", "secret", secret)
    return Advice(*direct.parts, "; where none is: ", token, " and ", hints.relink(facts))


def _rights(facts: Facts, target: Target) -> Finding:
    access, tried = _tried(facts, target)
    if access is None or tried.reading is not Reading.DENIED:
        return _passed(tried, "enough")
    values = merged(facts.mesh.values, facts.clusters[str(target.peer)].values)
    problem = Problem(
        code=Code.READER_RIGHTS_MISSING,
        message=f"the token that {target.cluster} has of {target.peer} may not read what istiod reads",
        seen=f"may not: {tried.detail}",
        expected=f"a ClusterRole for {facts.clusters[str(target.peer)].reader}, and its binding",
        hint=hints.install(facts)
        if has_rights_of_charts(values, facts.mesh.version)
        else Advice("the values of this cluster leave the rights to you: bind a ClusterRole to this account"),
    )
    return Finding("too few", problem)


def _synced(facts: Facts, target: Target) -> Finding:
    name, peer = str(target.cluster), str(target.peer)
    bad = not_synced(facts, target)
    if not bad:
        return Finding("synced")
    cluster_id = facts.clusters[peer].cluster_id
    problem = Problem(
        code=Code.NOT_SYNCED,
        message=f"istiod of {name} does not see {peer} as synced",
        seen="; ".join(f"{pod}: {found}" for pod, found in bad.items()),
        expected="synced",
        # istiod up to 1.28.2 never opens again by itself what it has closed over a kubeconfig it refused; one
        # whose secret controller hangs (1.31.0) does not read what is written from then on.
        hint=hints.restart_istiod(facts, name)
        if {"closed", "absent"} & {*bad.values()}
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
        title="the API server's address in the remote secret leads to it (or istiod has synced it)",
        looks_at=(
            "the address in that kubeconfig, called from here; and whether istiod has synced the cluster"
        ),
        usual_cause="it is 127.0.0.1, a bastion, or an address that the other network does not reach",
        fix=f"`{istio_mc('link', '--api-server', 'CONTEXT=https://ADDRESS')}`",
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
        title="the API server's address in the remote secret is reached from here too",
        looks_at="the same call, where istiod has synced the cluster",
        usual_cause="the address is one of the clouds' own networks: this machine cannot tell",
        fix="look at istiod's log, or run verify from a place that reaches it",
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
        title="the CA in the remote secret is that of the API server",
        looks_at="the certificate of the API server, beside the CA in that kubeconfig",
        usual_cause="the cluster was made anew, its certificate expired, or a proxy in between ends TLS",
        fix=f"{hints.LINK}; where that changes nothing, with `--api-server-ca` or `--api-server-name`",
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
        title="what answers at the address in the remote secret is an API server",
        looks_at="what comes back when the token's rights are asked for at that address",
        usual_cause=(
            "the address has a path that leads nowhere, or a proxy or portal answers in the API "
            "server's stead"
        ),
        fix=(
            f"`{istio_mc('link')}`; where the kubeconfig has that address too, `--api-server "
            "CONTEXT=https://ADDRESS`"
        ),
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
        title="the API server takes the token in the remote secret",
        looks_at="whether the API server takes the token",
        usual_cause=(
            "the token's Secret or ServiceAccount was deleted, or a proxy with users of its own is in between"
        ),
        fix=f"{hints.LINK}; where a proxy is in between, with `--api-server`",
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
        title="the token may read what istiod reads",
        looks_at="whether the token may read what istiod reads (SelfSubjectAccessReview)",
        usual_cause="the reader's ClusterRole or its binding was deleted",
        fix=hints.INSTALL,
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
        title="every istiod has synced every other cluster (its first sync; istiod tells no more)",
        looks_at="what every istiod says of every other cluster",
        usual_cause="istiod does not reach the API server, or has not taken a new Secret yet",
        fix="the other checks of the link tell which; else istiod's log does",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_synced,
        needs=(ASKED, SECRET),
        because=(IDENTITY, CLUSTER_ID, USABLE, UNIQUE, ADDRESS, TRUSTED, API_SERVER, TOKEN, RIGHTS),
        reads=(Observation.CLUSTERZ,),
        docs="troubleshooting.md#not-synced",
    ),
)


_DOCS = "troubleshooting.md#reader-account"


def _account(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    account, version = facts.clusters[name].reader, facts.mesh.version
    values = merged(facts.mesh.values, facts.clusters[name].values)
    namespace = reader_namespace(values, version) or SYSTEM_NAMESPACE
    if namespace != SYSTEM_NAMESPACE:
        problem = Problem(
            code=Code.READER_ACCOUNT_ELSEWHERE,
            message=f"values.global.readerServiceAccount of {name} is in another namespace",
            seen=f"ServiceAccount {namespace}/{account}",
            expected=f"an account in {SYSTEM_NAMESPACE}: istio-mc makes and reads tokens there only",
            hint=Advice(f"set values.global.readerServiceAccount.namespace: {SYSTEM_NAMESPACE} in mesh.yaml"),
        )
        return Finding(f"{namespace}/{account}", problem)
    if is_made_by_charts(values, version) or facts.observed[name].find(objects.SERVICE_ACCOUNT, account):
        return Finding(account)
    problem = Problem(
        code=Code.READER_ACCOUNT_MISSING,
        message=f"{name} has no ServiceAccount {account}, and its values have an install make none",
        seen=f"no ServiceAccount {SYSTEM_NAMESPACE}/{account}",
        expected="the account, and its rights: the other clusters' istiods read this one with it",
        hint=Advice(
            *_namespace_first(facts, name),
            kubectl(name, "-n", SYSTEM_NAMESPACE, "create", "serviceaccount", account),
            " and a ClusterRoleBinding; or remove enableReaderRBAC and readerServiceAccount from mesh.yaml",
        ),
    )
    return Finding("missing", problem)


def _namespace_first(facts: Facts, name: str) -> tuple[Command | str, ...]:
    if facts.observed[name].find(objects.NAMESPACE, SYSTEM_NAMESPACE):
        return ()
    return kubectl(name, "create", "namespace", SYSTEM_NAMESPACE), " and "


BEFORE_AN_INSTALL = (
    Check(
        id="link.reader-account",
        topic="link",
        title="the ServiceAccount that other clusters read this one with",
        looks_at=(
            "`global.readerServiceAccount` and `global.enableReaderRBAC` of the values, and the "
            "ServiceAccounts"
        ),
        usual_cause="the values leave the account to somebody else, who has not made it",
        fix="make the account and its rights, or remove the values",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_account,
        needs=(REACHABLE,),
        docs=_DOCS,
    ),
)
