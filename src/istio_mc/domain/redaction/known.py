"""What is known to be secret by where it was read: in Secrets, and in the kubeconfig of this run."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from istio_mc.domain import jsontext
from istio_mc.domain.redaction.names import is_about, promises_secret
from istio_mc.domain.redaction.texts import secrets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_LEAST, _MOST = 8, 4096
_OPEN = re.compile(r"(?:true|false|[0-9]{1,6}|[a-z]+|https?://[^@]*|/[\w./-]*)")


def of_secrets(objects: Iterable[Mapping[str, Any]], public: Collection[str] = ()) -> set[str]:
    """Values of Secrets that shall stand nowhere.

    Of a value of several lines, such as a kubeconfig, it is what the other rules find secret in it. Names,
    addresses and the like are none, nor are the words of `public`: clusters, namespaces, what all may know.
    """
    found: set[str] = set()
    for item in objects:
        for key, encoded in (item.get("data") or {}).items():
            found |= set(_within(str(key), _decoded(str(encoded))))
    return {value for value in found if value not in public}


def of_kubeconfig(document: Mapping[str, Any]) -> set[str]:
    """Tokens, passwords and what plugins are given in a kubeconfig."""
    found: set[str] = set()
    for entry in document.get("users") or []:
        _walk(entry.get("user") or {}, "", found)
    return found


def _walk(value: object, name: str, found: set[str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            named = value.get("name") if key == "value" else None
            _walk(inner, str(named or key), found)
    elif isinstance(value, list):
        for inner in value:
            _walk(inner, name, found)
    elif isinstance(value, str) and promises_secret(name):
        found |= {value} if _LEAST <= len(value) <= _MOST else set()


def _within(key: str, value: str) -> Iterator[str]:
    value = value.strip()
    if "\n" not in value and not value.startswith(("{", "[")):
        if _LEAST <= len(value) <= _MOST and not is_about(key) and not _OPEN.fullmatch(value):
            yield value
        return
    if value.startswith("{"):
        try:
            value = json.dumps(jsontext.load(value), indent=1)
        except ValueError:
            return
    for span in secrets(value):
        part = value[span.start : span.end]
        if _LEAST <= len(part) <= _MOST and "-----" not in part:
            yield part


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded).decode()
    except ValueError:
        return ""
