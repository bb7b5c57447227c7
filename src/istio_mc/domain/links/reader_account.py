"""The ServiceAccount by whose token other istiods read a cluster, as the charts' values name it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from istio_mc.domain.istio.versions import minor_of
from istio_mc.domain.mesh import READER_SERVICE_ACCOUNT

_RBAC_SINCE, _ACCOUNT_SINCE = (1, 30), (1, 31)
"""Istio's minors whose charts know the values (charts/base/templates/reader-serviceaccount.yaml)."""


def reader_account(values: Mapping[str, Any], version: str) -> str:
    """The account's name: `global.readerServiceAccount.name`, which Istio's charts know since 1.31."""
    return str(_named(values, version).get("name") or READER_SERVICE_ACCOUNT)


def reader_namespace(values: Mapping[str, Any], version: str) -> str | None:
    """The namespace that the values give to the account they name; None: they name none."""
    named = _named(values, version)
    return str(named["namespace"]) if named.get("name") and named.get("namespace") else None


def is_made_by_charts(values: Mapping[str, Any], version: str) -> bool:
    """Whether an install makes the account."""
    return has_rights_of_charts(values, version) and not _named(values, version).get("name")


def has_rights_of_charts(values: Mapping[str, Any], version: str) -> bool:
    """Whether an install binds the account to the rights it needs."""
    return _global(values).get("enableReaderRBAC") is not False or not _knows(version, _RBAC_SINCE)


def _named(values: Mapping[str, Any], version: str) -> Mapping[str, Any]:
    found = _global(values).get("readerServiceAccount")
    return found if isinstance(found, Mapping) and _knows(version, _ACCOUNT_SINCE) else {}


def _global(values: Mapping[str, Any]) -> Mapping[str, Any]:
    found = values.get("global")
    return found if isinstance(found, Mapping) else {}


def _knows(version: str, since: tuple[int, int]) -> bool:
    minor = minor_of(version)
    return minor is None or minor >= since
