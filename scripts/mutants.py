"""Mutation tests of the verbs that change and delete things: `make mutants`.

Runs mutmut (settings: pyproject.toml) with the operators of scripts/mutation_operators.py. A mutant that
mypy refuses is killed, as it is in `make check`, and not run; what remains is judged by tests, the quickest
first, and those first of all that have killed another mutant of the same function.

tests/survivors.txt lists each mutant that survives, with the reason why tests need not notice it. A survivor
that is not listed fails the run; so do survivors of more than a tenth of the mutants that were run.
"""

from __future__ import annotations

import ast
import json
import os
import resource
import shutil
import sys
import time
from collections import Counter, defaultdict
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import mutmut.__main__
from mutmut.configuration import config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import FailedTypeCheckMutant, MutatedMethodLocation
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.type_checking import run_type_checker
from mutmut.utils.format_utils import get_mutant_name, is_mutated_method_name
from mutmut.workers.isolation import ForkServerRunner

from scripts import mutation_operators

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

_ROOT = Path(__file__).parents[1]
_FOLDER = _ROOT / "mutants"
_KILLERS = _FOLDER / "killers.tsv"
SURVIVORS = _ROOT / "tests" / "survivors.txt"
_MOST = 0.10
_DEADLINE_S = 20
"""How long a verb may run in a test of a mutant that keeps it from ending."""

_TYPE_CHECK = (
    "mypy",
    "--config-file=",
    "--ignore-missing-imports",
    "--follow-imports=silent",
    "--output=json",
)
_ALIVE = {"survived", "no tests"}
_BY_TYPES = "caught by type check"


def _refused_by_types() -> dict[str, FailedTypeCheckMutant]:
    """The mutants that mypy refuses; as mutmut finds them, which takes minutes for files of this size."""
    found: dict[str, FailedTypeCheckMutant] = {}
    with chdir(_FOLDER):
        for error in run_type_checker(config().type_check_command):
            path = error.file_path.relative_to(_FOLDER)
            for place in _mutants_in(path):
                if place.line_number_start <= error.line_number <= place.line_number_end:
                    name = get_mutant_name(path, place.function_name)
                    found[name] = FailedTypeCheckMutant(place, name, error)
                    break
            else:
                raise RuntimeError(f"{path}:{error.line_number}: not of a mutant: {error.error_description}")
    return found


@cache
def _mutants_in(path: Path) -> tuple[MutatedMethodLocation, ...]:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    return tuple(
        MutatedMethodLocation(path, node.name, node.lineno, node.end_lineno or node.lineno)
        for node in functions
        if is_mutated_method_name(node.name)
    )


class _KillerNoted:
    """Notes the first test that fails, with the mutant's function."""

    def __init__(self, mutant: str) -> None:
        self._mutant = mutant

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with _KILLERS.open("a", encoding="utf-8") as file:
                file.write(f"{self._mutant}\t{report.nodeid}\n")


def killers() -> dict[str, str]:
    """Mutant → the test that killed it."""
    lines = _KILLERS.read_text(encoding="utf-8").splitlines() if _KILLERS.exists() else []
    return dict(line.split("\t", 1) for line in lines)


def _function_of(mutant: str) -> str:
    return mutant.rpartition("__mutmut_")[0]


def in_order(mutant: str, tests: Iterable[str]) -> list[str]:
    """Tests that killed another mutant of the same function first, then the quickest."""
    killed = Counter(test for one, test in killers().items() if _function_of(one) == _function_of(mutant))
    return sorted(tests, key=lambda test: (-killed[test], state().duration_by_test.get(test, 0.0)))


def _run_tests(runner: PytestRunner, *, mutant_name: str | None, tests: Iterable[str]) -> int:
    """Runs a mutant's tests, in the process that was forked for it."""
    if mutant_name is None:
        return int(_mutmuts_own(runner, mutant_name=mutant_name, tests=tests))
    if runs := sys.modules.get("tests.support.runs"):
        vars(runs).update(DEADLINE_S=_DEADLINE_S)
    arguments = runner._pytest_args_regular_run(in_order(mutant_name, tests))  # noqa: SLF001 - no door for an order
    os.chdir("mutants")
    return int(runner.execute_pytest(arguments, plugins=[_KillerNoted(mutant_name)]))


_mutmuts_own = PytestRunner.run_tests


def adapt_mutmut() -> None:
    """Has mutmut 3.8.1 do what it has no settings for."""
    mutation_operators.adapt()
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    config().type_check_command = [*_TYPE_CHECK, *config().only_mutate]
    mutmut.__main__.filter_mutants_with_type_checker = _refused_by_types
    PytestRunner.run_tests = _run_tests
    # All tests have just passed once, when it was noted which function each of them runs.
    ForkServerRunner.run_clean_tests = lambda *_, **__: 0


def survivors(results: dict[str, str]) -> dict[str, list[str]]:
    """Each mutant that no test notices, as one line: its function, what stood there, what stands there now.

    Returns:
        Line → the names that mutmut gives such mutants.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for name in (name for name, status in results.items() if status in _ALIVE):
        diff = get_diff_for_mutant(name).splitlines()[2:]
        before, after = (" ".join(line[1:].strip() for line in diff if line[:1] == sign) for sign in "-+")
        found[f"{_function_of(name).removeprefix('istio_mc.')}: {before} → {after}"].append(name)
    return found


def _results() -> dict[str, str]:
    """Status of every mutant, by name."""
    return {
        name: status_by_exit_code[code]
        for path in sorted((_FOLDER / "src").rglob("*.meta"))
        for name, code in json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"].items()
    }


def _listed() -> set[str]:
    """The survivors that were looked at; lines that begin with # are their reasons."""
    lines = SURVIVORS.read_text(encoding="utf-8").splitlines() if SURVIVORS.exists() else []
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def _report(results: dict[str, str], begun: float) -> int:
    alive = survivors(results)
    unlisted = {line: names for line, names in alive.items() if line not in _listed()}
    ran = sum(status not in {_BY_TYPES, "not checked"} for status in results.values())
    count = sum(map(len, alive.values()))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        "\n" + ", ".join(f"{number} {status}" for status, number in Counter(results.values()).most_common())
    )
    print(f"{count} of the {ran} mutants that were run survive ({count / max(1, ran):.1%})")
    print(f"{time.monotonic() - begun:.0f} s, of processors {used.ru_utime + used.ru_stime:.0f} s")
    for name in (name for name, status in results.items() if status in {"timeout", "suspicious", "segfault"}):
        print(f"{results[name]}: {name}")
    for line, names in unlisted.items():
        print(f"not in {SURVIVORS.relative_to(_ROOT)}: {line}   ({names[0]})")
    return int(bool(unlisted) or count > _MOST * ran)


def main() -> int:
    """Runs the mutants and judges what survives; 1 where tests have to be written."""
    begun = time.monotonic()
    if not sys.argv[1:]:
        shutil.rmtree(_FOLDER, ignore_errors=True)
    adapt_mutmut()
    mutmut.__main__.cli(["run", "--max-children", "2", *sys.argv[1:]], standalone_mode=False)
    return _report(_results(), begun)


if __name__ == "__main__":
    sys.exit(main())
