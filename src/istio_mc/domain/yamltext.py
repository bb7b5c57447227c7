"""YAML read and written with libyaml where PyYAML has it: some ten times as fast as in Python alone.

What is written means the same to Python and to Go: `y` and `1e3`, which PyYAML writes without quotes and
sigs.k8s.io/yaml reads as a boolean and a number, are quoted.
"""

from __future__ import annotations

from typing import Any

import yaml

from istio_mc.domain import goyaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Dumper(_Base):  # type: ignore[misc] # libyaml's, where it is there
    """Writes plain data; every string is one for Go too."""


def represent_text(dumper: Any, text: str, *, style: str | None = None) -> Any:  # noqa: ANN401 - PyYAML has no types
    """A string, in quotes where Go would read something else."""
    quotes = style or (None if goyaml.is_string(text) else "'")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=quotes)


class _PlainDumper(yaml.SafeDumper):
    """The same in Python: libyaml writes no half of a surrogate pair, as a file name that is no UTF-8 has."""


for _one in (Dumper, _PlainDumper):
    _one.add_representer(str, represent_text)


def load(text: str | bytes) -> Any:  # noqa: ANN401 - whatever the document holds
    """One document, as plain data.

    Raises:
        yaml.YAMLError: It is not YAML, or is nested so deeply that it cannot be read.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None


def load_all(text: str | bytes) -> list[Any]:
    """The documents of a stream that hold something.

    Raises:
        yaml.YAMLError: It is not YAML.
    """
    return [item for item in yaml.load_all(text, _Loader) if item]


def dump(document: object, *, sort_keys: bool = False, ascii_only: bool = True) -> str:
    """Plain data as one document, a line for each key."""
    options: dict[str, Any] = {"sort_keys": sort_keys, "allow_unicode": not ascii_only}
    try:
        text: str = yaml.dump(document, Dumper=Dumper, default_flow_style=False, **options)
    except UnicodeEncodeError:
        text = yaml.dump(document, Dumper=_PlainDumper, default_flow_style=False, **options)
    return text
