"""Container images without a container engine: one OCI layout in one tar file."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file, folder or link of a layer."""

    path: str
    source: Path | None = None
    data: bytes = b""
    link: str = ""
    mode: int = 0o644
    folder: bool = False


def folder(path: str, mode: int = 0o755) -> Entry:
    """Describe an empty folder."""
    return Entry(path, mode=mode, folder=True)


def program(path: str, source: Path) -> Entry:
    """Describe an executable file."""
    return Entry(path, source=source, mode=0o755)


@dataclass(frozen=True)
class Layer:
    """A layer already written to a file."""

    file: Path
    digest: str

    @classmethod
    def write(cls, file: Path, entries: list[Entry]) -> Layer:
        """Write entries as a layer; the same entries give the same bytes."""
        with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as tar:
            for entry in _with_parents(entries):
                _add(tar, entry)
        with file.open("rb") as written:
            return cls(file, hashlib.file_digest(written, "sha256").hexdigest())


def _with_parents(entries: list[Entry]) -> list[Entry]:
    """Sort by path, the folders on the way included; the first of two entries of one path wins."""
    known: dict[str, Entry] = {}
    for entry in entries:
        known.setdefault(entry.path.strip("/"), entry)
    for path in list(known):
        parts = path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            parent = "/".join(parts[:end])
            known.setdefault(parent, folder(parent))
    return [known[path] for path in sorted(known)]


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.path.strip("/"))
    info.mode = entry.mode
    if entry.folder:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif entry.link:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
        tar.addfile(info)
    elif entry.source:
        info.size = entry.source.stat().st_size
        with entry.source.open("rb") as content:
            tar.addfile(info, content)
    else:
        info.size = len(entry.data)
        tar.addfile(info, io.BytesIO(entry.data))


@dataclass(frozen=True)
class Image:
    """An image's name and what it is made of."""

    name: str
    layers: list[Layer]
    entrypoint: list[str]
    env: dict[str, str] = field(default_factory=dict)
    user: str = ""


class Archive:
    """An OCI layout as a tar, holding many images; layers they share are written once."""

    def __init__(self, file: Path, architecture: str) -> None:
        self._tar = tarfile.open(file, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 (closed by `close`)
        self._architecture = architecture
        self._written: set[str] = set()
        self._index: list[dict[str, Any]] = []

    def add(self, image: Image) -> None:
        """Add an image under its name."""
        layers = [self._file(layer) for layer in image.layers]
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **image.env}
        config = {
            "architecture": self._architecture,
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Env": [f"{key}={value}" for key, value in environment.items()],
                "Entrypoint": image.entrypoint,
                "WorkingDir": "/",
                "User": image.user,
            },
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._json(config, _CONFIG),
            "layers": layers,
        }
        described = self._json(manifest, _MANIFEST)
        described["platform"] = {"architecture": self._architecture, "os": "linux"}
        described["annotations"] = {
            "io.containerd.image.name": image.name,
            "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
        }
        self._index.append(described)

    def close(self) -> None:
        """Write the index: before it, the archive is none."""
        index = {"schemaVersion": 2, "manifests": self._index}
        self._member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        self._member("index.json", json.dumps(index).encode())
        self._tar.close()

    def _file(self, layer: Layer) -> dict[str, Any]:
        if layer.digest not in self._written:
            self._written.add(layer.digest)
            _add(self._tar, Entry(f"blobs/sha256/{layer.digest}", source=layer.file))
        return _descriptor(_LAYER, layer.digest, layer.file.stat().st_size)

    def _json(self, document: dict[str, Any], kind: str) -> dict[str, Any]:
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._written:
            self._written.add(digest)
            self._member(f"blobs/sha256/{digest}", data)
        return _descriptor(kind, digest, len(data))

    def _member(self, name: str, data: bytes) -> None:
        _add(self._tar, Entry(name, data=data))


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}
