"""Files over HTTP, from a server that is really there and misbehaves when told to."""

from __future__ import annotations

import functools
import hashlib
import resource
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.events import Event
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.tools.cache import Cache, find_cache
from istio_mc.gateways.tools.download import Downloader, RemoteFile
from istio_mc.gateways.tools.manifests import documents
from tests.support.certificates import material
from tests.support.folders import shared_folder
from tests.support.mirror import CRDS, Fault, Mirror
from tests.support.self_signed import SelfSigned, self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@functools.cache
def one_ca() -> Path:
    """A file of trusted CAs with one in it: to read the public ones takes longer than most tests here."""
    file = shared_folder() / "one-ca.pem"
    file.write_bytes(material().certificate)
    return file


@pytest.fixture(autouse=True)
def _few_cas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(one_ca()))


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror().serve() as server:
        server.put("/file", BODY)
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def downloader(cache: Cache, *, deadline_s: float = 20.0) -> Downloader:
    return Downloader(cache, time.monotonic() + deadline_s, read_timeout_s=0.5, backoff_s=0.01)


@contextmanager
def fetched(cache: Cache, desired: RemoteFile, *, deadline_s: float = 20.0) -> Iterator[bytes]:
    with (
        closing(downloader(cache, deadline_s=deadline_s)) as made,
        made.fetched(desired) as (path, digest),
    ):
        body = path.read_bytes()
        assert hashlib.sha256(body).hexdigest() == digest
        yield body


def fetch(cache: Cache, desired: RemoteFile, *, deadline_s: float = 20.0) -> bytes:
    with fetched(cache, desired, deadline_s=deadline_s) as body:
        return body


def failure(cache: Cache, desired: RemoteFile, *, deadline_s: float = 20.0) -> Problem:
    with pytest.raises(ProblemError) as caught:
        fetch(cache, desired, deadline_s=deadline_s)
    (problem,) = caught.value.problems
    return problem


def published(mirror: Mirror, path: str = "/file") -> RemoteFile:
    return RemoteFile(f"{mirror.url}{path}", f"{mirror.url}{path}.sha256")


def test_a_file_with_the_published_digest_is_handed_out(mirror: Mirror, cache: Cache) -> None:
    assert fetch(cache, published(mirror)) == BODY


def test_nothing_is_left_of_a_finished_download(mirror: Mirror, cache: Cache) -> None:
    fetch(cache, published(mirror))
    assert [path.name for path in (cache.folder / "partial").iterdir() if path.suffix != ".lock"] == []


def test_the_cache_is_its_owners_alone(mirror: Mirror, cache: Cache) -> None:
    fetch(cache, published(mirror))
    assert {path.stat().st_mode & 0o777 for path in (cache.folder, cache.folder / "partial")} == {0o700}


def test_a_file_with_another_digest_is_thrown_away(mirror: Mirror, cache: Cache) -> None:
    mirror.files["/file"] = b"corrupted" + BODY
    problem = failure(cache, published(mirror))
    assert problem.code == "checksum-mismatch"
    assert problem.message == (
        f"{mirror.url}/file does not match its checksum; it was deleted, and nothing was unpacked or replaced"
    )
    assert problem.seen == f"SHA-256 {hashlib.sha256(b'corrupted' + BODY).hexdigest()}"
    assert problem.expected == f"SHA-256 {DIGEST}, published with it"
    assert not cache.partial(f"{mirror.url}/file").exists()


def test_a_digest_set_by_the_user_wins_over_the_published_one(mirror: Mirror, cache: Cache) -> None:
    mirror.put("/file", b"replaced, with its checksum")
    desired = RemoteFile(f"{mirror.url}/file", f"{mirror.url}/file.sha256", DIGEST, "set in mesh.yaml")
    assert failure(cache, desired).expected == f"SHA-256 {DIGEST}, set in mesh.yaml"
    assert mirror.requested("/file.sha256") == []


def test_a_file_without_a_checksum_is_not_requested(mirror: Mirror, cache: Cache) -> None:
    del mirror.files["/file.sha256"]
    problem = failure(cache, published(mirror))
    assert (problem.code, problem.seen) == ("checksum-missing", f"{mirror.url}/file.sha256: not there")
    assert mirror.requested("/file") == []


