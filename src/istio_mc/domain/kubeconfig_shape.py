"""Whether a kubeconfig document has the shape that kubectl expects, told field by field.

The fields and their types are client-go's: tools/clientcmd/api/v1/types.go, v0.32.3. As there, fields that
are not known are passed over; a number or a boolean where a string belongs is an error.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping

from istio_mc.domain.hint import Advice, kubectl_config
from istio_mc.domain.problem import Problem

Check = Callable[[str, object], Iterator[str]]
"""Yields a sentence, starting with the path given, for every fault of a value that is not null."""

LISTS = {"clusters": "cluster", "users": "user", "contexts": "context"}
"""Kubeconfig's three lists, and the key under which each item of one holds its entry beside `name`."""

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (str, "a string"),
    (int, "a number"),
    (float, "a number"),
    (list, "a list"),
    (Mapping, "a mapping"),
)


def kind_of(value: object) -> str:
    """What a YAML value is, in words: "a list", "nothing"."""
    if value is None:
        return "nothing"
    return next((words for kind, words in _KINDS if isinstance(value, kind)), type(value).__name__)


def shape_problems(path: str, document: Mapping[str, object]) -> list[Problem]:
    """Every fault of one kubeconfig document.

    Args:
        path: The file, as it is to be named in the messages.
        document: Its top-level mapping.

    Returns:
        One `kubeconfig-malformed` problem a fault, whose message reads
        `<file>: contexts[2].context.cluster: expected a string, saw a list`. Values are never shown: they may
        be credentials.
    """
    return [
        Problem(
            code="kubeconfig-malformed",
            message=f"{path}: {fault}",
            hint=Advice("Correct the file; this reads it once it is right: ", kubectl_config("view")),
        )
        for fault in _document_faults(document)
    ]


def items(document: Mapping[str, object], key: str) -> list[tuple[str, dict[str, object]]]:
    """Name and entry of each item of one of the three lists, of a document without faults."""
    found = document.get(key)
    if not isinstance(found, list):
        return []
    return [(str(item["name"]), dict(item.get(LISTS[key]) or {})) for item in found]


def _expected(path: str, what: str, value: object) -> str:
    return f"{path}: expected {what}, saw {kind_of(value)}"


def _string(path: str, value: object) -> Iterator[str]:
    if not isinstance(value, str):
        yield _expected(path, "a string", value)


def _boolean(path: str, value: object) -> Iterator[str]:
    if not isinstance(value, bool):
        yield _expected(path, "a boolean", value)


def _base64(path: str, value: object) -> Iterator[str]:
    if not isinstance(value, str):
        yield _expected(path, "a string in base64", value)
        return
    try:
        # Go's decoder, too, passes over line breaks and nothing else (encoding/base64, Go 1.24).
        base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        yield f"{path}: expected a string in base64, saw one that is not"


def _list_of(check: Check) -> Check:
    def faults(path: str, value: object) -> Iterator[str]:
        if not isinstance(value, list):
            yield _expected(path, "a list", value)
            return
        for index, item in enumerate(value):
            yield from check(f"{path}[{index}]", item)

    return faults


def _mapping_of(check: Check) -> Check:
    def faults(path: str, value: object) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield _expected(path, "a mapping", value)
            return
        for key, item in value.items():
            yield from check(f"{path}.{key}", item)

    return faults


def _fields(**checks: Check) -> Check:
    """Checks a mapping's known fields; a field that is null counts as absent, as in Go's decoder."""

    def faults(path: str, value: object) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield _expected(path, "a mapping", value)
            return
        for key, item in value.items():
            check = checks.get(str(key).replace("-", "_"))
            if check is not None and item is not None:
                yield from check(f"{path}.{key}" if path else str(key), item)

    return faults


_CLUSTER = _fields(
    server=_string,
    tls_server_name=_string,
    insecure_skip_tls_verify=_boolean,
    certificate_authority=_string,
    certificate_authority_data=_base64,
    proxy_url=_string,
    disable_compression=_boolean,
)

_USER = _fields(
    client_certificate=_string,
    client_certificate_data=_base64,
    client_key=_string,
    client_key_data=_base64,
    token=_string,
    tokenFile=_string,
    as_uid=_string,
    as_groups=_list_of(_string),
    as_user_extra=_mapping_of(_list_of(_string)),
    username=_string,
    password=_string,
    auth_provider=_fields(name=_string, config=_mapping_of(_string)),
    exec=_fields(
        command=_string,
        args=_list_of(_string),
        env=_list_of(_fields(name=_string, value=_string)),
        apiVersion=_string,
        installHint=_string,
        provideClusterInfo=_boolean,
        interactiveMode=_string,
    ),
    **{"as": _string},
)

_CONTEXT = _fields(cluster=_string, user=_string, namespace=_string)

_ENTRIES: Mapping[str, Check] = {"clusters": _CLUSTER, "users": _USER, "contexts": _CONTEXT}


def _document_faults(document: Mapping[str, object]) -> Iterator[str]:
    for key, wanted in (("apiVersion", "v1"), ("kind", "Config")):
        found = document.get(key)
        if found is not None and found != wanted:
            yield f"{key}: expected {wanted}, saw {found if isinstance(found, str) else kind_of(found)}"
    current = document.get("current-context")
    if current is not None:
        yield from _string("current-context", current)
    for key, inner in LISTS.items():
        value = document.get(key)
        if value is None:
            continue
        if not isinstance(value, list):
            yield _expected(key, "a list", value)
            continue
        yield from _list_faults(key, inner, value)


def _list_faults(key: str, inner: str, value: list[object]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for index, item in enumerate(value):
        path = f"{key}[{index}]"
        if not isinstance(item, Mapping):
            yield _expected(path, "a mapping", item)
            continue
        name = item.get("name")
        if not isinstance(name, str) or not name:
            saw = "an empty one" if name == "" else kind_of(name)
            yield f"{path}.name: expected a string, saw {saw}"
        elif name in seen:
            # client-go refuses the file too (tools/clientcmd/api/v1/conversion.go, v0.32.3).
            yield f"{path}.name: {name} is already the name of {key}[{seen[name]}] of the same file"
        else:
            seen[name] = index
        entry = item.get(inner)
        if entry is not None:
            yield from _ENTRIES[key](f"{path}.{inner}", entry)
