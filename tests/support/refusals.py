"""What API servers answer where they refuse: a Status, in the words of Kubernetes 1.32."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.fields import Conflict
    from tests.support.kinds import Object, Served


@dataclass
class Refused(Exception):  # noqa: N818 - a refusal is no fault of ours
    """A request that is refused.

    Attributes:
        code: HTTP status.
        reason: Such as `NotFound`.
        message: What people read.
        details: What programs read.
        headers: Of the answer, such as `Retry-After`.
    """

    code: int
    reason: str
    message: str
    details: Object = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def status(self) -> Object:
        """The body of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({"details": self.details} if self.details else {}),
            "code": self.code,
        }


def _details(served: Served, name: str, **more: Any) -> Object:
    group = {"group": served.group} if served.group else {}
    return {**({"name": name} if name else {}), **group, "kind": served.plural, **more}


def not_found(served: Served, name: str) -> Refused:
    """There is no such object."""
    return Refused(404, "NotFound", f'{served.resource} "{name}" not found', _details(served, name))


def already_exists(served: Served, name: str) -> Refused:
    """There is one of that name."""
    message = f'{served.resource} "{name}" already exists'
    return Refused(409, "AlreadyExists", message, _details(served, name))


def changed_meanwhile(served: Served, name: str) -> Refused:
    """The resourceVersion that the client names is an old one."""
    message = (
        f'Operation cannot be fulfilled on {served.resource} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return Refused(409, "Conflict", message, _details(served, name))


def fields_conflict(conflicts: Sequence[Conflict]) -> Refused:
    """Other managers own fields that an apply would change."""
    messages = [f'conflict with "{one.manager}": {_dotted(one.path)}' for one in conflicts]
    plural = "s" if len(messages) > 1 else ""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{c.manager}"',
            "field": _dotted(c.path),
        }
        for c in conflicts
    ]
    message = f"Apply failed with {len(messages)} conflict{plural}: {'; '.join(messages)}"
    return Refused(409, "Conflict", message, {"causes": causes})


def _dotted(path: Sequence[str]) -> str:
    return "".join(f".{step[2:]}" if step.startswith("f:") else f"[{step[2:]}]" for step in path)


def invalid(served: Served, name: str, path: str, why: str) -> Refused:
    """A value that is not valid."""
    cause = {"reason": "FieldValueInvalid", "message": why, "field": path}
    message = f'{served.kind} "{name}" is invalid: {path}: {why}'
    return Refused(422, "Invalid", message, _details(served, name, causes=[cause]))


def terminating(served: Served, name: str, namespace: str) -> Refused:
    """Nothing is created in a namespace that is on its way out."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    cause = {"reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace"}
    message = f'{served.resource} "{name}" is forbidden: {why}'
    return Refused(403, "Forbidden", message, _details(served, name, causes=[cause]))


def forbidden(who: str, verb: str, served: Served, namespace: str, name: str = "") -> Refused:
    """The caller may not do that."""
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    quoted = f' "{name}"' if name else ""
    what = f"{served.resource}{quoted} is forbidden"
    message = (
        f'{what}: User "{who}" cannot {verb} resource "{served.plural}" in API group "{served.group}"{where}'
    )
    return Refused(403, "Forbidden", message, _details(served, name))


def unauthorized() -> Refused:
    """The caller is not known."""
    return Refused(401, "Unauthorized", "Unauthorized")


def no_method() -> Refused:
    """The path is served, and the method is not."""
    return Refused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def bad_request(message: str) -> Refused:
    """The body cannot be read."""
    return Refused(400, "BadRequest", message)


def internal(message: str) -> Refused:
    """Something behind the API server failed."""
    return Refused(
        500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]}
    )


def denied_by_webhook(name: str, why: str) -> Refused:
    """A webhook of somebody's does not let it through."""
    return Refused(403, "Forbidden", f'admission webhook "{name}" denied the request: {why}')


def too_many(after_s: int = 1) -> Refused:
    """The server has too much to do, and says when to come again."""
    message = "too many requests, please try again later"
    return Refused(429, "TooManyRequests", message, headers={"Retry-After": str(after_s)})
