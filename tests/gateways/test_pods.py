"""Pods that do not come up are read with their events and the end of their log, where there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.kube import objects
from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.pods import read_deployment_faults, read_pod_faults, shown
from tests.support.fake_api import FakeApi, Reply, status
from tests.support.pod_objects import (
    POD,
    back_off,
    container,
    deployment,
    ended,
    event,
    pod,
    replica_set,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.istio.pod_faults import PodFault

SYSTEM = "istio-system"
PODS, SETS = objects.POD.path(SYSTEM), objects.REPLICA_SET.path(SYSTEM)
EVENTS = objects.EVENT.path(SYSTEM)
LOG = f"{PODS}/{POD}/log"


@pytest.fixture
def kube(api: FakeApi) -> Iterator[Kube]:
    made = Kube("kt", api.kubeconfig(), read_timeout_s=2.0)
    yield made
    made.close()


def serve(api: FakeApi, found: dict[str, Any], *events: dict[str, Any]) -> None:
    api.on(PODS, {"items": [found]})
    api.on(SETS, {"items": [replica_set(2)]})
    api.on(EVENTS, {"items": list(events)})


def read(kube: Kube, found: dict[str, Any] | None = None) -> list[PodFault]:
    faults = read_deployment_faults(kube, SYSTEM, [found or deployment()])
    return [fault for one in faults.values() for fault in one]


def test_a_deployment_that_is_available_costs_no_request(api: FakeApi, kube: Kube) -> None:
    assert read(kube, deployment(available=1)) == []
    assert api.calls == []


def test_the_last_line_of_the_run_that_crashed(api: FakeApi, kube: Kube) -> None:
    serve(api, pod(back_off()))
    api.on(LOG, Reply(b"starting\nError: unknown flag: --nope\n\n"))
    (fault,) = read(kube)
    assert fault.last_line == "Error: unknown flag: --nope"
    (query,) = [path for _, path in api.calls if path.startswith(LOG)]
    assert "container=discovery" in query
    assert "previous=true" in query


def test_a_container_that_has_just_ended_has_no_previous_run_yet(api: FakeApi, kube: Kube) -> None:
    serve(api, pod(container(ended(1))))
    api.on(LOG, Reply(b"bye\n"))
    (fault,) = read(kube)
    assert fault.last_line == "bye"
    assert not any("previous" in path for _, path in api.calls)


def test_where_the_previous_run_has_no_log_any_more_the_present_one_is_read(api: FakeApi, kube: Kube) -> None:
    serve(api, pod(back_off()))
    api.on(LOG, status(400, "previous terminated container not found"), Reply(b"again\n"))
    assert read(kube)[0].last_line == "again"


def test_without_any_log_there_is_the_containers_own_last_message(api: FakeApi, kube: Kube) -> None:
    crashed = container(waiting("CrashLoopBackOff"), last=ended(1, message="panic: no\n"), restarts=1)
    serve(api, pod(crashed))
    api.on(LOG, status(403, "pods is forbidden"))
    assert read(kube)[0].last_line == "panic: no"


@pytest.mark.parametrize("path", [EVENTS, SETS])
def test_a_user_without_all_rights_gets_the_state_of_the_pods(api: FakeApi, kube: Kube, path: str) -> None:
    serve(api, pod(back_off()))
    api.on(path, status(403, "forbidden"))
    assert [fault.pod for fault in read(kube)] == [POD]


def test_pods_that_were_read_already_are_not_read_again(api: FakeApi, kube: Kube) -> None:
    api.on(EVENTS, {"items": [event("FailedMount", "no Secret")]})
    (fault,) = read_pod_faults(kube, SYSTEM, [pod(container(waiting("ContainerCreating")))])
    assert fault.detail == "no Secret"
    assert [path.partition("?")[0] for _, path in api.calls] == [EVENTS]


class TestShownLine:
    def test_is_one_line_without_colours_and_control_characters(self) -> None:
        assert shown("a\n\x1b[31merror\x1b[0m\tno\x07 way\r\n") == "error no way"

    def test_is_of_bounded_length(self) -> None:
        assert len(shown("x y" * 1000)) < 310

    def test_has_no_secret(self) -> None:
        assert "hunter2hunter2" not in shown("login failed: password=hunter2hunter2")

    def test_has_nothing_of_a_key_that_goes_over_several_lines(self) -> None:
        begin, end = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
        assert "MIGHAgEAMBMG" not in shown(
            f"{begin}\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n{end}"
        )

    def test_of_nothing_is_empty(self) -> None:
        assert shown("\n \n") == ""
