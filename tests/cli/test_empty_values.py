"""An option that is given without a value is wrong usage: every option of every verb, also later ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import typer

from istio_mc.cli.app import app
from istio_mc.cli.commands import PATTERN
from tests.cli.test_help import COMMANDS
from tests.conftest import Ran
from tests.support.marks import in_thorough

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Ran]

EMPTY = ("", " \t")
EMPTY_LISTS = (",", "a,,b", "a, ")
ROOT = typer.main.get_command(app)


def options(command: Any) -> list[Any]:  # noqa: ANN401 - Typer's Click is its own
    """The options of a verb that have a value."""
    return [p for p in command.params if p.param_type_name == "option" and not p.is_flag and not p.is_eager]


def refused(done: Ran, name: str, *command: str) -> None:
    assert done.code == 2, done.out + done.err
    (error,) = done.envelope["errors"]
    assert error["code"] == "usage"
    assert name in error["message"]
    assert done.envelope["command"] == " ".join(command)


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("value", [EMPTY[0], *in_thorough(*EMPTY[1:])], ids=repr)
def test_an_option_without_a_value_is_refused_before_anything_is_touched(
    istio_mc: Run, tmp_path: Path, verb: str, value: str
) -> None:
    for option in options(COMMANDS[verb]):
        for name in option.opts:
            refused(
                istio_mc(*verb.split(), name, value, "-o", "json"), max(option.opts, key=len), *verb.split()
            )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_list_with_an_empty_item_is_refused(istio_mc: Run, tmp_path: Path, verb: str) -> None:
    lists = [option for option in options(COMMANDS[verb]) if option.multiple and option.metavar != PATTERN]
    assert "contexts" in [option.name for option in lists]
    for option in lists:
        for value in EMPTY_LISTS:
            refused(
                istio_mc(*verb.split(), option.opts[0], value, "-o", "json"), option.opts[0], *verb.split()
            )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", options(ROOT), ids=lambda option: str(option.opts[0]))
def test_an_option_before_the_verb_is_refused_just_so(istio_mc: Run, option: Any) -> None:  # noqa: ANN401 - as above
    for value in (*EMPTY, *(EMPTY_LISTS if option.multiple else ())):
        refused(istio_mc(option.opts[0], value, "-o", "json", "uninstall", "--dry-run"), option.opts[0], "")


@pytest.mark.parametrize("line", ["tools install", "tools download folder"])
def test_a_tool_without_a_name_is_refused(istio_mc: Run, tmp_path: Path, line: str) -> None:
    refused(istio_mc(*line.split(), "kubectl", "", "-o", "json"), "TOOL", *line.split()[:2])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_to_fill_without_a_name_is_refused(istio_mc: Run, tmp_path: Path) -> None:
    refused(istio_mc("tools", "download", "", "-o", "json"), "DIR", "tools", "download")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [":", " : ", "::"])
def test_a_list_of_kubeconfig_files_without_a_file_is_refused(istio_mc: Run, value: str) -> None:
    refused(istio_mc("uninstall", "--kubeconfig", value, "-o", "json"), "--kubeconfig", "uninstall")


@pytest.mark.parametrize("value", EMPTY, ids=repr)
@pytest.mark.parametrize(
    ("variable", "verb"), [("ISTIO_MC_CONFIG", "uninstall --yes"), ("ISTIO_MC_BIN_DIR", "tools install")]
)
def test_an_empty_environment_variable_of_an_option_is_rejected(
    istio_mc: Run, monkeypatch: pytest.MonkeyPatch, variable: str, verb: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    done = istio_mc(*verb.split(), "-o", "json")
    assert done.code == 2
    assert f"${variable}" in done.envelope["errors"][0]["message"]


@pytest.mark.parametrize(
    ("variable", "line"),
    [
        ("ISTIO_MC_CONFIG", "config show --config m.yaml"),
        ("ISTIO_MC_CONFIG", "--config m.yaml config show"),
        ("ISTIO_MC_CONFIG", "verify --help"),
        ("ISTIO_MC_BIN_DIR", "tools install --bin-dir bin --dry-run"),
        ("ISTIO_MC_BIN_DIR", "config show"),
    ],
)
def test_an_empty_variable_that_is_not_used_does_no_harm(
    istio_mc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, line: str
) -> None:
    (tmp_path / "m.yaml").write_text("apiVersion: istio-mc/v1alpha1\nkind: Mesh\n")
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("{}")
    monkeypatch.setenv(variable, "")
    assert istio_mc(*line.split()).code == 0


def test_all_options_without_a_value_are_reported_together(istio_mc: Run) -> None:
    done = istio_mc("verify", "--only", "", "--contexts", "kt,,nhn", "--config", " ")
    assert done.code == 2
    for message in ("--only: empty value", "--contexts: empty item in 'kt,,nhn'", "--config: empty value"):
        assert message in done.err


def test_help_is_shown_whatever_else_stands_on_the_line(istio_mc: Run) -> None:
    assert istio_mc("uninstall", "--contexts", "", "--help").code == 0


def test_a_line_that_a_shell_is_still_completing_is_no_fault() -> None:
    with ROOT.make_context("istio-mc", ["--contexts", ""], resilient_parsing=True) as context:
        assert context.params["contexts"] is not None
