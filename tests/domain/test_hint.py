"""Hints: commands that can be pasted unchanged, and advice."""

from __future__ import annotations

import shlex

import pytest

from istio_mc.domain.hint import (
    Advice,
    Command,
    HintType,
    in_order,
    istio_mc,
    istioctl,
    kubectl,
    rewritten,
    text_of,
    type_of,
)

ODD_NAMES = ["my cluster", "kt's", 'a"b', "$(id)", "a;b", "KT (old)", "-kt", "고양이"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_shell_reads_a_command_as_it_was_made(name: str) -> None:
    assert shlex.split(str(kubectl(name, "get", "pods"))) == ["kubectl", "--context", name, "get", "pods"]
    assert shlex.split(str(istioctl(name, "proxy-config", "listeners", "web.shop"))) == [
        *("istioctl", "--context", name, "proxy-config", "listeners", "web.shop")
    ]
    assert shlex.split(str(istio_mc("link", contexts=["nhn", name]))) == [
        "istio-mc",
        "link",
        "--contexts",
        f"nhn,{name}",
    ]


def test_a_command_of_kubectl_names_its_context() -> None:
    assert kubectl("kt", "get", "pods").context == "kt"


def test_a_command_of_istio_mc_names_contexts_only_where_there_are_any() -> None:
    assert str(istio_mc("tools", "list")) == "istio-mc tools list"


def test_commands_in_order_stop_at_the_first_that_fails() -> None:
    assert str(in_order([kubectl("a", "get", "pods"), kubectl("b b", "get", "pods")])) == (
        "kubectl --context a get pods && kubectl --context 'b b' get pods"
    )
    assert in_order([]) is None


def test_advice_contains_commands_as_a_shell_reads_them() -> None:
    assert str(Advice("see ", kubectl("a b", "get", "pods"), "; then wait")) == (
        "see kubectl --context 'a b' get pods; then wait"
    )


def test_only_a_command_is_told_as_one_that_fixes() -> None:
    command = kubectl("kt", "get", "pods")

    assert (type_of(command), type_of(Advice(command)), type_of(None)) == (
        HintType.COMMAND,
        HintType.MANUAL,
        None,
    )
    assert (text_of(command), text_of(Advice(command)), text_of(None)) == (str(command), str(command), None)


def test_a_command_whose_text_was_changed_is_advice() -> None:
    command = Command(("rm", "secret"))

    assert rewritten(command, str) is command
    assert rewritten(command, lambda text: text.replace("secret", "[removed]")) == Advice("rm [removed]")
