"""Cilium's settings: what is to change, when agents count as having read them, what a revert restores."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain import cilium
from istio_mc.domain.cilium import Change, Cilium
from istio_mc.domain.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping

CHART = {"bpf-lb-sock-hostns-only": "false", "cni-exclusive": "true", "debug": "false"}
FIXED = CHART | {"bpf-lb-sock-hostns-only": "true", "cni-exclusive": "false"}
OURS = ("bpf-lb-sock-hostns-only", "cni-exclusive")
T1, T2, T3 = "2026-03-01T10:00:01Z", "2026-03-01T10:00:02Z", "2026-03-01T10:00:03Z"


def managed(time: str, part: str = "f:data", **more: str) -> dict[str, Any]:
    return {"manager": "x", "operation": "Update", "time": time, "fieldsV1": {part: {}}, **more}


def config_map(data: Mapping[str, str], *entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "7", "managedFields": list(entries)}, "data": dict(data)}


def daemon_set(*entries: dict[str, Any], **status: int) -> dict[str, Any]:
    counts = {
        "desiredNumberScheduled": 1,
        "updatedNumberScheduled": 1,
        "numberReady": 1,
        "observedGeneration": 2,
    }
    return {
        "metadata": {"generation": 2, "managedFields": list(entries)},
        "spec": {},
        "status": counts | status,
    }


def agent(created: str, name: str = "cilium-1") -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": created}}


def backup(data: Mapping[str, str], keys: tuple[str, ...] = OURS, at: str = T1) -> dict[str, Any]:
    made = cilium.backup_document(
        Cilium(config_map(data), daemon_set()), [Change(key, None, "") for key in keys]
    )
    made["metadata"]["managedFields"] = [managed(at, "f:metadata")]
    return made


def found(
    data: Mapping[str, str],
    *,
    changed: str = T1,
    created: str = T2,
    old: dict[str, Any] | None = None,
    agents: dict[str, Any] | None = None,
) -> Cilium:
    return Cilium(config_map(data, managed(changed)), agents or daemon_set(), (agent(created),), old)


class TestWhatAFixChanges:
    def test_a_chart_with_its_defaults_needs_both_settings_and_a_restart(self) -> None:
        plan = cilium.fix_plan(found(CHART), cilium.required_settings())

        assert plan.changes == (
            Change("bpf-lb-sock-hostns-only", "false", "true"),
            Change("cni-exclusive", "true", "false"),
        )
        assert plan.restart

    def test_the_default_leaves_the_l7_proxy_alone(self) -> None:
        assert "enable-l7-proxy" not in cilium.required_settings()

    def test_k_paas_turns_the_l7_proxy_off_too(self) -> None:
        assert cilium.required_settings(k_paas=True) == cilium.required_settings() | {
            "enable-l7-proxy": "false"
        }

    def test_an_absent_key_is_reported_as_absent(self) -> None:
        data = {"cni-exclusive": "false"}

        assert cilium.fix_plan(found(data), cilium.required_settings()).changes == (
            Change("bpf-lb-sock-hostns-only", None, "true"),
        )

    def test_right_settings_and_younger_agents_leave_nothing_to_do(self) -> None:
        assert cilium.fix_plan(found(FIXED), cilium.required_settings()).empty


class TestAgentsThatHaveNotReadTheSettings:
    def test_one_created_before_the_last_change_is_to_be_restarted(self) -> None:
        plan = cilium.fix_plan(found(FIXED, changed=T2, created=T1), cilium.required_settings())

        assert plan.changes == ()
        assert plan.restart == "1 of 1 agents started before the last change of cilium-config"

    def test_the_same_second_proves_nothing(self) -> None:
        assert found(FIXED, changed=T2, created=T2).stale == ("cilium-1",)

    def test_a_change_of_labels_only_makes_no_agent_old(self) -> None:
        config = config_map(FIXED, managed(T1), managed(T3, "f:metadata"))

        assert Cilium(config, daemon_set(), (agent(T2),)).stale == ()

    def test_a_removal_shows_by_the_backup_that_was_written_to_before_it(self) -> None:
        # The removal of the only key a manager had leaves no entry of its in managedFields.
        assert found(CHART, changed=T1, created=T2, old=backup(CHART, at=T3)).stale == ("cilium-1",)

    def test_a_restart_already_ordered_is_only_watched(self) -> None:
        agents = daemon_set(managed(T3, "f:spec"), updatedNumberScheduled=0)

        plan = cilium.fix_plan(
            found(FIXED, changed=T2, created=T1, agents=agents), cilium.required_settings()
        )

        assert (plan.restart, plan.watch) == ("", True)

    def test_a_write_to_the_daemon_sets_status_is_no_restart(self) -> None:
        agents = daemon_set(managed(T3, "f:spec", subresource="status"))

        assert cilium.fix_plan(
            found(FIXED, changed=T2, created=T1, agents=agents), cilium.required_settings()
        ).restart


class TestRollout:
    def test_it_is_complete_with_every_agent_updated_and_ready(self) -> None:
        assert Cilium(config_map(FIXED), daemon_set()).rollout.complete

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ({"observedGeneration": 1}, "its controller has not processed the last change"),
            ({"updatedNumberScheduled": 0}, "0 of 1 agents updated, 1 ready"),
            ({"numberReady": 0}, "1 of 1 agents updated, 0 ready"),
            (
                {"desiredNumberScheduled": 0, "updatedNumberScheduled": 0, "numberReady": 0},
                "no node runs an agent: no node matches the DaemonSet's nodeSelector or affinity",
            ),
        ],
    )
    def test_missing_objects_are_reported(self, status: dict[str, int], expected: str) -> None:
        rollout = Cilium(config_map(FIXED), daemon_set(**status)).rollout

        assert (rollout.complete, str(rollout)) == (False, expected)

    def test_right_settings_with_a_rollout_under_way_are_watched(self) -> None:
        agents = daemon_set(numberReady=0)

        assert cilium.fix_plan(found(FIXED, agents=agents), cilium.required_settings()) == cilium.Plan(
            watch=True
        )


class TestBackup:
    def test_it_holds_the_whole_data_as_it_is(self) -> None:
        assert backup(CHART)["data"] == CHART

    def test_a_second_fix_adds_its_keys_and_writes_nothing_else(self) -> None:
        seen = found(FIXED, old=backup(CHART))

        assert cilium.backup_patch(seen, [Change("enable-l7-proxy", "true", "false")]) == {
            "metadata": {
                "annotations": {
                    cilium.KEYS_ANNOTATION: '["bpf-lb-sock-hostns-only", "cni-exclusive", "enable-l7-proxy"]'
                }
            }
        }

    def test_a_second_fix_of_known_keys_does_not_write_to_it(self) -> None:
        assert (
            cilium.backup_patch(found(CHART, old=backup(CHART)), [Change("cni-exclusive", "true", "false")])
            is None
        )


class TestRevert:
    def test_it_restores_every_key_and_drops_the_backup(self) -> None:
        plan = cilium.revert_plan(found(FIXED, old=backup(CHART)))

        assert plan.changes == (
            Change("bpf-lb-sock-hostns-only", "true", "false"),
            Change("cni-exclusive", "false", "true"),
        )
        assert plan.drop_backup

    def test_a_key_that_was_absent_is_removed(self) -> None:
        old = {key: value for key, value in CHART.items() if key != "cni-exclusive"}

        assert (
            Change("cni-exclusive", "false", None)
            in cilium.revert_plan(found(FIXED, old=backup(old))).changes
        )

    def test_without_a_backup_there_is_nothing_to_do(self) -> None:
        assert cilium.revert_plan(found(CHART, changed=T2, created=T1)).empty

    def test_keys_that_others_changed_since_are_named_and_nothing_is_planned(self) -> None:
        live = FIXED | {"debug": "true", "new": "1"}

        with pytest.raises(ProblemError) as error:
            cilium.revert_plan(found(live, old=backup(CHART)))

        (problem,) = error.value.problems
        assert problem.code == "changed-since-backup"
        assert problem.seen == 'debug: "false" -> "true"; new: absent -> "1"'

    def test_keep_others_restores_the_fixed_keys_only(self) -> None:
        live = FIXED | {"debug": "true"}

        assert {
            c.key for c in cilium.revert_plan(found(live, old=backup(CHART)), keep_others=True).changes
        } == set(OURS)

    def test_force_restores_what_others_changed_too(self) -> None:
        live = FIXED | {"debug": "true", "new": "1"}

        changes = cilium.revert_plan(found(live, old=backup(CHART)), force=True).changes

        assert {Change("debug", "true", "false"), Change("new", "1", None)} <= set(changes)

    def test_one_killed_before_its_end_has_only_the_backup_left_to_drop(self) -> None:
        assert cilium.revert_plan(found(CHART, old=backup(CHART))) == cilium.Plan(drop_backup=True)

    @given(
        st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=6),
        st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=6),
    )
    def test_forced_it_gives_back_exactly_the_backups_data(
        self, old: dict[str, str], live: dict[str, str]
    ) -> None:
        seen = found(live, old=backup(old))

        body = cilium.patch(seen, cilium.revert_plan(seen, force=True).changes)

        merged = live | body["data"]
        assert {key: value for key, value in merged.items() if value is not None} == old


def test_a_patch_is_refused_by_the_server_after_a_write_by_others() -> None:
    assert cilium.patch(found(CHART), [])["metadata"] == {"resourceVersion": "7"}


def test_a_daemon_set_with_update_strategy_on_delete_is_distinguished() -> None:
    agents = daemon_set() | {"spec": {"updateStrategy": {"type": "OnDelete"}}}

    assert not found(CHART, agents=agents).restarts_itself


def test_two_restarts_in_one_second_bear_different_stamps() -> None:
    first = datetime(2026, 3, 1, microsecond=1, tzinfo=UTC)

    assert cilium.restart_patch(first) != cilium.restart_patch(first.replace(microsecond=2))
