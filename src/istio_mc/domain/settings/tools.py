"""What mesh.yaml says under `tools`: versions, digests, mirrors, and the folder for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.tools import Platform, Tool


@dataclass(frozen=True, slots=True)
class Digests:
    """SHA-256 of a tool's published files, in hex; `any` is that of a file for every platform."""

    linux_amd64: str | None = None
    linux_arm64: str | None = None
    darwin_amd64: str | None = None
    darwin_arm64: str | None = None
    any: str | None = None


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """What is said of one tool.

    Attributes:
        version: Its version; None: the default one. Never set for istioctl and the Gateway API, whose
            versions are the mesh's own (`istio.version`, `gatewayAPI.version`).
        mirror: Base URL that stands in upstream's place, with the same paths below.
        sha256: Digests of the published files.
    """

    version: str | None = None
    mirror: str | None = None
    sha256: Digests = Digests()


@dataclass(frozen=True, slots=True)
class ToolsSettings:
    """The section `tools`; `bin_dir` is the absolute folder of the programs, None: the private cache."""

    bin_dir: Path | None = None
    kubectl: ToolSettings = ToolSettings()
    helm: ToolSettings = ToolSettings()
    istioctl: ToolSettings = ToolSettings()
    gateway_api: ToolSettings = ToolSettings()

    def of(self, tool: Tool) -> ToolSettings:
        """What is said of a tool."""
        found: ToolSettings = getattr(self, attribute_of(tool))
        return found

    def digest(self, tool: Tool, platform: Platform) -> str | None:
        """The digest set for the file of a tool and platform."""
        digests = self.of(tool).sha256
        return getattr(digests, attribute_of(platform)) if tool.is_program else digests.any


def attribute_of(name: Tool | Platform) -> str:
    """The attribute that holds what is said of a tool or platform."""
    return str(name).replace("/", "_").replace("-", "_")
