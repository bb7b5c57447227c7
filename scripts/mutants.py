"""Mutation tests of the verbs that change and delete things: `make mutants`.

mutmut (settings: pyproject.toml) makes the mutants, with the operators of scripts/mutation_operators.py. A
mutant that mypy refuses is killed, as it is in `make check`, and not run; what remains is judged by tests, in
two workers (scripts/mutant_worker.py): those first that have killed another mutant of the same function, then
the quickest, until one fails or the budget of the mutant is spent.

tests/survivors.txt lists each mutant that survives, with the reason why tests need not notice it. A survivor
that is not listed fails the run; so do survivors of more than a tenth of the mutants that were run.

Verdicts are kept: a run that was broken off is resumed by the next, and one after a change of tests tries
again what has survived, and what was killed by tests of the files that have changed.
"""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import mutmut.__main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.type_checking import run_type_checker
from mutmut.utils.format_utils import get_mutant_name, is_mutated_method_name

from scripts import mutation_operators

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROOT = Path(__file__).parents[1]
_FOLDER = _ROOT / "mutants"
_KEPT = _ROOT / ".mutants"
_RESULTS = _KEPT / "results.jsonl"
SURVIVORS = _ROOT / "tests" / "survivors.txt"
_COMMON = (
    "src",
    "tests/support",
    "tests/conftest.py",
    "scripts/mutation_operators.py",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements-mutants.lock",
)
"""What every verdict depends on."""
_MOST = 0.10
_WORKERS = 2
_BUDGET_S, _BUDGET_OF_LISTED_S = 20.0, 5.0
"""Seconds of a processor after which no other test begins for a mutant; it then counts as a survivor."""
_PROGRESS_S = 30.0

_TYPE_CHECK = (
    "mypy",
    "--config-file=",
    "--ignore-missing-imports",
    "--follow-imports=silent",
    "--output=json",
)
_REFUSED, _KILLED, _NO_END = "refused by mypy", "killed", "no end"
_SURVIVED, _NO_TESTS = "survived", "no test"


# --- what there is


def _make() -> list[str]:
    """Writes the mutated sources, with a copy of all that tests need; returns the mutants' names."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir()
    mutation_operators.adapt()
    mutmut.set_mutant_under_test("mutant_generation")
    with mutmut.CatchOutput():
        mutmut.copy_src_dir()
        mutmut.copy_also_copy_files()
        mutmut.create_mutants(_WORKERS)
    _, by_path = mutmut.collect_source_file_mutation_data(mutant_names=())
    return sorted(name for data in by_path.values() for name in data.exit_code_by_key)


def _refused_by_types() -> set[str]:
    """The mutants that mypy refuses; mutmut's own way takes minutes to find them in files of this size."""
    found: set[str] = set()
    with chdir(_FOLDER):
        for error in run_type_checker([*_TYPE_CHECK, *config().only_mutate]):
            path = error.file_path.relative_to(_FOLDER)
            place = next((one for one in _mutants_in(path) if one[1] <= error.line_number <= one[2]), None)
            if place is None:
                raise RuntimeError(f"{path}:{error.line_number}: not of a mutant: {error.error_description}")
            found.add(get_mutant_name(path, place[0]))
    return found


