"""What the benchmark reads out of the two sides' own output."""

from __future__ import annotations

import pytest

from benchmarks.timing import Step, progress_steps, published_steps, summaries

# Captured from `istio-mc install` in a pipe, shortened.
PROGRESS = """\
   0.1s  mesh  preflight started: looking at every cluster
   0.6s  mesh  preflight done
   0.6s  kt  gateway-api unchanged
   0.9s  kt  istio started: Deployment istiod is missing
warning [kt]: something else on standard error
   1.0s  nhn  istio started: Deployment istiod is missing
  12.0s  nhn  istio done
  14.5s  kt  istio done
  15.0s  kt  ready waiting: the gateway of kt has no address
  16.5s  kt  ready waiting: kt does not see every other cluster as synced
  17.0s  kt  ready done: 198.18.0.21
"""


def test_a_step_lasts_from_started_to_done_in_its_own_cluster() -> None:
    assert Step("kt", "istio", 0.9, 14.5) in progress_steps(PROGRESS)
    assert Step("nhn", "istio", 1.0, 12.0) in progress_steps(PROGRESS)


def test_a_step_that_only_waits_begins_where_the_cluster_s_last_one_ended() -> None:
    assert progress_steps(PROGRESS)[-1] == Step("kt", "ready", 14.5, 17.0)


def test_a_step_with_nothing_to_do_is_no_step() -> None:
    assert "gateway-api" not in {step.name for step in progress_steps(PROGRESS)}


def test_a_failed_step_ends_too() -> None:
    steps = progress_steps("   1.0s  kt  istio started\n   3.5s  kt  istio failed\n")
    assert steps == [Step("kt", "istio", 1.0, 3.5)]


def test_the_scripts_log_start_and_end_of_each_step() -> None:
    steps = published_steps("mesh\troot CA\t0.133\t0.388\nkt\tcontrol plane\t0.400\t9.900\n")
    assert steps == [Step("mesh", "root CA", 0.133, 0.388), Step("kt", "control plane", 0.4, 9.9)]


def test_a_line_of_the_scripts_that_is_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        published_steps("kt\tcontrol plane\n")


def test_a_step_s_share_of_the_run_counts_overlapping_clusters_once() -> None:
    steps = [
        Step("kt", "istio", 1.0, 5.0),
        Step("nhn", "istio", 2.0, 7.0),
        Step("ncloud", "istio", 9.0, 10.0),
    ]
    assert summaries(steps)[0].share == pytest.approx(7.0)


def test_summaries_stand_in_the_order_the_steps_began() -> None:
    steps = [Step("kt", "link", 8.0, 9.0), Step("kt", "istio", 1.0, 5.0)]
    assert [summary.name for summary in summaries(steps)] == ["istio", "link"]
