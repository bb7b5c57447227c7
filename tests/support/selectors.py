"""Label and field selectors, as API servers heed them."""

from __future__ import annotations

import re
from functools import cache, reduce
from typing import TYPE_CHECKING, Any

from tests.support.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.kinds import Object

_SET = re.compile(r"\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*")
_PARTS = re.compile(r",(?![^(]*\))")
_FIELDS = frozenset(
    {"metadata.name", "metadata.namespace", "status.phase", "spec.nodeName", "type", "involvedObject.name"}
)


def matches(item: Object, labels: str = "", where: str = "") -> bool:
    """Whether an object has the labels and the fields that selectors name."""
    there = item["metadata"].get("labels") or {}
    return all(_has(there, *part) for part in _parsed(labels)) and all(
        (_field(item, path) == value) == (operator == "=") for path, operator, value in _fields(where)
    )


@cache
def _parsed(selector: str) -> tuple[tuple[str, str, frozenset[str]], ...]:
    found = []
    for part in filter(None, _PARTS.split(selector)):
        if match := _SET.fullmatch(part):
            found.append((match[1], match[2], frozenset(one.strip() for one in match[3].split(","))))
        elif "!=" in part:
            key, _, value = part.partition("!=")
            found.append((key.strip(), "notin", frozenset({value.strip()})))
        elif "=" in part:
            key, _, value = part.replace("==", "=").partition("=")
            found.append((key.strip(), "in", frozenset({value.strip()})))
        elif part.startswith("!"):
            found.append((part[1:].strip(), "absent", frozenset()))
        else:
            found.append((part.strip(), "there", frozenset()))
    return tuple(found)


def _has(labels: Mapping[str, str], key: str, operator: str, values: frozenset[str]) -> bool:
    if operator in ("there", "absent"):
        return (key in labels) == (operator == "there")
    return (labels.get(key) in values) == (operator == "in")


@cache
def _fields(selector: str) -> tuple[tuple[str, str, str], ...]:
    found = []
    for part in filter(None, selector.split(",")):
        operator = "!=" if "!=" in part else "="
        path, _, value = part.replace("==", "=").partition(operator)
        if path not in _FIELDS:
            raise Refused(400, "BadRequest", f"field label not supported: {path}")
        found.append((path, operator, value))
    return tuple(found)


def _field(item: Object, path: str) -> Any:  # noqa: ANN401 - plain data
    return reduce(lambda part, name: part.get(name, {}), path.split("."), item) or ""


def by_object(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Whether labels fit a LabelSelector; an empty one fits all."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for one in selector.get("matchExpressions") or []:
        there, values = one["key"] in labels, one.get("values") or []
        fits = {
            "In": labels.get(one["key"]) in values,
            "NotIn": labels.get(one["key"]) not in values,
            "Exists": there,
            "DoesNotExist": not there,
        }[one["operator"]]
        if not fits:
            return False
    return True