@cache
def _mutants_in(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, first and last line of each mutant's function."""
    return tuple(
        (node.name, node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and is_mutated_method_name(node.name)
    )


def _function_of(mutant: str) -> str:
    return mutant.rpartition("__mutmut_")[0]


def _module_of(mutant: str) -> str:
    return mutant.rpartition(".")[0].removeprefix("istio_mc.")


# --- what is known of them


@dataclass
class _Results:
    """Verdicts by mutant, kept in a file for a run that resumes.

    Attributes:
        status: By mutant.
        killers: How many mutants of a function each test has killed.
    """

    status: dict[str, str] = field(default_factory=dict)
    killers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @classmethod
    def kept(cls) -> _Results:
        """Those of runs before this one that still hold."""
        for path in (_ROOT / "tests").rglob("test_*.py"):  # as they are now, not when a verdict is kept
            _depends(str(path.relative_to(_ROOT)))
        _depends(None)
        results = cls()
        lines = _RESULTS.read_text(encoding="utf-8").splitlines() if _RESULTS.exists() else []
        for entry in map(json.loads, lines):
            if entry["depends"] == _depends(entry.get("killer")):
                results._take(entry)
        return results

    def add(self, mutant: str, status: str, verdict: dict[str, Any] | None = None) -> None:
        """Keeps a verdict."""
        entry = {**(verdict or {}), "mutant": mutant, "status": status}
        entry["depends"] = _depends(entry.get("killer"))
        with _RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        self.status[entry["mutant"]] = entry["status"]
        if entry.get("killer"):
            self.killers[_function_of(entry["mutant"])][entry["killer"]] += 1


@cache
def _digest(*names: str) -> str:
    """A digest of files, and of all files of folders."""
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        path = _ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file != SURVIVORS and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(_ROOT)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _depends(killer: str | None) -> str:
    """A digest of what a verdict depends on: the file of the test that failed; where none did, all tests."""
    return _digest(*_COMMON) + _digest(killer.partition("::")[0] if killer else "tests")


# --- judging them


def _there(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("a process was started without pipes")
    return pipe


class _Worker:
    """A process of scripts/mutant_worker.py.

    Attributes:
        tests: What each test of its share does without a mutant.
        built: Functions that make the states which tests of the stand-in mesh begin with.
    """

    def __init__(self, number: int) -> None:
        given = [*config().pytest_add_cli_args, *config().pytest_add_cli_args_test_selection]
        self._log = (_KEPT / f"worker-{number}.log").open("w", encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.mutant_worker", str(number), str(_WORKERS), *given],
            cwd=_FOLDER,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_FOLDER / "src"), str(_FOLDER)])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._process, self._orders, self._answers = process, _there(process.stdin), _there(process.stdout)
        self.tests: dict[str, dict[str, Any]] = {}
        self.built: set[str] = set()

    def read_answers(self) -> None:
        """Waits until its share of the tests has run once."""
        self.tests = self._read()["tests"]
        self.built = set(self._read()["built"])

    def judge(self, mutant: str, tests: list[str], budget_s: float, *, fresh: bool = False) -> dict[str, Any]:
        """The worker's verdict on a mutant."""
        order = {"mutant": mutant, "tests": tests, "fresh": fresh, "budget_s": budget_s}
        self._orders.write(json.dumps(order) + "\n")
        self._orders.flush()
        return self._read()

    def end(self) -> None:
        """Has it end."""
        self._orders.close()
        self._process.wait()
        self._log.close()

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"a worker ended: see {self._log.name}")
        found: dict[str, Any] = json.loads(line)
        return found


class _Run:
    """One run over mutants that have no verdict yet."""

    def __init__(
        self, mutants: set[str], results: _Results, tests: dict[str, dict[str, Any]], built: set[str]
    ) -> None:
        self._results = results
        self._left = iter(sorted(mutants))
        self._listed = _listed_among(mutants)
        self._lock = threading.Lock()
        self._tests = tests
        self._built = built
        self._by_function: dict[str, list[str]] = defaultdict(list)
        for name, seen in self._tests.items():
            for function in () if seen["failure"] else seen["functions"]:
                self._by_function[function].append(name)
        self._restoring = [
            name for name, seen in self._tests.items() if seen["restores"] and not seen["failure"]
        ]

    def work(self, worker: _Worker) -> None:
        """Has a worker judge mutants until none is left."""
        while True:
            with self._lock:
                mutant = next(self._left, None)
            if mutant is None:
                return
            status, verdict = self._judged(worker, mutant)
            with self._lock:
                self._results.add(mutant, status, verdict)

    def _judged(self, worker: _Worker, mutant: str) -> tuple[str, dict[str, Any] | None]:
        function = _function_of(mutant)
        tests, fresh = self._by_function[function], function in self._built
        if not tests and not fresh:
            return _NO_TESTS, None
        budget_s = _BUDGET_OF_LISTED_S if mutant in self._listed else _BUDGET_S
        verdict = worker.judge(mutant, self._in_order(function, tests), budget_s)
        if fresh and verdict["ended"] and not verdict["killer"]:
            ran = verdict["ran"]
            verdict = worker.judge(mutant, self._in_order(function, self._restoring), budget_s, fresh=True)
            verdict["ran"] += ran
        if not verdict["ended"]:
            return _NO_END, verdict
        return _KILLED if verdict["killer"] else _SURVIVED, verdict

    def _in_order(self, function: str, tests: list[str]) -> list[str]:
        """Tests that killed another mutant of the same function first, then the quickest."""
        with self._lock:
            killed = self._results.killers[function].copy()
        return sorted(tests, key=lambda test: (-killed[test], self._tests[test]["seconds"]))


# --- what is told of them


def _progress(results: _Results, chosen: set[str], over: threading.Event) -> None:
    """Prints how far the run is, from time to time."""
    began, at_first = time.monotonic(), len(results.status)
    while not over.wait(_PROGRESS_S):
        done = sum(name in chosen for name in list(results.status))
        alive = sum(status in {_SURVIVED, _NO_TESTS} for status in list(results.status.values()))
        spent = time.monotonic() - began
        left = spent * (len(chosen) - done) / max(1, len(results.status) - at_first)
        so_far = f"{done:,} of {len(chosen):,}, {alive} survive"
        print(f"{so_far}; {spent:.0f} s, about {left:.0f} s left", flush=True)


