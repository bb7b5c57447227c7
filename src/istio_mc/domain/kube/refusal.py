"""Why an API server refused a request, read from the Status it answered with.

The status code alone is not enough: 403 is a missing right, and also an exceeded quota, a denial by a webhook
or by Pod Security, and a namespace that is being deleted. The words are those of Kubernetes 1.32.3
(apiserver, pod-security-admission, plugin/pkg/admission).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from istio_mc.domain import jsontext
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FORBIDDEN = 403
_NOT_FOUND = 404
_MAX_SEEN = 200
_READS = frozenset({"GET", "HEAD"})
_ANONYMOUS = "system:anonymous"


class Reason(Enum):
    """Why a request was refused; its value is the code of its Problem."""

    UNAUTHENTICATED = Code.UNAUTHENTICATED
    FORBIDDEN = Code.FORBIDDEN
    QUOTA = Code.QUOTA_EXCEEDED
    ADMISSION = Code.ADMISSION_DENIED
    POD_SECURITY = Code.POD_SECURITY
    NAMESPACE_TERMINATING = Code.NAMESPACE_TERMINATING
    OBJECT_TERMINATING = Code.OBJECT_TERMINATING
    WEBHOOK_FAILED = Code.WEBHOOK_FAILED
    NOT_FOUND = Code.NOT_FOUND
    EXISTS = Code.ALREADY_EXISTS
    CONFLICT = Code.CONFLICT
    INVALID = Code.OBJECT_INVALID
    TOO_MANY = Code.TOO_MANY_REQUESTS
    UNAVAILABLE = Code.API_UNAVAILABLE
    ERROR = Code.API_ERROR
    NO_STATUS = Code.MALFORMED_ANSWER
    OTHER = Code.API_REFUSED


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused request.

    Attributes:
        name: The quota, the webhook or the policy that refused it; empty where the answer names none.
    """

    method: str
    path: str
    status: int
    message: str
    reason: Reason
    name: str = ""

    @property
    def namespace(self) -> str:
        """The namespace of the request; empty where it has none."""
        match = re.search(r"/namespaces/([^/?]+)", self.path)
        return match[1] if match else ""


_FORMS = tuple(
    (reason, what, re.compile(pattern))
    for reason, what, pattern in (
        (Reason.WEBHOOK_FAILED, "{}", r'failed calling webhook "([^"]+)"'),
        (
            Reason.ADMISSION,
            "admission webhook {}",
            r'admission webhook "([^"]+)" (?:denied the request|does not support dry run)',
        ),
        (
            Reason.ADMISSION,
            "policy {}",
            r"[Pp]olicy ['\"]([^'\"]+)['\"](?: with binding '[^']+')? denied request",
        ),
        (Reason.NAMESPACE_TERMINATING, "{}", r"in namespace (\S+) because it is being terminated"),
        (Reason.NAMESPACE_TERMINATING, "{}", r'object is being deleted: namespaces "([^"]+)"'),
        (Reason.OBJECT_TERMINATING, "{}", r'object is being deleted: \S+ "([^"]+)"'),
        (Reason.POD_SECURITY, "{}", r'violates PodSecurity "([^"]+)"'),
        (
            Reason.POD_SECURITY,
            "{}",
            r"unable to validate against any (?:security context constraint|pod security)",
        ),
        (
            Reason.QUOTA,
            "ResourceQuota {}",
            r"(?:exceeded quota|failed quota|status unknown for quota): ([^,:\s]+)",
        ),
        (Reason.QUOTA, "ResourceQuota {}", r"insufficient quota to (?:consume|match these scopes)"),
        (Reason.UNAUTHENTICATED, "{}", rf'User "{_ANONYMOUS}" cannot '),
        (Reason.FORBIDDEN, "{}", r'User "[^"]*" cannot \S+ (?:resource|path) '),
        (Reason.FORBIDDEN, "{}", r"RBAC permissions not currently held|user not permitted to "),
        (Reason.FORBIDDEN, "{}", r"cannot set (?:blockOwnerDeletion|an ownerRef)"),
    )
)
"""Forms of messages, what refused, and in the group of the pattern its name."""

_OF_THE_CLUSTER = frozenset({Reason.FORBIDDEN, Reason.UNAUTHENTICATED, Reason.TOO_MANY, Reason.UNAVAILABLE})
"""Reasons that stop other requests to the same API server too."""

