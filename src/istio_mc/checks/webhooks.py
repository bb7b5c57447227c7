"""Webhooks: the API server trusts what istiod serves when it calls it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from istio_mc.checks import hints
from istio_mc.checks.access import REACHABLE
from istio_mc.checks.cacerts import CACERTS, ONE_ROOT, ROOT_VALID, VALID
from istio_mc.checks.control_plane import ISTIOD
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.checks.trust import SIGNS, above
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Command, in_order, kubectl
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki.pem import NamedPem, fingerprint, load_certificates
from istio_mc.domain.pki.signing import leads_to
from istio_mc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.kube.objects import Kind, Object
    from istio_mc.domain.observed import Observed

_REVISION = "istio.io/rev"


@dataclass(frozen=True, slots=True)
class _Stale:
    """A webhook configuration whose caBundle does not fit."""

    kind: Kind
    document: Object
    told: str

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])


def _ca_bundles(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    found = list(_configurations(facts.observed[name], facts.mesh.istiod))
    serving = facts.serving[name]
    if not serving:
        return Finding("no istiod is ready", unknown=True)
    stale = [
        _Stale(kind, document, told) for kind, document in found if (told := _misfit(facts, name, document))
    ]
    if not stale:
        return Finding(f"{len(found)} webhook configurations")
    problem = Problem(
        code=Code.WEBHOOK_CA_BUNDLE_STALE,
        message=f"the API server of {name} does not trust istiod when it calls its webhooks",
        seen="; ".join(f"{one.kind.kind} {one.name}: {one.told}" for one in stale),
        expected="caBundle with the root of the certificate that istiod serves, as istiod itself writes it",
        hint=_mend(facts, name, stale),
    )
    return Finding(", ".join(one.name for one in stale), problem)


def _configurations(observed: Observed, istiod: str) -> Iterator[tuple[Kind, Object]]:
    """Those that call this revision's istiod, whoever wrote them."""
    for kind in (objects.MUTATING_WEBHOOK, objects.VALIDATING_WEBHOOK):
        for document in observed.of(kind):
            if any(_calls(webhook, istiod) for webhook in document.get("webhooks") or []):
                yield kind, document


def _calls(webhook: dict[str, Any], istiod: str) -> bool:
    service = (webhook.get("clientConfig") or {}).get("service") or {}
    return (service.get("namespace"), service.get("name")) == (SYSTEM_NAMESPACE, istiod)


def _misfit(facts: Facts, name: str, document: Object) -> str:
    """What is wrong with the caBundles of a configuration; empty where nothing is."""
    bundles = {
        (webhook.get("clientConfig") or {}).get("caBundle") or ""
        for webhook in document.get("webhooks") or []
        if _calls(webhook, facts.mesh.istiod)
    }
    for bundle in sorted(bundles):
        if not bundle:
            return "no caBundle"
        try:
            roots = load_certificates(NamedPem("caBundle", base64.b64decode(bundle, validate=True)))
        except (ProblemError, binascii.Error):
            return "a caBundle that cannot be read"
        for shown in facts.serving[name]:
            if leads_to(shown.certificate, above(facts, name), roots) is None:
                return f"caBundle with {', '.join(map(fingerprint, roots))}"
    return ""


def _mend(facts: Facts, name: str, stale: list[_Stale]) -> Command:
    """Whatever keeps istiod from writing the caBundle, as it would at once.

    istiod writes it into configurations that have its revision in the label, whenever they change, and when
    it starts (pkg/webhooks/webhookpatch.go and validation/controller/controller.go, Istio 1.26.0).
    """
    revision = facts.mesh.revision or "default"
    unlabelled = [one for one in stale if labels_of(one.document).get(_REVISION) != revision]
    if labelled := in_order(
        kubectl(name, "label", one.kind.kind.lower(), one.name, f"{_REVISION}={revision}", "--overwrite")
        for one in unlabelled
    ):
        return labelled
    if any(not _may_write(facts.observed[name], one.kind) for one in stale):
        return hints.install(facts)
    return hints.restart_istiod(facts, name)


def _may_write(observed: Observed, kind: Kind) -> bool:
    """Whether a ClusterRole of istiod's lets it update this kind."""
    return any(
        kind.plural in (rule.get("resources") or []) and {"update", "*"} & set(rule.get("verbs") or [])
        for role in observed.of(objects.CLUSTER_ROLE)
        if role["metadata"]["name"].startswith("istiod")
        for rule in role.get("rules") or []
    )


CHECKS = (
    Check(
        id="control-plane.webhooks",
        topic="control-plane",
        title="the caBundle of istiod's webhooks fits the certificate that istiod serves",
        looks_at=(
            "the caBundle of the webhook configurations that call istiod, beside the certificate it serves"
        ),
        usual_cause=(
            "another tool wrote the configuration, or its label `istio.io/rev` is gone: istiod "
            "leaves it alone"
        ),
        fix="set the label again; istiod then writes the caBundle by itself",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_ca_bundles,
        needs=(REACHABLE, ISTIOD),
        because=(CACERTS, ROOT_VALID, VALID, ONE_ROOT, SIGNS),
        reads=(Observation.SERVING,),
        docs="troubleshooting.md#webhook-ca-bundle-stale",
    ),
)
