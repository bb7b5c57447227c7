"""The reason of a refused request is read as Kubernetes gives it: from its Status, not from 403 alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.kube.refusal import Reason, merged, problem_of, read_refusal, read_words

if TYPE_CHECKING:
    from istio_mc.domain.problem import Problem

SECRETS = "/api/v1/namespaces/istio-system/secrets/x"
QUOTA = "exceeded quota: objects, requested: count/secrets=1, used: count/secrets=20, limited: 20"
RBAC = 'User "ann" cannot patch resource "secrets" in API group "" in the namespace "istio-system"'
FORBIDDEN = 'secrets "x" is forbidden: '


def answer(message: str, reason: str = "", *causes: str, kind: str = "Status") -> bytes:
    body: dict[str, Any] = {"kind": kind, "status": "Failure", "message": message, "reason": reason}
    if causes:
        body["details"] = {"causes": [{"reason": cause, "message": "…"} for cause in causes]}
    return json.dumps(body).encode()


POD = 'pods "x" is forbidden: '
DENIES = 'admission webhook "v.example" denied the request: '
FAILED = 'Internal error occurred: failed calling webhook "a.b": '
GOING = "unable to create new content in namespace istio-system because it is being terminated"
ESCALATES = (
    'roles.rbac.authorization.k8s.io "x" is forbidden: user "ann" (groups=["dev"]) is attempting to grant '
    'RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'
)

BY_REASON = {
    Reason.FORBIDDEN: [
        (403, FORBIDDEN + RBAC),
        (403, f"{FORBIDDEN}{RBAC}: requires one of [container.secrets.update] permission(s)"),
        (403, 'forbidden: User "ann" cannot get path "/version"'),
        (403, 'users "bob" is forbidden: User "ann" cannot impersonate resource "users" in API group ""'),
        (403, ESCALATES),
        (403, "Forbidden"),
    ],
    Reason.UNAUTHENTICATED: [
        (401, "Unauthorized"),
        (403, FORBIDDEN + RBAC.replace('"ann"', '"system:anonymous"')),
    ],
    Reason.QUOTA: [
        (403, FORBIDDEN + QUOTA),
        (403, POD + "failed quota: objects: must specify limits.cpu for: discovery"),
        (403, POD + "status unknown for quota: objects, resources: cpu"),
        (403, POD + "insufficient quota to consume: pods"),
        (500, "Internal error occurred: insufficient quota to match these scopes: [{PriorityClass …}]"),
    ],
    Reason.NAMESPACE_TERMINATING: [
        (403, FORBIDDEN + GOING),
        (409, 'object is being deleted: namespaces "istio-system" already exists'),
    ],
    Reason.OBJECT_TERMINATING: [(409, 'object is being deleted: secrets "x" already exists')],
    Reason.POD_SECURITY: [
        (403, POD + 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'),
        (403, POD + 'unable to validate against any security context constraint: [provider "a": …]'),
    ],
    Reason.ADMISSION: [
        (403, POD + "maximum cpu usage per Container is 1, but limit is 2"),
        (403, 'services "x" is forbidden: Use of external IPs is denied by admission control'),
        # A webhook answers with a status of its own; a policy with 422 unless it has another.
        *((status, DENIES + "a label is missing") for status in (400, 403, 409, 422, 500)),
        (403, 'admission webhook "v.example" denied the request without explanation'),
        (400, 'admission webhook "v.example" does not support dry run'),
        (422, f"{FORBIDDEN}ValidatingAdmissionPolicy 'own' with binding 'all' denied request: failed"),
        # What denies may quote the words of another refusal.
        (403, DENIES + FORBIDDEN + QUOTA),
        (403, DENIES + RBAC),
    ],
    Reason.WEBHOOK_FAILED: [
        (500, FAILED + 'failed to call webhook: Post "https://a.b.svc:443/": no endpoints available'),
        (500, FAILED + DENIES + "no"),
    ],
    Reason.NOT_FOUND: [
        (404, 'namespaces "istio-system" not found'),
        (404, "the server could not find the requested resource"),
    ],
    Reason.EXISTS: [(409, 'secrets "x" already exists')],
    Reason.CONFLICT: [
        (409, 'Operation cannot be fulfilled on secrets "x": the object has been modified'),
        (409, 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'),
    ],
    Reason.INVALID: [
        (422, 'Service "x" is invalid: spec.ports[0].port: Invalid value: 0'),
        (400, 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data'),
    ],
    Reason.TOO_MANY: [(429, "the server has received too many requests; try again later")],
    Reason.UNAVAILABLE: [
        (503, "the server is currently unable to handle the request"),
        (504, "Timeout: request did not complete within requested timeout"),
    ],
    Reason.ERROR: [(500, "etcdserver: mvcc: database space exceeded")],
    Reason.OTHER: [(405, "the server does not allow this method on the requested resource")],
}
MESSAGES = [(reason, *answered) for reason, all_answers in BY_REASON.items() for answered in all_answers]


@pytest.mark.parametrize(("reason", "status", "message"), MESSAGES)
def test_a_refusal_is_known_by_its_message(reason: Reason, status: int, message: str) -> None:
    refusal = read_refusal("PATCH", SECRETS, status, answer(message))
    assert (refusal.reason, refusal.message) == (reason, message)


def test_what_refused_is_named() -> None:
    named = {
        reason: {read_refusal("PATCH", SECRETS, status, answer(message)).name for status, message in answers}
        for reason, answers in BY_REASON.items()
    }
    assert {reason: names for reason, names in named.items() if names != {""}} == {
        Reason.QUOTA: {"ResourceQuota objects", ""},
        Reason.NAMESPACE_TERMINATING: {"istio-system"},
        Reason.OBJECT_TERMINATING: {"x"},
        Reason.POD_SECURITY: {"restricted:latest", ""},
        Reason.ADMISSION: {"admission webhook v.example", "policy own", ""},
        Reason.WEBHOOK_FAILED: {"a.b"},
    }


def test_a_terminating_namespace_is_recognized_by_its_cause_not_by_the_message() -> None:
    refusal = read_refusal(
        "POST", SECRETS, 403, answer(FORBIDDEN + "no", "Forbidden", "NamespaceTerminating")
    )
    assert refusal.reason is Reason.NAMESPACE_TERMINATING


def test_admission_does_not_refuse_reads() -> None:
    assert read_refusal("GET", SECRETS, 403, answer(FORBIDDEN + "no")).reason is Reason.FORBIDDEN


@pytest.mark.parametrize("body", [b"<html>blocked</html>", b"", b'{"error":"blocked"}', b"[1]"])
def test_a_403_that_kubernetes_did_not_write_is_no_missing_right(body: bytes) -> None:
    assert read_refusal("GET", SECRETS, 403, body).reason is Reason.NO_STATUS


def test_an_api_server_without_the_kind_answers_in_plain_text() -> None:
    assert read_refusal("GET", SECRETS, 404, b"404 page not found\n").reason is Reason.NOT_FOUND


@pytest.mark.parametrize("details", [None, "x", {"causes": None}, {"causes": "x"}, {"causes": [1, None]}])
def test_details_of_any_shape_are_read(details: object) -> None:
    body = json.dumps({"kind": "Status", "message": FORBIDDEN + QUOTA, "details": details}).encode()
    assert read_refusal("POST", SECRETS, 403, body).reason is Reason.QUOTA


def test_a_refusal_is_recognized_in_the_output_of_another_program() -> None:
    output = f'Error: failed to install manifests: failed to apply: Secret "x" is forbidden: {QUOTA}\n'
    assert read_words(output) == (Reason.QUOTA, "ResourceQuota objects")
    assert read_words("Error: no such file") is None


@pytest.mark.parametrize(("reason", "status", "message"), MESSAGES)
def test_only_a_missing_right_sends_the_reader_to_rbac(reason: Reason, status: int, message: str) -> None:
    problem = problem_of("kt", read_refusal("PATCH", SECRETS, status, answer(message)))
    about_rights = "can-i" in str(problem.hint) or "the right to " in str(problem.expected)
    assert (problem.code, problem.cluster, about_rights) == (reason.value, "kt", reason is Reason.FORBIDDEN)
    assert message in str(problem.seen)
    assert "{" not in problem.message + str(problem.hint) + str(problem.expected)


def test_the_message_names_what_refused() -> None:
    problem = problem_of("kt", read_refusal("PATCH", SECRETS, 403, answer(FORBIDDEN + QUOTA)))
    assert problem.message == f"ResourceQuota objects of kt is exceeded by PATCH {SECRETS}"
    assert "-n istio-system describe resourcequotas" in str(problem.hint)


class TestMerged:
    def refused(self, path: str, context: str = "kt", status: int = 403) -> Problem:
        return problem_of(context, read_refusal("GET", path, status, answer(FORBIDDEN + RBAC)))

    def test_a_missing_right_of_a_cluster_is_one_problem_with_all_requests(self) -> None:
        one, *others = [self.refused(f"/api/v1/{kind}") for kind in ("pods", "services", "secrets")]
        (found,) = merged([one, *others, one])
        assert found.message == "the API server of kt refused GET /api/v1/pods and 2 others"
        assert found.seen == f"{one.seen}; also GET /api/v1/services, GET /api/v1/secrets"
        assert found.expected == "a user with the right to GET /api/v1/pods and 2 others"
        assert (found.code, found.cluster, found.hint, found.docs) == (one.code, "kt", one.hint, one.docs)
        assert merged([found, *others]) == (found,)

    def test_those_of_two_clusters_are_two(self) -> None:
        both = (self.refused("/api/v1/pods"), self.refused("/api/v1/pods", "nhn"))
        assert merged(both) == both

    def test_what_concerns_one_object_alone_stays_apart(self) -> None:
        both = tuple(
            problem_of("kt", read_refusal("POST", f"/api/v1/{kind}", 409, answer("x already exists")))
            for kind in ("pods", "services")
        )
        assert merged(both) == both
