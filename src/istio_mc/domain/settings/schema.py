"""The JSON Schema of mesh.yaml, and what settings hold for each of its keys: made from the table of keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from istio_mc.domain.settings.fields import MESH, Field, Kind
from istio_mc.domain.settings.model import Settings

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The JSON Schema version that editors know best (yaml-language-server among them)."""


def value_of(field: Field, settings: object) -> Any:  # noqa: ANN401 - each field has a type of its own
    """What settings hold for a key, in the file's own types: paths as text, several texts as a list.

    Args:
        field: A key with an attribute.
        settings: A `Settings`, or a `ClusterSettings` for the keys of `CLUSTER`.
    """
    found = settings
    for name in field.attribute.split("."):
        found = None if found is None else getattr(found, name)
    if isinstance(found, Path):
        return str(found)
    return list(found) if isinstance(found, tuple) else found


def default_of(field: Field) -> str | bool | None:
    """The default of one of `MESH`'s keys, or of those below it; None where `otherwise` says what holds."""
    if field.otherwise or not field.attribute:
        return None
    found = value_of(field, Settings(certs_dir=Path("certs")))
    return found if isinstance(found, str | bool) else None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of mesh.yaml.

    It refuses unknown keys and wrong types as the validation does, and malformed strings as far as a regular
    expression can tell; that no two clusters share a context, ID or network is the validation's alone.
    """
    return {
        "$schema": DIALECT,
        "title": "mesh.yaml of istio-mc",
        "description": "The settings of one Istio mesh. Relative paths are taken from the file's folder.",
        **_mapping(MESH, defaults=True),
        "definitions": {
            "values": {
                "description": "Anything whose keys are strings.",
                "propertyNames": {"type": "string"},
                "additionalProperties": {"$ref": "#/definitions/values"},
                "items": {"$ref": "#/definitions/values"},
            }
        },
    }


def _mapping(fields: tuple[Field, ...], *, defaults: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "object",
        "properties": {field.key: _schema(field, defaults=defaults) for field in fields},
        "additionalProperties": False,
    }
    if required := [field.key for field in fields if field.required]:
        made["required"] = required
    return made


def _schema(field: Field, *, defaults: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"description": _described(field)}
    if defaults and (default := default_of(field)) is not None:
        made["default"] = default
    if field.example:
        made["examples"] = [field.example] if field.kind in _TEXTUAL else []
    made |= _holds(field)
    return {key: value for key, value in made.items() if value != []}


def _holds(field: Field) -> dict[str, Any]:
    text = {"type": "string", "pattern": f"^({field.pattern})$"}
    if field.constant:
        return {"const": field.constant}
    match field.kind:
        case Kind.FLAG:
            holds: dict[str, Any] = {"type": "boolean"}
        case Kind.TEXTS:
            holds = {"anyOf": [text, {"type": "array", "items": text}]}
        case Kind.MAPPING:
            holds = _mapping(field.fields, defaults=True)
        case Kind.TEXT_OR_MAPPING:
            holds = {"anyOf": [text, _mapping(field.fields, defaults=False)]}
        case Kind.ENTRIES:
            holds = {"type": "array", "items": _mapping(field.fields, defaults=False)}
        case Kind.FREE:
            holds = {"type": "object", "allOf": [{"$ref": "#/definitions/values"}]}
        case _:
            holds = text
    return holds if field.required else _or_nothing(holds)


def _or_nothing(holds: dict[str, Any]) -> dict[str, Any]:
    """A key without a value counts as one that is not there."""
    if "anyOf" in holds:
        return {"anyOf": [*holds["anyOf"], {"type": "null"}]}
    return holds | {"type": [holds["type"], "null"]}


def _described(field: Field) -> str:
    return f"{field.about} Where it is not set: {field.otherwise}." if field.otherwise else field.about


_TEXTUAL = (Kind.TEXT, Kind.TEXTS, Kind.TEXT_OR_MAPPING)
