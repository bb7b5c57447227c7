"""A tar.gz archive made of texts: the same files give the same bytes, readable by their owner alone. Pure."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from istio_mc.domain.bundle import File

_FILE, _FOLDER = 0o600, 0o700


def packed(folder: str, files: Iterable[File], made: datetime) -> bytes:
    """The archive: one folder with everything in it, in the order of the paths.

    Args:
        folder: The folder that all is in, so that unpacking spills nothing.
        files: The files; of two with one path the first counts.
        made: The time that every entry carries.
    """
    texts: dict[str, str] = {}
    for file in files:
        texts.setdefault(f"{folder}/{file.path}", file.text)
    folders = {
        folder,
        *(path.rsplit("/", depth)[0] for path in texts for depth in range(1, path.count("/") + 1)),
    }
    raw = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=int(made.timestamp())) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted({*folders, *texts}):
            entry = tarfile.TarInfo(path)
            entry.mtime = int(made.timestamp())
            if path in texts:
                data = texts[path].encode()
                entry.size, entry.mode = len(data), _FILE
                archive.addfile(entry, io.BytesIO(data))
            else:
                entry.type, entry.mode = tarfile.DIRTYPE, _FOLDER
                archive.addfile(entry)
    return raw.getvalue()
