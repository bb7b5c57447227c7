"""Which CAs are of use to istiod is as Go says it: hundreds of them, judged by Go itself."""

from __future__ import annotations

import fcntl
import json
import subprocess
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.pki import cacerts
from lab import settings
from lab.binaries import Tool
from lab.golang import Go, required, source_version
from tests.support.mutated_cas import mutations
from tests.support.odd_cas import Case, cases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
JUDGE = Path(__file__).parents[1] / "support" / "gojudge"

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def judge() -> Path:
    """The program that asks Go, built with the machine's own Go or, where there is none, the lab's.

    It is built once for each state of its source and kept in the lab's cache: Go compiles its packages too.
    """
    version = f"{source_version(JUDGE)}-go{required(JUDGE, 'go')}"
    tool = Tool("gojudge", "gojudge", version, JUDGE, ".")
    program = tool.path(settings.cache())
    program.parent.mkdir(parents=True, exist_ok=True)
    with program.with_suffix(".lock").open("w") as lock:  # workers of one run share it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            Go(settings.cache(), tool.module).build(tool.package, tool.ldflags, program)
    return program


def judged(judge: Path, given: Sequence[Case]) -> Mapping[str, str]:
    """Why Go refuses each; empty where it does not."""
    lines = [
        json.dumps(
            {"name": case.name, "time": int(NOW.timestamp())}
            | {name: b64encode(content).decode() for name, content in case.files.files().items()}
        )
        for case in given
    ]
    done = subprocess.run(
        [judge], input="\n".join(lines), capture_output=True, text=True, check=True, timeout=300
    )
    return {line["name"]: line["why"] for line in map(json.loads, done.stdout.splitlines())}


def test_istiod_accepts_exactly_what_go_accepts(judge: Path) -> None:
    given = cases()
    go = judged(judge, given)
    assert len(go) == len(given) > 500

    wrong = []
    for case in given:
        ours = [f"{fault.code}: {fault.seen}" for fault in cacerts.faults(case.files, NOW)]
        if bool(ours) != (bool(go[case.name]) or bool(case.stricter)):
            wrong.append(f"{case.name}: ours: {ours}; Go: {go[case.name] or 'accepts it'}")

    assert wrong == []


def test_no_certificate_that_go_rejects_passes_as_a_ca_for_istiod(judge: Path) -> None:
    """Bytes of certificates changed by chance: what is malformed in whatever way is seen."""
    given = list(mutations(2000))
    go = judged(judge, given)

    taken = [case.name for case in given if go[case.name] and not cacerts.faults(case.files, NOW)]

    assert {name: go[name] for name in taken} == {}
    assert sum(not why for why in go.values()) > 100, "some of them are of use to istiod, or nothing is shown"


def test_certificates_rejected_only_for_proxies_are_accepted_by_go(judge: Path) -> None:
    given = [case for case in cases() if case.stricter]

    assert {name: why for name, why in judged(judge, given).items() if why} == {}
