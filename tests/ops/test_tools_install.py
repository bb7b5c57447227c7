"""tools install and download: what ends up in place, and what stays as it was."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.events import Event, State
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.domain.settings.model import (
    Digests,
    HelmSettings,
    IstioctlSettings,
    KubectlSettings,
    ManifestSettings,
    Settings,
    ToolsSettings,
)
from istio_mc.domain.tools import PLATFORMS, Tool
from istio_mc.gateways.istio.istioctl import find_istioctl
from istio_mc.gateways.tools.cache import Cache
from istio_mc.gateways.tools.download import Downloader
from istio_mc.gateways.tools.find import Origin, find, own_platform
from istio_mc.gateways.tools.install import Offline, Online, in_folder
from istio_mc.gateways.tools.manifests import documents
from istio_mc.ops.tools.fetch import FetchResult, Outcome, ToolOutcome, choose, download, install
from tests.support.mirror import VERSIONS, Fault, Mirror, archive, elf, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from istio_mc.gateways.tools.install import Source

OLD = b"#!/bin/sh\necho old\n"
LINUX = "linux/amd64"


@dataclass
class Bench:
    """A mirror with all four tools, a cache, a folder of programs, and what was told of progress."""

    mirror: Mirror
    folder: Path
    cleanup: ExitStack
    digests: dict[Tool, Digests] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def cache(self) -> Cache:
        return Cache(self.folder / "cache")

    @property
    def bin_dir(self) -> Path:
        return self.folder / "bin"

    def settings(self) -> Settings:
        url, digests = self.mirror.url, {tool: self.digests.get(tool, Digests()) for tool in Tool}
        tools = ToolsSettings(
            kubectl=KubectlSettings(VERSIONS[Tool.KUBECTL], url, digests[Tool.KUBECTL]),
            helm=HelmSettings(VERSIONS[Tool.HELM], url, digests[Tool.HELM]),
            istioctl=IstioctlSettings(url, digests[Tool.ISTIOCTL]),
            gateway_api=ManifestSettings(url),
        )
        return Settings(certs_dir=self.folder, tools=tools).with_versions("1.26.0", "1.3.0")

    def online(self) -> Source:
        made = Downloader(self.cache, time.monotonic() + 20, read_timeout_s=0.5, backoff_s=0.01)
        self.cleanup.callback(made.close)
        return Online(made)

    def install(
        self,
        *names: str,
        source: Source | None = None,
        bin_dir: Path | None = None,
        platform: str = LINUX,
        versions: dict[Tool, str | None] | None = None,
        dry_run: bool = False,
    ) -> FetchResult:
        choice = choose(
            self.settings(),
            names=names,
            versions={**VERSIONS, **(versions or {})},
            platforms=[platform],
            bin_dir=bin_dir,
        )
        return install(choice, self.cache, source or self.online(), self.events.append, dry_run=dry_run)

    def one(self, name: str, **given: object) -> ToolOutcome:
        (outcome,) = self.install(name, **given).tools  # type: ignore[arg-type] # passed on as given
        return outcome

    def problem(self, name: str, **given: object) -> Problem:
        (problem,) = self.one(name, **given).problems
        return problem

    def old(self, tool: Tool) -> Path:
        """A program that is in the folder already."""
        self.bin_dir.mkdir(exist_ok=True)
        path = self.bin_dir / tool
        path.write_bytes(OLD)
        path.chmod(0o755)
        return path

    def left_over(self) -> list[str]:
        """Files in the folder of programs beside the programs."""
        return [path.name for path in self.bin_dir.iterdir() if path.name not in set(Tool)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Mirror().serve() as mirror, ExitStack() as cleanup:
        for tool in Tool:
            mirror.publish(tool)
        yield Bench(mirror, tmp_path, cleanup)


def output_of(path: Path) -> str:
    return subprocess.run([path], capture_output=True, check=True, text=True, timeout=10).stdout


def spoilt(data: bytes) -> bytes:
    """The same with its last bit turned."""
    return data[:-1] + bytes([data[-1] ^ 1])


class TestInstall:
    def test_all_tools_go_to_the_cache(self, bench: Bench) -> None:
        result = bench.install()
        assert [tool.outcome for tool in result.tools] == [Outcome.INSTALLED] * 4
        assert [str(tool.path.relative_to(bench.cache.folder)) for tool in result.tools[:3]] == [
            "bin/linux-amd64/kubectl-1.31.4/kubectl",
            "bin/linux-amd64/helm-3.15.3/helm",
            "bin/linux-amd64/istioctl-1.26.1/istioctl",
        ]

    @pytest.mark.thorough
    def test_what_is_installed_runs(self, bench: Bench) -> None:
        outcomes = bench.install("kubectl", "helm", "istioctl").tools
        assert [VERSIONS[tool.artifact.tool] in output_of(tool.path) for tool in outcomes] == [True] * 3

    @pytest.mark.thorough
    def test_every_folder_of_the_cache_is_its_owners_alone(self, bench: Bench) -> None:
        bench.install()
        folders = [path for path in bench.cache.folder.rglob("*") if path.is_dir()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in [bench.cache.folder, *folders]} == {0o700}

    @pytest.mark.thorough
    def test_a_folder_of_programs_is_everybodys_to_use(self, bench: Bench) -> None:
        path = bench.one("kubectl", bin_dir=bench.bin_dir).path
        assert path == bench.bin_dir / "kubectl"
        assert [stat.S_IMODE(p.stat().st_mode) & 0o755 for p in (path, path.parent)] == [0o755, 0o755]

    @pytest.mark.thorough
    def test_the_crds_are_what_install_then_reads(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(bench.folder))
        bench.cache.folder.mkdir()
        (bench.folder / "istio-mc").symlink_to(bench.cache.folder)
        bench.install("gateway-api")
        bench.mirror.requests.clear()
        assert documents(bench.mirror.artifact(Tool.GATEWAY_API).url)[0]["kind"] == "CustomResourceDefinition"
        assert bench.mirror.requests == []

    @pytest.mark.thorough
    def test_a_second_run_sends_no_request(self, bench: Bench) -> None:
        bench.install()
        bench.mirror.requests.clear()
        assert {tool.outcome for tool in bench.install().tools} == {Outcome.UNCHANGED}
        assert bench.mirror.requests == []

    @pytest.mark.thorough
    def test_a_second_run_into_a_folder_sends_no_request(self, bench: Bench) -> None:
        bench.install(bin_dir=bench.bin_dir)
        bench.mirror.requests.clear()
        assert {tool.outcome for tool in bench.install(bin_dir=bench.bin_dir).tools} == {Outcome.UNCHANGED}
        assert bench.mirror.requests == []

    def test_what_the_cache_has_is_copied_into_a_folder(self, bench: Bench) -> None:
        bench.install("helm")
        bench.mirror.requests.clear()
        assert bench.one("helm", bin_dir=bench.bin_dir).outcome is Outcome.INSTALLED
        assert bench.mirror.requests == []

    @pytest.mark.thorough
    def test_another_version_replaces_the_one_in_a_folder(self, bench: Bench) -> None:
        bench.mirror.publish(Tool.HELM, version="3.15.4")
        bench.install("helm", bin_dir=bench.bin_dir)
        bench.install("helm", bin_dir=bench.bin_dir, versions={Tool.HELM: "v3.15.4"})
        assert output_of(bench.bin_dir / "helm") == "v3.15.4\n"

    @pytest.mark.thorough
    def test_versions_stand_beside_each_other_in_the_cache(self, bench: Bench) -> None:
        bench.mirror.publish(Tool.HELM, version="3.15.4")
        first = bench.one("helm").path
        second = bench.one("helm", versions={Tool.HELM: "3.15.4"}).path
        assert (output_of(first), output_of(second)) == ("v3.15.3\n", "v3.15.4\n")

    @pytest.mark.thorough
    def test_a_program_that_was_altered_is_brought_again(self, bench: Bench) -> None:
        path = bench.one("helm", bin_dir=bench.bin_dir).path
        path.write_bytes(OLD)
        assert bench.one("helm", bin_dir=bench.bin_dir).outcome is Outcome.INSTALLED
        assert output_of(path) == "v3.15.3\n"

    @pytest.mark.thorough
    @pytest.mark.parametrize("text", [b"", b"\n", b"a", b"a\nb\nc", b"\xff  helm\n\xff  helm\n"])
    def test_a_program_whose_digests_cannot_be_read_is_brought_again(self, bench: Bench, text: bytes) -> None:
        bench.install("helm")
        (kept,) = (bench.cache.folder / "digests").iterdir()
        kept.write_bytes(text)
        assert bench.one("helm").outcome is Outcome.INSTALLED

    @pytest.mark.thorough
    def test_a_digest_that_is_pinned_later_is_compared_with_the_published_files(self, bench: Bench) -> None:
        bench.install("helm")
        bench.digests[Tool.HELM] = Digests(linux_amd64="a" * 64)
        assert bench.one("helm").problems[0].code == "checksum-mismatch"

    def test_a_link_in_the_folder_is_replaced_and_not_followed(self, bench: Bench) -> None:
        elsewhere = bench.folder / "elsewhere"
        elsewhere.write_bytes(OLD)
        bench.bin_dir.mkdir()
        (bench.bin_dir / "helm").symlink_to(elsewhere)
        bench.install("helm", bin_dir=bench.bin_dir)
        assert elsewhere.read_bytes() == OLD
        assert not (bench.bin_dir / "helm").is_symlink()

    @pytest.mark.thorough
    def test_other_platforms_programs_are_brought_for_them(self, bench: Bench) -> None:
        bench.mirror.publish(Tool.HELM, PLATFORMS[3])
        path = bench.one("helm", platform="darwin/arm64").path
        assert path.relative_to(bench.cache.folder).parts[:2] == ("bin", "darwin-arm64")

    def test_a_dry_run_touches_nothing(self, bench: Bench) -> None:
        result = bench.install(dry_run=True)
        assert {tool.outcome for tool in result.tools} == {Outcome.PLANNED}
        assert (bench.mirror.requests, list(bench.folder.iterdir())) == ([], [])

    @pytest.mark.thorough
    def test_several_are_fetched_at_once(self, bench: Bench) -> None:
        meeting = threading.Barrier(4, timeout=10)

        class Together:
            def fetched(self, artifact, progress):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
                meeting.wait()
                return source.fetched(artifact, progress)

            def place(self, artifact):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
                return source.place(artifact)

        source = bench.online()
        assert bench.install(source=Together()).problems == ()

    @pytest.mark.thorough
    def test_progress_ends_with_everything_there(self, bench: Bench) -> None:
        bench.install("helm")
        events = [event for event in bench.events if event.subject == "helm linux/amd64"]
        assert (events[0].state, events[-2].fraction, events[-1].state) == (State.STARTED, 1.0, State.DONE)

    @pytest.mark.thorough
    def test_what_a_killed_run_left_is_swept_away(self, bench: Bench) -> None:
        bench.bin_dir.mkdir()
        (bench.bin_dir / ".helm.abc.istio-mc.tmp").write_bytes(b"half")
        bench.install("helm", bin_dir=bench.bin_dir)
        assert bench.left_over() == []


class TestAFailure:
    """Each is one error that says what was wrong, and the old program stays."""

    def check(self, bench: Bench, tool: Tool, code: str, **given: object) -> Problem:
        old = bench.old(tool)
        problem = bench.problem(tool, bin_dir=bench.bin_dir, **given)
        assert problem.code == code
        assert old.read_bytes() == OLD
        assert bench.left_over() == []
        return problem

    @pytest.mark.thorough
    @pytest.mark.parametrize("tool", [Tool.KUBECTL, Tool.HELM, Tool.ISTIOCTL])
    def test_corrupted(self, bench: Bench, tool: Tool) -> None:
        url = bench.mirror.artifact(tool).url
        path = url.removeprefix(bench.mirror.url)
        bench.mirror.files[path] = spoilt(bench.mirror.files[path])
        problem = self.check(bench, tool, "checksum-mismatch")
        assert problem.message.startswith(f"{url} does not match its checksum")

    @pytest.mark.thorough
    def test_truncated_on_the_server(self, bench: Bench) -> None:
        path = bench.mirror.publish(Tool.HELM)
        bench.mirror.files[path] = bench.mirror.files[path][:-100]
        assert "published with it" in (self.check(bench, Tool.HELM, "checksum-mismatch").expected or "")

    @pytest.mark.thorough
    def test_truncated_on_the_way_again_and_again(self, bench: Bench) -> None:
        path = bench.mirror.publish(Tool.KUBECTL)
        bench.mirror.faults[path] = [Fault(cut_at=100)] * 4
        assert "4 times" in (self.check(bench, Tool.KUBECTL, "download-failed").seen or "")

    @pytest.mark.thorough
    def test_without_a_checksum(self, bench: Bench) -> None:
        path = bench.mirror.publish(Tool.ISTIOCTL)
        del bench.mirror.files[f"{path}.sha256"]
        problem = self.check(bench, Tool.ISTIOCTL, "checksum-missing")
        assert problem.seen == f"{bench.mirror.url}{path}.sha256: not there"

    def test_not_there(self, bench: Bench) -> None:
        bench.digests[Tool.KUBECTL] = Digests(linux_amd64="a" * 64)
        del bench.mirror.files[bench.mirror.publish(Tool.KUBECTL)]
        assert self.check(bench, Tool.KUBECTL, "download-failed").seen == "404 Not Found"

    @pytest.mark.thorough
    def test_silent(self, bench: Bench) -> None:
        path = bench.mirror.publish(Tool.HELM)
        bench.mirror.faults[path] = [Fault(stall_at=10)] * 4
        assert self.check(bench, Tool.HELM, "download-failed").seen == "no byte for 0.5 s, 4 times"

    @pytest.mark.thorough
    def test_an_archive_for_another_platform(self, bench: Bench) -> None:
        path = bench.mirror.publish(Tool.HELM)
        bench.mirror.put(path, archive({"darwin-arm64/helm": program(Tool.HELM, "3.15.3")}))
        problem = self.check(bench, Tool.HELM, "archive-member-missing")
        assert problem.message == "helm-v3.15.3-linux-amd64.tar.gz does not contain linux-amd64/helm"
        assert (problem.seen, problem.expected) == ("'darwin-arm64/helm'", "linux-amd64/helm")

    @pytest.mark.thorough
    def test_a_program_for_another_platform(self, bench: Bench) -> None:
        path = bench.mirror.publish(Tool.ISTIOCTL)
        bench.mirror.put(path, archive({"istioctl": elf(0xB7)}))
        problem = self.check(bench, Tool.ISTIOCTL, "wrong-platform")
        assert (problem.seen, problem.expected) == ("linux/arm64", "a program for linux/amd64")

    @pytest.mark.thorough
    def test_a_web_page_with_its_checksum(self, bench: Bench) -> None:
        bench.mirror.put(bench.mirror.publish(Tool.KUBECTL), b"<html>sign in first</html>")
        assert self.check(bench, Tool.KUBECTL, "wrong-platform").seen == "no program"

    @pytest.mark.thorough
    def test_an_archive_that_is_none(self, bench: Bench) -> None:
        bench.mirror.put(bench.mirror.publish(Tool.HELM), b"<html>sign in first</html>")
        self.check(bench, Tool.HELM, "archive-unreadable")

    def test_another_digest_than_mesh_yamls(self, bench: Bench) -> None:
        bench.digests[Tool.HELM] = Digests(linux_amd64="a" * 64)
        problem = self.check(bench, Tool.HELM, "checksum-mismatch")
        assert problem.expected == f"SHA-256 {'a' * 64}, set in mesh.yaml"

    @pytest.mark.thorough
    def test_another_digest_than_the_one_known_here(self, bench: Bench) -> None:
        bench.mirror.publish(Tool.KUBECTL, version="1.32.3")
        problem = self.check(bench, Tool.KUBECTL, "checksum-mismatch", versions={Tool.KUBECTL: "1.32.3"})
        assert (problem.expected or "").endswith("known to istio-mc")

    @pytest.mark.thorough
    def test_of_one_leaves_the_others_done(self, bench: Bench) -> None:
        del bench.mirror.files[bench.mirror.publish(Tool.HELM)]
        outcomes = [tool.outcome for tool in bench.install().tools]
        assert outcomes == [Outcome.INSTALLED, Outcome.FAILED, Outcome.INSTALLED, Outcome.INSTALLED]

    @pytest.mark.thorough
    def test_a_folder_that_is_a_file(self, bench: Bench) -> None:
        bench.bin_dir.write_bytes(b"")
        problem = bench.problem("helm", bin_dir=bench.bin_dir)
        assert (problem.code, problem.message) == (
            "file-unwritable",
            f"cannot create the folder {bench.bin_dir}",
        )

    @pytest.mark.thorough
    def test_crds_that_changed_since_they_were_first_fetched(self, bench: Bench) -> None:
        kept = bench.one("gateway-api").path
        before = kept.read_bytes()
        bench.mirror.put(bench.mirror.publish(Tool.GATEWAY_API), before + b"# rewritten\n", checksum=False)
        assert bench.one("gateway-api").outcome is Outcome.UNCHANGED
        kept.unlink()
        assert bench.problem("gateway-api").code == "digest-changed"
        assert not kept.exists()


class TestAProgramThatWasFetched:
    """It runs before it is put in place, where it is for this machine."""

    HERE = str(own_platform())

    def publish(self, bench: Bench, tool: Tool, body: bytes) -> None:
        path, item = bench.mirror.publish(tool, own_platform()), bench.mirror.artifact(tool, own_platform())
        bench.mirror.put(path, archive({item.member: body}) if item.member else body)

    def refused(self, bench: Bench, tool: Tool, **given: object) -> Problem:
        old = bench.old(tool)
        problem = bench.problem(tool, bin_dir=bench.bin_dir, platform=self.HERE, **given)
        assert old.read_bytes() == OLD
        assert bench.left_over() == []
        return problem

    @pytest.mark.thorough
    @pytest.mark.parametrize("tool", [Tool.KUBECTL, Tool.HELM, Tool.ISTIOCTL])
    def test_of_another_version_is_not_put_in_place(self, bench: Bench, tool: Tool) -> None:
        self.publish(bench, tool, program(tool, "1.0.0"))
        problem = self.refused(bench, tool)
        assert problem.code == "tool-version-mismatch"
        assert bench.mirror.artifact(tool, own_platform()).url in problem.message
        assert (problem.seen, problem.expected) == ("version 1.0.0", f"version {VERSIONS[tool]}")

    @pytest.mark.thorough
    @pytest.mark.parametrize(
        ("body", "seen"),
        [
            (b"#!/bin/sh\necho no such library >&2; exit 127\n", "no such library"),
            (
                b"#!/nowhere/sh\n",
                "helm version: helm: its interpreter or dynamic loader is not on this machine",
            ),
            (b"#!/bin/sh\nexit 3\n", "exit code 3"),
        ],
    )
    def test_that_does_not_run_is_not_put_in_place(self, bench: Bench, body: bytes, seen: str) -> None:
        self.publish(bench, Tool.HELM, body)
        problem = self.refused(bench, Tool.HELM)
        assert (problem.code, problem.seen) == ("tool-not-started", seen)

    @pytest.mark.thorough
    def test_leaves_no_digest_when_it_is_refused(self, bench: Bench) -> None:
        self.publish(bench, Tool.HELM, program(Tool.HELM, "1.0.0"))
        self.refused(bench, Tool.HELM)
        assert not list(bench.cache.folder.glob("digests/*"))

    @pytest.mark.thorough
    def test_from_a_folder_is_run_too(self, bench: Bench) -> None:
        self.publish(bench, Tool.HELM, program(Tool.HELM, "1.0.0"))
        choice = choose(bench.settings(), names=["helm"], versions=VERSIONS, platforms=[self.HERE])
        download(choice, bench.folder / "usb", bench.online())
        problem = self.refused(bench, Tool.HELM, source=Offline(bench.folder / "usb", bench.cache))
        assert problem.code == "tool-version-mismatch"
        assert problem.message.startswith(str(bench.folder / "usb"))

    @pytest.mark.thorough
    def test_is_not_run_for_another_platform(self, bench: Bench) -> None:
        (other,) = [p for p in PLATFORMS if (p.os, p.arch) == ("darwin", "arm64")]
        if other == own_platform():
            other = PLATFORMS[0]
        path = bench.mirror.publish(Tool.KUBECTL, other)
        bench.mirror.put(path, f"#!/bin/sh\ntouch {bench.folder}/ran\n".encode())
        assert bench.one("kubectl", platform=str(other)).outcome is Outcome.INSTALLED
        assert not (bench.folder / "ran").exists()

    @pytest.mark.thorough
    def test_is_run_without_the_users_kubeconfig(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBECONFIG", "broken")
        strict = b'#!/bin/sh\n[ "$KUBECONFIG" = broken ] && exit 1\n'
        self.publish(bench, Tool.KUBECTL, strict + program(Tool.KUBECTL, VERSIONS[Tool.KUBECTL]))
        assert bench.one("kubectl", platform=self.HERE).outcome is Outcome.INSTALLED

    @pytest.mark.thorough
    def test_that_the_cache_has_is_run_where_it_is_copied_to(self, bench: Bench) -> None:
        bench.mirror.publish(Tool.HELM, own_platform())
        cached = bench.one("helm", platform=self.HERE).path
        cached.write_bytes(program(Tool.HELM, "1.0.0"))
        item = bench.mirror.artifact(Tool.HELM, own_platform())
        bench.cache.remember_program(item.url, "a" * 64, cached)
        assert self.refused(bench, Tool.HELM).code == "tool-version-mismatch"


class TestChoosing:
    def test_all_faults_are_reported_together(self, bench: Bench) -> None:
        with pytest.raises(InputError) as caught:
            choose(
                bench.settings(),
                names=["kubectl", "step"],
                versions={Tool.HELM: "latest"},
                platforms=["windows/amd64"],
            )
        assert [problem.message for problem in caught.value.problems] == [
            "'step' is not a tool that can be installed",
            "--helm: 'latest' is not a version such as 3.16.4",
            "'windows/amd64' is not a supported platform",
        ]

    @pytest.mark.thorough
    def test_a_digest_of_mesh_yaml_holds_for_its_own_version_only(self, bench: Bench) -> None:
        bench.digests[Tool.KUBECTL] = Digests(linux_amd64="a" * 64)
        for version, digest in (("1.31.4", "a" * 64), ("1.31.5", None)):
            (found,) = choose(
                bench.settings(), names=["kubectl"], versions={Tool.KUBECTL: version}, platforms=[LINUX]
            ).artifacts
            assert found.sha256 == digest

    @pytest.mark.thorough
    def test_one_folder_is_for_one_platform(self, bench: Bench) -> None:
        choice = choose(bench.settings(), platforms=[LINUX, "darwin/arm64"], bin_dir=bench.bin_dir)
        with pytest.raises(InputError, match="cannot contain the same programs for two platforms"):
            install(choice, bench.cache, bench.online())

    @pytest.mark.thorough
    def test_a_folder_outside_path_is_reported(self, bench: Bench) -> None:
        choice = choose(bench.settings(), names=["helm"], versions=VERSIONS, platforms=[LINUX])
        off = choose(bench.settings(), names=["helm"], platforms=[LINUX], bin_dir=bench.bin_dir)
        for chosen, search_path, codes in (
            (choice, "", []),
            (off, "/usr/bin", ["bin-dir-off-path"]),
            (off, f"/usr/bin:{bench.bin_dir}", []),
        ):
            result = install(chosen, bench.cache, bench.online(), search_path=search_path, dry_run=True)
            assert [problem.code for problem in result.warnings] == codes

    @pytest.mark.thorough
    def test_a_mirror_without_encryption_is_pointed_out_unless_the_digest_is_ours(self, bench: Bench) -> None:
        bench.mirror.url = "http://mirror.example"
        for digests, codes in ((Digests(), ["mirror-unencrypted"]), (Digests(linux_amd64="a" * 64), [])):
            bench.digests[Tool.HELM] = digests
            result = bench.install("helm", dry_run=True)
            assert [problem.code for problem in result.warnings] == codes

    @pytest.mark.thorough
    @pytest.mark.parametrize(
        ("version", "codes"),
        [("1.30.4", ["istioctl-analyze"]), ("1.30.5", []), ("1.31.0", ["istioctl-analyze"])],
    )
    def test_an_istioctl_whose_analyze_runs_programs_is_pointed_out(
        self, bench: Bench, version: str, codes: list[str]
    ) -> None:
        choice = choose(bench.settings(), names=["istioctl"], versions={Tool.ISTIOCTL: version})
        result = install(choice, bench.cache, bench.online(), dry_run=True)
        assert [problem.code for problem in result.warnings] == codes


class TestOffline:
    def prepare(self, bench: Bench, *platforms: str) -> Path:
        folder = bench.folder / "usb"
        choice = choose(bench.settings(), versions=VERSIONS, platforms=platforms or [LINUX])
        assert download(choice, folder, bench.online()).problems == ()
        bench.mirror.requests.clear()
        return folder

    def offline(self, bench: Bench, folder: Path) -> Offline:
        return Offline(folder, Cache(bench.folder / "cache"))

    def test_a_prepared_folder_installs_without_a_server(self, bench: Bench) -> None:
        folder = self.prepare(bench)
        result = bench.install(source=self.offline(bench, folder), bin_dir=bench.bin_dir)
        assert [tool.outcome for tool in result.tools] == [Outcome.INSTALLED] * 4
        assert bench.mirror.requests == []
        assert output_of(bench.bin_dir / "helm") == "v3.15.3\n"

    @pytest.mark.thorough
    def test_a_prepared_folder_can_be_checked_with_sha256sum(self, bench: Bench) -> None:
        folder = self.prepare(bench)
        checked = 0
        for path in folder.rglob("*.sha256"):
            digest, name = path.read_text().split()
            assert hashlib.sha256((path.parent / name).read_bytes()).hexdigest() == digest
            checked += 1
        assert checked == 4

    @pytest.mark.thorough
    def test_a_second_download_sends_no_request(self, bench: Bench) -> None:
        folder = self.prepare(bench)
        choice = choose(bench.settings(), versions=VERSIONS, platforms=[LINUX])
        assert {t.outcome for t in download(choice, folder, bench.online()).tools} == {Outcome.UNCHANGED}
        assert bench.mirror.requests == []

    @pytest.mark.thorough
    def test_a_folder_may_hold_several_platforms(self, bench: Bench) -> None:
        for tool in Tool:
            bench.mirror.publish(tool, PLATFORMS[3])
        folder = self.prepare(bench, LINUX, "darwin/arm64")
        assert len([path for path in folder.rglob("*") if path.name == "kubectl" and path.is_file()]) == 2

    @pytest.mark.thorough
    def test_a_dry_run_makes_no_folder(self, bench: Bench) -> None:
        choice = choose(bench.settings(), versions=VERSIONS, platforms=[LINUX])
        download(choice, bench.folder / "usb", bench.online(), dry_run=True)
        assert not (bench.folder / "usb").exists()

    def test_a_file_that_was_damaged_on_the_way_is_refused(self, bench: Bench) -> None:
        folder = self.prepare(bench)
        path = in_folder(folder, bench.mirror.artifact(Tool.HELM))
        path.write_bytes(spoilt(path.read_bytes()))
        old = bench.old(Tool.HELM)
        problem = bench.problem("helm", source=self.offline(bench, folder), bin_dir=bench.bin_dir)
        assert problem.code == "checksum-mismatch"
        assert (problem.expected or "").endswith(f"from {path.name}.sha256")
        assert old.read_bytes() == OLD

    def mismatch(self, bench: Bench, tool: Tool, body: bytes) -> Problem:
        """What is reported where the prepared folder's file of a tool has another content."""
        folder = self.prepare(bench)
        path = in_folder(folder, bench.mirror.artifact(tool))
        expected = path.with_name(f"{path.name}.sha256").read_text().split()[0]
        path.write_bytes(body)
        bench.cache.record(bench.mirror.artifact(tool).url).unlink(missing_ok=True)  # as on another machine
        problem = bench.problem(tool, source=self.offline(bench, folder))
        assert problem.code == "checksum-mismatch"
        assert problem.message.startswith(f"{path} is not the file expected for {tool} {VERSIONS[tool]}")
        assert (problem.seen or "").startswith(f"SHA-256 {hashlib.sha256(body).hexdigest()}")
        assert problem.expected == f"SHA-256 {expected}, from {path.name}.sha256"
        assert f"tools download DIR {tool} --{tool} {VERSIONS[tool]}" in str(problem.hint)
        text = f"{problem.message} {problem.seen} {problem.hint}"
        assert bench.mirror.url not in text
        assert not {"thrown", "server", "mirror", "publisher", "try again"} & set(text.split())
        return problem

    @pytest.mark.thorough
    @pytest.mark.parametrize(
        ("tool", "body", "what"),
        [
            (Tool.HELM, b"", "empty"),
            (Tool.HELM, archive({"linux-amd64/helm": program(Tool.HELM, "3.15.3")})[:-40], "truncated"),
            (Tool.HELM, b"<html>sign in</html>", "an HTML page"),
            (Tool.HELM, b"not an archive", "not a gzip archive"),
            (Tool.KUBECTL, elf(0xB7), "a program for linux/arm64"),
            (Tool.KUBECTL, b"text", "not a program"),
        ],
    )
    def test_a_file_that_is_another_is_recognised(
        self, bench: Bench, tool: Tool, body: bytes, what: str
    ) -> None:
        assert (self.mismatch(bench, tool, body).seen or "").endswith(f"; the file is {what}")

    @pytest.mark.thorough
    def test_a_change_that_nothing_shows_is_not_explained(self, bench: Bench) -> None:
        body = archive({"linux-amd64/helm": program(Tool.HELM, "3.15.3") + b"# changed\n"})
        assert ";" not in (self.mismatch(bench, Tool.HELM, body).seen or "")

    @pytest.mark.thorough
    def test_a_digest_in_mesh_yaml_of_another_file_is_reported(self, bench: Bench) -> None:
        folder = self.prepare(bench)
        bench.digests[Tool.HELM] = Digests(linux_amd64="a" * 64)
        problem = bench.problem("helm", source=self.offline(bench, folder))
        assert "unchanged since its download" in (problem.seen or "")
        assert problem.expected == f"SHA-256 {'a' * 64}, set in mesh.yaml"
        assert str(problem.hint) == "check the digest under tools.helm.sha256 in mesh.yaml"

    @pytest.mark.thorough
    def test_a_file_for_another_platform_with_its_checksum_is_named_by_its_path(self, bench: Bench) -> None:
        bench.mirror.put(bench.mirror.publish(Tool.KUBECTL), elf(0xB7))
        folder = self.prepare(bench)
        problem = bench.problem("kubectl", source=self.offline(bench, folder))
        assert problem.code == "wrong-platform"
        assert str(in_folder(folder, bench.mirror.artifact(Tool.KUBECTL))) in problem.message
        assert "mirror" not in str(problem.hint)

    @pytest.mark.thorough
    def test_a_file_without_a_checksum_is_refused(self, bench: Bench) -> None:
        folder = self.prepare(bench)
        path = in_folder(folder, bench.mirror.artifact(Tool.HELM))
        path.with_name(f"{path.name}.sha256").unlink()
        assert bench.problem("helm", source=self.offline(bench, folder)).code == "checksum-missing"

    def test_what_is_not_in_the_folder_is_named_with_how_to_get_it(self, bench: Bench) -> None:
        folder = bench.folder / "empty"
        problem = bench.problem("helm", source=self.offline(bench, folder))
        assert problem.message == f"{folder} does not contain helm 3.15.3 for linux/amd64"
        assert problem.seen == "no file helm/3.15.3/linux-amd64/helm-v3.15.3-linux-amd64.tar.gz"
        assert str(problem.hint) == (
            "with internet access: istio-mc tools download DIR helm --helm 3.15.3 --platform linux/amd64"
        )

    @pytest.mark.thorough
    def test_nothing_is_left_of_a_killed_or_finished_run(self, bench: Bench) -> None:
        folder = self.prepare(bench)
        (bench.cache.folder / ".abc.istio-mc.tmp").mkdir(parents=True)
        bench.install("helm", source=self.offline(bench, folder))
        assert list(bench.cache.folder.glob(".*")) == []

    @pytest.mark.thorough
    def test_crds_are_those_first_seen(self, bench: Bench) -> None:
        folder = self.prepare(bench)
        other = Cache(bench.folder / "other")
        other.remember(bench.mirror.artifact(Tool.GATEWAY_API).url, "a" * 64)
        choice = choose(bench.settings(), names=["gateway-api"], versions=VERSIONS, platforms=[LINUX])
        (outcome,) = install(choice, other, Offline(folder, other)).tools
        (problem,) = outcome.problems
        assert problem.code == "digest-changed"
        assert problem.message.startswith(str(in_folder(folder, choice.artifacts[0])))
        assert problem.expected == f"SHA-256 {'a' * 64}, of the file that this machine used first"


