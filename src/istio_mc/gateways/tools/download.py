"""HTTP downloads with retries and verification.

A file is written to the private cache, and used only if its SHA-256 is the expected one. Files of failed
attempts are removed.
"""

from __future__ import annotations

import fcntl
import os
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import httpx

from istio_mc.domain.events import Event, Progress, State, silent
from istio_mc.domain.hint import Advice, istio_mc, on_this_machine
from istio_mc.domain.problem import Code, ProblemError
from istio_mc.domain.tools import parse_checksum
from istio_mc.gateways.host.parallel import in_time, poll_rounds
from istio_mc.gateways.tools.cache import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from istio_mc.gateways.tools.cache import Cache


T = TypeVar("T")
OnProgress = Callable[[int, int | None], None]
"""Called with the bytes downloaded and the total (None: the server does not report it)."""

MAX_FILE = 512 << 20
MAX_TEXT = 32 << 20
RECORDED = "recorded at its first download"
_MAX_CHECKSUM = 64 << 10
_CONNECT_S = 10.0
_LONGEST_PAUSE_S = 8.0
_LOCK_POLL_S = 0.2
_OVERDUE_S = 1.0
"""Seconds after the deadline at which an attempt without its own end is abandoned: DNS, or slow headers."""
STEP = "download"
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_DOCS = "troubleshooting.md#download-failed"


