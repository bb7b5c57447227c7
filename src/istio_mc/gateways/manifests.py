"""What `istioctl manifest generate` makes of a document, kept: it is the same bytes each time.

A run of it takes about a second of a core and asks no cluster (seen on Istio 1.26.0), so that every
`verify` and every second `install` would pay for it once a cluster.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from istio_mc.gateways import files

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.objects import Object
    from istio_mc.gateways.istioctl import Istioctl

_MOST_KEPT = 200


def manifest(istioctl: Istioctl, document: Path, cache: Path, deadline: float = math.inf) -> list[Object]:
    """The objects that `istioctl install` of a document would set.

    Args:
        istioctl: The program; it is known by its path, size and time of change.
        document: The IstioOperator document.
        cache: The private folder that keeps what was made; it need not be there.
        deadline: `time.monotonic()` value by which the run ends.

    Raises:
        ProblemError: istioctl refused the document, or did not end in time.
    """
    kept = cache / f"{_name(istioctl, document)}.json"
    with suppress(OSError, ValueError):
        found: list[Object] = json.loads(kept.read_bytes())
        os.utime(kept)
        return found
    made = istioctl.manifest(document, deadline)
    with suppress(OSError):
        files.make_private_folder(cache)
        files.write(kept, json.dumps(made).encode())
        _forget_the_oldest(cache)
    return made


def _name(istioctl: Istioctl, document: Path) -> str:
    stat = istioctl.path.stat()
    program = f"{istioctl.path}\0{istioctl.version}\0{stat.st_size}\0{stat.st_mtime_ns}\0"
    return hashlib.sha256(program.encode() + document.read_bytes()).hexdigest()


def _forget_the_oldest(cache: Path) -> None:
    kept = sorted(cache.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[_MOST_KEPT:]:
        path.unlink(missing_ok=True)
