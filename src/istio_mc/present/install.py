"""Output of the install command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain import yamltext
from istio_mc.domain.kube.objects import CRD, ref_of
from istio_mc.present.output.envelope import Report, exit_for
from istio_mc.present.output.services import render_services, services_data
from istio_mc.present.output.terminal import print_words, table
from istio_mc.present.output.wrap import print_item

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.istio.choice import IstioChoice
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.plan import Step
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.install.adopt import AdoptResult
    from istio_mc.ops.install.install import InstalledCluster, InstallResult

_HIDDEN = "(hidden)"


def report(result: InstallResult, warnings: Iterable[Problem]) -> Report:
    """The result as data and as a table; in a dry run with the documents, secrets hidden."""
    failed = sum(1 for cluster in result.clusters if cluster.problems)
    return Report(
        data={
            "meshID": result.mesh.mesh_id,
            **_istio(result.istio),
            "rootFingerprint": result.root_fingerprint,
            "dryRun": result.dry_run,
            **({"mergedServices": services_data(result.merged)} if result.dry_run else {}),
            "changed": result.changed,
            "clusters": [_cluster(cluster, documents=result.dry_run) for cluster in result.clusters],
        },
        render=lambda console: _render(result, console),
        errors=result.problems,
        warnings=tuple(warnings),
        exit=exit_for(failed, len(result.clusters)),
    )


def adopted(result: AdoptResult, warnings: Iterable[Problem]) -> Report:
    """Which clusters are members now, and what an install would change in them."""
    problems = tuple(problem for cluster in result.clusters for problem in cluster.problems)

    def render(console: Console) -> None:
        shown = table("CLUSTER", "CLUSTER ID", "NETWORK", "STATUS", "INSTALL CHANGES")
        for cluster in result.clusters:
            pending = result.pending.get(cluster.cluster.context, ())
            shown.add_row(
                cluster.cluster.context,
                cluster.cluster.cluster_id,
                cluster.cluster.network,
                _membership(cluster, dry_run=result.dry_run),
                ", ".join(step.name for step in pending) or ("-" if cluster.problems else "nothing"),
            )
        print_words(console, shown)
        console.print(str(result.istio), markup=False, soft_wrap=True)
        places: dict[str, list[str]] = {}
        for name, steps in result.pending.items():
            for reason in (f"{step.name}: {reason}" for step in steps for reason in step.shown):
                places.setdefault(reason, []).append(name)
        for reason, names in places.items():
            print_item(console, "-", f"{', '.join(names)}: {reason}")

    return Report(
        data={
            "dryRun": result.dry_run,
            "meshID": result.mesh.mesh_id,
            **_istio(result.istio),
            "rootFingerprint": result.root_fingerprint,
            "clusters": [
                {
                    **_cluster(cluster, documents=result.dry_run),
                    "pending": [
                        _step(step, documents=False)
                        for step in result.pending.get(cluster.cluster.context, ())
                    ],
                }
                for cluster in result.clusters
            ],
        },
        render=render,
        errors=problems,
        warnings=tuple(warnings),
        exit=exit_for(sum(1 for cluster in result.clusters if cluster.problems), len(result.clusters)),
    )


def _membership(cluster: InstalledCluster, *, dry_run: bool) -> str:
    if cluster.problems:
        return "failed"
    return "to adopt" if dry_run and cluster.steps else "member"


def without_secrets(document: Object) -> Object:
    """A document that can be shown: a Secret's values are hidden, its keys are not."""
    if document.get("kind") != "Secret":
        return document
    hidden = dict.fromkeys(document.get("data") or {}, _HIDDEN)
    return {**document, "data": hidden} if hidden else document


def _istio(choice: IstioChoice) -> dict[str, Any]:
    return {
        "istioVersion": choice.version,
        "istioVersionReason": choice.reason,
        "istioVersionTested": choice.tested,
    }


def _cluster(cluster: InstalledCluster, *, documents: bool) -> dict[str, Any]:
    return {
        "name": cluster.cluster.context,
        "clusterId": cluster.cluster.cluster_id,
        "network": cluster.cluster.network,
        "status": _status(cluster),
        "gatewayAddresses": list(cluster.addresses),
        "steps": [_step(step, documents=documents) for step in cluster.steps],
    }


def _step(step: Step, *, documents: bool) -> dict[str, Any]:
    data: dict[str, Any] = {"name": step.name, "reasons": list(step.shown)}
    if documents:
        data["documents"] = [without_secrets(document) for document in step.documents]
    return data


def _status(cluster: InstalledCluster) -> str:
    if cluster.problems:
        return "failed"
    return "changed" if cluster.steps else "unchanged"


def _render(result: InstallResult, console: Console) -> None:
    if result.dry_run:
        _render_plan(result, console)
    shown = table(
        "CLUSTER", "CLUSTER ID", "NETWORK", "GATEWAY", "STATUS", "DONE" if not result.dry_run else "TO DO"
    )
    for cluster in result.clusters:
        shown.add_row(
            cluster.cluster.context,
            cluster.cluster.cluster_id,
            cluster.cluster.network,
            ", ".join(cluster.addresses) or "-",
            "to change" if result.dry_run and _status(cluster) == "changed" else _status(cluster),
            _summary(cluster, dry_run=result.dry_run),
        )
    print_words(console, shown)
    console.print(str(result.istio), markup=False, soft_wrap=True)
    if result.root_fingerprint:
        console.print(f"Root CA  {result.root_fingerprint}", soft_wrap=True)
    if not result.changed and not result.problems:
        console.print("Nothing to change.")


def _summary(cluster: InstalledCluster, *, dry_run: bool) -> str:
    steps = ", ".join(step.name for step in cluster.steps)
    if cluster.problems and not dry_run:
        # Which of them were done before it failed is for the next run to see.
        return f"not all of: {steps}" if steps else "-"
    return steps or ("-" if cluster.problems else "nothing to change")


def _render_plan(result: InstallResult, console: Console) -> None:
    for cluster in result.clusters:
        for step in cluster.steps:
            console.print(f"# {cluster.cluster.context}: {step.name}", markup=False, soft_wrap=True)
            for reason in step.shown:
                console.print(f"#   {reason}", markup=False, soft_wrap=True)
            for document in step.documents:
                if document.get("kind") == CRD.kind:
                    # Thousands of lines of upstream's schemas would bury the rest; -o json has them.
                    console.print(f"#   {ref_of(document)}", markup=False, soft_wrap=True)
                    continue
                text = yamltext.dump(without_secrets(document))
                console.print(f"---\n{text}", markup=False, soft_wrap=True, end="")
    render_services(result.merged, console)
    console.print()