class _Again(Exception):  # noqa: N818 - not an error yet: the next attempt may succeed
    """This attempt failed; another one may succeed."""

    def __init__(self, seen: str, wait_s: float = 0.0) -> None:
        super().__init__(seen)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to download, and the source of its checksum.

    Attributes:
        checksum_url: URL of its SHA-256; None: not published. Then the digest of the first download is the
            expected one for all later downloads.
        sha256_from: Where `sha256` is from, in words.
    """

    url: str
    checksum_url: str | None = None
    sha256: str | None = None
    sha256_from: str = ""
    max_bytes: int = MAX_FILE


@dataclass(slots=True)
class Downloader:
    """Downloads files, with a limited number of attempts. Proxy variables are used.

    Attributes:
        cache: Folder for files and for digests of first downloads.
        read_timeout_s: Seconds without a byte after which an attempt ends.
        backoff_s: Seconds before the second attempt; doubled before each further one, up to 8.
    """

    cache: Cache
    deadline: float
    progress: Progress = field(default=silent, repr=False)
    read_timeout_s: float = 20.0
    attempts: int = 4
    backoff_s: float = 0.5
    _client: httpx.Client | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def fetched(
        self, remote: RemoteFile, on_progress: OnProgress = lambda _done, _total: None
    ) -> Iterator[tuple[Path, str]]:
        """Yields a verified file and its SHA-256 for the time of a `with` block.

        At the end of the block the file is removed from the cache. If no checksum is published, and the block
        raised nothing, the digest is stored.

        Raises:
            ProblemError: `download-failed`, `download-untrusted`, `checksum-missing`, `checksum-mismatch`,
                `digest-changed`.
        """
        expected, source = self._expected(remote)
        partial = self.cache.partial(remote.url)
        self.cache.make_folder(partial.parent)
        with self._locked(remote.url, partial):
            try:
                self._with_retries(remote.url, lambda: self._download(remote, partial, on_progress))
                digest = sha256_of(partial)
                if expected not in (None, digest):
                    record = self.cache.record(remote.url)
                    raise mismatch(remote.url, digest, str(expected), source, record)
                yield partial, digest
                if not remote.checksum_url and not remote.sha256:
                    self.cache.remember(remote.url, digest)
            finally:
                partial.unlink(missing_ok=True)

    def text(self, url: str) -> str | None:
        """A small text, such as a checksum; None if the server has none (404, 403).

        Raises:
            ProblemError: `download-failed`.
        """

        def once() -> str | None:
            with self._get(url) as answer:
                if answer.status_code in (403, 404):  # object stores return 403 for missing files
                    return None
                _stop_unless_good(url, answer)
                raw = bytearray()
                for chunk in answer.iter_bytes():
                    if raw and time.monotonic() > self.deadline:
                        raise _Again(f"{len(raw)} bytes, and more")
                    raw += chunk
                    if len(raw) > _MAX_CHECKSUM:
                        raise _failed(url, f"more than {_MAX_CHECKSUM >> 10} KiB", "a checksum")
                return raw.decode(errors="replace")

        return self._with_retries(url, once)

    def close(self) -> None:
        """Closes the connections."""
        if self._client:
            self._client.close()

    @contextmanager
    def _locked(self, url: str, partial: Path) -> Iterator[None]:
        """Locks a download against other runs during a `with` block."""
        lock = partial.with_name(f"{partial.name}.lock")
        with lock.open("ab") as file:
            for _ in poll_rounds(self.deadline, _LOCK_POLL_S):
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                self.progress(Event(None, STEP, State.WAITING, f"for another run that downloads {url}"))
            else:
                raise _failed(url, "another run is still downloading it", "the end of that download")
            yield

    def _expected(self, remote: RemoteFile) -> tuple[str | None, str]:
        if remote.sha256:
            return remote.sha256, remote.sha256_from
        if not remote.checksum_url:
            return self.cache.recorded(remote.url), RECORDED
        text = self.text(remote.checksum_url)
        digest = parse_checksum(text, remote.url.rsplit("/", 1)[-1]) if text is not None else None
        if digest is None:
            raise ProblemError.of(
                code=Code.CHECKSUM_MISSING,
                message=f"no checksum is published for {remote.url}, so it was not downloaded",
                seen=f"{remote.checksum_url}: {'not there' if text is None else repr(text[:80])}",
                expected="a SHA-256",
                hint=Advice("check the version and the mirror, or set the tool's sha256 in mesh.yaml"),
            )
        return digest, "published with it"

    def _download(self, remote: RemoteFile, partial: Path, on_progress: OnProgress) -> None:
        """Makes one attempt, from the first byte."""
        with self._get(remote.url) as answer:
            _stop_unless_good(remote.url, answer)
            done = 0
            length = answer.headers.get("content-length", "")
            total = int(length) if length.isdigit() else None
            with partial.open("wb", buffering=0) as file:
                for chunk in answer.iter_raw():
                    done += len(chunk)
                    if max(done, total or 0) > remote.max_bytes:
                        limit = f"at most {remote.max_bytes >> 20} MiB"
                        raise _failed(remote.url, f"{max(done, total or 0)} bytes", limit)
                    file.write(chunk)
                    on_progress(done, total)
                    if time.monotonic() > self.deadline:
                        raise _Again(f"{done} of {total or '?'} bytes")

    @contextmanager
    def _get(self, url: str) -> Iterator[httpx.Response]:
        left = max(0.1, self.deadline - time.monotonic())
        timeout = httpx.Timeout(min(self.read_timeout_s, left), connect=min(_CONNECT_S, left))
        with self._open().stream("GET", url, timeout=timeout) as answer:
            hops = [*answer.history, answer]
            if hops[0].url.scheme == "https" and any(hop.url.scheme != "https" for hop in hops):
                raise _failed(
                    url, f"redirected to {answer.url.scheme}://{answer.url.host}", "https:// throughout"
                )
            yield answer

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = _client()
            return self._client

    def _with_retries(self, url: str, once: Callable[[], T]) -> T:
        """Result of a call, repeated after errors for which a new attempt may help."""
        for attempt in range(1, self.attempts + 1):
            try:
                return in_time(once, self.deadline + _OVERDUE_S)
            except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as error:
                refuse_untrusted(url, error)
                again = _Again(_describe(error, self.read_timeout_s))
            except _Again as error:
                again = error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _failed(url, str(error) or type(error).__name__) from None
            except TimeoutError:
                raise _failed(url, "not finished before the deadline") from None
            except UnicodeError:
                raise _failed(url, "invalid host name in this URL or in the proxy's") from None
            except OSError as error:
                where = f"free space in {self.cache.folder}, and permission to write there"
                raise _failed(url, error.strerror or str(error), where) from None
            left = self.deadline - time.monotonic()
            pause = max(again.wait_s, min(_LONGEST_PAUSE_S, self.backoff_s * 2 ** (attempt - 1)))
            if left <= pause:
                raise _failed(url, f"{again}, until the deadline") from None
            if attempt < self.attempts:
                time.sleep(pause)
        raise _failed(url, f"{again}, {self.attempts} times")


def mismatch(what: str, seen: str, expected: str, source: str, record: Path) -> ProblemError:
    """The error for a file whose digest is not the expected one.

    Args:
        record: Path of the digest of the first download, for the case that `expected` is from there.
    """
    changed = source == RECORDED
    verb = "has changed since its first download" if changed else "does not match its checksum"
    return ProblemError.of(
        code=Code.DIGEST_CHANGED if changed else Code.CHECKSUM_MISMATCH,
        message=f"{what} {verb}; it was deleted, and nothing was unpacked or replaced",
        seen=f"SHA-256 {seen}",
        expected=f"SHA-256 {expected}, {source}",
        hint=Advice("find out why it changed; if the change is intended: ", on_this_machine("rm", record))
        if changed
        else Advice("try again; if it fails again, check for a proxy between here and the publisher"),
    )


def _failed(url: str, seen: str, expected: str = "200 OK") -> ProblemError:
    return ProblemError.of(
        code=Code.DOWNLOAD_FAILED,
        message=f"{url} cannot be downloaded",
        seen=seen,
        expected=expected,
        hint=Advice(
            "run the same command again; behind a proxy set HTTPS_PROXY; without internet: ",
            istio_mc("tools", "install", "--offline", "DIR"),
        ),
    )


def _stop_unless_good(url: str, answer: httpx.Response) -> None:
    status = f"{answer.status_code} {answer.reason_phrase}".strip()
    if answer.status_code in _AGAIN:
        wait = answer.headers.get("retry-after", "")
        raise _Again(status, min(float(wait), _LONGEST_PAUSE_S) if wait.isdigit() else 0.0)
    if not answer.is_success:
        raise _failed(url, status)


def _client() -> httpx.Client:
    # identity: the digest is of the uncompressed bytes.
    headers = {"User-Agent": "istio-mc", "Accept-Encoding": "identity"}
    try:
        return httpx.Client(follow_redirects=True, headers=headers)
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        # The error may quote an invalid URL, which may contain a password.
        seen = "a variable that is not a URL" if isinstance(error, httpx.InvalidURL) else str(error)
        raise ProblemError.of(
            code=Code.PROXY_UNUSABLE,
            message="the proxy or certificate settings of the environment cannot be used",
            seen=seen.split(". ")[0],
            expected="HTTPS_PROXY, HTTP_PROXY and ALL_PROXY as http://HOST:PORT, SSL_CERT_FILE a file",
            docs=_DOCS,
        ) from None


def _describe(error: httpx.HTTPError, read_timeout_s: float) -> str:
    if isinstance(error, httpx.ReadTimeout):
        return f"no byte for {read_timeout_s:g} s"
    return str(error) or type(error).__name__


_DATES = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_NAMES = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_OTHER_CA = Advice(
    "set SSL_CERT_FILE to a PEM file with the CA that signed it, such as a company proxy's; it replaces the "
    "public CAs, which many systems have together with their own in /etc/ssl/certs/ca-certificates.crt"
)
_CLOCK = Advice("compare this machine's clock; if it is right, the host or the proxy needs a new certificate")
_OTHER_HOST = Advice("check the URL and the proxy: another host responds under this name")


def refuse_untrusted(url: str, error: httpx.HTTPError) -> None:
    """Raises if a request failed because of an untrusted certificate: a new attempt does not help.

    Raises:
        ProblemError: `download-untrusted`.
    """
    cause = _verification_of(error)
    if cause is None:
        return
    code = cause.verify_code
    raise ProblemError.of(
        code=Code.DOWNLOAD_UNTRUSTED,
        message=f"{url} cannot be downloaded: the certificate of {error.request.url.host} is not trusted",
        seen=cause.verify_message or cause.reason,
        expected=f"a valid certificate from a CA in {_trusted()}",
        hint=_CLOCK if code in _DATES else _OTHER_HOST if code in _NAMES else _OTHER_CA,
    ) from None


def _verification_of(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def _trusted() -> str:
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if place := os.environ.get(variable):
            return f"{place} ({variable})"
    return "the list of public CAs (SSL_CERT_FILE is not set)"
