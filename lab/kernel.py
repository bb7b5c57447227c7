"""Settings of the whole machine that kubelets change: remembered, and put back."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from lab import settings

_SYSCTLS = Path("/proc/sys")
_KUBELET = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
_INOTIFY = "fs/inotify/max_user_instances"
_INOTIFY_LEAST = 1024


def remember() -> None:
    """Write down what kubelets will change, and make room for their watches of files."""
    before = {}
    for name in (*_KUBELET, _INOTIFY):
        with contextlib.suppress(OSError):
            before[name] = (_SYSCTLS / name).read_text(encoding="ascii").strip()
    settings.SYSCTLS.write_text(json.dumps(before), encoding="utf-8")
    if int(before.get(_INOTIFY, _INOTIFY_LEAST)) < _INOTIFY_LEAST:
        (_SYSCTLS / _INOTIFY).write_text(str(_INOTIFY_LEAST), encoding="ascii")


def put_back() -> None:
    """Put back what was written down."""
    try:
        before = json.loads(settings.SYSCTLS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for name, value in before.items():
        with contextlib.suppress(OSError):
            (_SYSCTLS / name).write_text(value, encoding="ascii")
