"""How many clusters are worked on at once where few files may be open: the limits are a real process's."""

from __future__ import annotations

import subprocess
import sys

import pytest

_ASK = """
import resource, sys
soft, hard, clusters = (int(word) for word in sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from istio_mc.domain.problem import InputError
from istio_mc.gateways.host.descriptors import clusters_at_once
try:
    print(clusters_at_once(clusters, 16), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except InputError as error:
    print(error.problems[0].code, error.problems[0].seen, error.problems[0].hint, sep="\\n")
"""


def ask(soft: int, hard: int, clusters: int) -> str:
    words = [sys.executable, "-c", _ASK, str(soft), str(hard), str(clusters)]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout


@pytest.mark.parametrize(("clusters", "at_once"), [(3, 3), (500, 16)])
def test_a_soft_limit_that_suffices_stays_as_it_is(clusters: int, at_once: int) -> None:
    assert ask(1024, 4096, clusters) == f"{at_once} 1024\n"


def test_a_low_soft_limit_is_raised_to_what_is_needed() -> None:
    assert ask(256, 4096, 50) == "16 306\n"


def test_with_a_low_hard_limit_fewer_clusters_are_worked_on_at_once() -> None:
    assert ask(256, 256, 50) == "11 256\n"


def test_a_hard_limit_too_low_for_one_cluster_is_reported_with_the_required_limit() -> None:
    code, seen, hint = ask(256, 256, 200).splitlines()
    assert code == "too-few-open-files"
    assert seen == "at most 256 open files, and the hard limit does not allow more"
    assert "ulimit -n 276" in hint
