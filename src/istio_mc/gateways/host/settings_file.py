"""YAML files, read so that every fault is reported with file, line and column."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, InputError, Problem
from istio_mc.domain.settings.model import Settings
from istio_mc.gateways.host import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


try:  # libyaml is about ten times as fast; a PyYAML wheel for an unusual platform may not include it
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # pragma: no cover
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

DocumentPath = tuple[str | int, ...]
"""A position in a document: `("clusters", 0, "context")`."""

_NULL_TAG = "tag:yaml.org,2002:null"
_MERGE_TAG = "tag:yaml.org,2002:merge"
_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"
_MAX_LINES = 100_000  # aliases can make a small file very large
_MAX_VALUES = 1_000_000


class _Loader(_BaseLoader):
    """Reads dates as strings, as Kubernetes' own YAML library does (sigs.k8s.io/yaml v1.4.0)."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP_TAG]
        for first, resolvers in _BaseLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True)
class YamlDocument:
    """The document of a file.

    Attributes:
        lines: Line, counted from 1, of every key and list item.
    """

    value: object = field(repr=False)
    lines: dict[DocumentPath, int] = field(repr=False)


def parse_yaml(data: bytes, path: str) -> YamlDocument:
    """Parses a YAML file that contains exactly one document; empty documents do not count.

    Raises:
        InputError: It is not YAML, it contains a second document, or a mapping contains a key twice (all
            duplicates are reported); each with file:line:column.
            The text contains no value of the file, because a value may be a credential.
    """
    loader = _Loader(data)
    try:
        nodes = _documents(loader)
        if not nodes:
            return YamlDocument(None, {})
        node, *others = nodes
        _measure(node, {})
        faults = [*_repeated_keys(node, path, set()), *(_surplus(other, node, path) for other in others)]
        if faults:
            raise InputError(*faults)
        value = loader.construct_document(node)
        lines = dict(islice(_lines(node, (), frozenset()), _MAX_LINES))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else path
        raise InputError(_not_yaml(f"{place}: not YAML: {error.problem or error.context}")) from None
    except yaml.reader.ReaderError as error:
        line = data[: error.position].count(b"\n") + 1
        raise InputError(_not_yaml(f"{path}:{line}: not YAML: {error.reason}")) from None
    except RecursionError:
        raise InputError(_not_yaml(f"{path}: not YAML: nested too deeply")) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(_not_yaml(f"{path}: not YAML: {type(error).__name__}")) from None
    finally:
        loader.dispose()
    return YamlDocument(value, lines)


def _documents(loader: _Loader) -> list[yaml.Node]:
    """The non-empty documents of a stream."""
    documents: list[yaml.Node] = []
    while loader.check_node():
        node = loader.get_node()
        if node is not None and (node.tag, node.value) != (_NULL_TAG, ""):
            documents.append(node)
    return documents


def _surplus(node: yaml.Node, first: yaml.Node, path: str) -> Problem:
    mark = node.start_mark
    return Problem(
        code=Code.YAML_SECOND_DOCUMENT,
        message=f"{path}:{mark.line + 1}:{mark.column + 1}: a second YAML document begins here",
        seen=f"the first one begins in line {first.start_mark.line + 1}",
        expected="exactly one document",
        hint=Advice("Merge the documents into one, or remove all but one and the --- between them"),
    )


def _not_yaml(message: str) -> Problem:
    return Problem(code=Code.YAML_INVALID, message=message, hint=Advice("Correct the file"))


def _measure(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Number of values below a node; repeats by aliases count each time.

    Raises:
        MarkedYAMLError: An alias contains itself, or there are too many values.
    """
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise yaml.MarkedYAMLError(problem="an alias contains itself", problem_mark=node.start_mark)
        return sizes[id(node)]
    sizes[id(node)] = 0
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
    size = 1 + sum(_measure(part, sizes) for part in inner)
    if size > _MAX_VALUES:
        raise yaml.MarkedYAMLError(problem="aliases repeat too much", problem_mark=node.start_mark)
    sizes[id(node)] = size
    return size


def _repeated_keys(node: yaml.Node, path: str, seen: set[int]) -> Iterator[Problem]:
    if id(node) in seen:  # reached again by an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item, path, seen)
    if not isinstance(node, yaml.MappingNode):
        return
    first: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE_TAG:
            line, column = key.start_mark.line + 1, key.start_mark.column + 1
            if (key.tag, key.value) in first:
                yield Problem(
                    code=Code.YAML_KEY_REPEATED,
                    message=f"{path}:{line}:{column}: {key.value} is also in line "
                    f"{first[key.tag, key.value]}",
                    hint=Advice("Remove one of the two"),
                )
            first.setdefault((key.tag, key.value), line)
        yield from _repeated_keys(value, path, seen)


def _lines(node: yaml.Node, at: DocumentPath, above: frozenset[int]) -> Iterator[tuple[DocumentPath, int]]:
    """Path and line of everything below a node; call it after merge keys (`<<`) are resolved."""
    if id(node) in above:
        return
    inner = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*at, index), item.start_mark.line + 1
            yield from _lines(item, (*at, index), inner)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*at, str(key.value)), key.start_mark.line + 1
            yield from _lines(value, (*at, str(key.value)), inner)


FILE_NAME = "mesh.yaml"


def load_settings(path: Path | None, cwd: Path, read: Callable[[Path], bytes] = files.content) -> Settings:
    """Reads the mesh's settings.

    Args:
        path: The file from the command line; None: `mesh.yaml` in the working folder, if it exists.

    Returns:
        The settings of the file; without a file: all defaults, with `file` None.

    Raises:
        InputError: The file from the command line is missing; or a file cannot be read or is invalid: all
            faults, each with file and line.
    """
    return load_document(path, cwd, read)[0]


def load_document(
    path: Path | None, cwd: Path, read: Callable[[Path], bytes]
) -> tuple[Settings, YamlDocument]:
    """Like `load_settings`, and also returns the document of the file; empty without a file."""
    file = Path(os.path.abspath(cwd / (path if path is not None else FILE_NAME)))  # noqa: PTH100 - lexically
    try:
        data = read(file)
    except FileNotFoundError:
        if path is None:
            return Settings(certs_dir=cwd / "certs"), YamlDocument(None, {})
        problem = Problem(
            code=Code.SETTINGS_MISSING,
            message=f"{file} does not exist",
            hint=Advice("Correct --config; without it ./mesh.yaml is read if it is there"),
        )
        raise InputError(problem) from None
    except OSError as error:
        problem = Problem(code=Code.SETTINGS_UNREADABLE, message=f"{file}: cannot be read: {error.strerror}")
        raise InputError(problem) from error
    from istio_mc.domain.settings.parse import parse_settings  # noqa: PLC0415 - imports pydantic

    document = parse_yaml(data, str(file))
    return parse_settings(document.value, document.lines, file), document