@pytest.mark.parametrize("text", [b"<html>sign in</html>", b"", b"0" * 63, b"abc  other-file\ndef  file"])
def test_what_is_no_checksum_is_not_taken_for_one(mirror: Mirror, cache: Cache, text: bytes) -> None:
    mirror.files["/file.sha256"] = text
    assert failure(cache, published(mirror)).code == "checksum-missing"


def test_a_missing_file_is_requested_once(mirror: Mirror, cache: Cache) -> None:
    del mirror.files["/file"]
    problem = failure(cache, published(mirror))
    assert (problem.code, problem.seen) == ("download-failed", "404 Not Found")
    assert problem.message == f"{mirror.url}/file cannot be downloaded"
    assert len(mirror.requested("/file")) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_is_busy_for_a_moment_is_queried_again(
    mirror: Mirror, cache: Cache, status: int
) -> None:
    mirror.faults["/file"] = [Fault(status), Fault(status)]
    mirror.faults["/file.sha256"] = [Fault(status)]
    assert fetch(cache, published(mirror)) == BODY
    assert len(mirror.requested("/file")) == 3


def test_a_server_that_stays_busy_is_given_up(mirror: Mirror, cache: Cache) -> None:
    mirror.faults["/file"] = [Fault(503)] * 9
    assert failure(cache, published(mirror)).seen == "503 Service Unavailable, 4 times"
    assert len(mirror.requested("/file")) == 4


def test_retry_after_is_waited_for(mirror: Mirror, cache: Cache) -> None:
    mirror.faults["/file"] = [Fault(503, {"Retry-After": "1"})]
    begun = time.monotonic()
    fetch(cache, published(mirror))
    assert time.monotonic() - begun >= 1.0


def test_a_connection_that_breaks_is_retried_from_the_beginning(mirror: Mirror, cache: Cache) -> None:
    mirror.faults["/file"] = [Fault(cut_at=100_000), Fault(cut_at=200_000)]
    assert fetch(cache, published(mirror)) == BODY
    assert len(mirror.requested("/file")) == 3


def test_nothing_is_left_of_a_download_that_failed(mirror: Mirror, cache: Cache) -> None:
    mirror.faults["/file"] = [Fault(cut_at=100_000)] * 4
    failure(cache, published(mirror))
    assert not cache.partial(f"{mirror.url}/file").exists()


def test_what_a_killed_run_left_is_overwritten(mirror: Mirror, cache: Cache) -> None:
    url = f"{mirror.url}/file"
    cache.make_folder(cache.partial(url).parent)
    cache.partial(url).write_bytes(b"x" * (len(BODY) + 1))
    assert fetch(cache, published(mirror)) == BODY


def test_a_server_that_falls_silent_is_given_up_after_the_read_timeout(mirror: Mirror, cache: Cache) -> None:
    mirror.faults["/file"] = [Fault(stall_at=1000)] * 9
    begun = time.monotonic()
    assert failure(cache, published(mirror)).seen == "no byte for 0.5 s, 4 times"
    assert time.monotonic() - begun < 10


def test_nothing_goes_on_past_the_deadline(mirror: Mirror, cache: Cache) -> None:
    mirror.faults["/file"] = [Fault(stall_at=1000)] * 9
    desired = RemoteFile(f"{mirror.url}/file", sha256=DIGEST)
    assert "the deadline" in (failure(cache, desired, deadline_s=0.8).seen or "")
    assert len(mirror.requested("/file")) < 4


def test_an_unreachable_server_is_reported(cache: Cache) -> None:
    with Mirror().serve() as gone:
        url = f"{gone.url}/file"
    problem = failure(cache, RemoteFile(url, sha256=DIGEST, sha256_from="set in mesh.yaml"))
    assert (problem.seen or "").endswith("Connection refused, 4 times")


def test_redirects_are_followed(mirror: Mirror, cache: Cache) -> None:
    mirror.faults["/moved"] = [Fault(302, {"Location": f"{mirror.url}/file"})]
    mirror.files["/moved.sha256"] = mirror.files["/file.sha256"]
    assert fetch(cache, published(mirror, "/moved")) == BODY


