"""A containerd folder with every image already in it: imported once, then shared by hard links."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lab import debian, images, node, settings
from lab.binaries import architecture
from lab.log import log_line
from lab.oci import Archive
from lab.proc import run, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.settings import Versions


def key(files: Mapping[str, Path]) -> str:
    """Name the images by all that goes into them."""
    digest = hashlib.sha256(debian.versions().encode())
    for name, path in sorted(files.items()):
        digest.update(f"{name} {path.parent.name} {path.stat().st_size}\n".encode())
    here = Path(__file__).parent
    for module in ("images.py", "oci.py"):
        digest.update((here / module).read_bytes())
    return digest.hexdigest()[:16]


def ensure(cache: Path, versions: Versions, files: Mapping[str, Path]) -> Path:
    """Return the template of exactly these files, made if it is not there."""
    home = cache / "containerd" / versions.label
    template = home / key(files)
    if template.exists():
        return template
    log_line("images: writing and importing (once, until what goes into them changes)")
    scratch = cache / "tmp" / "images"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    archive = Archive(scratch / "images.tar", architecture())
    images.write(files, versions, archive, scratch)
    archive.close()
    _import(scratch, files["pause"])
    # Those of other versions stay. The old one goes only now: an import that fails must not cost what
    # worked before.
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (scratch / "root").replace(template)
    shutil.rmtree(scratch)
    log_line("images: ready")
    return template


def _import(scratch: Path, pause: Path) -> None:
    """Import in namespaces of their own: if this run is killed, so is all it started and mounted."""
    shutil.rmtree(settings.STATE / "images", ignore_errors=True)
    (settings.STATE / "images").mkdir(parents=True)
    socket = settings.STATE / "images" / "containerd.sock"
    node.install_init(pause)
    pid = node.start_init("images", network=False)
    inside = node.Inside(pid)
    state = settings.STATE / "images" / "state"
    config = scratch / "config.toml"
    config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n', encoding="utf-8")
    root: list[str | Path] = ["--root", scratch / "root", "--state", state]
    inside.start(["containerd", "--config", config, "--address", socket, *root], "images-containerd")
    ctr: list[str | Path] = ["ctr", "--address", socket, "--namespace", "k8s.io"]
    wait_for(
        "containerd for the images answers",
        lambda: run([*ctr, "version"], check=False, timeout=20).returncode == 0,
        timeout=60,
    )
    run([*ctr, "images", "import", scratch / "images.tar"], timeout=600)
    # SIGTERM first: the databases must be closed before they are copied.
    inside.stop("containerd")
    node.kill_init(pid)
    shutil.rmtree(settings.STATE / "images")


def copy(template: Path, target: Path) -> None:
    """Give a node its own containerd folder.

    Blobs and unpacked layers are never written to again, so that hard links do, across one file system;
    the databases are, so they are really copied.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    linked = template.stat().st_dev == target.parent.stat().st_dev
    run(["cp", "-al" if linked else "-a", template, target])
    if linked:
        for database in target.rglob("*.db"):
            own = database.with_suffix(".own")
            shutil.copy2(database, own)
            own.replace(database)
