"""mesh.yaml checked as a whole: every fault with its line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.hosts import address_fault, host_fault, https_url_fault
from istio_mc.domain.kube.kubeconfig_schema import kind_of
from istio_mc.domain.naming import is_label, is_label_value, validate_cluster_id, validate_network
from istio_mc.domain.problem import InputError, Problem
from istio_mc.domain.settings.fields import (
    API_SERVER,
    API_VERSION,
    CA,
    CA_KEY,
    CLUSTER,
    GATEWAY_API,
    HUB,
    ISTIO,
    KIND,
    MESH,
    TAG,
    VALIDITY,
    VERSION,
    keys_of,
)
from istio_mc.domain.settings.model import (
    ApiServerSettings,
    CaSettings,
    ClusterSettings,
    GatewayApiSettings,
    IstioSettings,
    Settings,
)
from istio_mc.domain.settings.tools_file import digest_fault, read_tools

if TYPE_CHECKING:
    from pathlib import Path

_Place = tuple[str | int, ...]
_Fault = Callable[[str], str | None]
"""What is wrong with a string, as words that follow it, or None."""


def parse_settings(document: object, lines: Mapping[_Place, int], file: Path) -> Settings:
    """Checks a mesh.yaml and fills in its defaults.

    Args:
        document: What the YAML file holds.
        lines: Line of each key and list item, such as `("clusters", 0, "id")`.
        file: The file's absolute path: relative paths in it are taken from its folder.

    Raises:
        InputError: With every fault, each as `<file>:<line>: <place>: <what>`.
    """
    reader = _Reader(lines, file)
    settings = _settings(reader, document)
    if reader.faults:
        raise InputError(*(problem for _, problem in sorted(reader.faults, key=lambda fault: fault[0])))
    return settings


class _Reader:
    """Reads values out of the document and keeps every fault with its line."""

    def __init__(self, lines: Mapping[_Place, int], file: Path) -> None:
        self.lines = lines
        self.file = file
        self.faults: list[tuple[int, Problem]] = []

    def line(self, place: _Place) -> int:
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def fault(
        self, place: _Place, text: str, hint: str | None = None, code: str = "settings-invalid"
    ) -> None:
        line = self.line(place)
        where = f"{_shown(place)}: " if place else ""
        problem = Problem(
            code=code, message=f"{self.file}:{line}: {where}{text}", hint=Advice(hint) if hint else None
        )
        self.faults.append((line, problem))

    def mapping(self, place: _Place, value: object, keys: Sequence[str] | None) -> Mapping[str, object]:
        """A mapping with none but the keys given (None: any)."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            hint = f"Known here: {', '.join(keys)}" if keys else None
            self.fault(place, f"expected a mapping, saw {kind_of(value)}", hint)
            return {}
        for key in value:
            if not isinstance(key, str):
                self.fault(
                    (*place, _key_text(key)),
                    f"expected a string as key, saw {kind_of(key)}",
                    "Put it in quotes",
                )
            elif keys is not None and key not in keys:
                near = difflib.get_close_matches(key.lower(), {known.lower(): known for known in keys}, n=1)
                guess = next((known for known in keys if near and known.lower() == near[0]), None)
                hint = f"Did you mean {guess}?" if guess else f"Known here: {', '.join(keys)}"
                self.fault((*place, key), "is not a known key", hint, "settings-key-unknown")
        return value

    def string(
        self, place: _Place, entry: Mapping[str, object], key: str, check: _Fault | None = None
    ) -> str | None:
        """A string of a mapping, None where it is absent or wrong."""
        value = entry.get(key)
        here = (*place, key)
        if value is None:
            return None
        if not isinstance(value, str):
            number = isinstance(value, int | float)
            self.fault(
                here, f"expected a string, saw {kind_of(value)}", "Put it in quotes" if number else None
            )
            return None
        fault = check(value) if check is not None else None
        if fault is not None:
            self.fault(here, f"{value!r} {fault}")
            return None
        return value

    def boolean(self, place: _Place, entry: Mapping[str, object], key: str, *, default: bool) -> bool:
        value = entry.get(key)
        if value is not None and not isinstance(value, bool):
            self.fault((*place, key), f"expected true or false, saw {kind_of(value)}")
        return value if isinstance(value, bool) else default

    def values(self, place: _Place, entry: Mapping[str, object]) -> Mapping[str, object]:
        """The free mapping `values`: anything, as long as all its keys are strings."""
        here = (*place, "values")
        found = self.mapping(here, entry.get("values"), None)
        self._keys_below(here, found)
        return found

    def _keys_below(self, place: _Place, value: object) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                here = (*place, _key_text(key))
                if isinstance(item, Mapping):
                    self.mapping(here, item, None)
                self._keys_below(here, item)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    self.mapping((*place, index), item, None)
                self._keys_below((*place, index), item)

    def path(self, text: str) -> Path:
        return self.file.parent / text


