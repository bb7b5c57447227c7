"""Official binaries from where they are published, checked before they are used."""

from __future__ import annotations

import hashlib
import http.client
import re
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.log import log_line

if TYPE_CHECKING:
    from pathlib import Path

_CONNECT = 3.0
_CHUNK = 1 << 20


class Unreachable(LabError):  # noqa: N818 (a fact about this machine, not a mistake)
    """The host could not be reached, or did not have the file."""


@dataclass(frozen=True)
class Download:
    """Where a binary is published."""

    url: str
    member: str = ""
    """Name inside the archive, where the URL is one."""

    @property
    def checksum_url(self) -> str:
        """The publisher's SHA-256 stands beside every file used here."""
        return self.url + ".sha256"


@dataclass
class Downloader:
    """One run's downloads: a host that cannot be reached is not asked again."""

    lost: set[str] = field(default_factory=set)

    def _open(self, url: str) -> http.client.HTTPResponse:
        host = urllib.parse.urlsplit(url).netloc
        if host in self.lost:
            raise Unreachable("")  # said already
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=_CONNECT)
        except urllib.error.HTTPError as error:
            raise Unreachable(f"{url}: {error.code} {error.reason}") from error
        except OSError as error:
            self.lost.add(host)
            raise Unreachable(f"{host} cannot be reached ({getattr(error, 'reason', error)})") from error
        return answer

    def fetch(self, download: Download, target: Path) -> None:
        """Bring the binary to `target`, which exists only if its checksum is right."""
        with self._open(download.checksum_url) as answer:
            desired = checksum(answer.read(4096).decode(errors="replace"), download.checksum_url)
        log_line(f"{target.name}: downloading {download.url}")
        partial = target.with_name(f".{target.name}.download")
        partial.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            try:
                with self._open(download.url) as answer, partial.open("wb") as file:
                    while chunk := answer.read(_CHUNK):
                        digest.update(chunk)
                        file.write(chunk)
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(f"{download.url}: broke off ({error})") from error
            if digest.hexdigest() != desired:
                raise LabError(
                    f"{download.url} has SHA-256 {digest.hexdigest()}: expected {desired}, as published "
                    "beside it; not used. Try again; if it stays so, find out what changes it on its way"
                )
            if download.member:
                _unpack(partial, download.member)
            partial.chmod(0o755)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def checksum(text: str, source: str) -> str:
    """Read a published SHA-256: the hash alone, or the hash and a file's name."""
    found = re.match(r"\s*([0-9a-fA-F]{64})(\s|$)", text)
    if not found:
        raise LabError(f"{source} holds no SHA-256: expected 64 hexadecimal digits, saw {text[:80]!r}")
    return found[1].lower()


def _unpack(archive: Path, member: str) -> None:
    """Put one member of an archive in the archive's place."""
    inner = archive.with_name(archive.name + ".member")
    with tarfile.open(archive) as tar:
        source = tar.extractfile(member)
        if source is None:
            raise LabError(f"{archive.name} holds no file {member}")
        with source, inner.open("wb") as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
    inner.replace(archive)
