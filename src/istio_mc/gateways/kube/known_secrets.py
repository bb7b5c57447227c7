"""The credentials of this run: what is written of a crash leaves them out, whatever they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = ("token", "password", "client-key-data", "id-token", "refresh-token")

_values: set[str] = set()


def remember(user_entry: Mapping[str, object]) -> None:
    """Keeps the secrets of a kubeconfig's user, or of what its credential plugin returned."""
    _values.update(value for key in _KEYS if isinstance(value := user_entry.get(key), str) and value)


def values() -> frozenset[str]:
    """All that were kept."""
    return frozenset(_values)
