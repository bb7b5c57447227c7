"""What a status looks like, narrow and wide and for programs, kept in tests/golden."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from istio_mc.domain.istio.status import (
    ClusterStatus,
    Deployment,
    Gateway,
    Hpa,
    Pod,
    Proxy,
    RemoteSecret,
    Service,
)
from istio_mc.domain.problem import Code, Problem
from istio_mc.ops.status import StatusResult
from istio_mc.present.output.envelope import Envelope, Exit
from istio_mc.present.status import report, screen
from istio_mc.present.status_watch import fitted, watch

Golden = Callable[[str, str], None]
GATEWAY = "istio-ingressgateway"
SILENT = Problem(
    code=Code.CLUSTER_UNREACHABLE,
    cluster="nhn",
    message="API server is not reachable",
    seen="no route to host",
)
NO_METRICS = "no Metrics API in this cluster: install Metrics Server"
SYNCED = {"cds": "SYNCED", "lds": "SYNCED", "eds": "SYNCED", "rds": "SYNCED", "ecds": "NOT SENT"}


def cluster(number: int, *, address: str = "198.18.0.21", is_healthy: bool = True) -> ClusterStatus:
    addresses = (address,) if is_healthy else ()
    pods = [
        Pod("istiod-1", "istiod", 1, 1, "Running", 0),
        Pod("istio-ingressgateway-1", GATEWAY, 1, 1, "Running", 0),
        Pod(
            "istio-ingressgateway-2",
            GATEWAY,
            int(is_healthy),
            1,
            "Running" if is_healthy else "CrashLoopBackOff",
            4,
        ),
    ]
    return ClusterStatus(
        version="v1.32.3",
        cluster_id=f"cluster-{number}",
        network=f"network{number}",
        mesh_id="mesh",
        pods=tuple(pods),
        services=(
            Service(GATEWAY, "LoadBalancer", "10.0.0.1", addresses, ("15443:30756/TCP",)),
            Service("istiod", "ClusterIP", "10.0.0.2", (), ("15012/TCP",)),
        ),
        deployments=(
            Deployment(
                GATEWAY, 1 + is_healthy, 2, "" if is_healthy else "1 of 2 replicas available, 2 updated"
            ),
            Deployment("istiod", 1, 1, ""),
        ),
        hpas=(
            Hpa(
                GATEWAY,
                f"Deployment/{GATEWAY}",
                ("cpu: 3%/80%" if is_healthy else "cpu: <unknown>/80%",),
                2,
                1,
                5,
                "" if is_healthy else NO_METRICS,
            ),
        ),
        gateways=(
            Gateway(
                "networking.istio.io", "cross-network-gateway", "", ("15443/AUTO_PASSTHROUGH",), addresses
            ),
        ),
        remote_secrets=(
            RemoteSecret("istio-remote-secret-x", "cluster-x", "synced" if is_healthy else "timeout"),
        ),
        proxies=(
            Proxy(
                "istio-ingressgateway-1.istio-system",
                f"cluster-{number}",
                "1.26.0",
                "istiod-1",
                SYNCED if is_healthy else SYNCED | {"cds": "STALE"},
                () if is_healthy else ("Listener: bad listener",),
            ),
        ),
    )


MIXED = StatusResult(
    contexts=("kt", "ncloud", "nhn"),
    clusters={"kt": cluster(1, is_healthy=False), "ncloud": cluster(2, address="gw.ncloud.lab.test")},
    failures={"nhn": (SILENT,)},
    silent_istiods={},
)


def text(result: StatusResult, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False)
    console.print(screen(result, width))
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


@pytest.mark.parametrize("width", [80, 200])
def test_healthy_faulty_and_silent_clusters_side_by_side(golden: Golden, width: int) -> None:
    golden(f"status-{width}.txt", text(MIXED, width))


def test_for_programs(golden: Golden) -> None:
    made = report(MIXED)

    golden("status.json", Envelope("status", made.exit, made.data, made.errors, made.warnings).text("json"))


@pytest.mark.parametrize("width", [80, 200])
def test_many_clusters_are_put_into_blocks_that_fit(width: int) -> None:
    names = tuple(f"c{number}" for number in range(12))
    result = StatusResult(names, {name: cluster(1) for name in names}, {}, {})

    lines = text(result, width).splitlines()

    assert max(map(len, lines)) <= width
    heads = [line.split() for line in lines if line.split() and line.split()[0] in names]
    assert [name for head in heads for name in head] == list(names)


def test_no_word_and_no_address_is_taken_apart_on_a_narrow_terminal() -> None:
    """Service istiod-revision-tag-default and an address do not fit beside each other."""
    long_name = Service("istiod-revision-tag-default", "ClusterIP", "10.107.178.251", (), ("443/TCP",))
    one = cluster(1)
    result = StatusResult(("kt",), {"kt": replace(one, services=(*one.services, long_name))}, {}, {})

    shown = text(result, 40)

    assert " istiod-revision-tag-default:\n   10.107.178.251\n" in shown
    assert " istiod: 10.0.0.2\n" in shown
    assert max(map(len, shown.splitlines())) <= 40


def test_korean_names_stay_in_line() -> None:
    result = StatusResult(("서울", "busan"), {"서울": cluster(1), "busan": cluster(2)}, {}, {})

    head, *lines = text(result, 80).splitlines()

    version = next(line for line in lines if "version" in line)
    assert cell_len(head[: head.index("busan")]) == cell_len(version[: version.rindex("v1.32.3")])


def test_an_istiod_without_data_is_not_a_failure_of_its_cluster() -> None:
    result = StatusResult(("kt",), {"kt": cluster(1)}, {}, {"kt": (SILENT,)})

    made = report(result)

    assert "not reported by istiod" in text(result, 80)
    assert (made.exit, made.data["clusters"][0]["proxies"]) == (Exit.DONE, None)
    assert [problem.cluster for problem in made.warnings] == ["kt"]


@pytest.mark.parametrize(
    ("failed", "code"), [((), Exit.DONE), (("b",), Exit.PARTIAL), (("a", "b"), Exit.FAILED)]
)
def test_exit_code(failed: tuple[str, ...], code: Exit) -> None:
    answered = {name: cluster(1) for name in "ab" if name not in failed}

    assert report(StatusResult(("a", "b"), answered, dict.fromkeys(failed, (SILENT,)), {})).exit is code


def readings(*results: StatusResult) -> Iterator[StatusResult]:
    """Some readings, and then Ctrl-C."""
    yield from results
    raise KeyboardInterrupt


class TestWatch:
    def test_in_a_pipe_each_reading_is_one_line_of_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        watch(readings(MIXED, MIXED), output="json", color=False, every_s=1)

        documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [document["command"] for document in documents] == ["status", "status"]

    def test_it_ends_with_what_the_last_reading_would_have_ended_with(self) -> None:
        is_healthy = StatusResult(("kt",), {"kt": cluster(1)}, {}, {})

        assert watch(readings(MIXED, is_healthy), output="table", color=False, every_s=1) is Exit.DONE
        assert watch(readings(is_healthy, MIXED), output="table", color=False, every_s=1) is Exit.PARTIAL

    def test_interrupted_before_the_first_reading_it_was_interrupted(self) -> None:
        assert watch(readings(), output="table", color=False, every_s=1) is Exit.INTERRUPTED


class TestHeight:
    @staticmethod
    def shown(height: int, width: int = 80) -> list[str]:
        """What a terminal of that height is given."""
        console = Console(file=io.StringIO(), width=width, height=height, highlight=False, emoji=False)
        console.print(fitted(console, screen(MIXED, width)))
        printed: str = console.file.getvalue()  # type: ignore[attr-defined]
        return [line.rstrip() for line in printed.splitlines()]

    def test_what_fits_is_shown_as_it_is(self) -> None:
        whole = text(MIXED, 80).splitlines()

        assert self.shown(len(whole)) == whole

    @pytest.mark.parametrize("height", [1, 2, 12])
    def test_what_does_not_fit_is_counted_on_the_last_line(self, height: int) -> None:
        whole = text(MIXED, 80).splitlines()

        *kept, last = self.shown(height)

        assert kept == whole[: height - 1]
        assert last.startswith(f"… {len(whole) - len(kept)} more lines: ")

    def test_that_line_is_never_folded(self) -> None:
        assert len(self.shown(12, width=40)) == 12
