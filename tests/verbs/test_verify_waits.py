"""verify --wait: what failed is checked again until it passes, and then everything once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from istio_mc.ops.verify import verify as op

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.mesh import Mesh

WAITS = ("verify", "--wait", "30s", "-o", "json")
OF_NHN = "istio-remote-secret-nhn-nks"


def while_waiting(monkeypatch: pytest.MonkeyPatch, *happens: Callable[[], object]) -> list[str]:
    """Has these things happen one by one, whenever the run begins to wait; returns what it waits for."""
    waits, left, real = [], list(happens), op._waited_for

    def waited_for(result: op.VerifyResult) -> str:
        waits.append(real(result))
        if left:
            left.pop(0)()
        return waits[-1]

    monkeypatch.setattr(op, "_waited_for", waited_for)
    return waits


@pytest.mark.thorough
def test_a_link_that_comes_later_is_waited_for_and_then_everything_is_checked_again(
    installed: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    kt = installed["kt"]
    secret = kt.get("Secret", OF_NHN, "istio-system")
    kt.delete(secret)
    kt.settle()

    def comes() -> None:
        given = ("name", "namespace", "labels", "annotations")
        kt.make({**secret, "metadata": {key: secret["metadata"][key] for key in given}})
        kt.settle()

    waits = while_waiting(monkeypatch, comes)
    result = installed.run(*WAITS).exits(0)
    assert waits
    assert all("link." in one for one in waits)
    assert {one["verdict"] for one in result.data["checks"] if one["id"].startswith("link.")} == {"ok"}


def test_a_cluster_that_responds_later_is_waited_for(
    installed: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.cut("nhn")
    waits = while_waiting(monkeypatch, lambda: installed.heal("nhn"))
    installed.run(*WAITS, "--contexts", "kt,ncloud,nhn").exits(0)
    assert waits


def test_what_still_fails_at_the_end_is_an_error(installed: Mesh) -> None:
    kt = installed["kt"]
    kt.delete(kt.get("Secret", OF_NHN, "istio-system"))
    kt.settle()
    result = installed.run("verify", "--wait", "1s", "--only", "link", "-o", "json")
    assert result.code != 0
    assert {cluster for _, cluster in result.errors} == {"kt"}
