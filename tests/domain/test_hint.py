"""Hints: commands that can be pasted unchanged, and advice."""

from __future__ import annotations

import shlex

import pytest

from istio_mc.domain.hint import (
    Advice,
    Command,
    HintType,
    RunOptions,
    in_order,
    istio_mc,
    istioctl,
    kubectl,
    on_this_machine,
    rewritten,
    type_of,
    with_options,
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


def test_a_suggested_command_has_contexts_only_if_there_are_any() -> None:
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


def test_only_a_command_is_reported_as_a_fix() -> None:
    command = kubectl("kt", "get", "pods")

    assert (type_of(command), type_of(Advice(command)), type_of(None)) == (
        HintType.COMMAND,
        HintType.MANUAL,
        None,
    )


def test_a_command_whose_text_was_changed_is_advice() -> None:
    command = Command(("rm", "secret"))

    assert rewritten(command, str) is command
    assert rewritten(command, lambda text: text.replace("secret", "[removed]")) == Advice("rm [removed]")


class TestOptionsOfTheRun:
    """A hint of a run with --kubeconfig or --config acts on the clusters of that run."""

    OPTIONS = RunOptions("a b.yaml:kt.yaml", "prod/mesh.yaml")

    def test_kubectl_and_istioctl_get_the_kubeconfig(self) -> None:
        assert str(with_options(kubectl("kt", "get", "pods"), self.OPTIONS)) == (
            "KUBECONFIG='a b.yaml:kt.yaml' kubectl --context kt get pods"
        )
        listeners = istioctl("kt", "proxy-config", "listeners", "web.shop")
        assert str(with_options(listeners, self.OPTIONS)).startswith(
            "KUBECONFIG='a b.yaml:kt.yaml' istioctl "
        )

    def test_istio_mc_gets_the_kubeconfig_and_the_settings(self) -> None:
        assert str(with_options(istio_mc("link", contexts=["kt"]), self.OPTIONS)) == (
            "istio-mc link --contexts kt --config prod/mesh.yaml --kubeconfig 'a b.yaml:kt.yaml'"
        )

    def test_what_a_command_has_already_is_not_repeated(self) -> None:
        given = istio_mc("install", "--kubeconfig", "x", "--config=y")
        assert with_options(given, self.OPTIONS) == given

    def test_commands_that_touch_no_cluster_get_no_kubeconfig(self) -> None:
        assert with_options(on_this_machine("chmod", "600", "k"), self.OPTIONS) == (
            on_this_machine("chmod", "600", "k")
        )
        assert "--kubeconfig" not in str(with_options(istio_mc("tools", "install", "kubectl"), self.OPTIONS))
        assert with_options(istio_mc("link", "--help"), RunOptions(None, "m")) == istio_mc("link", "--help")

    def test_each_of_several_commands_gets_them(self) -> None:
        both = in_order([kubectl("a", "get", "pods"), kubectl("b", "get", "pods")])
        assert str(with_options(both, RunOptions("k"))) == (
            "KUBECONFIG=k kubectl --context a get pods && KUBECONFIG=k kubectl --context b get pods"
        )

    def test_a_command_in_advice_gets_them(self) -> None:
        hint = with_options(Advice("see ", kubectl("kt", "get", "pods"), "; wait"), RunOptions("k"))
        assert str(hint) == "see KUBECONFIG=k kubectl --context kt get pods; wait"

    def test_without_options_a_hint_stays_as_it_is(self) -> None:
        command = kubectl("kt", "get", "pods")
        assert with_options(command, RunOptions()) is command
        assert with_options(None, self.OPTIONS) is None

    @pytest.mark.parametrize("path", ["/dev/fd/63", "/proc/self/fd/12"])
    def test_a_kubeconfig_that_can_be_read_once_makes_advice_of_a_command(self, path: str) -> None:
        hint = with_options(istio_mc("link", contexts=["kt"]), RunOptions(path))
        assert isinstance(hint, Advice)
        assert str(hint) == "with the kubeconfig of this run: istio-mc link --contexts kt"
