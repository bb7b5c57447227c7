"""The forms of output that verify alone has, on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import typer

from istio_mc.cli.app import app
from istio_mc.cli.edge import VERIFY_FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TREE: Any = typer.main.get_command(app)


def leaves(command: Any, *path: str) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - Typer's, whose types are private
    """Every verb as it is called, with a word for each argument that it must have."""
    if inner := getattr(command, "commands", None):
        for name, one in inner.items():
            yield from leaves(one, *path, name)
    elif path != ("verify",):
        value = "bash" if path == ("completion",) else "x"
        one_of = ("--back",) if path == ("upgrade",) else ()
        yield (*path, *one_of, *(value for parameter in command.params if parameter.required))


OTHERS = list(leaves(TREE))


@pytest.mark.parametrize("words", OTHERS, ids=" ".join)
def test_another_verb_refuses_them(istio_mc: Callable[..., Any], words: tuple[str, ...]) -> None:
    ran = istio_mc(*words, "-o", "junit")
    assert (ran.code, ran.out) == (2, "")
    assert "--output: junit is for verify only; use table, json" in ran.err


def test_verify_refuses_what_is_no_form(istio_mc: Callable[..., Any]) -> None:
    ran = istio_mc("verify", "-o", "xml")
    assert ran.code == 2
    assert '--output: unknown format "xml"; use table, json, yaml, short, junit or github' in ran.err


@pytest.mark.parametrize("form", VERIFY_FORMATS)
def test_help_names_each(istio_mc: Callable[..., Any], form: str) -> None:
    assert form in istio_mc("verify", "--help").out


def test_a_run_that_cannot_start_is_reported_in_short(istio_mc: Callable[..., Any], tmp_path: Path) -> None:
    ran = istio_mc("verify", "--kubeconfig", tmp_path / "none", "-o", "short")
    assert (ran.code, ran.err) == (2, "")
    assert ran.out.startswith("error[")


def test_a_run_that_cannot_begin_is_an_error_in_junit(istio_mc: Callable[..., Any], tmp_path: Path) -> None:
    ran = istio_mc("verify", "--kubeconfig", tmp_path / "none", "-o", "junit")
    assert (ran.code, ET.fromstring(ran.out.encode()).get("errors")) == (2, "1")  # noqa: S314 - our own


def test_a_run_that_cannot_begin_is_an_annotation_for_github(
    istio_mc: Callable[..., Any], tmp_path: Path
) -> None:
    ran = istio_mc("verify", "--kubeconfig", tmp_path / "none", "-o", "github")
    assert (ran.code, ran.err) == (2, "")
    assert ran.out.startswith("::error title=")
