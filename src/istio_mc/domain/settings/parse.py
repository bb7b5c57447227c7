"""mesh.yaml parsed: settings, or every fault with its file and line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from istio_mc.domain.hint import Advice
from istio_mc.domain.kube.kubeconfig_schema import kind_of
from istio_mc.domain.problem import Code, InputError, Problem
from istio_mc.domain.settings.keys import FORMS, Field, fields_of
from istio_mc.domain.settings.model import Settings

if TYPE_CHECKING:
    from pathlib import Path

Place = tuple[str | int, ...]
"""Where something is in a document: `("clusters", 0, "id")`."""

_EXPECTED = {
    "string_type": "a string",
    "string_or_list": "a string or a list",
    "string_or_section": "a URL or a mapping",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
}
"""What pydantic's types of errors are about, in words."""


_STRINGS = ("string_type", "string_or_list")


class _Fault(NamedTuple):
    place: Place
    text: str
    hint: str | None = None
    code: Code = Code.SETTINGS_INVALID


@cache
def adapter() -> TypeAdapter[Settings]:
    """What validates the settings, made once it is needed."""
    return TypeAdapter(Settings)


def parse_settings(document: object, lines: Mapping[Place, int], file: Path) -> Settings:
    """Checks a mesh.yaml and fills in its defaults.

    Args:
        lines: Line of each key and list item, such as `("clusters", 0, "id")`, in the file's order.
        file: The file's absolute path: relative paths in it are taken from its folder.

    Raises:
        InputError: With every fault, each as `<file>:<line>: <place>: <what>`, in the file's order.
    """
    if document is None or isinstance(document, Mapping):
        document = {"apiVersion": None, "kind": None} | dict(document or {})
    faults = list(_other_keys((), document))
    settings = Settings()
    try:
        settings = adapter().validate_python(document, context=file.parent)
    except ValidationError as error:
        faults += (
            _fault(details["type"], details["loc"], details["input"])
            for details in error.errors(include_url=False, include_context=False)
            if details["type"] != "invalid_key"  # _other_keys has them with those at any depth
        )
    faults += _repeated(document, lines, {fault.place for fault in faults})
    if faults:
        order = {place: number for number, place in enumerate(lines)}
        faults.sort(key=lambda fault: (_line(lines, fault.place), order.get(fault.place, len(order))))
        raise InputError(*(_problem(fault, lines, file) for fault in faults))
    return replace(settings, certs_dir=file.parent / settings.certs_dir, file=file)


def _fault(kind: str, location: Place, value: Any) -> _Fault:  # noqa: ANN401 - anything in a file
    """An error of pydantic's in words."""
    place = tuple(part for part in location if part not in FORMS)
    field = _field(place)
    if place and field is None:
        return _unknown(place)
    if field and field.key.constant:
        seen, desired = repr(value) if isinstance(value, str) else kind_of(value), field.key.constant
        return _Fault(place, f"expected {desired}, saw {seen}", f"Write {field.name}: {desired}")
    if field and field.key.required and (value is None or kind == "missing"):
        missing = f"Add {field.name}: NAME, as istio-mc contexts --offline lists it"
        return _Fault(place[:-1], f"has no {field.name}", missing)
    if field and kind == "value_error":
        shown = re.sub(r"//[^/]*@", "//***@", value)  # a password may be before the @
        return _Fault(place, f"{shown!r} {field.key.fault_of(value)}")
    hint = None
    if kind == "dataclass_type":
        hint = f"Known here: {', '.join(_names(place))}"
    elif kind in _STRINGS and isinstance(place[-1], str) and isinstance(value, int | float):
        hint = "Put it in quotes"
    return _Fault(place, f"expected {_EXPECTED[kind]}, saw {kind_of(value)}", hint)


def _unknown(place: Place) -> _Fault:
    known = {name.lower(): name for name in _names(place[:-1])}
    near = difflib.get_close_matches(str(place[-1]).lower(), known, n=1)
    hint = f"Did you mean {known[near[0]]}?" if near else f"Known here: {', '.join(known.values())}"
    return _Fault(place, "is not a known key", hint, Code.SETTINGS_KEY_UNKNOWN)


def _field(place: Place) -> Field | None:
    """The key at a place, or the one whose list the place is in."""
    result: Field | None = None
    below = fields_of(Settings)
    for part in place:
        if isinstance(part, str):
            result = next((field for field in below if field.name == part), None)
            below = result.below if result else ()
    return result


def _names(place: Place) -> list[str]:
    """The names of the keys that are known in the section at a place."""
    field = _field(place)
    return [each.name for each in (field.below if field else fields_of(Settings))]


def _other_keys(place: Place, value: object) -> Iterator[_Fault]:
    """Every key, at any depth, that is not a string."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            here = (*place, _key_text(key))
            if not isinstance(key, str):
                yield _Fault(here, f"expected a string as key, saw {kind_of(key)}", "Put it in quotes")
            yield from _other_keys(here, item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _other_keys((*place, index), item)


def _key_text(key: object) -> str:
    """A key as it most likely stands in the file, where YAML took it for something else than a string."""
    if key is None:
        return "null"
    return str(key).lower() if isinstance(key, bool) else str(key)


def _repeated(document: object, lines: Mapping[Place, int], wrong: set[Place]) -> Iterator[_Fault]:
    """Names that two clusters have, among those that are names: also where other keys are wrong."""
    clusters = document.get("clusters") if isinstance(document, Mapping) else None
    for key in ("context", "id", "network"):
        first: dict[str, Place] = {}
        for index, cluster in enumerate(clusters if isinstance(clusters, list) else ()):
            place = ("clusters", index, key)
            name = cluster.get(key) if isinstance(cluster, Mapping) else None
            if not isinstance(name, str) or place in wrong:
                continue
            if (other := first.setdefault(name, place)) != place:
                whose = f"{_shown(other[:2])} in line {_line(lines, other)}"
                yield _Fault(place, f"{name} is already that of {whose}")


def _problem(fault: _Fault, lines: Mapping[Place, int], file: Path) -> Problem:
    where = f"{_shown(fault.place)}: " if fault.place else ""
    return Problem(
        code=fault.code,
        message=f"{file}:{_line(lines, fault.place)}: {where}{fault.text}",
        hint=Advice(fault.hint) if fault.hint else None,
    )


def _line(lines: Mapping[Place, int], place: Place) -> int:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _shown(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")
