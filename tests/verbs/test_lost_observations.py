"""verify of a cluster of which nothing more than its objects can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.problem import Code, ProblemError
from istio_mc.gateways.host.parallel import results_in_time
from istio_mc.ops.verify import gather

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from istio_mc.gateways.host.parallel import Failures
    from tests.support.mesh import Mesh


def test_a_cluster_whose_observations_are_lost_is_unknown_and_named(
    installed: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_all_but_kt(
        calls: Mapping[str, Any], *, context: str, **more: Any
    ) -> tuple[dict[str, Any], Failures]:
        if context == "kt":
            raise ProblemError.of(code=Code.CLUSTER_UNREACHABLE, cluster="kt", message="kt is gone")
        return results_in_time(calls, context=context, **more)

    monkeypatch.setattr(gather, "results_in_time", read_all_but_kt)
    result = installed.run("verify", "-o", "json").exits(4)
    assert ("cluster-unreachable", "kt") in result.errors