class TestFinding:
    def put(self, folder: Path, version: str, tool: Tool = Tool.ISTIOCTL) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / tool
        path.write_bytes(program(tool, version))
        path.chmod(0o755)
        return path

    @pytest.mark.thorough
    @pytest.mark.parametrize(
        ("bin_dir", "cached", "path", "origin", "version"),
        [
            ("1.26.0", "1.26.0", "1.26.0", Origin.BIN_DIR, "1.26.0"),
            ("1.25.0", "1.26.0", "1.26.0", Origin.CACHE, "1.26.0"),
            ("1.25.0", None, "1.26.0", Origin.PATH, "1.26.0"),
            (None, "1.26.0", "1.25.0", Origin.CACHE, "1.26.0"),
            (None, None, "1.25.0", Origin.PATH, "1.25.0"),
            ("1.24.0", None, "1.25.0", Origin.BIN_DIR, "1.24.0"),
            ("1.24.0", None, None, Origin.BIN_DIR, "1.24.0"),
        ],
    )
    def test_the_first_of_the_required_version_is_used(
        self,
        tmp_path: Path,
        bin_dir: str | None,
        cached: str | None,
        path: str | None,
        origin: Origin,
        version: str,
    ) -> None:
        cache = Cache(tmp_path / "cache")
        if bin_dir:
            self.put(tmp_path / "bin", bin_dir)
        if cached:
            self.put(cache.program(Tool.ISTIOCTL, "1.26.0", own_platform()).parent, cached)
        if path:
            self.put(tmp_path / "path", path)
        env = {"PATH": str(tmp_path / "path")}
        found = find(Tool.ISTIOCTL, "1.26.0", env, cache, tmp_path / "bin")
        assert found is not None
        assert (found.origin, found.version) == (origin, version)

    @pytest.mark.thorough
    def test_where_there_is_none_nothing_is_found(self, tmp_path: Path) -> None:
        assert find(Tool.HELM, "3.16.4", {"PATH": str(tmp_path)}, Cache(tmp_path), tmp_path) is None

    @pytest.mark.thorough
    def test_a_program_without_a_readable_version_is_reported_with_its_output(self, tmp_path: Path) -> None:
        path = self.put(tmp_path, "1.26.0")
        path.write_text("#!/bin/sh\necho broken >&2; exit 3\n")
        found = find(Tool.ISTIOCTL, "1.26.0", {"PATH": str(tmp_path)}, Cache(tmp_path / "cache"))
        assert found is not None
        assert (found.version, found.output) == (None, "broken")

    @pytest.mark.thorough
    def test_a_program_of_another_platform_is_reported(self, tmp_path: Path) -> None:
        path = self.put(tmp_path, "1.26.0")
        path.write_bytes(elf(0x16))
        found = find(Tool.ISTIOCTL, None, {"PATH": str(tmp_path)}, Cache(tmp_path / "cache"))
        assert found is not None
        assert found.version is None
        assert str(path) in found.output


