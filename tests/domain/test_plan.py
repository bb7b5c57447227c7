"""Plans: a step where something is missing, with its reasons, and none where nothing is."""

from __future__ import annotations

from typing import Any

from istio_mc.domain import plan
from istio_mc.domain.kube.diff import Difference
from istio_mc.domain.kube.objects import Ref, ref_of


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "istio-system"},
        "data": data,
    }


def test_nothing_to_do_is_no_step() -> None:
    desired = config_map("a", x="1")
    assert plan.apply_step("expose", [desired], {ref_of(desired): desired}) is None


def test_a_step_sets_only_what_differs() -> None:
    right, wrong = config_map("right", x="1"), config_map("wrong", x="1")
    live = {ref_of(right): right, ref_of(wrong): config_map("wrong", x="2")}
    step = plan.apply_step("expose", [right, wrong], live)
    reason = "ConfigMap istio-system/wrong data.x is 2, desired 1"
    assert step == plan.Step("expose", (reason,), (wrong,), (ref_of(wrong),))


def test_documents_stay_out_of_the_steps_repr() -> None:
    step = plan.apply_step("cacerts", [config_map("a", key="c2VjcmV0")], {})
    assert "c2VjcmV0" not in repr(step)


def test_of_many_reasons_the_first_five_are_shown() -> None:
    found = [Difference(Ref("", "ConfigMap", None, f"c{number}"), "", {}, None) for number in range(7)]
    step = plan.Step("istio", plan.reasons_of(found))
    assert len(step.reasons) == 7
    assert len(step.shown) == 6
    assert step.shown[-1] == "and 2 more differences"


def test_the_objects_of_a_step_are_all_that_differ() -> None:
    step = plan.apply_step("istio", [config_map(f"c{number}", x="1") for number in range(7)], {})
    assert step
    assert [ref.name for ref in step.refs] == [f"c{number}" for number in range(7)]


def test_five_reasons_are_listed() -> None:
    found = [Difference(Ref("", "ConfigMap", None, f"c{number}"), "", {}, None) for number in range(5)]
    assert plan.Step("istio", plan.reasons_of(found)).shown[-1] == "ConfigMap c4 is missing"
