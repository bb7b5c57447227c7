"""Manifests from files and URLs: downloaded once, cached, and rejected if their content has changed."""

from __future__ import annotations

import hashlib
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from istio_mc.domain import yamltext
from istio_mc.domain.events import Event, Progress, State, silent
from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, ProblemError
from istio_mc.domain.tools import SET_IN_MESH_YAML
from istio_mc.gateways.host import files, temporary
from istio_mc.gateways.tools.cache import Cache, copy_into, find_cache, replacing, sha256_of
from istio_mc.gateways.tools.download import MAX_TEXT, STEP, Downloader, RemoteFile

if TYPE_CHECKING:
    from istio_mc.domain.kube.objects import Object

_LONGEST_S = 120.0
_COPY = Advice("set gatewayAPI.manifest in mesh.yaml to a local copy, or gatewayAPI.install to false")


def documents(
    source: str, *, sha256: str | None = None, deadline: float = math.inf, progress: Progress = silent
) -> list[Object]:
    """The Kubernetes documents of a YAML file or `https://` URL.

    The content of a URL at its first download is kept in the private cache. Later calls use it, without
    network.

    Raises:
        ProblemError: It cannot be read or downloaded, has changed, or is not YAML.
    """
    if "://" not in source:
        raw = files.read(Path(source))
        _refuse_other(source, raw, sha256)
        return parsed(source, raw)
    cache = find_cache(os.environ, files.home_folder())
    try:
        cache.make_folder(cache.manifest(source).parent)
    except ProblemError:  # the home folder is read-only, as in some CI jobs: work without a cache
        with temporary.folder() as folder:
            return _manifest(source, Cache(folder), sha256, deadline, progress)
    return _manifest(source, cache, sha256, deadline, progress)


def _manifest(
    url: str, cache: Cache, sha256: str | None, deadline: float, progress: Progress
) -> list[Object]:
    target = cache.manifest(url)
    known = sha256 or cache.recorded(url)
    if not (known and target.exists() and sha256_of(target) == known):
        remote = RemoteFile(url, sha256=sha256, sha256_from=SET_IN_MESH_YAML, max_bytes=MAX_TEXT)
        downloader = Downloader(cache, min(deadline, time.monotonic() + _LONGEST_S), progress)
        progress(Event(None, STEP, State.STARTED, url))
        try:
            cache.make_folder(target.parent)
            with downloader.fetched(remote) as (path, _):
                parsed(url, files.read(path))
                with replacing(target, files.PRIVATE_FILE) as file:
                    copy_into(path, file)
        except ProblemError as error:
            raise ProblemError(
                *(replace(p, hint=_COPY) if p.code == Code.DOWNLOAD_FAILED else p for p in error.problems)
            ) from None
        finally:
            downloader.close()
        progress(Event(None, STEP, State.DONE, url))
    return parsed(url, files.read(target))


def _refuse_other(path: str, raw: bytes, sha256: str | None) -> None:
    digest = hashlib.sha256(raw).hexdigest()
    if sha256 not in (None, digest):
        raise ProblemError.of(
            code=Code.CHECKSUM_MISMATCH,
            message=f"{path} is not the file that mesh.yaml expects",
            seen=f"SHA-256 {digest}",
            expected=f"SHA-256 {sha256}, {SET_IN_MESH_YAML}",
            hint=Advice("check the file, or correct gatewayAPI.sha256 in mesh.yaml"),
        )


def parsed(source: str, raw: bytes) -> list[Object]:
    """Parses the Kubernetes documents in YAML.

    Raises:
        ProblemError: `manifest-unreadable`: it is not YAML, or contains no document.
    """
    try:
        items = [item for item in yamltext.load_all(raw) if isinstance(item, dict)]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unreadable(source, str(error).splitlines()[0]) from None
    if not any("kind" in item for item in items):
        raise _unreadable(source, f"{len(raw)} bytes without any")
    return items


def _unreadable(source: str, seen: str) -> ProblemError:
    return ProblemError.of(
        code=Code.MANIFEST_UNREADABLE,
        message=f"{source} contains no Kubernetes documents",
        seen=seen,
        expected="Kubernetes documents in YAML",
    )
