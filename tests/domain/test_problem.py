"""Problems: whether a hint mends when it is pasted."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import istio_mc
from istio_mc.domain.problem import TO_FILL_IN, HintType, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("istio-mc ", "kubectl ", "istioctl ")


def kind(hint: str | None) -> HintType | None:
    return Problem(code="c", message="m", hint=hint).hint_type


@pytest.mark.parametrize(
    "hint",
    [
        "istio-mc install --contexts kt,ncloud,nhn",
        "istio-mc link --prune --yes --contexts kt,nhn",
        "kubectl --context kt -n istio-system rollout restart deployment istiod",
        "kubectl --context kt label namespace istio-system topology.istio.io/network=network1 --overwrite",
        "istio-mc install --contexts PROD,STAGE_2",
        "kubectl --context DEV -n istio-system rollout restart deployment istiod",
        "KUBECONFIG=a:b /home/me/bin/istioctl install --context kt -f /tmp/x.yaml",
    ],
)
def test_a_command_that_is_whole_and_changes_something_mends(hint: str) -> None:
    assert kind(hint) is HintType.COMMAND


@pytest.mark.parametrize(
    "hint",
    [
        "istio-mc address --set kt=ADDRESS",
        "istio-mc install --contexts kt --certs-dir FOLDER --replace-ca CONTEXT",
        "kubectl patch storageclass NAME -p x",
        "istio-mc ca init --root-cert …",
        "kubectl --context kt get --raw /readyz",
        "kubectl --context kt -n istio-system logs istiod-1 | grep nhn",
        "istio-mc verify --verbose",
        "istio-mc --help",
        "let nhn leave its mesh and join anew",
        "istio-mc address --set kt=198.51.100.7\n(it forwards to its nodePorts)",
    ],
)
def test_what_wants_a_person_does_not(hint: str) -> None:
    assert kind(hint) is HintType.MANUAL


@pytest.mark.parametrize("name", ["my cluster", "kt's", "$(id)", "a;b", "kt (old)"])
def test_a_name_that_a_shell_would_take_apart_is_quoted_once(name: str) -> None:
    hint = f"kubectl --context {name} get --raw /readyz"

    first = Problem(code="c", message="m", cluster=name, hint=hint)
    again = replace(first, docs="d").on(name)

    for problem in (first, again):
        assert shlex.split(problem.hint or "") == ["kubectl", "--context", name, "get", "--raw", "/readyz"]


def commands() -> Iterator[str]:
    """The beginnings of texts in the source that are commands of hints."""
    for path in Path(istio_mc.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                texts = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
                if isinstance(texts[0] if texts else None, str) and texts[0].startswith(PROGRAMS):
                    yield " ".join(map(str, texts))


def test_whatever_a_hint_has_a_person_put_in_is_known_as_such() -> None:
    found = [word for text in commands() for word in re.findall(r"(?<![\w$./-])[A-Z]{3,}(?![\w./:-])", text)]

    assert found
    assert set(found) <= TO_FILL_IN


def test_no_hint_is_of_no_kind() -> None:
    assert kind(None) is None