_MOST_REQUESTS = 10
_BY_STATUS = {
    400: Reason.INVALID,
    401: Reason.UNAUTHENTICATED,
    404: Reason.NOT_FOUND,
    409: Reason.CONFLICT,
    413: Reason.INVALID,
    422: Reason.INVALID,
    429: Reason.TOO_MANY,
    500: Reason.ERROR,
    502: Reason.UNAVAILABLE,
    503: Reason.UNAVAILABLE,
    504: Reason.UNAVAILABLE,
}
_TERMINATING_CAUSE = "NamespaceTerminating"
_ALREADY_EXISTS = "AlreadyExists"
_BY_ADMISSION = "is forbidden: "
"""Before the reason of an admission plugin; authorization puts the user there, which `_FORMS` has."""


def read_words(text: str) -> tuple[Reason, str] | None:
    """The reason in an API server's words, wherever they are quoted, and the name of what refused.

    What denies a request may quote the words of another refusal: the first words count.
    """
    matches = [(match, reason, what) for reason, what, form in _FORMS if (match := form.search(text))]
    if not matches:
        return None
    match, reason, what = min(matches, key=lambda one: one[0].start())
    return reason, what.format(match[1]) if match.re.groups else ""


def read_message(message: str) -> tuple[Reason, str]:
    """The reason of a refused write of which only the message is known, and the name of what refused."""
    if words := read_words(message):
        return words
    return (Reason.ADMISSION if _BY_ADMISSION in message else Reason.OTHER), ""


