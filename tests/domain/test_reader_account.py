"""The reader's account: what the values name, with an Istio whose charts know these values."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.istio.documents import reader_token_secret
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.links.state import (
    LinkState,
    has_rights_of_charts,
    is_made_by_charts,
    reader_account,
    reader_namespace,
    token_in,
)
from istio_mc.domain.observed import Observed

USUAL = "istio-reader-service-account"
NAMED: dict[str, Any] = {"global": {"readerServiceAccount": {"name": "reader", "namespace": "istio-system"}}}
WITHOUT: dict[str, Any] = {"global": {"enableReaderRBAC": False}}


@pytest.mark.parametrize("version", ["1.31.0", "1.32.0-alpha.1", "latest"])
def test_a_named_account_is_used_and_bound_and_not_made(version: str) -> None:
    """As istioctl 1.31.0 renders the charts."""
    assert reader_account(NAMED, version) == "reader"
    assert reader_namespace(NAMED, version) == "istio-system"
    assert not is_made_by_charts(NAMED, version)
    assert has_rights_of_charts(NAMED, version)


def test_charts_before_1_31_know_no_other_account() -> None:
    assert reader_account(NAMED, "1.30.8") == USUAL
    assert reader_namespace(NAMED, "1.30.8") is None
    assert is_made_by_charts(NAMED, "1.30.8")


@pytest.mark.parametrize(("version", "made"), [("1.29.9", True), ("1.30.0", False), ("1.31.0", False)])
def test_without_rbac_neither_the_account_nor_its_rights_are_made_from_1_30_on(
    version: str, *, made: bool
) -> None:
    assert is_made_by_charts(WITHOUT, version) is made
    assert has_rights_of_charts(WITHOUT, version) is made
    assert reader_account(WITHOUT, version) == USUAL


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"global": None},
        {"global": {}},
        {"global": {"readerServiceAccount": None}},
        {"global": {"readerServiceAccount": {}}},
    ],
    ids=str,
)
def test_values_without_it_leave_the_default(values: dict[str, Any]) -> None:
    assert reader_account(values, "1.31.0") == USUAL
    assert is_made_by_charts(values, "1.31.0")


def test_the_token_is_that_of_the_named_account_alone() -> None:
    ours, usual = (
        reader_token_secret(account=account) | {"data": {"token": text, "ca.crt": "Yw=="}}
        for account, text in (("reader", "b3Vycw=="), (USUAL, "dXN1YWw="))
    )
    assert ours["metadata"]["name"] == "reader-istio-remote-secret-token"
    observed = Observed("v1.33.13", {ref_of(one): one for one in (ours, usual)})
    token = LinkState.of(observed, "reader").token
    assert token
    assert token.token == "ours"  # noqa: S105 - of nobody
    assert token_in([usual], "reader") is None
