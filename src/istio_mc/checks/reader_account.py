"""The reader's account, before an install: where the values have somebody else make it, it must be there."""

from __future__ import annotations

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, Command, kubectl
from istio_mc.domain.istio.operator import merged
from istio_mc.domain.kube import objects
from istio_mc.domain.links.reader_account import is_made_by_charts, reader_namespace
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem

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
