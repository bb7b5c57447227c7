"""What `istio-mc report` says of the page it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.model import Verdict
from istio_mc.domain.listed import plural
from istio_mc.present.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.verify import VerifyResult


def report(result: VerifyResult, to: Path | None, page: str, warnings: Iterable[Problem]) -> Report:
    """Where the page is, and in a line what it says; the page itself where it goes to standard output."""
    passed = sum(found.verdict is Verdict.OK for found in result.results)

    def render(console: Console) -> None:
        if to is None:
            console.file.write(page)
            return
        failed = f"{plural(len(result.failed), 'check')} failed" if result.failed else "no check failed"
        roots = f", {plural(len(result.root_causes), 'root cause')}" if result.failed else ""
        warned = f", {plural(len(result.warned), 'warning')}" if result.warned else ""
        console.print(f"{to}: {plural(len(result.facts.clusters), 'cluster')}, {failed}{roots}{warned}")

    return Report(
        data={
            "file": str(to) if to else None,
            "bytes": len(page.encode()),
            "clusters": list(result.facts.clusters),
            "passed": passed,
            "failed": len(result.failed),
            "rootCauses": len(result.root_causes),
            "warned": len(result.warned),
            "unknown": sum(found.verdict is Verdict.UNKNOWN for found in result.results),
        },
        render=render,
        warnings=tuple(warnings),
    )
