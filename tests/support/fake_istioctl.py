"""A program that stands in for istioctl: what it prints, and how long its install takes, is told to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_DESIRED = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: wanted, namespace: istio-system}
data: {key: value}
"""


def write_istioctl(folder: Path, *, install: str = "exit 0", manifest: str = _DESIRED) -> Path:
    """Writes istioctl 1.26.0 into a folder, for ISTIO_MC_BIN_DIR.

    Args:
        folder: Where.
        install: What `istioctl install` runs, in sh.
        manifest: What `istioctl manifest generate` prints; by default an object that no cluster has, so that
            there is something to install.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.yaml").write_text(manifest)
    path = folder / "istioctl"
    path.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        """version) echo '{"clientVersion":{"version":"1.26.0"}}' ;;\n"""
        f'manifest) cat "{folder}/manifest.yaml" ;;\n'
        f"install) {install} ;;\n"
        "esac\n"
    )
    path.chmod(0o755)
    return folder
