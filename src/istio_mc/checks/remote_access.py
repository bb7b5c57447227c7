"""Remote access checks: address, CA and token of each remote secret, tested from here; sync status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks import hints
from istio_mc.checks.identity import CLUSTER_ID, IDENTITY
from istio_mc.checks.model import REACHABLE, Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.checks.remote_secret import (
    ISTIODS_RESPOND,
    SECRET,
    UNIQUE,
    USABLE,
    from_files,
    link_again,
    not_synced,
    used,
)
from istio_mc.domain.hint import Advice, Command, Hint, istio_mc, kubectl
from istio_mc.domain.istio.documents import reader_token_secret
from istio_mc.domain.istio.operator import merged
from istio_mc.domain.kube import objects
from istio_mc.domain.links.remote_secrets import AccessResult, CertificateFault, Reading
from istio_mc.domain.links.state import has_rights_of_charts, is_made_by_charts, reader_namespace
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from istio_mc.domain.links.remote_secrets import Access

ADDRESS = "link.address"
TRUSTED = "link.trusted"
API_SERVER = "link.api-server"
TOKEN = "link.token"  # noqa: S105 - a check's id
TOKEN_EXPIRED = "link.token-expired"  # noqa: S105 - a check's id
RIGHTS = "link.rights"
SYNCED = "link.synced"
_NOT_PROOF = "tested from here; the result may differ in another network"


def _test(facts: Facts, target: Target) -> tuple[Access | None, AccessResult]:
    if from_files(facts, target):
        folder = facts.clusters[str(target.cluster)].kubeconfig_folder
        return None, AccessResult(Reading.UNTESTED, f"istiod reads a kubeconfig in {folder}")
    access = used(facts, target).access
    results = facts.peers.get(str(target.peer), {})
    return access, results.get(
        access, AccessResult(Reading.STRANGE, "not tested")
    ) if access else AccessResult(Reading.OK)


def _passed(tested: AccessResult, seen: str) -> Finding:
    """The Finding without a fault; unknown if only istiod has the credentials."""
    untested = tested.reading is Reading.UNTESTED
    return Finding(f"not tested from here: {tested.detail}" if untested else seen, unknown=untested)


def _elsewhere(facts: Facts, target: Target) -> Hint:
    """Advice to set another address, if `link` would write the same again."""
    return link_again(
        facts, target, _other_address(facts, target, f"an address that is reachable from {target.cluster}")
    )


def _other_address(facts: Facts, target: Target, what: str) -> Advice:
    command = istio_mc("link", "--api-server", f"{target.peer}=https://ADDRESS", contexts=facts.clusters)
    return Advice(command, f" ({what}); {_kept(target, 'server')}")


def _kept(target: Target, key: str) -> str:
    return f"set apiServer.{key} of {target.peer} in mesh.yaml to keep it"


def _address(facts: Facts, target: Target) -> Finding:
    access, tested = _test(facts, target)
    if access is None or tested.reading is not Reading.UNREACHABLE:
        return _passed(tested, access.server if access else "none")
    synced = not not_synced(facts, target) and facts.seen.get(str(target.cluster))
    if synced and not access.is_loopback:
        return Finding(f"{access.server}: not reachable from here, but synced by istiod")
    private = "; a private address, which is different in each network" if access.is_private else ""
    problem = Problem(
        code=Code.API_SERVER_NOT_REACHED,
        message=f"remote secret for {target.peer} has an unreachable API server address",
        seen=f"{access.server}: {tested.detail}{private} ({_NOT_PROOF}; istiod has not synced it)",
        expected=f"the API server of {target.peer}",
        hint=_elsewhere(facts, target),
    )
    return Finding(access.server, problem)


def _from_here(facts: Facts, target: Target) -> Finding:
    access, tested = _test(facts, target)
    if access is None or tested.reading is not Reading.UNREACHABLE:
        return _passed(tested, "")
    problem = Problem(
        code=Code.API_SERVER_NOT_REACHED_FROM_HERE,
        message=f"API server of {target.peer} is not reachable from here; unknown whether istiod can reach "
        "it",
        seen=f"{access.server}: {tested.detail}; istiod: synced (first sync)",
        expected="a response, or an address in a network that this machine cannot reach",
        hint=Advice(
            kubectl(str(target.cluster), "-n", SYSTEM_NAMESPACE, "logs", "-l", "app=istiod", "--since=10m")
        ),
    )
    return Finding(access.server, problem)


def _trusted(facts: Facts, target: Target) -> Finding:
    access, tested = _test(facts, target)
    if access is None or tested.reading is not Reading.UNTRUSTED:
        return _passed(tested, "")
    fault = tested.certificate or CertificateFault.ISSUER
    problem = Problem(
        code=Code.API_SERVER_NOT_TRUSTED,
        message=f"API server certificate of {target.peer} is not trusted: {_DISTRUST[fault]}",
        seen=f"{access.server}: {tested.detail}",
        expected=f"a valid certificate for {access.tls_server_name or access.host}, issued by the CA in the "
        "remote secret",
        hint=_trust(facts, target, fault),
    )
    return Finding("not trusted", problem)


_DISTRUST = {
    CertificateFault.ISSUER: "not issued by the CA in the remote secret",
    CertificateFault.NAME: "issued for other names",
    CertificateFault.DATES: "expired or not valid yet",
}


def _trust(facts: Facts, target: Target, fault: CertificateFault) -> Hint:
    if fault is CertificateFault.DATES:  # no other remote secret changes that
        return Advice(f"renew the certificate of the API server of {target.peer}")
    if fault is CertificateFault.NAME:
        command = istio_mc("link", "--api-server-name", f"{target.peer}=NAME", contexts=facts.clusters)
        option = Advice(command, f" (a name in that certificate); {_kept(target, 'tlsServerName')}")
    else:
        command = istio_mc("link", "--api-server-ca", f"{target.peer}=FILE", contexts=facts.clusters)
        option = Advice(command, f" (the CA of that certificate in PEM); {_kept(target, 'caFile')}")
    return link_again(facts, target, option)


def _api_server(facts: Facts, target: Target) -> Finding:
    access, tested = _test(facts, target)
    if access is None or tested.reading is not Reading.STRANGE:
        return _passed(tested, "")
    problem = Problem(
        code=Code.NOT_AN_API_SERVER,
        message=f"no API server responds at the address in the remote secret for {target.peer}",
        seen=f"{access.server}: {tested.detail} ({_NOT_PROOF})",
        expected=f"the API server of {target.peer}, with a response to SelfSubjectAccessReview",
        hint=_elsewhere(facts, target),
    )
    return Finding("not an API server", problem)


def _token(facts: Facts, target: Target) -> Finding:
    access, tested = _test(facts, target)
    if access is None or tested.reading is not Reading.UNAUTHENTICATED:
        return _passed(tested, "")
    problem = Problem(
        code=Code.READER_TOKEN_REFUSED,
        message=f"{target.peer} rejects the reader token in the remote secret",
        seen=f"{access.server}: {tested.detail}",
        expected=f"a valid token of {facts.clusters[str(target.peer)].reader}",
        hint=link_again(facts, target, _other_token(facts, target)),
    )
    return Finding("rejected", problem)


def _other_token(facts: Facts, target: Target) -> Advice:
    # A proxy such as Rancher's has its own users, and does not know the ServiceAccounts of the cluster.
    direct = _other_address(
        facts, target, f"if a proxy with its own users is in front of the API server of {target.peer}"
    )
    peer = str(target.peer)
    secret = reader_token_secret(account=facts.clusters[peer].reader)["metadata"]["name"]
    token = kubectl(peer, "-n", SYSTEM_NAMESPACE, "delete", "secret", secret)
    return Advice(*direct.parts, "; otherwise: ", token, " and ", hints.relink(facts))


def _rights(facts: Facts, target: Target) -> Finding:
    access, tested = _test(facts, target)
    if access is None or tested.reading is not Reading.DENIED:
        return _passed(tested, "")
    values = merged(facts.mesh.values, facts.clusters[str(target.peer)].values)
    problem = Problem(
        code=Code.READER_RIGHTS_MISSING,
        message=f"reader token for {target.peer} lacks permissions that istiod requires",
        seen=f"denied: {tested.detail}",
        expected=f"a ClusterRole and ClusterRoleBinding for {facts.clusters[str(target.peer)].reader}",
        hint=hints.install(facts)
        if has_rights_of_charts(values, facts.mesh.version)
        else Advice(
            "the values of this cluster disable the RBAC objects: bind a ClusterRole to this account"
        ),
    )
    return Finding("permissions missing", problem)


def _synced(facts: Facts, target: Target) -> Finding:
    name, peer = str(target.cluster), str(target.peer)
    bad = not_synced(facts, target)
    if not bad:
        return Finding("")
    cluster_id = facts.clusters[peer].cluster_id
    problem = Problem(
        code=Code.NOT_SYNCED,
        message=f"istiod has not synced {peer}",
        seen="; ".join(f"{pod}: {status}" for pod, status in bad.items()),
        expected="synced",
        # istiod up to 1.28.2 does not retry a cluster that it closed because of a rejected kubeconfig; one
        # whose secret controller hangs (1.31.0) does not read later changes.
        hint=hints.restart_istiod(facts, name)
        if {"closed", "absent"} & {*bad.values()}
        else Advice(
            "search its log for ",
            cluster_id,
            ": ",
            kubectl(name, "-n", SYSTEM_NAMESPACE, "logs", next(iter(bad))),
        ),
    )
    return Finding(", ".join(sorted(set(bad.values()))), problem)


_ACCESS_CHECKS = (USABLE, SECRET, REACHABLE)
_READS = (Observation.PEERS,)

CHECKS = (
    Check(
        id=ADDRESS,
        title="API server address",
        passes="API server address in the remote secret works",
        looks_at=(
            "the address in that kubeconfig, tested from here; and whether istiod has synced the cluster"
        ),
        usual_cause="it is 127.0.0.1, a bastion, or an address that is not reachable from the other network",
        fix=f"`{istio_mc('link', '--api-server', 'CONTEXT=https://ADDRESS')}`",
        scope=Scope.PAIR,
        evaluate=_address,
        needs=_ACCESS_CHECKS,
        reads=(Observation.PEERS, Observation.CLUSTERZ),
        reports_failures=True,
        docs="troubleshooting.md#api-server-not-reached",
    ),
    Check(
        id="link.address-from-here",
        title="API server address from here",
        passes="API server address is also reachable from here",
        looks_at="the same request, where istiod has synced the cluster",
        usual_cause="the address is in a network that this machine cannot reach",
        fix="check istiod's log, or run `istio-mc verify` from a machine that can reach it",
        severity=Severity.WARNING,
        scope=Scope.PAIR,
        evaluate=_from_here,
        needs=(*_ACCESS_CHECKS, ADDRESS),
        reads=_READS,
        docs="troubleshooting.md#api-server-not-reached",
    ),
    Check(
        id=TRUSTED,
        title="API server CA",
        passes="remote secret contains the CA of the API server",
        looks_at="the certificate of the API server, and the CA in that kubeconfig",
        usual_cause="the cluster was created again, its certificate expired, or a proxy terminates TLS",
        fix=f"{hints.LINK}; if that changes nothing, with `--api-server-ca` or `--api-server-name`",
        scope=Scope.PAIR,
        evaluate=_trusted,
        needs=_ACCESS_CHECKS,
        reads=_READS,
        docs="troubleshooting.md#api-server-not-trusted",
    ),
    Check(
        id=API_SERVER,
        title="API server response",
        passes="an API server responds at the address in the remote secret",
        looks_at="the response to a SelfSubjectAccessReview at that address",
        usual_cause=(
            "the address has a wrong path, or a proxy or captive portal responds instead of the API server"
        ),
        fix=(
            f"`{istio_mc('link')}`; if the kubeconfig has the same address, `--api-server "
            "CONTEXT=https://ADDRESS`"
        ),
        scope=Scope.PAIR,
        evaluate=_api_server,
        needs=_ACCESS_CHECKS,
        reads=_READS,
        docs="troubleshooting.md#not-an-api-server",
    ),
    Check(
        id=TOKEN,
        title="reader token",
        passes="API server accepts the reader token",
        looks_at="the status of a request with that token",
        usual_cause=("the token's Secret or ServiceAccount was deleted, or a proxy has its own users"),
        fix=f"{hints.LINK}; if there is a proxy, with `--api-server`",
        scope=Scope.PAIR,
        evaluate=_token,
        needs=_ACCESS_CHECKS,
        because=(TOKEN_EXPIRED,),
        reads=_READS,
        docs="troubleshooting.md#reader-token-refused",
    ),
    Check(
        id=RIGHTS,
        title="reader permissions",
        passes="reader token has all required permissions",
        looks_at="the permissions of that token for what istiod reads (SelfSubjectAccessReview)",
        usual_cause="the reader's ClusterRole or its binding was deleted",
        fix=hints.INSTALL,
        scope=Scope.PAIR,
        evaluate=_rights,
        needs=_ACCESS_CHECKS,
        reads=_READS,
        docs="troubleshooting.md#reader-rights-missing",
    ),
    Check(
        id=SYNCED,
        title="istiod sync status",
        passes="istiod has synced the remote cluster",
        looks_at="the status of every other cluster in every istiod (first sync only)",
        usual_cause="istiod cannot reach the API server, or has not read a new Secret yet",
        fix="see the other checks of the topic `link`; else istiod's log",
        scope=Scope.PAIR,
        evaluate=_synced,
        needs=(ISTIODS_RESPOND, SECRET),
        because=(
            IDENTITY,
            CLUSTER_ID,
            USABLE,
            UNIQUE,
            ADDRESS,
            TRUSTED,
            API_SERVER,
            TOKEN_EXPIRED,
            TOKEN,
            RIGHTS,
        ),
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
            message="values.global.readerServiceAccount is in another namespace",
            seen=f"ServiceAccount {namespace}/{account}",
            expected=f"a ServiceAccount in {SYSTEM_NAMESPACE}: istio-mc creates and reads tokens only there",
            hint=Advice(f"set values.global.readerServiceAccount.namespace: {SYSTEM_NAMESPACE} in mesh.yaml"),
        )
        return Finding(f"{namespace}/{account}", problem)
    if is_made_by_charts(values, version) or facts.observed[name].find(objects.SERVICE_ACCOUNT, account):
        return Finding(account)
    problem = Problem(
        code=Code.READER_ACCOUNT_MISSING,
        message=f"ServiceAccount {SYSTEM_NAMESPACE}/{account} does not exist, and values disable its "
        "creation",
        seen=f"no ServiceAccount {SYSTEM_NAMESPACE}/{account}",
        expected="the ServiceAccount and its permissions, with which other istiods read this cluster",
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
        title="reader ServiceAccount",
        passes="reader ServiceAccount exists, or the install creates it",
        looks_at=(
            "`global.readerServiceAccount` and `global.enableReaderRBAC` of the values, and the "
            "ServiceAccounts"
        ),
        usual_cause="the values disable the creation of the account, and it was not created otherwise",
        fix="create the account and its permissions, or remove the values",
        evaluate=_account,
        docs=_DOCS,
    ),
)
