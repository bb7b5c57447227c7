"""Gateways for other clusters are written once their CRD is established, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.problem import Code, ProblemError
from istio_mc.ops.session.istio_documents import apply_remote_gateways
from tests.support.sessions import session_of

if TYPE_CHECKING:
    from istio_mc.domain.kube.objects import Kind

GATEWAY = {"metadata": {"name": "of-nhn"}}


class Server:
    """An API server that is asked for the CRD of Gateways again and again."""

    def __init__(self, *established: str | None) -> None:
        self._established = list(established)
        self.applied: list[Any] = []

    def get(self, _: Kind, _name: str) -> dict[str, Any] | None:
        status = self._established.pop(0) if len(self._established) > 1 else self._established[0]
        return {"status": {"conditions": [{"type": "Established", "status": status}]}} if status else None

    def apply(self, document: dict[str, Any]) -> None:
        self.applied.append(document)


def test_they_are_written_once_it_is_established(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("istio_mc.ops.session.istio_documents._POLL_S", 0.001)
    server = Server(None, "False", "True")
    apply_remote_gateways(session_of({"kt": server}), "kt", [GATEWAY])
    assert server.applied == [GATEWAY]


@pytest.mark.parametrize("established", [None, "False"])
def test_where_it_is_not_there_at_the_deadline_none_is_written(established: str | None) -> None:
    server = Server(established)
    with pytest.raises(ProblemError) as raised:
        apply_remote_gateways(session_of({"kt": server}, within_s=0.0), "kt", [GATEWAY])
    assert [problem.code for problem in raised.value.problems] == [Code.GATEWAY_API_MISSING]
    assert server.applied == []
