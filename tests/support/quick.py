"""istio-mc in a hurry: it looks again after milliseconds where it would wait for half a second.

A stand-in cluster does in milliseconds what takes a real one seconds. What is waited for, and the deadlines,
stay as they are. Run as a program, it is istio-mc.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from functools import cache
from typing import TYPE_CHECKING

import istio_mc
from istio_mc.ops.session.pod_watch import PodTiming

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import pytest

POLL_S = 0.01
_PAUSES = ("_POLL_S", "PROPAGATION_S", "_TICK_S")


@cache
def pausing() -> tuple[tuple[ModuleType, str, float], ...]:
    """Every pause of the program: its module, its name and how long it is, in seconds."""
    return tuple(_pauses())


def _pauses() -> Iterator[tuple[ModuleType, str, float]]:
    package = istio_mc.__path__
    for found in pkgutil.walk_packages(package, "istio_mc."):
        if not found.name.endswith("__main__"):
            module = importlib.import_module(found.name)
            for name in _PAUSES:
                if isinstance(value := vars(module).get(name), float):
                    yield module, name, value


def hurry() -> None:
    """Has the program pause for milliseconds only, in this process."""
    for module, name, value in pausing():
        setattr(module, name, min(value, POLL_S))


def calm_down() -> None:
    """Gives the program its own pauses back."""
    for module, name, value in pausing():
        setattr(module, name, value)


def look_at_pods_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a fault of pods count as a lasting one after a fraction of a second."""
    monkeypatch.setattr(PodTiming.__init__, "__defaults__", (0.05, 0.3, 0.1))


def main() -> None:
    """istio-mc in a hurry."""
    from istio_mc.__main__ import main as run

    hurry()
    sys.argv[0] = "istio-mc"
    run()


if __name__ == "__main__":
    main()
