"""install --dry-run reports what admission would deny, in the words of what denies it; nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support import refusals
from tests.support.refusals import Refused

if TYPE_CHECKING:
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
DRY_RUN = ("install", "--contexts", "kt,ncloud,nhn", "--dry-run", "-o", "json")
PODS = f"/namespaces/{SYSTEM}/pods"
WHY = "validation error: label team is required"
RESTRICTED = Refused(
    403,
    "Forbidden",
    'pods "istiod-" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities',
)


def errors(result: Result) -> list[tuple[str, str]]:
    return [(one["code"], one["cluster"]) for one in result.json["errors"]]


@pytest.fixture
def drifted(installed: Mesh) -> Mesh:
    """A mesh in which an install has something to do in kt."""
    kt = installed["kt"]
    kt.edit(kt.get("Service", "istiod", SYSTEM), lambda item: item["spec"].update(selector={"app": "x"}))
    return installed


def test_a_webhook_denial_is_an_error_of_its_cluster_with_the_webhooks_message(drifted: Mesh) -> None:
    denial = refusals.denied_by_webhook("validate.kyverno.svc-fail", WHY)
    drifted["kt"].faults.refuse(denial, "PATCH", path=f"/namespaces/{SYSTEM}/services/istiod")
    result = drifted.run(*DRY_RUN).exits(3)
    assert errors(result) == [("admission-denied", "kt")]
    (error,) = result.json["errors"]
    assert "admission webhook validate.kyverno.svc-fail of kt denied" in error["message"]
    assert WHY in error["seen"]


def test_a_denial_of_what_istioctl_does_not_apply_is_reported_too(installed: Mesh) -> None:
    kt, name = installed["kt"], "cross-network-gateway"
    kt.delete(kt.get("Gateway", name, SYSTEM))
    kt.faults.refuse(refusals.denied_by_webhook("v.example", WHY), "PATCH", path=f"/gateways/{name}")
    assert errors(installed.run(*DRY_RUN).exits(3)) == [("admission-denied", "kt")]


def test_what_would_not_be_applied_is_not_submitted(installed: Mesh) -> None:
    denial = refusals.denied_by_webhook("v.example", WHY)
    installed["kt"].faults.refuse(denial, "PATCH", path=f"/namespaces/{SYSTEM}/services/istiod")
    assert errors(installed.run(*DRY_RUN).exits(0)) == []


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(RESTRICTED, "pod-security"), (refusals.denied_by_webhook("v.example", WHY), "admission-denied")],
    ids=["Pod Security", "webhook"],
)
def test_pods_that_would_be_denied_are_reported_before_any_is_made(
    installed: Mesh, refusal: Refused, code: str
) -> None:
    installed["nhn"].faults.refuse(refusal, "POST", path=PODS)
    result = installed.run(*DRY_RUN).exits(3)
    assert set(errors(result)) == {(code, "nhn")}


def test_a_dry_run_without_denials_reports_nothing_and_stores_nothing(drifted: Mesh) -> None:
    before = drifted.snapshots()
    result = drifted.run(*DRY_RUN).exits(0)
    assert (errors(result), drifted.snapshots()) == ([], before)


def test_a_webhook_that_cannot_judge_a_dry_run_is_no_denial(drifted: Mesh) -> None:
    unable = Refused(400, "BadRequest", 'admission webhook "v.example" does not support dry run')
    drifted["kt"].faults.refuse(unable, "PATCH", path=f"/namespaces/{SYSTEM}/services/istiod")
    assert errors(drifted.run(*DRY_RUN).exits(0)) == []


def test_a_quota_used_up_by_the_running_pods_is_not_a_denial(installed: Mesh) -> None:
    full = Refused(403, "Forbidden", 'pods "x" is forbidden: exceeded quota: pods, requested: pods=1')
    installed["kt"].faults.refuse(full, "POST", path=PODS)
    assert errors(installed.run(*DRY_RUN).exits(0)) == []


def test_nothing_is_requested_in_a_namespace_that_is_missing(mesh: Mesh) -> None:
    mesh.run(*DRY_RUN).exits(0)
    sent = [one for one in mesh["kt"].faults.requests if one.method in ("POST", "PATCH")]
    assert [one for one in sent if SYSTEM in one.path and "/namespaces/istio-system/" in one.path] == []


def test_no_secret_is_sent(mesh: Mesh) -> None:
    mesh["kt"].make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
    mesh.run(*DRY_RUN).exits(0)
    sent: list[Any] = [one for one in mesh["kt"].faults.requests if one.method in ("POST", "PATCH")]
    assert sent
    assert [one.path for one in sent if "/secrets" in one.path] == []
