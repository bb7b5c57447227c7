"""What a key of mesh.yaml is: what it means, which values it accepts, what applies if it is not set.

A section of the file is a frozen dataclass; each attribute that is a key is `Annotated` with a `Key`. Of
these classes, pydantic makes validators when a file is parsed; it is not imported before.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

if TYPE_CHECKING:
    import dataclasses

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema, core_schema

FORMS = ("<text>", "<other>")
"""The two forms of a key that has a short one, as pydantic's locations name them."""

_IRREGULAR = {
    "mesh_id": "meshID",
    "gateway_api": "gatewayAPI",
    "gateway_addresses": "gatewayAddress",
    **{f"{os}_{arch}": f"{os}/{arch}" for os in ("linux", "darwin") for arch in ("amd64", "arm64")},
}


def key_of(attribute: str) -> str:
    """The key in mesh.yaml of an attribute."""
    first, *rest = attribute.split("_")
    return _IRREGULAR.get(attribute) or first + "".join(map(str.capitalize, rest))


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key beside its name, type and default.

    Attributes:
        otherwise: What applies where it is not set and there is no fixed default.
        pattern: Regular expression of the whole string, in what ECMA-262 and Python share.
        fault: What is wrong with a string that does not match, in words that follow it; or a function that
            returns this, also for strings that match.
        read: Makes the value of a string and the file's folder; None: the string itself.
        short: Whether a string stands for the section with this string as its first attribute.
        written: Whether `config init` writes it out, instead of showing it commented out.
    """

    about: str
    otherwise: str = ""
    pattern: str = r"[\s\S]*\S[\s\S]*"
    fault: str | Callable[[str], str | None] = "is empty"
    read: Callable[[str, Path], object] | None = None
    short: bool = False
    constant: str = ""
    example: str = ""
    written: bool = False
    required: bool = False

    def fault_of(self, text: str) -> str | None:
        """What is wrong with a string, in words that follow it; None: nothing."""
        fault = self.fault(text) if callable(self.fault) else None
        if fault is None and not re.fullmatch(self.pattern, text):
            fault = "is not valid" if callable(self.fault) else self.fault
        return fault

    def __get_pydantic_core_schema__(self, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import PydanticUseDefault, core_schema

        def absent(value: object) -> object:
            if value is None:  # a key without a value counts as one that is not there
                raise PydanticUseDefault
            return value

        schema = self._schema(_bare(source), handler.generate_schema)
        if self.required:
            return schema
        return core_schema.no_info_before_validator_function(absent, core_schema.nullable_schema(schema))

    def _schema(self, kind: Any, schema_of: "Callable[[object], CoreSchema]") -> "CoreSchema":  # noqa: ANN401, PLR0911 - one return for each type
        from pydantic_core import core_schema

        if section := _section_in(kind):
            if section is not kind:
                return _tuple_of(schema_of(section), tuple)
            inner = schema_of(section)
            return _either(self._text(), section, dict, inner, "string_or_section") if self.short else inner
        if self.constant:
            return core_schema.literal_schema([self.constant])
        if kind is bool:
            return core_schema.bool_schema(strict=True)
        if kind == Mapping[str, object]:
            return core_schema.dict_schema(strict=True)
        if kind == tuple[str, ...]:
            several = _tuple_of(self._text(), dict.fromkeys)
            return _either(self._text(), lambda text: (text,), list, several, "string_or_list")
        return self._text()

    def _text(self) -> "CoreSchema":
        from pydantic_core import core_schema

        def check(text: str, info: "core_schema.ValidationInfo[Path]") -> object:
            if self.fault_of(text):
                raise ValueError
            return text if self.read is None else self.read(text, info.context)

        plain = core_schema.str_schema(strict=True, metadata={"pattern": self.pattern})
        return core_schema.with_info_after_validator_function(check, plain)


def _tuple_of(item: "CoreSchema", order: Callable[[list[object]], Iterable[object]]) -> "CoreSchema":
    from pydantic_core import core_schema

    items = core_schema.list_schema(item, strict=True)
    return core_schema.no_info_after_validator_function(lambda values: tuple(order(values)), items)


def _either(
    text: "CoreSchema", read: Callable[[Any], object], kind: type, other: "CoreSchema", error: str
) -> "CoreSchema":
    """A string, of which `read` makes the value, or a value of a kind."""
    from pydantic_core import core_schema

    return core_schema.tagged_union_schema(
        {FORMS[False]: core_schema.no_info_after_validator_function(read, text), FORMS[True]: other},
        lambda value: FORMS[isinstance(value, kind)] if isinstance(value, str | kind) else None,
        custom_error_type=error,
        custom_error_message="another type",
    )


class NotInFile:
    """Marks an attribute that is not a key."""

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> "CoreSchema":
        from pydantic_core import core_schema

        def refuse(_value: object) -> None:
            raise ValueError

        return core_schema.no_info_plain_validator_function(refuse)


class Field(NamedTuple):
    """One key of a section.

    Attributes:
        below: The keys of the section, or of each section of the list, that it contains.
    """

    name: str
    attribute: str
    key: Key
    default: str | bool | None
    below: "tuple[Field, ...]"
    is_list: bool
    is_free: bool


@cache
def fields_of(section: Any) -> tuple[Field, ...]:  # noqa: ANN401 - a dataclass; there is no type for these
    """The keys of a section, in the file's order."""
    marked = ((field, getattr(field.type, "__metadata__", ())) for field in fields(section))
    return tuple(_field(field, key) for field, marks in marked for key in marks if isinstance(key, Key))


def _field(of_dataclass: "dataclasses.Field[Any]", key: Key) -> Field:
    kind = _bare(get_args(of_dataclass.type)[0])
    section = _section_in(kind)
    default = str(of_dataclass.default) if isinstance(of_dataclass.default, Path) else of_dataclass.default
    return Field(
        key_of(of_dataclass.name),
        of_dataclass.name,
        key,
        default if isinstance(default, str | bool) and not key.otherwise else None,
        fields_of(section) if section else (),
        is_list=section is not None and section is not kind,
        is_free=bool(kind == Mapping[str, object]),
    )


def _bare(kind: Any) -> Any:  # noqa: ANN401
    """A type without None."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    return parts[0] if type(None) in get_args(kind) else kind


def _section_in(kind: Any) -> Any:  # noqa: ANN401
    """The section that a type is, or is a list of; None: neither."""
    return next((part for part in (kind, *get_args(kind)) if is_dataclass(part)), None)