def _lines(names: Iterable[str]) -> dict[str, list[str]]:
    """Mutants as tests/survivors.txt has them: function, what stood there, what stands there now.

    Returns:
        Line → the names that mutmut gives such mutants.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        diff = get_diff_for_mutant(name).splitlines()[2:]
        before, after = (" ".join(line[1:].strip() for line in diff if line[:1] == sign) for sign in "-+")
        found[f"{_function_of(name).removeprefix('istio_mc.')}: {before} → {after}"].append(name)
    return found


def _listed() -> set[str]:
    """The survivors that were looked at; lines that begin with # are their reasons."""
    lines = SURVIVORS.read_text(encoding="utf-8").splitlines() if SURVIVORS.exists() else []
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def _listed_among(mutants: Iterable[str]) -> set[str]:
    """Those mutants that tests/survivors.txt has."""
    listed = _listed()
    functions = {line.partition(":")[0] for line in listed}
    candidates = [name for name in mutants if _function_of(name).removeprefix("istio_mc.") in functions]
    return {name for line, names in _lines(candidates).items() if line in listed for name in names}


def _table(status: dict[str, str]) -> Iterator[str]:
    columns = (_REFUSED, _KILLED, _SURVIVED, _NO_TESTS, _NO_END)
    yield f"{'module':32}{'mutants':>9}" + "".join(f"{column:>17}" for column in columns)
    modules = sorted({_module_of(name) for name in status})
    for module in [*modules, ""]:
        counts = Counter(one for name, one in status.items() if not module or _module_of(name) == module)
        row = "".join(f"{counts[column]:>17}" for column in columns)
        yield f"{module or 'all':32}{counts.total():>9}{row}"


def _report(status: dict[str, str], failing: dict[str, str], began: float) -> int:
    alive = _lines(name for name, one in status.items() if one in {_SURVIVED, _NO_TESTS})
    unlisted = {line: names for line, names in alive.items() if line not in _listed()}
    ran = sum(one != _REFUSED for one in status.values())
    count = sum(map(len, alive.values()))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print("", *_table(status), sep="\n")
    print(f"\n{count} of the {ran:,} mutants that were run survive ({count / max(1, ran):.1%})")
    cpu_s = sum(one.ru_utime + one.ru_stime for one in used)
    print(f"{time.monotonic() - began:.0f} s, of processors {cpu_s:.0f} s")
    for name in (name for name, one in status.items() if one == _NO_END):
        print(f"{_NO_END}: {name}")
    for test, failure in failing.items():
        print(f"fails without a mutant: {test}\n{failure}")
    for line, names in unlisted.items():
        print(f"not in {SURVIVORS.relative_to(_ROOT)}: {line}   ({names[0]})")
    functions = {_function_of(name).removeprefix("istio_mc.") for name in status}
    for line in sorted(_listed() - alive.keys()):
        if line.partition(":")[0] in functions:
            print(f"listed in {SURVIVORS.relative_to(_ROOT)}, but does not survive: {line}")
    return int(bool(unlisted or failing) or count > _MOST * ran)


def _judge(chosen: set[str], results: _Results) -> dict[str, str]:
    """Finds the verdicts that are missing; returns the tests that fail without any mutant, and why."""
    workers = [_Worker(number) for number in range(_WORKERS)]
    for name in _refused_by_types() & chosen - results.status.keys():
        results.add(name, _REFUSED)
    over = threading.Event()
    with ThreadPoolExecutor(_WORKERS + 1) as pool:
        list(pool.map(_Worker.read_answers, workers))
        tests = {name: seen for worker in workers for name, seen in worker.tests.items()}
        failing = {name: seen["failure"] for name, seen in tests.items() if seen["failure"]}
        print(f"{len(tests):,} tests have run once", flush=True)
        pool.submit(_progress, results, chosen, over)
        try:
            built = set.union(*(worker.built for worker in workers))
            run = _Run(chosen - results.status.keys(), results, tests, built)
            list(pool.map(run.work, workers))
        finally:
            over.set()
            for worker in workers:
                worker.end()
    return failing


def main() -> int:
    """Runs the mutants and judges what survives; 1 where tests have to be written."""
    began, patterns = time.monotonic(), sys.argv[1:] or ["*"]
    os.chdir(_ROOT)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    _KEPT.mkdir(exist_ok=True)
    results = _Results.kept()
    chosen = {name for name in _make() if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)}
    print(f"{len(chosen):,} mutants, {len(chosen & results.status.keys()):,} judged before", flush=True)
    failing = _judge(chosen, results) if chosen - results.status.keys() else {}
    return _report({name: results.status[name] for name in sorted(chosen)}, failing, began)


if __name__ == "__main__":
    sys.exit(main())
