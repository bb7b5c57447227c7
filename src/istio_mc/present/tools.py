"""Output of the tools commands: installed, downloaded and used programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.istio import releases
from istio_mc.domain.istio.releases import UNKNOWN
from istio_mc.domain.text import plural
from istio_mc.present.output.envelope import Report, exit_for, problems_data
from istio_mc.present.output.terminal import print_untruncated, print_words, table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from istio_mc.domain.istio.choice import IstioChoice
    from istio_mc.domain.istio.releases import IstioRelease
    from istio_mc.domain.tools import Artifact
    from istio_mc.ops.tools.fetch import FetchResult, ToolOutcome
    from istio_mc.ops.tools.listing import ListedCluster, ListedTool, ListResult


def fetched(result: FetchResult, *, dry_run: bool, istio: IstioChoice | None = None) -> Report:
    """What became of each file."""
    failed = sum(1 for tool in result.tools if tool.problems)
    return Report(
        data={
            "folder": str(result.folder),
            "dryRun": dry_run,
            "istioVersion": istio.version if istio else None,
            "istioVersionReason": istio.reason if istio else None,
            "tools": [_outcome(tool) for tool in result.tools],
        },
        render=lambda console: _render_outcomes(result, istio, console),
        errors=result.problems,
        warnings=result.warnings,
        exit=exit_for(failed, len(result.tools)),
    )


def listed(result: ListResult) -> Report:
    """Which programs would be used, which clusters they fit, and which Istio runs on what."""
    return Report(
        data={
            "tools": [_tool(tool) for tool in result.tools],
            "clusters": [_cluster(cluster) for cluster in result.clusters],
            "notRead": result.not_read or None,
            "istio": result.istio.version,
            "istioVersionReason": result.istio.reason,
            "istioVersionTested": result.istio.tested,
            "istioReleases": [_release(release, result) for release in result.table.istio],
            "kubernetesReleases": [
                {
                    "release": releases.shown(minor),
                    "endOfLife": day.isoformat(),
                    "expired": result.today > day,
                }
                for minor, day in result.table.kubernetes.items()
            ],
            "releasesRead": result.table.read.isoformat(),
        },
        render=lambda console: _render_list(result, console),
        warnings=result.warnings,
    )


def _release(release: IstioRelease, result: ListResult) -> dict[str, Any]:
    expected = None if release.end.day else result.table.expected_end(release)
    return {
        "release": str(release),
        "newest": release.newest,
        "kubernetes": {
            "oldest": releases.shown(minor) if (minor := release.oldest_kubernetes) else None,
            "newest": releases.shown(minor) if (minor := release.newest_kubernetes) else None,
        },
        "endOfLife": release.end.day.isoformat() if release.end.day else None,
        "expectedEndOfLife": expected.isoformat() if expected else None,
        "expired": result.table.is_ended(release, result.today),
        "gatewayAPI": release.gateway_api,
        "tested": list(release.lab),
    }


def _platform(item: Artifact) -> str | None:
    return str(item.platform) if item.platform else None


def _outcome(tool: ToolOutcome) -> dict[str, Any]:
    return {
        "name": str(tool.artifact.tool),
        "version": tool.artifact.version,
        "platform": _platform(tool.artifact),
        "url": tool.artifact.url,
        "path": str(tool.path),
        "outcome": tool.outcome.value,
        "sha256": tool.sha256,
        "digest": tool.artifact.verification.value,
        "pinnedSha256": tool.artifact.sha256,
        "problems": problems_data(tool.problems),
    }


def _tool(tool: ListedTool) -> dict[str, Any]:
    path = tool.found.path if tool.found else tool.manifest
    return {
        "name": str(tool.tool),
        "desired": tool.desired,
        "version": tool.version,
        "path": str(path) if path else None,
        "origin": _origin(tool),
        "matches": tool.version == tool.desired,
        "digest": tool.verification.value,
        "pinnedSha256": tool.pinned,
    }


def _origin(tool: ListedTool) -> str | None:
    if tool.found:
        return tool.found.origin.value
    return "cache" if tool.manifest else None


def _cluster(cluster: ListedCluster) -> dict[str, Any]:
    return {
        "name": cluster.context,
        "version": cluster.server,
        "kubectlSkew": cluster.skew,
        "kubectlSupported": None if cluster.skew is None else abs(cluster.skew) <= 1,
        "istioSupport": cluster.support.value,
        "problems": problems_data(cluster.problems),
    }


def _render_outcomes(result: FetchResult, istio: IstioChoice | None, console: Console) -> None:
    if istio:
        console.print(str(istio), markup=False, soft_wrap=True)
    rows = table("TOOL", "VERSION", "PLATFORM", "OUTCOME", "DIGEST", "PATH")
    for tool in result.tools:
        item = tool.artifact
        rows.add_row(
            str(item.tool),
            item.version,
            _platform(item) or "any",
            tool.outcome.value,
            item.verification.words,
            str(tool.path),
        )
    print_untruncated(console, rows)
    planned = [tool for tool in result.tools if tool.outcome == "planned"]
    if planned:
        console.print()
        sources = table("TOOL", "FROM")
        for tool in planned:
            sources.add_row(str(tool.artifact.tool), tool.source)
        print_untruncated(console, sources)


def _render_list(result: ListResult, console: Console) -> None:
    rows = table("TOOL", "DESIRED", "VERSION", "ORIGIN", "DIGEST", "PATH")
    for tool in result.tools:
        path = tool.found.path if tool.found else tool.manifest
        rows.add_row(
            str(tool.tool),
            tool.desired,
            tool.version or "-",
            _origin(tool) or "none",
            tool.verification.words,
            str(path or "-"),
        )
    print_untruncated(console, rows)
    console.print()
    console.print(str(result.istio), markup=False, soft_wrap=True)
    console.print()
    if result.clusters:
        print_words(console, _clusters(result))
    else:
        console.print(f"clusters: not read ({result.not_read})", soft_wrap=True)
    console.print()
    console.print(_releases(result))
    console.print()
    kubernetes = table("KUBERNETES", "END OF LIFE")
    for minor, day in result.table.kubernetes.items():
        kubernetes.add_row(releases.shown(minor), f"expired {day}" if result.today > day else str(day))
    console.print(kubernetes)
    console.print()
    console.print(f"Releases as of {result.table.read}; see istio-mc explain releases-old", soft_wrap=True)


def _releases(result: ListResult) -> Table:
    rows = table("", "ISTIO", "NEWEST", "KUBERNETES", "GATEWAY API", "TESTED", "END OF LIFE")
    ours = result.table.release(result.istio.version)
    for release in result.table.istio:
        rows.add_row(
            "*" if release is ours else "",
            str(release),
            release.newest or UNKNOWN,
            release.kubernetes,
            release.gateway_api or UNKNOWN,
            ", ".join(release.lab) or "-",
            _end(release, result),
        )
    return rows


def _end(release: IstioRelease, result: ListResult) -> str:
    if result.table.is_ended(release, result.today):
        return f"expired {release.end}"
    return f"{release.end} (past)" if result.table.is_overdue(release, result.today) else str(release.end)


def _clusters(result: ListResult) -> Table:
    rows = table("CLUSTER", "VERSION", "KUBECTL", f"ISTIO {result.istio.version}")
    for cluster in result.clusters:
        support = cluster.support.value.replace("-", " ")
        rows.add_row(cluster.context, cluster.server or "not reachable", _skew(cluster.skew), support)
    return rows


def _skew(minors: int | None) -> str:
    """How kubectl compares with an API server."""
    if minors is None:
        return "-"
    if minors == 0:
        return "same minor"
    return f"{plural(abs(minors), 'minor')} {'newer' if minors > 0 else 'older'}"
