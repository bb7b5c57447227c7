"""The ServiceAccount by whose token other istiods read a cluster, as the charts' values name it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from istio_mc.domain.istio.documents import READER_TOKEN_SUFFIX, SERVICE_ACCOUNT_ANNOTATION
from istio_mc.domain.istio.versions import minor_of
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import READER_SERVICE_ACCOUNT

if TYPE_CHECKING:
    from istio_mc.domain.observed import Observed

_RBAC_SINCE, _ACCOUNT_SINCE = (1, 30), (1, 31)
"""Istio's minors whose charts know the values (charts/base/templates/reader-serviceaccount.yaml)."""


def reader_account(values: Mapping[str, Any], version: str, observed: Observed | None = None) -> str:
    """The account's name: `global.readerServiceAccount.name`, which Istio's charts know since 1.31.

    Args:
        values: The values.
        version: Istio's.
        observed: The cluster, whose own account counts where the values name none; None: the values alone.
    """
    named = _named(values, version).get("name")
    return str(named or (observed and live_reader_account(observed)) or READER_SERVICE_ACCOUNT)


def live_reader_account(observed: Observed) -> str | None:
    """The account by whose token a linked cluster is read already; None: nothing in it names one.

    Where its values are not at hand, that is what a verb goes by: the account that the charts make, else the
    only one that has a token as istioctl and istio-mc name it.
    """
    if observed.find(objects.SERVICE_ACCOUNT, READER_SERVICE_ACCOUNT):
        return READER_SERVICE_ACCOUNT
    accounts = {
        account
        for secret in observed.of(objects.SECRET)
        if (account := objects.annotations_of(secret).get(SERVICE_ACCOUNT_ANNOTATION))
        and secret["metadata"]["name"].startswith(account + READER_TOKEN_SUFFIX)
    }
    return accounts.pop() if len(accounts) == 1 else None


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