def read_refusal(method: str, path: str, status: int, raw: bytes) -> Refusal:
    """Why a request was refused."""
    body = _object(raw)
    message = str(body.get("message") or raw[:_MAX_SEEN].decode("utf-8", "replace"))
    reason, name = _reason(method, status, body, message)
    return Refusal(method, path, status, message, reason, name)


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        value = jsontext.load(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _reason(method: str, status: int, body: Mapping[str, Any], message: str) -> tuple[Reason, str]:
    if _TERMINATING_CAUSE in _causes(body):
        return Reason.NAMESPACE_TERMINATING, ""
    if words := read_words(message):
        return words
    if status == _FORBIDDEN:
        return _forbidden(method, body, message), ""
    if body.get("reason") == _ALREADY_EXISTS or message.endswith("already exists"):
        return Reason.EXISTS, ""
    if status == _NOT_FOUND and message.lstrip().startswith(
        "<"
    ):  # of a web server: an API server sends no HTML
        return Reason.NO_STATUS, ""
    return _BY_STATUS.get(status, Reason.OTHER), ""


def _causes(body: Mapping[str, Any]) -> set[object]:
    details = body.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return {cause.get("reason") for cause in causes or [] if isinstance(cause, dict)}


def _forbidden(method: str, body: Mapping[str, Any], message: str) -> Reason:
    """The reason of a 403 in no known words, by who wrote it and what it says of."""
    if body.get("kind") != "Status":
        return Reason.NO_STATUS
    # Authorization always names the user; what an admission plugin says comes after the object's name.
    if method not in _READS and _BY_ADMISSION in message:
        return Reason.ADMISSION
    return Reason.FORBIDDEN


def problem_of(context: str, refusal: Refusal) -> Problem:
    """The Problem of a refused request."""
    names = {
        "request": f"{refusal.method} {refusal.path}",
        "path": refusal.path,
        "namespace": refusal.namespace or refusal.name,
    }
    seen = f"{refusal.status}: {refusal.message}"
    problem = _problem(context, refusal.reason, refusal.name, names, seen)
    return replace(problem, requests=(names["request"],)) if refusal.reason in _OF_THE_CLUSTER else problem


def merged(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems, each once; requests that a cluster refused for one such reason are one problem."""
    groups: dict[object, list[Problem]] = {}
    for problem in dict.fromkeys(problems):
        key = (problem.code, problem.cluster) if problem.requests else problem
        groups.setdefault(key, []).append(problem)
    return tuple(group[0] if len(group) == 1 else _merged(group) for group in groups.values())


def _merged(problems: list[Problem]) -> Problem:
    first = problems[0]
    requests = tuple(dict.fromkeys(request for problem in problems for request in problem.requests))
    named = requests[0] if len(requests) == 1 else f"{requests[0]} and {plural(len(requests) - 1, 'other')}"
    further = requests[len(first.requests) :]  # what the first names already is in what it says
    also = f"; also {few(further, _MOST_REQUESTS)}" if further else ""
    names = {"request": named, "path": named, "namespace": ""}
    problem = _problem(str(first.cluster), Reason(first.code), "", names, f"{first.seen}{also}")
    return replace(problem, requests=requests)


def problem_quoted(context: str, request: str, namespace: str, text: str) -> Problem | None:
    """The Problem of a refusal that another program quotes; None where its text has none of these words."""
    return problem_in_words(context, request, namespace, text) if read_words(text) else None


def problem_in_words(context: str, request: str, namespace: str, message: str) -> Problem:
    """The Problem of a refused write of which only the message is known; see `problem_quoted`."""
    names = {"request": request, "path": request, "namespace": namespace}
    return _problem(context, *read_message(message), names, message)


def _problem(context: str, reason: Reason, name: str, names: Mapping[str, str], seen: str) -> Problem:
    text = _TEXTS.get(reason, _OTHER)
    filled_in = {**names, "context": context, "name": name or text.unnamed}
    return Problem(
        code=reason.value,
        cluster=context,
        message=text.message.format_map(filled_in),
        seen=seen,
        expected=text.expected.format_map(filled_in),
        hint=text.hint(context, filled_in),
    )


class _Text(NamedTuple):
    """What a Problem says of a reason.

    Attributes:
        look: Arguments of the kubectl command that shows more; none where none does.
        unnamed: What refused, where the answer does not name it.
    """

    message: str
    expected: str
    advice: str = ""
    show: tuple[str, ...] = ()
    unnamed: str = ""

    def hint(self, context: str, filled_in: Mapping[str, str]) -> Advice:
        advice = self.advice.format_map(filled_in)
        show = [word.format_map(filled_in) for word in self.show]
        return Advice(advice, kubectl(context, *show)) if show else Advice(advice)


_REFUSED = "the API server of {context} refused {request}"
_READY = ("get", "--raw", "/readyz?verbose")
_AGAIN = "run the same command again"
_OTHER = _Text(_REFUSED, "HTTP status 200 to 299", show=_READY)
_TEXTS: Mapping[Reason, _Text] = {
    Reason.UNAUTHENTICATED: _Text(
        _REFUSED,
        "credentials that the API server accepts",
        "log in again, then: ",
        show=("auth", "whoami"),
    ),
    Reason.FORBIDDEN: _Text(_REFUSED, "a user with the right to {request}", show=("auth", "can-i", "--list")),
    Reason.QUOTA: _Text(
        "{name} of {context} is exceeded by {request}",
        "room in the quota for what is created",
        "raise the quota, or delete what is not needed: ",
        show=("-n", "{namespace}", "describe", "resourcequotas"),
        unnamed="a ResourceQuota",
    ),
    Reason.ADMISSION: _Text(
        "{name} of {context} denied {request}",
        "a request that the cluster's admission policies allow",
        "change what {name} rejects, or add an exception for it",
        unnamed="an admission plugin",
    ),
    Reason.POD_SECURITY: _Text(
        "Pod Security of {context} denied {request}",
        "a namespace whose Pod Security level allows these pods",
        "set label pod-security.kubernetes.io/enforce of namespace {namespace} to a level that allows them",
    ),
    Reason.NAMESPACE_TERMINATING: _Text(
        "namespace {namespace} of {context} is being deleted: nothing can be created in it",
        "a namespace that is not being deleted",
        "wait until it is gone, then run the same command again; what it waits for: ",
        show=("get", "namespace", "{namespace}", "-o", "yaml"),
    ),
    Reason.OBJECT_TERMINATING: _Text(
        "{name} of {context} is being deleted, which blocks {request}",
        "an object that is not being deleted",
        "wait until it is gone, then run the same command again; its finalizers are what it waits for",
    ),
    Reason.WEBHOOK_FAILED: _Text(
        "admission webhook {name} of {context} could not be called for {request}",
        "a webhook that responds to the API server",
        "repair what serves this webhook, or delete its configuration: ",
        show=("get", "validatingwebhookconfigurations,mutatingwebhookconfigurations"),
    ),
    Reason.NOT_FOUND: _Text(
        "the API server of {context} has nothing at {path}",
        "a namespace that exists, and a kind that is served",
        show=("api-resources",),
    ),
    Reason.EXISTS: _Text("{path} of {context} exists already", "no object of this name", _AGAIN),
    Reason.CONFLICT: _Text(
        "{path} of {context} was changed by something else at the same time",
        "no other write to it at the same time",
        _AGAIN,
    ),
    Reason.INVALID: _Text(
        "the API server of {context} rejected {request} as invalid",
        "an object that the API server accepts",
        "correct the value; if it comes from mesh.yaml, there",
    ),
    Reason.TOO_MANY: _Text(
        "the API server of {context} limits requests, {request} among them",
        "fewer requests than the API server allows",
        "run the same command again, with a lower --concurrency",
    ),
    Reason.UNAVAILABLE: _Text(
        "the API server of {context} is not available for {request}",
        "an API server that is ready",
        show=_READY,
    ),
    Reason.ERROR: _Text(
        "the API server of {context} failed on {request}", "HTTP status 200 to 299", show=_READY
    ),
    Reason.NO_STATUS: _Text(
        "the server that responded to {request} for {context} is not an API server",
        "a response from Kubernetes",
        "check for a proxy or firewall that responds instead of the API server",
    ),
}
