"""The two sides and the floor: one timed run each, and the proof that its mesh works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from benchmarks import documents, matrix
from benchmarks.measured import ALONE, INSTALL, SCRIPTS, Round
from benchmarks.timing import progress_steps, published_steps
from lab import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.timing import Step

CONTEXTS = tuple(cluster.name for cluster in settings.CLUSTERS)
ISTIO_MC = Path(sys.executable).with_name("istio-mc")
_SCRIPT = Path(__file__).with_name("published.sh")
_DEADLINE_S = 600
_TAIL = 1200


@dataclass(frozen=True)
class _Ran:
    seconds: float
    steps: tuple[Step, ...]
    fault: str


def scripts(folder: Path, busy: float, step: Path) -> Round:
    """Run the guide's sequence over the three clusters."""
    _write_documents(folder)
    mesh = documents.settings_of(yaml.safe_load(settings.MESH.read_text(encoding="utf-8")))
    log = folder / "steps"
    addresses = [f"{context}={address}" for context, address in mesh.addresses.items()]
    words = ["bash", "-c", 'exec "$@" 3>"$STEPS"', "bash", "bash", str(_SCRIPT)]
    words += [str(folder), mesh.gateway_api, *addresses]
    ran = _timed(words, {"STEP": str(step), "STEPS": str(log)})
    steps = tuple(published_steps(log.read_text(encoding="utf-8"))) if log.exists() else ()
    return _round(SCRIPTS, _Ran(ran.seconds, steps, ran.fault), busy, _proved(CONTEXTS, ran.fault))


def install(folder: Path, busy: float) -> Round:
    """Run `istio-mc install` over the three clusters."""
    ran = _install(folder, CONTEXTS)
    return _round(INSTALL, ran, busy, _proved(CONTEXTS, ran.fault))


def alone(folder: Path, busy: float) -> Round:
    """Run `istio-mc install` for one cluster: less than this no way of joining three can take."""
    return _round(ALONE, _install(folder, CONTEXTS[-1:]), busy, ())


def _install(folder: Path, contexts: Sequence[str]) -> _Ran:
    named = ["--contexts", ",".join(contexts), "--certs-dir", str(folder / "certs")]
    return _timed([str(ISTIO_MC), "install", *named], {})


def _timed(words: Sequence[str], more: dict[str, str]) -> _Ran:
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, **more},
            timeout=_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Ran(float(_DEADLINE_S), (), f"not done after {_DEADLINE_S} s")
    seconds = time.perf_counter() - begin
    fault = ""
    if done.returncode:
        fault = f"exit code {done.returncode}: {done.stderr.strip()[-_TAIL:]}"
    return _Ran(seconds, tuple(progress_steps(done.stderr)), fault)


def _round(side: str, ran: _Ran, busy: float, faults: Sequence[str]) -> Round:
    found = (*((ran.fault,) if ran.fault else ()), *faults)
    return Round(side, ran.seconds, ran.steps, busy, found)


def _proved(contexts: Sequence[str], fault: str) -> list[str]:
    """Deploy the sample and look at its matrix; what is wrong with it."""
    if fault:
        return []
    named = ["--contexts", ",".join(contexts), "--no-progress", "-o", "json"]
    deployed = _timed([str(ISTIO_MC), "sample", "deploy", *named], {})
    if deployed.fault:
        return [f"sample deploy: {deployed.fault}"]
    done = subprocess.run(
        [ISTIO_MC, "sample", "test", *named],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    try:
        return matrix.faults(json.loads(done.stdout), contexts)
    except ValueError:
        return [f"sample test: exit code {done.returncode}: {done.stderr.strip()[-_TAIL:]}"]


def _write_documents(folder: Path) -> None:
    """Write what the guide's scripts write before they start; numbered as kubectl lists the contexts."""
    mesh = documents.settings_of(yaml.safe_load(settings.MESH.read_text(encoding="utf-8")))
    listed = sorted(settings.CLUSTERS, key=lambda cluster: cluster.name)
    for number, cluster in enumerate(listed, start=1):
        network = f"network{number}"
        both = {
            "control-plane": documents.control_plane(mesh, cluster.cluster, network),
            "gateway": documents.gateway(mesh, cluster.cluster, network),
        }
        for name, document in both.items():
            path = folder / f"{cluster.name}-{name}.yaml"
            path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    path = folder / "expose.yaml"
    path.write_text(yaml.safe_dump(documents.expose(), sort_keys=False), encoding="utf-8")
