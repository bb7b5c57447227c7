"""Overview files in a bundle, and output of the bundle command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from istio_mc import __version__
from istio_mc.domain.bundle import MOST_OF_A_CLUSTER, File, fitting
from istio_mc.domain.text import plural
from istio_mc.ops.bundle import redactions
from istio_mc.present.html.page import page
from istio_mc.present.output.envelope import Envelope, Report, exit_for, problems_data
from istio_mc.present.output.wrap import print_item
from istio_mc.present.verify import summary

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

    from istio_mc.domain.bundle import Collected
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.bundle import Gathered, Logs

_README = """\
A bundle of istio-mc {version}, made at {made}.

report.html    the mesh on a page: open this first
verify.json    the results of istio-mc verify -o json
mesh.yaml      the settings, if there are any
index.json     every file; missing files, and why; how many secrets were removed
clusters/      a folder for each reachable cluster:
  version.txt                       the API server's version
  istio-system/                     Istio's objects there, events, and logs
  cluster/                          webhooks, roles, CRDs (without schemas), nodes, namespaces
  services-of-all-namespaces.yaml   every Service
  configuration/                    Istio's and the Gateway API's objects of all namespaces
  istiod/                           what each istiod reports of remote clusters, proxies, endpoints, metrics
  gateway/                          what each gateway's Envoy reports

Secrets are replaced with "[redacted: ...]": values of Secrets, private keys,
tokens, passwords, values with such names, and random letters, also in base64. Certificates are kept.
Names and addresses of your clusters are kept, too: check before you attach this to a public ticket.
"""


def about(gathered: Gathered, logs: Logs, warnings: Iterable[Problem]) -> list[File]:
    """Readme, index, what verify found, and the page."""
    summary_report = summary.report(gathered.verified, warnings)
    envelope = Envelope(
        "verify", summary_report.exit, summary_report.data, summary_report.errors, summary_report.warnings
    ).document()
    pages = [
        File("verify.json", json.dumps(envelope, indent=1, ensure_ascii=False) + "\n"),
        File("report.html", page(gathered.verified, gathered.made)),
    ]
    kept, too_large = fitting(gathered.own.files(pages), MOST_OF_A_CLUSTER)
    index = _index(gathered, logs, kept, too_large)
    readme = _README.format(version=__version__, made=f"{gathered.made:%Y-%m-%d %H:%M:%S} UTC")
    return [
        File("README.txt", readme),
        File("index.json", gathered.own.text(json.dumps(index, indent=1, ensure_ascii=False)) + "\n"),
        *kept,
    ]


def folder(gathered: Gathered) -> str:
    """The folder that all is in."""
    return f"istio-mc-bundle-{gathered.made:%Y%m%d-%H%M%S}"


def _index(gathered: Gathered, logs: Logs, pages: list[File], too_large: list[File]) -> dict[str, Any]:
    facts = gathered.verified.facts
    clusters = [
        {
            "name": name,
            "clusterId": cluster.cluster_id,
            "network": cluster.network,
            "reachable": name in gathered.clusters,
            "problems": problems_data(gathered.unreachable.get(name, ())),
            "folder": gathered.folders.get(name),
            **_collected(gathered, gathered.clusters.get(name)),
        }
        for name, cluster in facts.clusters.items()
    ]
    return {
        "schemaVersion": 2,
        "istioMC": __version__,
        "made": gathered.made.isoformat(),
        "meshID": facts.mesh.mesh_id,
        "istioVersion": facts.mesh.version,
        "logs": {"sinceSeconds": int(logs.since_s), "lines": logs.lines},
        "redactions": redactions(gathered),  # those of the clusters' problems, too
        "files": [_file(file) for file in pages],
        "skipped": [file.path for file in too_large],
        "clusters": clusters,
    }


def _collected(gathered: Gathered, collected: Collected | None) -> dict[str, Any]:
    if collected is None:
        return {"files": [], "missing": []}
    return {
        "files": [_file(file) for file in collected.files],
        "missing": [
            {"file": missing.what, **gathered.redactor.data(problems_data([missing.why])[0])}
            for missing in collected.missing
        ],
    }


def _file(file: File) -> dict[str, Any]:
    return {"path": file.path, "bytes": file.size, **({"note": file.note} if file.note else {})}


def report(gathered: Gathered, to: Path | None, archive: bytes, warnings: Iterable[Problem]) -> Report:
    """Where the bundle is, and what is missing; the archive itself where it goes to standard output."""
    redacted = redactions(gathered)
    clusters = [_cluster(gathered, name) for name in gathered.verified.facts.clusters]
    missing = sum(len(collected.missing) for collected in gathered.clusters.values())

    def render(console: Console) -> None:
        if to is None:
            console.file.buffer.write(archive)  # type: ignore[attr-defined] # standard output has one
            return
        size = f"{plural(len(archive), 'byte')}, {plural(len(gathered.clusters), 'cluster')}"
        print_item(console, f"{to}:", size, margin=0)
        if redacted:
            kinds = ", ".join(f"{kind} ({count})" for kind, count in redacted.items())
            print_item(console, "removed:", kinds)
        if missing:
            print_item(console, "missing:", f"{plural(missing, 'response')}, see index.json in the archive")

    unreachable = [problem for problems in gathered.unreachable.values() for problem in problems]
    return Report(
        data={
            "file": str(to) if to else None,
            "bytes": len(archive),
            "redactions": redacted,
            "clusters": clusters,
        },
        render=render,
        errors=tuple(unreachable),
        warnings=tuple(warnings),
        exit=exit_for(len(gathered.unreachable), len(clusters)),
    )


def _cluster(gathered: Gathered, name: str) -> dict[str, Any]:
    collected = gathered.clusters.get(name)
    return {
        "name": name,
        "reachable": collected is not None,
        "files": len(collected.files) if collected else 0,
        "missing": [missing.what for missing in collected.missing] if collected else [],
    }
