"""Requests from the sample's clients while something else happens: made again and again, and counted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.harness import CONTEXTS, command, environment, kubectl, rolled_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_LASTS_S = 1800
"""What is begun in a container ends by itself after this, whatever became of the test."""

_SHELL = "shell"
"""Begins the line that names the process in the container."""

_PAUSE_S = 0.2
_REQUEST = (
    "out=$(curl -s -m 5 -w '|%{http_code}' http://reviews:9080/reviews/1); pod=${out#*reviews-}; "
    'echo "$(date +%T) ${out##*|} ${pod%%-*}"'
)
"""One request to whichever version: a line with the time, the status (000: no response) and the version."""
_LINE = re.compile(r"[\d:]{8} \d{3} \S*")


@contextlib.contextmanager
def again_and_again(
    namespace: str,
    workload: str,
    script: str,
    *,
    context: str = "ncloud",
    pause_s: float = 0.0,
    lasts_s: int = _LASTS_S,
) -> Iterator[Callable[[], list[str]]]:
    """A line of shell in a container, over and over; what ends it, and gives its whole lines.

    Where the container ends, as in a rollout, it goes on in the one that takes its place.
    """
    words = ["kubectl", "--context", context, "-n", namespace, "exec", workload, "--", "sh", "-c"]
    pause = f"; sleep {pause_s}" if pause_s else ""
    loop = (
        f"echo {_SHELL} $$; until=$(($(date +%s) + {lasts_s})); "
        f"while [ $(date +%s) -lt $until ]; do {script}{pause}; done"
    )
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as out:
        over = Path(folder) / "over"
        again: list[str | Path] = [
            "sh",
            "-c",
            'while [ ! -e "$0" ]; do "$@" 2>/dev/null; sleep 0.5; done',
            over,
            *words,
            loop,
        ]
        process = subprocess.Popen(again, stdout=out, env=environment(), start_new_session=True)

        def ended() -> list[str]:
            over.touch()
            out.seek(0)
            shells = [line.split()[1] for line in out if line.startswith(f"{_SHELL} ")]
            # Where kubectl alone is killed, what it began in the container goes on, and takes all the CPU.
            command(*words, f"kill {shells[-1]}" if shells else "true", check=False)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            out.seek(0)
            return [line.strip() for line in out if line.endswith("\n") and not line.startswith(f"{_SHELL} ")]

        try:
            yield ended
        finally:
            if process.poll() is None:
                ended()


@dataclass
class Requests:
    """Requests of the sample's client of each cluster, as far as they have ended.

    Attributes:
        lines: Time, status and version of each, by context.
    """

    lines: dict[str, list[str]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of requests."""
        return sum(map(len, self.lines.values()))

    @property
    def failed(self) -> list[str]:
        """Those without status 200."""
        return [
            f"{name}: {line}"
            for name, lines in self.lines.items()
            for line in lines
            if line.split()[1] != "200"
        ]

    def versions(self, context: str) -> Counter[str]:
        """The number of responses of each version to one cluster."""
        return Counter(line.split()[2] for line in self.lines[context] if line.split()[1] == "200")

    def __str__(self) -> str:
        each = (
            f"{name}: {len(lines)} ({', '.join(f'{v} {n}' for v, n in sorted(self.versions(name).items()))})"
            for name, lines in self.lines.items()
        )
        return f"{self.count} requests, {len(self.failed)} failed; {'; '.join(each)}"


@contextlib.contextmanager
def requests(contexts: Iterable[str] = CONTEXTS) -> Iterator[Requests]:
    """Has the client of each cluster make requests until the block ends; then they can be counted."""
    made = Requests()
    with contextlib.ExitStack() as stack:
        ends = {
            name: stack.enter_context(
                again_and_again("sample", "deploy/sleep", _REQUEST, context=name, pause_s=_PAUSE_S)
            )
            for name in contexts
        }
        yield made
        made.lines |= {name: list(filter(_LINE.fullmatch, end())) for name, end in ends.items()}


GRACEFUL = {
    "spec": {
        "template": {
            "spec": {
                "terminationGracePeriodSeconds": 30,
                "containers": [
                    {"name": "reviews", "lifecycle": {"preStop": {"exec": {"command": ["sleep", "10"]}}}}
                ],
            }
        }
    }
}
"""A workload that goes on until no one sends it requests any more; the sample's own ends at once."""


def graceful(context: str) -> None:
    """Has the version of the sample in a cluster end as workloads of a real mesh do."""
    where = ("-n", "sample")
    (name,) = kubectl(context, "get", "deployments", *where, "-l", "app=reviews", "-o", "name").split()
    kubectl(context, "patch", name, *where, "-p", json.dumps(GRACEFUL))
    rolled_out(context, name, "sample")
