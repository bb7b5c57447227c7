"""Images written without a container engine."""

from __future__ import annotations

import hashlib
import json
import tarfile
from typing import TYPE_CHECKING

from lab.oci import Archive, Entry, Image, Layer, folder, program

if TYPE_CHECKING:
    from pathlib import Path


def test_a_layer_has_its_folders_before_what_is_in_them(tmp_path: Path) -> None:
    source = tmp_path / "tool"
    source.write_bytes(b"#!")
    entries = [
        program("usr/local/bin/tool", source),
        Entry("usr/bin/sh", link="busybox"),
        folder("tmp", 0o1777),
    ]
    layer = Layer.write(tmp_path / "layer.tar", entries)
    with tarfile.open(layer.file) as tar:
        members = {member.name: member for member in tar}
    assert list(members) == sorted(members)
    assert members["usr/local"].isdir()
    assert (members["usr/local/bin/tool"].mode, members["usr/local/bin/tool"].size) == (0o755, 2)
    assert members["usr/bin/sh"].linkname == "busybox"
    assert members["tmp"].mode == 0o1777


def test_the_same_entries_give_the_same_layer(tmp_path: Path) -> None:
    entries = [Entry("etc/passwd", data=b"root"), Entry("etc/passwd", data=b"later, and lost")]
    first = Layer.write(tmp_path / "a.tar", entries)
    second = Layer.write(tmp_path / "b.tar", entries)
    assert first.digest == second.digest == hashlib.sha256(first.file.read_bytes()).hexdigest()


def test_an_archive_is_an_oci_layout_that_shares_layers(tmp_path: Path) -> None:
    base = Layer.write(tmp_path / "base.tar", [folder("tmp", 0o1777)])
    own = Layer.write(tmp_path / "own.tar", [Entry("app", data=b"x", mode=0o755)])
    archive = Archive(tmp_path / "images.tar", "amd64")
    archive.add(Image("docker.io/istio/proxyv2:1.26.0", [base, own], ["/app"], {"A": "b"}, "1337:1337"))
    archive.add(Image("registry.k8s.io/pause:3.10", [base], ["/pause"]))
    archive.close()

    with tarfile.open(tmp_path / "images.tar") as tar:
        names = tar.getnames()
        blobs = {name: file.read() for name in names if (file := tar.extractfile(name))}
    assert len(names) == len(set(names))
    for name, data in blobs.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    index = json.loads(blobs["index.json"])
    assert [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]] == [
        "docker.io/istio/proxyv2:1.26.0",
        "registry.k8s.io/pause:3.10",
    ]

    def blob(descriptor: dict[str, str]) -> bytes:
        return blobs[f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}"]

    manifest = json.loads(blob(index["manifests"][0]))
    config = json.loads(blob(manifest["config"]))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{base.digest}", f"sha256:{own.digest}"]
    assert config["config"]["User"] == "1337:1337"
    assert "A=b" in config["config"]["Env"]
    assert [layer["size"] for layer in manifest["layers"]] == [len(blob(x)) for x in manifest["layers"]]
