"""A fault of the mesh, made for real: what verify must say of it, and how it is mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.harness import environment, kubectl

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Result, Site

Where = tuple[str, str | None, str | None]
"""Id of a check, context, and the other context of a pair; None for both: the mesh."""

_REPORTED_WITHIN_S = 75.0
_REPAIRED_WITHIN_S = 120.0


@dataclass(frozen=True)
class Fault:
    """One way to break the mesh.

    Attributes:
        name: What is wrong, in a few words.
        roots: The checks that must be told as root causes, and no other.
        make: Breaks it.
        undo: Takes it back, where only a person can; None: the hint is a command, and mends it.
        remains: Root causes that remain until `tidy`: what was done to make it is no setting of the mesh.
        tidy: Puts back what was done to make it, and is no fault: verify is green without.
    """

    name: str
    roots: frozenset[Where]
    make: Callable[[Site], object]
    undo: Callable[[Site], object] | None = None
    tidy: Callable[[Site], object] | None = None
    remains: frozenset[Where] = frozenset()

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def of(check: str, cluster: str | None = None, peer: str | None = None) -> Where:
    """A check and what it is asked of."""
    return check, cluster, peer


def fault(
    name: str,
    *roots: Where,
    make: Callable[[Site], object],
    undo: Callable[[Site], object] | None = None,
    tidy: Callable[[Site], object] | None = None,
    remains: tuple[Where, ...] = (),
) -> Fault:
    """One way to break the mesh."""
    return Fault(name, frozenset(roots), make, undo, tidy, frozenset(remains))


def verified(site: Site) -> Result:
    """What verify says."""
    return site.run("verify", "-o", "json")


def roots_of(result: Result) -> frozenset[Where]:
    """The root causes it names."""
    return frozenset((r["id"], r["cluster"], r["peer"]) for r in result.data["rootCauses"])


def until_reported(site: Site, desired: frozenset[Where]) -> Result:
    """What verify says once it names these root causes; istiods and proxies notice some faults late."""
    deadline = time.monotonic() + _REPORTED_WITHIN_S
    while True:
        result = verified(site)
        if roots_of(result) == desired or time.monotonic() > deadline:
            return result
        time.sleep(1.5)


def until_well(site: Site) -> None:
    """Waits until verify is green."""
    result = site.run(
        "verify", "--wait", f"{_REPAIRED_WITHIN_S:.0f}s", "-o", "json", timeout_s=_REPAIRED_WITHIN_S + 60
    )
    assert roots_of(result) == frozenset(), describe_faults(result)
    result.exits(0)


def describe_faults(result: Result) -> str:
    """The root causes with what was seen, for whoever reads a test that failed."""
    return "\n".join(
        f"{c['id']} {c['cluster']} → {c['peer']}: {c['seen']} because of {c['causedBy']}"
        for c in result.data["checks"]
        if c["verdict"] != "ok" and c["severity"] == "error"
    )


def problems_of(result: Result, roots: frozenset[Where]) -> list[dict[str, Any]]:
    """The problems of root causes."""
    return [
        c["problem"]
        for c in result.data["checks"]
        if (c["id"], c["cluster"], c["peer"]) in roots and c["problem"]
    ]


def without_a_cause(result: Result, roots: frozenset[Where]) -> list[str]:
    """Errors that are no root cause and do not say which root cause explains them."""
    return [
        f"{c['id']} {c['cluster']} → {c['peer']}"
        for c in result.data["checks"]
        if c["verdict"] == "failed"
        and c["severity"] == "error"
        and (c["id"], c["cluster"], c["peer"]) not in roots
        and not {(b["id"], b["cluster"], b["peer"]) for b in c["causedBy"]} <= roots
    ]


def run_hint(site: Site, hint: str) -> None:
    """Runs a hint word for word, as a user pastes it into a shell."""
    env = environment(KUBECONFIG=site.kubeconfig)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        ["bash", "-c", hint],
        cwd=site.folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"$ {hint}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"


def patch(
    context: str, what: str, name: str, body: object, kind: str = "merge", namespace: str = "istio-system"
) -> str:
    """Patches an object."""
    where = (what, name, "-n", namespace)
    return kubectl(context, "patch", *where, f"--type={kind}", "-p", json.dumps(body))
