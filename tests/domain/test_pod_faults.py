"""Why a pod does not come up, and for what nobody waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.istio.pod_faults import (
    Cause,
    FaultTimer,
    Log,
    PodFault,
    deployment_faults,
    is_permanent,
    pod_fault,
    problem_of,
)
from istio_mc.domain.kube.refusal import Reason
from tests.support.pod_objects import (
    NOT_FOUND,
    POD,
    QUOTA,
    RUNNING,
    back_off,
    container,
    deployment,
    ended,
    event,
    not_pulled,
    pod,
    replica_set,
    unschedulable,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_NODE = "0/3 nodes are available: 3 Insufficient memory."


def fault(found: dict[str, Any], *events: dict[str, Any]) -> PodFault:
    reported = pod_fault(found, events)
    assert reported is not None
    return reported


class TestReason:
    def test_a_crash_has_the_exit_code_and_the_number_of_restarts(self) -> None:
        assert str(fault(pod(back_off(restarts=4, exit_code=255)))) == (
            f"Pod {POD}, container discovery: CrashLoopBackOff, exit code 255, 4 restarts"
        )

    def test_an_end_for_lack_of_memory_is_named(self) -> None:
        assert "OOMKilled, exit code 137" in str(fault(pod(back_off(exit_code=137, reason="OOMKilled"))))

    @pytest.mark.parametrize(
        ("status", "log"),
        [
            (back_off(), Log.PREVIOUS),
            (container(ended(1)), Log.CURRENT),
            (container(RUNNING, last=ended(1), restarts=2), Log.PREVIOUS),
        ],
        ids=["in back-off", "ended", "running again"],
    )
    def test_the_log_of_the_run_that_crashed_has_the_reason(self, status: dict[str, Any], log: Log) -> None:
        assert (fault(pod(status)).cause, fault(pod(status)).log) == (Cause.CRASH, log)

    def test_a_container_that_ends_well_but_should_run_is_a_crash(self) -> None:
        assert fault(pod(container(ended(0, "Completed")))).cause is Cause.CRASH

    def test_an_init_container_that_fails_is_the_reason(self) -> None:
        init = container(ended(126), name="istio-validation", restarts=2)
        reported = fault(pod(container(waiting("PodInitializing")), inits=(init,)))
        assert (reported.cause, reported.container) == (Cause.CRASH, "istio-validation")

    def test_a_native_sidecar_that_ends_well_is_a_crash_as_of_any_container_that_should_run(self) -> None:
        ended_well = container(ended(0, "Completed"), name="istio-proxy")
        found = pod(container(waiting("PodInitializing")), inits=(ended_well,))
        found["spec"]["initContainers"] = [{"name": "istio-proxy", "restartPolicy": "Always"}]
        reported = fault(found)
        assert (reported.cause, reported.container) == (Cause.CRASH, "istio-proxy")

    def test_a_native_sidecar_that_runs_and_is_not_ready_has_its_log(self) -> None:
        found = pod(container(waiting("PodInitializing")), inits=(container(RUNNING, name="istio-proxy"),))
        found["spec"]["initContainers"] = [{"name": "istio-proxy", "restartPolicy": "Always"}]
        assert (fault(found).container, fault(found).log) == ("istio-proxy", Log.CURRENT)

    def test_an_init_container_that_is_done_is_none(self) -> None:
        done = container(ended(0, "Completed"), name="istio-init", ready=True)
        assert fault(pod(not_pulled(), inits=(done,))).cause is Cause.IMAGE

    @pytest.mark.parametrize(
        "reason", ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"]
    )
    def test_a_container_that_cannot_be_created(self, reason: str) -> None:
        reported = fault(pod(container(waiting(reason, 'secret "x" not found'))))
        assert (reported.cause, reported.reason, reported.detail) == (
            Cause.CONTAINER,
            reason,
            'secret "x" not found',
        )

    def test_a_pod_without_a_node_has_the_schedulers_words(self) -> None:
        reported = fault(unschedulable(NO_NODE))
        assert (reported.cause, reported.reason, reported.detail) == (
            Cause.UNSCHEDULABLE,
            "Unschedulable",
            NO_NODE,
        )

    @pytest.mark.parametrize(
        ("reason", "cause"),
        [
            ("FailedMount", Cause.VOLUME),
            ("FailedAttachVolume", Cause.VOLUME),
            ("FailedCreatePodSandBox", Cause.CONTAINER),
        ],
    )
    def test_faults_that_only_events_report(self, reason: str, cause: Cause) -> None:
        creating = pod(container(waiting("ContainerCreating")))
        reported = fault(
            creating, event(reason, "old", at="2026-01-01"), event(reason, "new", at="2026-01-02")
        )
        assert (reported.cause, reported.reason, reported.detail) == (cause, reason, "new")

    def test_what_went_wrong_before_the_image_was_pulled_is_over(self) -> None:
        creating = pod(container(waiting("ContainerCreating")))
        mount = event("FailedMount", "timed out waiting for the condition")
        reported = fault(creating, mount, event("Pulling", 'Pulling image "x"'))
        assert (reported.cause, reported.reason, reported.detail) == (
            Cause.NOT_READY,
            "Pulling",
            'Pulling image "x"',
        )

    def test_a_container_that_runs_has_its_volumes(self) -> None:
        reported = fault(pod(container(RUNNING)), event("FailedMount", "timed out waiting for the condition"))
        assert reported.cause is Cause.NOT_READY

    def test_events_of_other_pods_are_ignored(self) -> None:
        creating = pod(container(waiting("ContainerCreating")))
        assert fault(creating, event("FailedMount", "no", of="other")).cause is Cause.NOT_READY

    def test_a_readiness_probe_that_fails_is_reported_with_its_words(self) -> None:
        probe = "Readiness probe failed: 503"
        reported = fault(pod(container(RUNNING)), event("Unhealthy", probe))
        assert (reported.cause, reported.detail, reported.log) == (Cause.NOT_READY, probe, Log.CURRENT)

    def test_an_evicted_pod(self) -> None:
        reported = fault(
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
        )
        assert (reported.cause, reported.reason) == (Cause.FAILED, "Evicted")

    @pytest.mark.parametrize(
        "is_healthy",
        [
            pod(
                container(RUNNING, ready=True),
                phase="Running",
                conditions=[{"type": "Ready", "status": "True"}],
            ),
            pod(container(ended(0)), phase="Succeeded"),
            {**pod(back_off()), "metadata": {"name": POD, "deletionTimestamp": "2026-01-01T00:00:00Z"}},
        ],
        ids=["ready", "done", "being deleted"],
    )
    def test_a_pod_that_is_well_has_none(self, is_healthy: dict[str, Any]) -> None:
        assert pod_fault(is_healthy) is None


class TestImages:
    def test_before_kubernetes_1_32_the_reason_of_a_back_off_is_in_an_event(self) -> None:
        bare = not_pulled("ImagePullBackOff", 'Back-off pulling image "docker.io/istio/pilot:nope"')
        pulled = event("Failed", f"Failed to pull image: {NOT_FOUND}", field="spec.containers{discovery}")
        other = event("Failed", "Failed to pull image: timeout", field="spec.containers{x}", at="2026-02")
        assert NOT_FOUND in fault(pod(bare), pulled, other).detail

    @pytest.mark.parametrize(
        "message",
        [
            NOT_FOUND,
            f'Back-off pulling image "docker.io/istio/pilot:nope": ErrImagePull: {NOT_FOUND}',
            "manifest for istio/pilot:nope not found: manifest unknown: manifest unknown",
            "pull access denied, repository does not exist or may require authorization: insufficient_scope",
            "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
            "Error response from daemon: Head https://r.example/v2/x: no basic auth credentials",
            "unexpected status from HEAD request to https://r.example/v2/x: 403 Forbidden",
        ],
    )
    def test_an_image_that_is_not_there_or_not_for_us_is_not_waited_for(self, message: str) -> None:
        assert is_permanent(fault(pod(not_pulled(message=message))))

    @pytest.mark.parametrize(
        "message",
        [
            'failed to do request: Head "https://r.example/v2/x": dial tcp 203.0.113.1:443: i/o timeout',
            'failed to do request: Head "https://r.example/v2/x": dial tcp: lookup r.example: no such host',
            "429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit",
            "unexpected status from HEAD request to https://r.example/v2/x: 503 Service Unavailable",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            'Back-off pulling image "docker.io/istio/pilot:1.26.0"',
        ],
    )
    def test_a_registry_that_does_not_answer_is_waited_for(self, message: str) -> None:
        assert not is_permanent(fault(pod(not_pulled(message=message))))

    @pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
    def test_a_name_that_is_none_is_not_waited_for(self, reason: str) -> None:
        assert is_permanent(fault(pod(not_pulled(reason, "whatever"))))


def faults_of(
    of: dict[str, Any], replica_sets: Sequence[dict[str, Any]] = (), pods: Sequence[dict[str, Any]] = ()
) -> list[PodFault]:
    return [one for found in deployment_faults([of], replica_sets, pods, []).values() for one in found]


class TestDeployments:
    PODS = (pod(back_off()), pod(not_pulled(), name="old", replica_set="rs-1"))
    SETS = (replica_set(1), replica_set(2))

    def test_only_pods_of_the_newest_template_count(self) -> None:
        reported = faults_of(deployment(), self.SETS, self.PODS)
        assert [one.pod for one in reported] == [POD]

    def test_where_the_templates_are_unknown_every_pod_counts_and_a_crash_comes_first(self) -> None:
        reported = faults_of(deployment(), [], self.PODS[::-1])
        assert [one.pod for one in reported] == [POD, "old"]

    @pytest.mark.parametrize("other", [deployment(available=1), deployment(seen=1), deployment("gateway")])
    def test_a_healthy_or_just_changed_deployment_or_one_with_other_pods_has_no_fault(
        self, other: dict[str, Any]
    ) -> None:
        assert faults_of(other, self.SETS, self.PODS) == []

    @pytest.mark.parametrize(
        ("message", "reason", "hopeless"),
        [
            (QUOTA, Reason.QUOTA, True),
            ('admission webhook "v.example" denied the request: no', Reason.ADMISSION, True),
            ('pods "x" is forbidden: violates PodSecurity "restricted:latest": x', Reason.POD_SECURITY, True),
            ('pods "x" is forbidden: maximum cpu usage per Container is 1', Reason.ADMISSION, True),
            ('Internal error occurred: failed calling webhook "a.b": timeout', Reason.WEBHOOK_FAILED, False),
        ],
    )
    def test_pods_that_the_api_server_refuses(self, message: str, reason: Reason, hopeless: bool) -> None:  # noqa: FBT001 - a table
        (reported,) = faults_of(deployment(refused=message))
        assert (reported.cause, reported.refused, is_permanent(reported)) == (Cause.REFUSED, reason, hopeless)


class TestTimer:
    """The wait ends for what does not go away by itself, and has lasted."""

    def over(self, *probes: tuple[float, PodFault | None]) -> list[float]:
        timer = FaultTimer(lasting_s=60.0)
        return [now for now, one in probes if timer.update([one] if one else [], now)[1]]

    def test_an_image_that_is_not_there_for_60_seconds(self) -> None:
        reported = fault(pod(not_pulled()))
        assert self.over((0, reported), (59, reported), (60, reported)) == [60]

    def test_one_that_appears_meanwhile_starts_again(self) -> None:
        reported = fault(pod(not_pulled()))
        assert self.over((0, reported), (30, None), (61, reported), (121, reported)) == [121]

    def test_between_two_pulls_it_is_the_same_fault(self) -> None:
        pulling, waits = fault(pod(not_pulled())), fault(pod(not_pulled("ImagePullBackOff")))
        assert self.over((0, pulling), (30, waits), (60, pulling)) == [60]

    def test_what_may_pass_is_waited_for(self) -> None:
        for reported in (
            fault(unschedulable(NO_NODE)),
            fault(pod(container(waiting("CreateContainerError", "x")))),
        ):
            assert self.over((0, reported), (600, reported)) == []

    def test_three_restarts_with_the_same_exit_code_that_last_60_seconds(self) -> None:
        crashes = [(float(now), fault(pod(back_off(restarts=count)))) for now, count in enumerate((0, 1, 2))]
        third = fault(pod(back_off(restarts=3)))
        assert self.over(*crashes, (10, third), (69, third), (70, third)) == [70]

    def test_fewer_restarts_are_waited_for(self) -> None:
        reported = fault(pod(back_off(restarts=2)))
        assert self.over((0, reported), (300, reported)) == []

    def test_with_another_exit_code_they_are_counted_again(self) -> None:
        first, other = fault(pod(back_off(restarts=2))), fault(pod(back_off(restarts=4, exit_code=2)))
        later = fault(pod(back_off(restarts=7, exit_code=2)))
        assert self.over((0, first), (1, other), (200, other), (201, later), (261, later)) == [261]

    def test_a_container_that_runs_again_is_given_its_chance(self) -> None:
        new, down = fault(pod(container(ended(1)))), fault(pod(back_off(restarts=3)))
        up = fault(pod(container(RUNNING, last=ended(1), restarts=4)))
        assert self.over((0, new), (1, down), (70, up), (80, fault(pod(back_off(restarts=4))))) == [80]

    def test_what_crashed_before_the_wait_has_to_crash_once_more(self) -> None:
        before, again = fault(pod(back_off(restarts=9))), fault(pod(back_off(restarts=10)))
        assert self.over((0, before), (200, before), (201, again), (261, again)) == [261]

    def test_a_pod_that_is_only_not_ready_yet_is_reported_after_a_while(self) -> None:
        timer, reported = FaultTimer(slow_s=8), fault(pod(container(RUNNING)))
        assert [bool(timer.update([reported], now)[0]) for now in (0.0, 7.0, 8.0)] == [False, False, True]

    def test_a_service_account_that_is_created_a_moment_later_is_no_news(self) -> None:
        missing = 'pods "x" is forbidden: error looking up service account istio-system/istiod: not found'
        (reported,) = faults_of(deployment(refused=missing))
        timer = FaultTimer(slow_s=8, lasting_s=60)
        assert [list(map(bool, timer.update([reported], now))) for now in (0.0, 8.0, 600.0)] == [
            [False, False],
            [True, False],
            [True, False],
        ]

    def test_any_other_reason_is_reported_at_once(self) -> None:
        reported = fault(unschedulable(NO_NODE))
        assert FaultTimer().update([reported], 0.0)[0] == [reported]


class TestProblem:
    @pytest.mark.parametrize(
        ("found", "code", "look"),
        [
            (pod(back_off()), "pod-crashing", f"logs {POD} -c discovery --previous"),
            (pod(container(ended(1))), "pod-crashing", f"logs {POD} -c discovery"),
            (pod(not_pulled()), "image-not-pulled", f"describe pod {POD}"),
            (pod(container(waiting("CreateContainerError"))), "container-not-created", f"describe pod {POD}"),
            (unschedulable(NO_NODE), "pod-unschedulable", f"describe pod {POD}"),
            (pod(phase="Failed", reason="Evicted"), "pod-failed", f"describe pod {POD}"),
            (pod(container(RUNNING)), "pod-not-ready", f"describe pod {POD}"),
        ],
    )
    def test_each_cause_has_its_code_and_the_command_that_shows_more(
        self, found: dict[str, Any], code: str, look: str
    ) -> None:
        reported = fault(found)
        problem = problem_of("kt", "istio-system", [reported])
        assert problem is not None
        assert (problem.code, problem.cluster, problem.seen) == (code, "kt", str(reported))
        assert str(problem.hint).endswith(f"kubectl --context kt -n istio-system {look}")

    def test_refused_pods_have_the_code_of_the_refusal(self) -> None:
        problem = problem_of("kt", "istio-system", faults_of(deployment(refused=QUOTA)))
        assert problem is not None
        assert (problem.code, QUOTA in str(problem.seen)) == ("quota-exceeded", True)
        assert "Deployment istiod" in problem.message

    def test_the_first_fault_gives_the_code_and_the_others_are_seen_too(self) -> None:
        faults = [fault(pod(back_off())), fault(unschedulable(NO_NODE))]
        problem = problem_of("kt", "istio-system", faults)
        assert problem is not None
        assert (problem.code, problem.seen) == ("pod-crashing", f"{faults[0]}\n{faults[1]}")
