"""Writes src/istio_mc/data/addons from the Go modules of MetalLB and Metrics Server, for a new version.

    python -m scripts.addon_manifests FOLDER_OF_METALLB FOLDER_OF_METRICS_SERVER

A folder is what `go mod download -json MODULE@VERSION` names as Dir; it ends in the version.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent.parent / "src" / "istio_mc" / "data" / "addons"
_METRICS_SERVER_PARTS = ("apiservice", "deployment", "rbac", "service")


def main() -> None:
    """Writes both manifests."""
    metallb, metrics_server = map(Path, sys.argv[1:])
    _write("metallb", metallb, [metallb / "config" / "manifests" / "metallb-native.yaml"])
    base = metrics_server / "manifests" / "base"
    _write("metrics-server", metrics_server, [base / f"{part}.yaml" for part in _METRICS_SERVER_PARTS])


def _write(name: str, module: Path, files: list[Path]) -> None:
    version = module.name.rpartition("@v")[2]
    documents = [one for file in files for one in yaml.safe_load_all(file.read_text("utf-8")) if one]
    if name == "metrics-server":
        for one in documents:
            _as_released(one, version)
    head = (
        f"# {name} {version}, from its Go module ({', '.join(str(f.relative_to(module)) for f in files)}),\n"
        "# Apache License 2.0. Written by scripts/addon_manifests.py.\n"
    )
    text = yaml.safe_dump_all((_without_nulls(one) for one in documents), sort_keys=False, width=120)
    (DATA / f"{name}.yaml").write_text(head + text, "utf-8")


def _as_released(document: dict[str, Any], version: str) -> None:
    """Sets the labels and the image of a release, as kustomize does (manifests/overlays/release)."""
    label = {"k8s-app": "metrics-server"}
    document["metadata"].setdefault("labels", {}).update(label)
    if document["kind"] == "Service":
        document["spec"]["selector"] = {**(document["spec"].get("selector") or {}), **label}
    if document["kind"] == "Deployment":
        document["spec"]["selector"] = {"matchLabels": label}
        template = document["spec"]["template"]
        template.setdefault("metadata", {}).setdefault("labels", {}).update(label)
        (container,) = template["spec"]["containers"]
        container["image"] = f"registry.k8s.io/metrics-server/metrics-server:v{version}"


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - a document of YAML
    """A document without null fields, such as the creationTimestamp that generators leave."""
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
