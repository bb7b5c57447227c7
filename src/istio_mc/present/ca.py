"""Output of the ca commands: subjects, dates and fingerprints; never a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from istio_mc.domain.text import plural
from istio_mc.present.output.envelope import Exit, Report, problems_data
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from istio_mc.domain.pki.pem import CertificateFacts
    from istio_mc.ops.ca.authority import InitResult, IssueResult, ShowResult, VerifyResult

_Row = tuple[str, "CertificateFacts | None", str]


def initialised(result: InitResult) -> Report:
    """The root, and whether it was made just now."""
    rows: list[_Row] = [("root", result.root, result.outcome)]
    if result.issuer:
        rows.append(("issuer", result.issuer, result.outcome))
    return Report(
        data={
            "folder": str(result.folder),
            "outcome": result.outcome.value,
            "root": certificate(result.root),
            "issuer": certificate(result.issuer),
            "canIssue": result.can_issue,
        },
        render=lambda console: _render(console, rows),
        warnings=result.warnings,
    )


def issued(result: IssueResult) -> Report:
    """The clusters' CAs."""
    rows: list[_Row] = [("root", result.root, "kept")]
    rows += [(cluster.cluster_id, cluster.certificate, cluster.outcome) for cluster in result.clusters]
    return Report(
        data={
            "folder": str(result.folder),
            "root": certificate(result.root),
            "clusters": [
                {
                    "clusterId": cluster.cluster_id,
                    "outcome": cluster.outcome.value,
                    "certificate": certificate(cluster.certificate),
                }
                for cluster in result.clusters
            ],
        },
        render=lambda console: _render(console, rows),
        warnings=result.warnings,
    )


def shown(result: ShowResult) -> Report:
    """What the folder holds."""
    rows: list[_Row] = [("root", result.root, "")]
    if result.issuer:
        rows.append(("issuer", result.issuer, ""))
    rows += [(cluster.cluster_id, cluster.certificate, "") for cluster in result.clusters]
    return Report(
        data={
            "folder": str(result.folder),
            "root": certificate(result.root),
            "issuer": certificate(result.issuer),
            "canIssue": result.can_issue,
            "clusters": [
                {
                    "clusterId": cluster.cluster_id,
                    "certificate": certificate(cluster.certificate),
                    "problems": problems_data(cluster.problems),
                }
                for cluster in result.clusters
            ],
        },
        render=lambda console: _render(console, rows),
        warnings=tuple(problem for cluster in result.clusters for problem in cluster.problems),
    )


def verified(result: VerifyResult) -> Report:
    """What is wrong with the folder."""

    def render(console: Console) -> None:
        whole = f"valid: root CA and {plural(len(result.clusters), 'intermediate CA')}"
        what = whole if result.ok else plural(len(result.errors), "fault")
        console.print(f"{result.folder}: {what}", soft_wrap=True)

    return Report(
        data={"folder": str(result.folder), "clusters": list(result.clusters), "ok": result.ok},
        render=render,
        errors=result.errors,
        warnings=result.warnings,
        exit=Exit.DONE if result.ok else Exit.CHECKS_FAILED,
    )


def certificate(facts: CertificateFacts | None) -> dict[str, Any] | None:
    """A certificate as the envelope has it."""
    if facts is None:
        return None
    return {
        "subject": facts.subject,
        "issuer": facts.issuer,
        "serial": facts.serial,
        "notBefore": facts.not_before.isoformat(),
        "notAfter": facts.not_after.isoformat(),
        "fingerprint": facts.fingerprint,
        "key": facts.key,
        "pathLength": facts.path_length,
        "names": list(facts.names),
    }


def _render(console: Console, rows: Sequence[_Row]) -> None:
    shown = table("CA", "SUBJECT", "KEY", "UNTIL", *(["OUTCOME"] if rows[0][2] else []))
    for name, facts, outcome in rows:
        cells = (
            [facts.subject, facts.key, f"{facts.not_after:%Y-%m-%d}"] if facts else ["unreadable", "-", "-"]
        )
        shown.add_row(name, *cells, *([outcome] if outcome else []))
    print_words(console, shown, but="SUBJECT")
    for name, facts, _ in rows:
        if facts:
            console.print(Text(f"\nSHA-256 of {name}", style="bold"), soft_wrap=True)
            console.print(facts.fingerprint, soft_wrap=True)