class TestTheMeshsIstioctl:
    @pytest.mark.thorough
    def test_of_the_cache_wins_over_another_version_on_path(self, bench: Bench, tmp_path: Path) -> None:
        bench.mirror.publish(Tool.ISTIOCTL, version="1.26.0")
        path = bench.one("istioctl", versions={Tool.ISTIOCTL: "1.26.0"}, platform=str(own_platform())).path
        (tmp_path / "istio-mc").symlink_to(bench.cache.folder)
        TestFinding().put(tmp_path / "path", "1.25.0")
        env = {"PATH": str(tmp_path / "path"), "XDG_CACHE_HOME": str(tmp_path)}
        found = find_istioctl(env, None, "1.26.0")
        assert (found.path.resolve(), found.version) == (path.resolve(), "1.26.0")

    @pytest.mark.thorough
    def test_of_the_environments_folder_wins_over_mesh_yamls(self, tmp_path: Path) -> None:
        for folder in ("env", "mesh"):
            TestFinding().put(tmp_path / folder, "1.26.0")
        env = {"PATH": "", "XDG_CACHE_HOME": str(tmp_path), "ISTIO_MC_BIN_DIR": str(tmp_path / "env")}
        assert find_istioctl(env, tmp_path / "mesh", "1.26.0").path == tmp_path / "env/istioctl"

    @pytest.mark.thorough
    def test_that_is_missing_is_reported_with_the_command_that_installs_it(self, tmp_path: Path) -> None:
        with pytest.raises(ProblemError) as caught:
            find_istioctl({"PATH": "", "XDG_CACHE_HOME": str(tmp_path)}, None, "1.26.0")
        assert str(caught.value.problems[0].hint) == "istio-mc tools install istioctl --istioctl 1.26.0"
