"""Problems: whether a hint mends when it is pasted."""

from __future__ import annotations

import pytest

from istio_mc.domain.problem import HintType, Problem


def kind(hint: str | None) -> HintType | None:
    return Problem(code="c", message="m", hint=hint).hint_type


@pytest.mark.parametrize(
    "hint",
    [
        "istio-mc install --contexts kt,ncloud,nhn",
        "istio-mc link --prune --yes --contexts kt,nhn",
        "kubectl --context kt -n istio-system rollout restart deployment istiod",
        "kubectl --context kt label namespace istio-system topology.istio.io/network=network1 --overwrite",
        "KUBECONFIG=a:b /home/me/bin/istioctl install --context kt -f /tmp/x.yaml",
    ],
)
def test_a_command_that_is_whole_and_changes_something_mends(hint: str) -> None:
    assert kind(hint) is HintType.COMMAND


@pytest.mark.parametrize(
    "hint",
    [
        "istio-mc address --set kt=ADDRESS",
        "istio-mc ca init --root-cert …",
        "kubectl --context kt get --raw /readyz",
        "kubectl --context kt -n istio-system logs istiod-1 | grep nhn",
        "istio-mc verify --verbose",
        "let nhn leave its mesh and join anew",
        "istio-mc address --set kt=198.51.100.7\n(it forwards to its nodePorts)",
    ],
)
def test_what_wants_a_person_does_not(hint: str) -> None:
    assert kind(hint) is HintType.MANUAL


def test_no_hint_is_of_no_kind() -> None:
    assert kind(None) is None