def _settings(reader: _Reader, document: object) -> Settings:
    top = reader.mapping((), document, keys_of(MESH))
    for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if top.get(key) != wanted:
            saw = top.get(key)
            shown = repr(saw) if isinstance(saw, str) else kind_of(saw)
            reader.fault((key,), f"expected {wanted}, saw {shown}", f"Write {key}: {wanted}")
    istio = reader.mapping(("istio",), top.get("istio"), keys_of(ISTIO))
    ca = reader.mapping(("ca",), top.get("ca"), keys_of(CA))
    defaults = Settings(certs_dir=reader.path("certs"))
    return Settings(
        certs_dir=reader.path(reader.string((), top, "certsDir", _empty_fault) or "certs"),
        strict=reader.boolean((), top, "strict", default=defaults.strict),
        ca=CaSettings(
            key=reader.string(("ca",), ca, "key", _key_fault) or None,
            validity=reader.string(("ca",), ca, "validity", _validity_fault) or defaults.ca.validity,
        ),
        mesh_id=reader.string((), top, "meshID", _mesh_fault) or defaults.mesh_id,
        istio=IstioSettings(
            version=reader.string(("istio",), istio, "version", _version_fault),
            revision=reader.string(("istio",), istio, "revision", _revision_fault) or "",
            hub=reader.string(("istio",), istio, "hub", _hub_fault) or defaults.istio.hub,
            tag=reader.string(("istio",), istio, "tag", _tag_fault),
        ),
        gateway_api=_gateway_api(reader, top.get("gatewayAPI")),
        tools=read_tools(reader, top.get("tools")),
        values=reader.values((), top),
        clusters=_clusters(reader, top.get("clusters")),
        file=reader.file,
    )


def _gateway_api(reader: _Reader, value: object) -> GatewayApiSettings:
    place = ("gatewayAPI",)
    entry = reader.mapping(place, value, keys_of(GATEWAY_API))
    manifest = reader.string(place, entry, "manifest", _manifest_fault)
    digest = reader.string(place, entry, "sha256", digest_fault)
    return GatewayApiSettings(
        install=reader.boolean(place, entry, "install", default=True),
        version=reader.string(place, entry, "version", _version_fault),
        manifest=manifest if manifest is None or "://" in manifest else str(reader.path(manifest)),
        sha256=digest.lower() if digest else None,
    )


