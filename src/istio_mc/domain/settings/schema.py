"""The JSON Schema of mesh.yaml, as pydantic makes it of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import CoreRef, GenerateJsonSchema

from istio_mc.domain.settings.keys import fields_of
from istio_mc.domain.settings.parse import adapter

if TYPE_CHECKING:
    from pydantic_core import core_schema

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The JSON Schema version that editors know best (yaml-language-server among them)."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of mesh.yaml.

    It refuses unknown keys and wrong types as the parser does, and malformed strings as far as a regular
    expression can tell; that no two clusters share a context, ID or network only the parser checks.
    """
    made = adapter().json_schema(ref_template="#/definitions/{model}", schema_generator=_Generator)
    return {
        "$schema": DIALECT,
        "title": "mesh.yaml of istio-mc",
        "description": "The settings of one Istio mesh. Paths are relative to the file's folder.",
        **{key: value for key, value in made.items() if key != "$defs"},
        "definitions": made["$defs"],
    }


class _Generator(GenerateJsonSchema):
    """Adds what only the keys know: meaning, patterns, examples, and which must be there."""

    def sort(self, value: dict[str, Any], _parent_key: str | None = None) -> dict[str, Any]:
        return value

    def field_title_should_be_set(self, _schema: object) -> bool:
        return False

    def str_schema(self, schema: core_schema.StringSchema) -> dict[str, Any]:
        # Python's $ also matches before a last line break, ECMA-262's does not.
        return {"type": "string", "pattern": rf"^({schema['metadata']['pattern']})$(?!\n)"}

    def literal_schema(self, schema: core_schema.LiteralSchema) -> dict[str, Any]:
        return {"const": schema["expected"][0]}

    def dict_schema(self, _schema: core_schema.DictSchema) -> dict[str, Any]:
        name, anything = self.get_cache_defs_ref_schema(CoreRef("Anything"))
        self.definitions[name] = {
            "description": "Anything whose keys are strings.",
            "propertyNames": {"type": "string"},
            "additionalProperties": anything,
            "items": anything,
        }
        return {"type": "object", "allOf": [anything]}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        inner = self.generate_inner(schema["schema"])
        if "type" in inner:
            return inner | {"type": [inner["type"], "null"]}
        return {"anyOf": [*inner.get("oneOf", [inner]), {"type": "null"}]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def function_plain_schema(self, _schema: core_schema.PlainValidatorFunctionSchema) -> dict[str, Any]:
        return {}  # of what is not in the file

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> dict[str, Any]:
        section: Any = schema["cls"]
        fields = fields_of(section)
        properties = super().dataclass_schema(schema)["properties"]
        made: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
        for field in fields:
            key = field.key
            unset = f" Default: {key.otherwise}." if key.otherwise else ""
            described: dict[str, Any] = {"description": key.about + unset}
            if field.default is not None and not key.required:
                described["default"] = field.default
            if key.example and not field.is_free:
                described["examples"] = [key.example]
            made["properties"][field.name] = described | properties[field.name]
        required = [field.name for field in fields if field.key.required]
        return made | ({"required": required} if required else {})
