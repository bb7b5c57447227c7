"""Mutation tests of the verbs that change and delete things: `make mutants`.

Runs mutmut (settings: pyproject.toml) without two kinds of mutation: of texts, and of calls that only make
messages. tests/survivors.txt lists each mutant that survives, with the reason why tests need not notice it.
A survivor that is not listed fails the run; so do survivors of more than a tenth of all mutants.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import libcst as cst
from mutmut.__main__ import cli
from mutmut.mutation import file_mutation, mutators
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

_ROOT = Path(__file__).parents[1]
SURVIVORS = _ROOT / "tests" / "survivors.txt"
_MOST = 0.10
_MESSAGES = {"Problem", "Event", "Advice", "Command", "ProblemError", "InputError", "tell"}
"""Calls whose arguments are what people read."""

_TEXTS = (cst.SimpleString, cst.FormattedString, cst.ConcatenatedString)
_ALIVE = {"survived", "no tests"}


def _argument_removal(node: cst.Call) -> list[cst.CSTNode]:
    if any(isinstance(argument.value, _TEXTS) for argument in node.args):
        return []
    return list(mutators.operator_arg_removal(node))


def leave_texts_alone() -> None:
    """Takes mutations of texts out of mutmut's operators (mutmut 3.8.1 has no setting for that)."""
    kept = [
        (kind, _argument_removal if operator is mutators.operator_arg_removal else operator)
        for kind, operator in mutators.mutation_operators
        if operator is not mutators.operator_string
    ]
    file_mutation.mutation_operators = kept
    file_mutation.NEVER_MUTATE_FUNCTION_CALLS |= _MESSAGES


def survivors(results: dict[str, str]) -> dict[str, list[str]]:
    """Each mutant that no test notices, as one line: its function, what stood there, what stands there now.

    Returns:
        Line → the names that mutmut gives such mutants.
    """
    found: dict[str, list[str]] = {}
    for name in (name for name, status in results.items() if status in _ALIVE):
        diff = get_diff_for_mutant(name).splitlines()[2:]
        before, after = (" ".join(line[1:].strip() for line in diff if line[:1] == sign) for sign in "-+")
        function = name.rpartition("__mutmut_")[0].removeprefix("istio_mc.")
        found.setdefault(f"{function}: {before} → {after}", []).append(name)
    return found


def _results() -> dict[str, str]:
    """Status of every mutant, by name."""
    return {
        name: status_by_exit_code[code]
        for path in sorted(Path("mutants/src").rglob("*.meta"))
        for name, code in json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"].items()
    }


def _listed() -> set[str]:
    """The survivors that were looked at; lines that begin with # are their reasons."""
    lines = SURVIVORS.read_text(encoding="utf-8").splitlines() if SURVIVORS.exists() else []
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def main() -> int:
    """Runs the mutants and judges what survives; 1 where tests have to be written."""
    leave_texts_alone()
    cli(["run", *sys.argv[1:]], standalone_mode=False)
    results = _results()
    alive = survivors(results)
    unlisted = {line: names for line, names in alive.items() if line not in _listed()}
    count = sum(map(len, alive.values()))
    print(
        "\n" + ", ".join(f"{number} {status}" for status, number in Counter(results.values()).most_common())
    )
    print(f"{count} of {len(results)} mutants survive ({count / max(1, len(results)):.1%})")
    for line, names in unlisted.items():
        print(f"not in {SURVIVORS.relative_to(_ROOT)}: {line}   ({names[0]})")
    return int(bool(unlisted) or count > _MOST * len(results))


if __name__ == "__main__":
    sys.exit(main())