def test_redirects_that_never_end_are_given_up(mirror: Mirror, cache: Cache) -> None:
    mirror.faults["/file"] = [Fault(302, {"Location": f"{mirror.url}/file"})] * 50
    assert failure(cache, published(mirror)).seen == "Exceeded maximum allowed redirects."


def test_no_redirect_leaves_https(
    mirror: Mirror, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    with Mirror().serve(context) as secure:
        secure.faults["/file"] = [Fault(302, {"Location": f"{mirror.url}/file"})]
        problem = failure(cache, RemoteFile(f"{secure.url}/file", sha256=DIGEST))
    assert (problem.seen, problem.expected) == ("redirected to http://127.0.0.1", "https:// throughout")


class TestACertificateThatIsNotAccepted:
    """It is reported after one try: no further one changes it."""

    @pytest.fixture(autouse=True)
    def _no_cas(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name, raising=False)

    def problem(self, cache: Cache, folder: Path, made: SelfSigned, host: str = "127.0.0.1") -> Problem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.write(folder / "server.pem"))
        handshakes: list[object] = []
        context.sni_callback = lambda *_: handshakes.append(None)
        with Mirror().serve(context) as secure:
            url = f"{secure.url}/file".replace("127.0.0.1", host)
            problem = failure(cache, RemoteFile(url, sha256=DIGEST))
        assert len(handshakes) == 1
        assert problem.code == "download-untrusted"
        assert problem.message == f"{url} cannot be downloaded: the certificate of {host} is not trusted"
        return problem

    def test_of_an_unknown_ca_leads_to_ssl_cert_file(self, cache: Cache, tmp_path: Path) -> None:
        problem = self.problem(cache, tmp_path, self_signed("127.0.0.1"))
        assert problem.seen == "self-signed certificate"
        assert "SSL_CERT_FILE" in str(problem.hint)

    def test_of_a_ca_that_ssl_cert_file_does_not_contain_names_that_file(
        self, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(self_signed("other").write(tmp_path / "other.pem")))
        problem = self.problem(cache, tmp_path, self_signed("127.0.0.1"))
        assert problem.expected == f"a valid certificate from a CA in {tmp_path}/other.pem (SSL_CERT_FILE)"

    def test_that_is_expired_leads_to_the_clock(
        self, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        valid = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))
        problem = self.problem(cache, tmp_path, self_signed("127.0.0.1", valid=valid))
        assert problem.seen == "certificate has expired"
        assert "clock" in str(problem.hint)

    def test_of_another_host_leads_to_the_url(
        self, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        problem = self.problem(cache, tmp_path, self_signed("example.com"), host="localhost")
        assert "another host" in str(problem.hint)

    def test_stops_the_checksum_as_well(self, cache: Cache, tmp_path: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(tmp_path))
        with Mirror().serve(context) as secure:
            assert failure(cache, published(secure)).code == "download-untrusted"

    def test_of_the_crds_host_leads_to_ssl_cert_file_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(tmp_path))
        with Mirror().serve(context) as secure, pytest.raises(ProblemError) as caught:
            documents(f"{secure.url}/crds.yaml")
        assert "SSL_CERT_FILE" in str(caught.value.problems[0].hint)


def test_a_file_above_the_limit_is_refused_before_it_is_fetched(mirror: Mirror, cache: Cache) -> None:
    desired = RemoteFile(f"{mirror.url}/file", sha256=DIGEST, max_bytes=1 << 10)
    assert failure(cache, desired).seen == f"{len(BODY)} bytes"
    assert not cache.partial(desired.url).exists()


def test_a_file_that_cannot_be_written_completely_is_reported(mirror: Mirror, cache: Cache) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        problem = failure(cache, published(mirror))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert problem.seen == "File too large"
    assert problem.expected == f"free space in {cache.folder}, and permission to write there"


def test_a_checksum_without_end_is_refused(mirror: Mirror, cache: Cache) -> None:
    mirror.files["/file.sha256"] = b"0" * 100_000
    assert failure(cache, published(mirror)).seen == "more than 64 KiB"


