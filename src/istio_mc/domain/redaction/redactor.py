"""Kubernetes objects and texts without the secrets in them, and how many of what kind were taken out."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from istio_mc.domain import jsontext
from istio_mc.domain.redaction import context
from istio_mc.domain.redaction.names import lists_secrets, may_be_secret, promises_secret
from istio_mc.domain.redaction.secret_objects import SECRET_DATA
from istio_mc.domain.redaction.texts import known_forms, secrets, seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SHORTEST_KNOWN = 8
_SECRET_LIST = "SecretList"  # noqa: S105 - a kind
_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})


def mark(kind: str) -> str:
    """What is written in the place of a secret."""
    return f"[redacted: {kind}]"


@dataclass
class Redactor:
    """Takes secrets out; pure but for the counts it keeps.

    Attributes:
        counts: How many of each kind were taken out.
        known: Forms of secrets that are known by their value (`knowing`).
    """

    counts: Counter[str] = field(default_factory=Counter)
    known: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def knowing(cls, values: Iterable[str]) -> Redactor:
        """One that also takes out these values wherever they stand; those of a few letters are left alone."""
        found = {value.strip() for value in values if len(value.strip()) >= _SHORTEST_KNOWN}
        return cls(known=frozenset(form for value in found for form in known_forms(value)))

    def text(self, text: str) -> str:
        """A text with every secret in it replaced by what it was: `[redacted: private key]`."""
        text = seen(text)
        kept, at = [], 0
        for span in secrets(text, self.known):
            kept += [text[at : span.start], self._mark(span.kind)]
            at = span.end
        return "".join([*kept, text[at:]])

    def document(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A Kubernetes object, or a list of them, without secrets, and without `managedFields`.

        Of a Secret, the names of its keys stay, and nothing of their values; nor does what `kubectl apply`
        wrote into its annotation.
        """
        return self._mapping(document)

    def data(self, value: object) -> Any:  # noqa: ANN401 - JSON
        """Any plain data without secrets."""
        return self._value(value, "")

    def _value(self, value: object, name: str) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, dict):
            return self._mapping(value, name)
        if isinstance(value, list):
            return self._list(value, name)
        if isinstance(value, str):
            return self._string(value, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and promises_secret(name) and may_be_secret(name, str(value)):
            return self._mark(context.PASSWORD)
        return value

    def _mapping(self, value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
        is_secret = value.get("kind") == "Secret" or above == _SECRET_LIST
        kept: dict[str, Any] = {}
        for key, inner in value.items():
            name = str(key)
            if is_secret and name in ("data", "stringData") and isinstance(inner, dict):
                kept[name] = {self.text(str(part)): self._mark(SECRET_DATA) for part in inner}
            elif name == "managedFields" and isinstance(inner, list):
                continue
            elif name == LAST_APPLIED and isinstance(inner, str):
                kept[name] = self._last_applied(inner)
            elif name == "items" and value.get("kind") == _SECRET_LIST and isinstance(inner, list):
                kept[name] = [self._value(item, _SECRET_LIST) for item in inner]
            else:
                kept[self.text(name)] = self._value(inner, seen(name))
        if is_secret and LAST_APPLIED in (kept.get("metadata") or {}).get("annotations", {}):
            kept["metadata"]["annotations"][LAST_APPLIED] = self._mark(SECRET_DATA)
        named = str(value.get("name") or value.get("key") or above)
        if isinstance(value.get("value"), str) and promises_secret(named):
            kept["value"] = self._string(value["value"], named)
        return kept

    def _list(self, value: list[Any], name: str) -> list[Any]:
        kept: list[Any] = []
        before = ""
        for item in value:
            if isinstance(item, str) and not before and lists_secrets(name) and may_be_secret(name, item):
                kept.append(self._mark(context.PASSWORD))
            else:
                kept.append(self._value(item, before or name))
            # `--password`, `hunter2`: two words of one command; or a header's name, and its value.
            is_name = isinstance(item, str) and "=" not in item
            names_next = is_name and (item.startswith("-") or item.lower() in _HEADERS)
            before = item.lstrip("-") if names_next else ""
        return kept

    def _string(self, value: str, name: str) -> str:
        if name and promises_secret(name) and may_be_secret(name, value):
            return self._mark(context.PASSWORD)
        if inner := _json(value):
            found = self._value(inner, "")
            return value if found == inner else json.dumps(found, ensure_ascii=False)
        return self.text(value)

    def _last_applied(self, value: str) -> str:
        inner = _json(value)
        if inner is None:
            return self.text(value)
        return json.dumps(self._value(inner, ""), ensure_ascii=False)

    def _mark(self, kind: str) -> str:
        self.counts[kind] += 1
        return mark(kind)


def _json(text: str) -> dict[str, Any] | list[Any] | None:
    """What a text holds, where it is a JSON document."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        found = jsontext.load(text)
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None
