"""mesh.yaml's section `tools`, checked."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Protocol

from istio_mc.domain.settings.fields import TOOL, TOOL_MANIFEST, TOOL_OF_THE_MESH, TOOL_SHA256, TOOLS, keys_of
from istio_mc.domain.settings.tools import Digests, ToolSettings, ToolsSettings, attribute_of
from istio_mc.domain.tools import PLATFORMS, SHA256, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_Place = tuple[str | int, ...]


class Reader(Protocol):
    """What reads values out of mesh.yaml and keeps their faults."""

    def mapping(self, place: _Place, value: object, keys: Sequence[str] | None) -> Mapping[str, object]:
        """A mapping with none but the keys given."""

    def string(
        self,
        place: _Place,
        entry: Mapping[str, object],
        key: str,
        check: Callable[[str], str | None] | None = None,
    ) -> str | None:
        """A string of a mapping."""

    def path(self, text: str) -> Path:
        """A path taken from the file's folder."""


def read_tools(reader: Reader, value: object) -> ToolsSettings:
    """Reads the section.

    Args:
        reader: Keeps the faults.
        value: What stands under `tools`.
    """
    place = ("tools",)
    entry = reader.mapping(place, value, keys_of(TOOLS))
    bin_dir = reader.string(place, entry, "binDir", lambda text: None if text.strip() else "is empty")
    return ToolsSettings(
        bin_dir=None if bin_dir is None else reader.path(bin_dir),
        kubectl=_tool(reader, (*place, "kubectl"), entry.get("kubectl"), own_version=True),
        helm=_tool(reader, (*place, "helm"), entry.get("helm"), own_version=True),
        istioctl=_tool(reader, (*place, "istioctl"), entry.get("istioctl"), own_version=False),
        gateway_api=_manifest(reader, (*place, "gatewayAPI"), entry.get("gatewayAPI")),
    )


def _tool(reader: Reader, place: _Place, value: object, *, own_version: bool) -> ToolSettings:
    entry = reader.mapping(place, value, keys_of(TOOL if own_version else TOOL_OF_THE_MESH))
    below = (*place, "sha256")
    digests = reader.mapping(below, entry.get("sha256"), keys_of(TOOL_SHA256))
    found = {
        attribute_of(platform): _lower(reader.string(below, digests, str(platform), digest_fault))
        for platform in PLATFORMS
    }
    return ToolSettings(
        version=reader.string(place, entry, "version", _version_fault) if own_version else None,
        mirror=reader.string(place, entry, "mirror", mirror_fault),
        sha256=Digests(**found),
    )


def _manifest(reader: Reader, place: _Place, value: object) -> ToolSettings:
    entry = reader.mapping(place, value, keys_of(TOOL_MANIFEST))
    return ToolSettings(
        mirror=reader.string(place, entry, "mirror", mirror_fault),
        sha256=Digests(any=_lower(reader.string(place, entry, "sha256", digest_fault))),
    )


def mirror_fault(text: str) -> str | None:
    """What is wrong with a mirror's base URL, as words that follow it, or None."""
    try:
        url = urllib.parse.urlsplit(text)
        good = url.scheme in ("https", "http") and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if not good or any(character.isspace() for character in text) or url.query or url.fragment:
        return "is not an https:// or http:// URL"
    if url.username is not None or url.password is not None:
        return "holds a user name or password, which does not belong in this file"
    return None


def digest_fault(text: str) -> str | None:
    """What is wrong with a digest, as words that follow it, or None."""
    return None if SHA256.fullmatch(text.lower()) else "is not a SHA-256: 64 hexadecimal digits"


def _version_fault(text: str) -> str | None:
    return None if VERSION.fullmatch(text) else "is not a version such as 1.32.3"


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()
