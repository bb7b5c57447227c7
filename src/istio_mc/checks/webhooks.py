"""Webhook check: the API server trusts the certificate that istiod serves."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from istio_mc.checks import hints
from istio_mc.checks.cacerts import CACERTS, ONE_ROOT, ROOT_VALID, VALID
from istio_mc.checks.control_plane import ISTIOD
from istio_mc.checks.model import REACHABLE, Check, Facts, Finding, Observation, Target
from istio_mc.checks.trust import SIGNS, above
from istio_mc.domain.hint import Command, in_order, kubectl
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki.pem import NamedPem, fingerprint, load_certificates
from istio_mc.domain.pki.signing import leads_to
from istio_mc.domain.problem import Code, Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.kube.objects import Kind, Object
    from istio_mc.domain.observed import Observed

_REVISION = "istio.io/rev"


@dataclass(frozen=True, slots=True)
class _Stale:
    """A webhook configuration whose caBundle does not match."""

    kind: Kind
    document: Object
    fault: str

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])


def _ca_bundles(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    configurations = list(_configurations(facts.observed[name], facts.mesh_of(name).istiod))
    serving = facts.serving[name]
    if not serving:
        return Finding("no istiod is ready", unknown=True)
    stale = [
        _Stale(kind, document, fault)
        for kind, document in configurations
        if (fault := _mismatch(facts, name, document))
    ]
    if not stale:
        return Finding(f"{len(configurations)} webhook configurations")
    problem = Problem(
        code=Code.WEBHOOK_CA_BUNDLE_STALE,
        message="API server does not trust istiod's webhooks",
        seen="; ".join(f"{one.kind.kind} {one.name}: {one.fault}" for one in stale),
        expected="a caBundle with the root of istiod's serving certificate, as istiod writes it",
        hint=_fix(facts, name, stale),
    )
    return Finding(", ".join(one.name for one in stale), problem)


def _configurations(observed: Observed, istiod: str) -> Iterator[tuple[Kind, Object]]:
    """The webhook configurations that call this revision's istiod."""
    for kind in (objects.MUTATING_WEBHOOK, objects.VALIDATING_WEBHOOK):
        for document in observed.of(kind):
            if any(_calls(webhook, istiod) for webhook in document.get("webhooks") or []):
                yield kind, document


def _calls(webhook: dict[str, Any], istiod: str) -> bool:
    service = (webhook.get("clientConfig") or {}).get("service") or {}
    return (service.get("namespace"), service.get("name")) == (SYSTEM_NAMESPACE, istiod)


def _mismatch(facts: Facts, name: str, document: Object) -> str:
    """The fault of a configuration's caBundles; empty if there is none."""
    bundles = {
        (webhook.get("clientConfig") or {}).get("caBundle") or ""
        for webhook in document.get("webhooks") or []
        if _calls(webhook, facts.mesh_of(name).istiod)
    }
    for bundle in sorted(bundles):
        if not bundle:
            return "no caBundle"
        try:
            roots = load_certificates(NamedPem("caBundle", base64.b64decode(bundle, validate=True)))
        except (ProblemError, binascii.Error):
            return "caBundle cannot be parsed"
        for shown in facts.serving[name]:
            if leads_to(shown.certificate, above(facts, name), roots) is None:
                return f"caBundle with {', '.join(map(fingerprint, roots))}"
    return ""


def _fix(facts: Facts, name: str, stale: list[_Stale]) -> Command:
    """The command after which istiod writes the caBundle.

    istiod writes it into configurations that have its revision in the label, whenever they change, and when
    it starts (pkg/webhooks/webhookpatch.go and validation/controller/controller.go, Istio 1.26.0).
    """
    revision = facts.mesh_of(name).revision or "default"
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
    """Whether a ClusterRole of istiod allows it to update this kind."""
    return any(
        kind.plural in (rule.get("resources") or []) and {"update", "*"} & set(rule.get("verbs") or [])
        for role in observed.of(objects.CLUSTER_ROLE)
        if role["metadata"]["name"].startswith("istiod")
        for rule in role.get("rules") or []
    )


CHECKS = (
    Check(
        id="control-plane.webhooks",
        title="caBundle of istiod's webhooks",
        passes="API server trusts istiod's webhooks",
        looks_at=("the caBundle of the webhook configurations for istiod, and istiod's serving certificate"),
        usual_cause=(
            "another tool wrote the configuration, or its label `istio.io/rev` is missing, so istiod "
            "does not update it"
        ),
        fix="set the label again; istiod then writes the caBundle",
        evaluate=_ca_bundles,
        needs=(REACHABLE, ISTIOD),
        because=(CACERTS, ROOT_VALID, VALID, ONE_ROOT, SIGNS),
        reads=(Observation.SERVING,),
        docs="troubleshooting.md#webhook-ca-bundle-stale",
    ),
)
