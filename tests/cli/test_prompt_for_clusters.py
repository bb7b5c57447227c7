"""Where no cluster is given, install lists the kubeconfig's contexts on a terminal and asks which."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
import typer

from istio_mc.cli.install import chosen_of
from tests.cli.test_prompts import answered
from tests.support.fake_api import FakeApi, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Ran

pytestmark = pytest.mark.thorough

QUESTION = "separated by commas"
KNOWN = ["kt", "ncloud", "nhn", "my lab", "2"]


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, FakeApi]]:
    """Three clusters in a kubeconfig, in the place where the program looks first, and an istioctl."""
    with FakeApi().serve() as kt, FakeApi().serve() as ncloud, FakeApi().serve() as nhn:
        servers = {"kt": kt, "ncloud": ncloud, "nhn": nhn}
        write_kubeconfig(tmp_path / "config", {name: server.url for name, server in servers.items()})
        message = '{"clientVersion": {"version": "1.26.0"}}'
        (tmp_path / "istioctl").write_text(f"#!/bin/sh\necho '{message}'\n")
        (tmp_path / "istioctl").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        yield servers


def queried_clusters(servers: dict[str, FakeApi]) -> set[str]:
    return {name for name, server in servers.items() if server.calls}


def install(folder: Path, answer: str | signal.Signals, *words: str) -> tuple[int, str]:
    return answered(folder, answer, "install", "--dry-run", "--timeout", "5s", *words, question=QUESTION)


def test_every_context_is_listed_with_its_number_cluster_and_server(
    three: dict[str, FakeApi], tmp_path: Path
) -> None:
    _, screen = install(tmp_path, "\x04")
    rows = [line.split() for line in screen.splitlines() if re.match(r"\d ", line)]
    assert [(row[0], row[1]) for row in rows] == [("1", "kt"), ("2", "ncloud"), ("3", "nhn")]
    assert [row[-1] for row in rows] == [server.url for server in three.values()]


def test_those_of_the_answer_and_no_others_are_worked_on(three: dict[str, FakeApi], tmp_path: Path) -> None:
    _, screen = install(tmp_path, "nhn, 1\n")
    assert queried_clusters(three) == {"kt", "nhn"}
    assert "The same without a prompt: --contexts nhn,kt" in screen


def test_an_unknown_name_prompts_again(three: dict[str, FakeApi], tmp_path: Path) -> None:
    code, screen = install(tmp_path, "kt,elsewhere\n\x04")
    assert "not in the list: elsewhere" in screen
    assert screen.count(QUESTION) == 2
    assert (code, queried_clusters(three)) == (2, set())


def test_ctrl_d_is_no_answer_and_no_cluster_is_taken(three: dict[str, FakeApi], tmp_path: Path) -> None:
    code, screen = install(tmp_path, "\x04")
    assert code == 2
    assert "no cluster is given" in screen
    assert queried_clusters(three) == set()


def test_ctrl_c_is_an_interruption_that_did_nothing(three: dict[str, FakeApi], tmp_path: Path) -> None:
    code, screen = install(tmp_path, signal.SIGINT)
    assert code == 130
    assert "done by then: nothing" in screen
    assert queried_clusters(three) == set()


def test_there_is_no_prompt_where_clusters_are_named(three: dict[str, FakeApi], tmp_path: Path) -> None:
    _, screen = install(tmp_path, "", "--contexts", "ncloud")
    assert QUESTION not in screen
    assert queried_clusters(three) == {"ncloud"}


def test_without_a_terminal_it_is_wrong_usage_that_names_the_contexts(
    three: dict[str, FakeApi], tmp_path: Path, istio_mc: Callable[..., Ran]
) -> None:
    ran = istio_mc("install", "--kubeconfig", str(tmp_path / "config"))
    assert ran.code == 2
    assert "the same command with --contexts kt,ncloud,nhn" in ran.err
    assert queried_clusters(three) == set()


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("kt,nhn", ("kt", "nhn")),
        ("nhn kt", ("nhn", "kt")),
        ("1, 3", ("kt", "nhn")),
        ("my lab,kt", ("my lab", "kt")),
        ("kt,1", ("kt",)),
        ("2", ("2",)),
    ],
)
def test_an_answer_has_names_and_numbers_each_context_once(text: str, chosen: tuple[str, ...]) -> None:
    assert chosen_of(text, KNOWN) == chosen


@pytest.mark.parametrize(("text", "message"), [(" , ", "at least one"), ("0", "not in the list: 0")])
def test_an_answer_that_names_no_context_is_refused(text: str, message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        chosen_of(text, KNOWN)