def _clusters(reader: _Reader, value: object) -> tuple[ClusterSettings, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        reader.fault(("clusters",), f"expected a list, saw {kind_of(value)}")
        return ()
    clusters = [_cluster(reader, ("clusters", index), item) for index, item in enumerate(value)]
    for key in ("context", "id", "network"):
        first: dict[str, _Place] = {}
        for index, cluster in enumerate(clusters):
            name, place = getattr(cluster, key), ("clusters", index, key)
            if not name:
                continue
            if name in first:
                line = reader.line(first[name])
                reader.fault(place, f"{name} is already that of {_shown(first[name][:2])} in line {line}")
            first.setdefault(name, place)
    return tuple(clusters)


def _cluster(reader: _Reader, place: _Place, value: object) -> ClusterSettings:
    if value is None:
        reader.fault(place, "expected a mapping, saw nothing")
        return ClusterSettings("")
    entry = reader.mapping(place, value, keys_of(CLUSTER))
    context = reader.string(place, entry, "context", _empty_fault)
    if isinstance(value, Mapping) and entry.get("context") is None:
        reader.fault(place, "has no context", "Add context: NAME, as istio-mc contexts --offline lists it")
    return ClusterSettings(
        context=context or "",
        id=reader.string(place, entry, "id", lambda text: _words(validate_cluster_id(text))),
        network=reader.string(place, entry, "network", lambda text: _words(validate_network(text))),
        gateway_addresses=_addresses(reader, place, entry),
        api_server=_api_server(reader, (*place, "apiServer"), entry.get("apiServer")),
        values=reader.values(place, entry),
    )


def _addresses(reader: _Reader, place: _Place, entry: Mapping[str, object]) -> tuple[str, ...]:
    found = entry.get("gatewayAddress")
    if not isinstance(found, list):
        one = reader.string(place, entry, "gatewayAddress", address_fault)
        return () if one is None else (one,)
    here = (*place, "gatewayAddress")
    addresses = []
    for index, item in enumerate(found):
        fault = address_fault(item) if isinstance(item, str) else None
        if not isinstance(item, str):
            reader.fault((*here, index), f"expected a string, saw {kind_of(item)}")
        elif fault is not None:
            reader.fault((*here, index), f"{item!r} {fault}")
        else:
            addresses.append(item)
    return tuple(dict.fromkeys(addresses))


def _api_server(reader: _Reader, place: _Place, value: object) -> ApiServerSettings | None:
    if value is None:
        return None
    if isinstance(value, str):
        fault = https_url_fault(value)
        if fault is not None:
            reader.fault(place, f"{value!r} {fault}")
        return ApiServerSettings(value)
    if not isinstance(value, Mapping):
        reader.fault(place, f"expected a URL or a mapping, saw {kind_of(value)}")
        return None
    entry = reader.mapping(place, value, keys_of(API_SERVER))
    ca_file = reader.string(place, entry, "caFile", _empty_fault)
    return ApiServerSettings(
        server=reader.string(place, entry, "server", https_url_fault),
        ca_file=None if ca_file is None else reader.path(ca_file),
        tls_server_name=reader.string(place, entry, "tlsServerName", host_fault),
    )


def _shown(place: _Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def _key_text(key: object) -> str:
    """A key as it most likely stands in the file, where YAML took it for something else than a string."""
    if key is None:
        return "null"
    return str(key).lower() if isinstance(key, bool) else str(key)


def _words(problem: Problem | None) -> str | None:
    return None if problem is None else f"is not valid: expected {problem.expected}"


def _empty_fault(text: str) -> str | None:
    return None if text.strip() else "is empty"


def _version_fault(text: str) -> str | None:
    return None if re.fullmatch(VERSION, text) else "is not a version such as 1.26.0"


def _revision_fault(text: str) -> str | None:
    return None if text == "" or is_label(text) else "is not a DNS-1123 label"


def _mesh_fault(text: str) -> str | None:
    return (
        None if is_label_value(text) else "is not a label value: at most 63 letters, digits, '-', '_' and '.'"
    )


def _key_fault(text: str) -> str | None:
    known = "rsa-2048, rsa-3072, rsa-4096, ec-256, ec-384"
    return None if re.fullmatch(CA_KEY, text) else f"is not one of {known}"


def _validity_fault(text: str) -> str | None:
    return None if re.fullmatch(VALIDITY, text) else "is not a number of hours or days, such as 3650d"


def _hub_fault(text: str) -> str | None:
    return None if re.fullmatch(HUB, text) else "is not an image registry such as docker.io/istio"


def _tag_fault(text: str) -> str | None:
    return None if re.fullmatch(TAG, text) else "is not an image tag"


def _manifest_fault(text: str) -> str | None:
    if "://" in text:
        return https_url_fault(text)
    return _empty_fault(text)