def test_the_proxy_of_the_environment_is_used(
    mirror: Mirror, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", mirror.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    desired = RemoteFile("http://tools.example/file", "http://tools.example/file.sha256")
    assert fetch(cache, desired) == BODY
    assert {host for _, host in mirror.requests} == {"tools.example"}


def test_no_proxy_is_honoured(mirror: Mirror, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert fetch(cache, published(mirror)) == BODY


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "gopher://127.0.0.1:70"])
def test_a_proxy_of_another_kind_is_reported(
    mirror: Mirror, cache: Cache, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert failure(cache, published(mirror)).code == "proxy-unusable"


@pytest.mark.parametrize("proxy", ["http://jane:secret", "http://jane:sec\nret@127.0.0.1:1"])
def test_an_invalid_proxy_url_is_reported_without_its_password(
    mirror: Mirror, cache: Cache, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    problem = failure(cache, published(mirror))
    assert (problem.code, problem.seen) == ("proxy-unusable", "a variable that is not a URL")


def test_a_proxy_whose_host_is_no_name_is_a_failed_download(
    mirror: Mirror, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://{'x' * 70}:3128")
    assert failure(cache, published(mirror)).code == "download-failed"


def test_two_runs_at_once_do_not_disturb_each_other(mirror: Mirror, cache: Cache) -> None:
    bodies: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: bodies.append(fetch(cache, published(mirror)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [BODY] * 4


def test_the_wait_for_another_run_ends_at_the_deadline(mirror: Mirror, cache: Cache) -> None:
    with fetched(cache, published(mirror)):
        problem = failure(cache, published(mirror), deadline_s=0.5)
    assert problem.seen == "another run is still downloading it"


def test_who_waits_for_another_run_reports_it(mirror: Mirror, cache: Cache) -> None:
    class Reported(Exception):  # noqa: N818 - what ends the wait
        pass

    def report(event: Event) -> None:
        raise Reported(event.detail)

    waiting = Downloader(cache, time.monotonic() + 60, report)
    with (
        fetched(cache, published(mirror)),
        closing(waiting),
        pytest.raises(Reported, match=f"^for another run that downloads {mirror.url}/file$"),
        waiting.fetched(published(mirror)),
    ):
        pass


def test_a_server_that_sends_its_headers_byte_by_byte_is_not_waited_for(cache: Cache) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        over = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
                while not over.wait(0.05):
                    connection.sendall(b"x")

        pool.submit(drip)
        try:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/file"
            assert failure(cache, RemoteFile(url), deadline_s=0.5).seen == "not finished before the deadline"
        finally:
            over.set()


class TestWithoutAPublishedChecksum:
    def test_the_first_digest_is_recorded(self, mirror: Mirror, cache: Cache) -> None:
        url = f"{mirror.url}/file"
        fetch(cache, RemoteFile(url))
        assert cache.recorded(url) == DIGEST

    def test_a_later_change_is_refused(self, mirror: Mirror, cache: Cache) -> None:
        url = f"{mirror.url}/file"
        fetch(cache, RemoteFile(url))
        mirror.put("/file", b"rewritten")
        problem = failure(cache, RemoteFile(url))
        assert problem.code == "digest-changed"
        assert problem.message.startswith(f"{url} has changed since its first download")
        assert problem.expected == f"SHA-256 {DIGEST}, recorded at its first download"
        assert (
            str(problem.hint) == f"find out why it changed; if the change is intended: rm {cache.record(url)}"
        )

    def test_the_change_is_taken_once_the_record_is_removed(self, mirror: Mirror, cache: Cache) -> None:
        url = f"{mirror.url}/file"
        fetch(cache, RemoteFile(url))
        mirror.put("/file", b"rewritten")
        cache.record(url).unlink()
        assert fetch(cache, RemoteFile(url)) == b"rewritten"

    def test_what_its_user_refused_is_not_recorded(self, mirror: Mirror, cache: Cache) -> None:
        url = f"{mirror.url}/file"
        with pytest.raises(KeyError), fetched(cache, RemoteFile(url)):
            raise KeyError
        assert cache.recorded(url) is None


class TestDocuments:
    @pytest.fixture(autouse=True)
    def _own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def test_of_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "crds.yaml").write_bytes(CRDS + b"---\n")
        (document,) = documents(str(tmp_path / "crds.yaml"))
        assert document["kind"] == "CustomResourceDefinition"

    def test_of_a_url_are_fetched_once(self, mirror: Mirror) -> None:
        mirror.put("/crds.yaml", CRDS)
        assert documents(f"{mirror.url}/crds.yaml") == documents(f"{mirror.url}/crds.yaml")
        assert len(mirror.requested("/crds.yaml")) == 1

    def test_of_a_url_that_changed_are_refused(self, mirror: Mirror, tmp_path: Path) -> None:
        mirror.put("/crds.yaml", CRDS)
        url = f"{mirror.url}/crds.yaml"
        documents(url)
        find_cache({"XDG_CACHE_HOME": str(tmp_path / "cache")}, tmp_path).manifest(url).unlink()
        mirror.put("/crds.yaml", CRDS + b"# rewritten\n")
        with pytest.raises(ProblemError, match="has changed since its first download"):
            documents(url)

    def test_that_were_altered_in_the_cache_are_fetched_again(self, mirror: Mirror, tmp_path: Path) -> None:
        mirror.put("/crds.yaml", CRDS)
        url = f"{mirror.url}/crds.yaml"
        documents(url)
        kept = find_cache({"XDG_CACHE_HOME": str(tmp_path / "cache")}, tmp_path).manifest(url)
        kept.write_text("kind: Other\n")
        assert documents(url)[0]["kind"] == "CustomResourceDefinition"

    def test_are_waited_for_until_the_runs_deadline_and_name_the_download(self, mirror: Mirror) -> None:
        mirror.put("/crds.yaml", CRDS)
        mirror.faults["/crds.yaml"] = [Fault(stall_at=3)] * 20
        url, events = f"{mirror.url}/crds.yaml", list[Event]()
        with pytest.raises(ProblemError, match="cannot be downloaded"):
            documents(url, deadline=time.monotonic() + 0.5, progress=events.append)
        assert [(event.step, event.detail) for event in events] == [("download", url)]

    def test_with_a_digest_must_have_it(self, mirror: Mirror) -> None:
        mirror.put("/crds.yaml", CRDS)
        with pytest.raises(ProblemError, match="does not match its checksum"):
            documents(f"{mirror.url}/crds.yaml", sha256=DIGEST)

    def test_that_are_a_web_page_are_refused_and_not_recorded(self, mirror: Mirror) -> None:
        mirror.put("/crds.yaml", b"<html><body>sign in first</body></html>")
        with pytest.raises(ProblemError, match="contains no Kubernetes documents"):
            documents(f"{mirror.url}/crds.yaml")
        mirror.put("/crds.yaml", CRDS)
        assert len(documents(f"{mirror.url}/crds.yaml")) == 1

    def test_of_a_file_are_held_to_the_digest_of_mesh_yaml(self, tmp_path: Path) -> None:
        file = tmp_path / "crds.yaml"
        file.write_bytes(CRDS)
        assert len(documents(str(file), sha256=hashlib.sha256(CRDS).hexdigest())) == 1
        with pytest.raises(ProblemError) as caught:
            documents(str(file), sha256=DIGEST)
        (problem,) = caught.value.problems
        assert (problem.code, problem.expected) == (
            "checksum-mismatch",
            f"SHA-256 {DIGEST}, set in mesh.yaml",
        )

    def test_that_are_unavailable_name_the_setting(self, mirror: Mirror) -> None:
        with pytest.raises(ProblemError) as caught:
            documents(f"{mirror.url}/none.yaml")
        assert str(caught.value.problems[0].hint) == (
            "set gatewayAPI.manifest in mesh.yaml to a local copy, or gatewayAPI.install to false"
        )

    def test_are_fetched_without_a_memory_where_no_cache_can_be_written(
        self, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
        mirror.put("/crds.yaml", CRDS)
        assert len(documents(f"{mirror.url}/crds.yaml")) == 1


class TestTheCachesPlace:
    def test_follows_xdg_cache_home(self, tmp_path: Path) -> None:
        assert find_cache({"XDG_CACHE_HOME": "/x"}, tmp_path).folder.as_posix() == "/x/istio-mc"

    @pytest.mark.parametrize("unusable", ["", "relative/place"])
    def test_is_below_home_otherwise(self, tmp_path: Path, unusable: str) -> None:
        assert find_cache({"XDG_CACHE_HOME": unusable}, tmp_path).folder == tmp_path / ".cache/istio-mc"


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that its own key signed, and the key, in one file."""
    return self_signed("127.0.0.1").write(folder / "server.pem")
