"""Downloads: the only module that speaks HTTP to the outside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import yaml

from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways import files

if TYPE_CHECKING:
    from istio_mc.domain.objects import Object

_TIMEOUT = httpx.Timeout(20.0, connect=5.0)


def documents(source: str) -> list[Object]:
    """The Kubernetes documents of a YAML file or `https://` URL.

    Raises:
        ProblemError: It cannot be read or fetched, or is not YAML.
    """
    raw = _fetched(source) if "://" in source else files.read(Path(source))
    try:
        return [item for item in yaml.safe_load_all(raw) if isinstance(item, dict)]
    except yaml.YAMLError as error:
        raise ProblemError(
            Problem(
                code="manifest-unreadable",
                message=f"{source} is not YAML",
                seen=str(error).splitlines()[0],
                expected="Kubernetes documents",
            )
        ) from None


def _fetched(url: str) -> bytes:
    try:
        answer = httpx.get(url, timeout=_TIMEOUT, follow_redirects=True)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise ProblemError(
            Problem(
                code="download-failed",
                message=f"{url} could not be fetched",
                seen=str(error) or type(error).__name__,
                expected="200 OK",
                hint="set gatewayAPI.manifest in mesh.yaml to a local copy, or gatewayAPI.install to false",
                docs="troubleshooting.md#download-failed",
            )
        ) from None
    return answer.content
