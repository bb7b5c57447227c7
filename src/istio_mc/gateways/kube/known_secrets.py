"""The credentials of this run, so that crash reports omit them in any form."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = ("token", "password", "client-key-data", "id-token", "refresh-token")

_values: set[str] = set()


def remember(user_entry: Mapping[str, object]) -> None:
    """Stores the secrets of a kubeconfig's user entry, or those from its credential plugin."""
    _values.update(value for key in _KEYS if isinstance(value := user_entry.get(key), str) and value)


def values() -> frozenset[str]:
    """All stored secrets."""
    return frozenset(_values)
