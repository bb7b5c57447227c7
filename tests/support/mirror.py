"""A place where programs are published: real HTTP on 127.0.0.1, which misbehaves when it is told to."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from istio_mc.domain.tools import PLATFORMS, Artifact, Platform, Tool, artifact

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

VERSIONS = {Tool.KUBECTL: "1.31.4", Tool.HELM: "3.15.3", Tool.ISTIOCTL: "1.26.1", Tool.GATEWAY_API: "1.2.1"}
"""None of them with a digest that istio-mc knows."""

CRDS = b"""\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gateways.gateway.networking.k8s.io}
"""


@dataclass(frozen=True)
class Fault:
    """What one request gets instead of the file.

    Attributes:
        status: Another status than the file's.
        headers: Headers of that answer.
        cut_at: The connection ends after so many bytes of the body.
        stall_at: Silence after so many bytes of the body, until the server is closed.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    stall_at: int | None = None


@dataclass
class Mirror:
    """The server, while `serve` runs it.

    Attributes:
        url: Its address.
        files: What it has, by path.
        faults: What the next requests for a path get, one after another.
        requests: Path and Host of every request so far.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def put(self, path: str, body: bytes, *, checksum: bool = True) -> None:
        """Publishes a file, with its checksum beside it."""
        self.files[path] = body
        if checksum:
            self.files[f"{path}.sha256"] = f"{hashlib.sha256(body).hexdigest()}\n".encode()

    def publish(self, tool: Tool, platform: Platform = PLATFORMS[0], version: str | None = None) -> str:
        """Publishes a tool that tells its version; returns its path."""
        item = self.artifact(tool, platform, version)
        path = urlsplit(item.url).path
        if item.member:
            self.put(path, archive({item.member: program(tool, item.version)}))
        else:
            body = program(tool, item.version) if tool.is_program else CRDS
            self.put(path, body, checksum=tool.is_program)
        return path

    def artifact(self, tool: Tool, platform: Platform = PLATFORMS[0], version: str | None = None) -> Artifact:
        """Where a tool is published here."""
        return artifact(tool, version or VERSIONS[tool], platform, mirror=self.url)

    def requested(self, path: str) -> list[str]:
        """The Host of each request for a path."""
        return [host for requested, host in self.requests if requested == path]

    @contextmanager
    def serve(self, tls: ssl.SSLContext | None = None) -> Iterator[Mirror]:
        """Runs the server for the time of a `with` block."""
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                # A proxy is asked for the whole URL.
                path = urlsplit(self.path).path
                mirror.requests.append((path, self.headers.get("Host", "")))
                faults = mirror.faults.get(path, [])
                with suppress(BrokenPipeError, ConnectionResetError):
                    mirror._answer(self, path, faults.pop(0) if faults else Fault())

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Says nothing: clients here leave in the middle of a sentence."""

        server = Server(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            server.shutdown()
            server.server_close()
            thread.join(5)

    def _answer(self, to: BaseHTTPRequestHandler, path: str, fault: Fault) -> None:
        body = self.files.get(path)
        status = fault.status or (200 if body is not None else 404)
        body = body if body is not None and not fault.status else b""
        headers = dict(fault.headers)
        to.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            to.send_header(name, value)
        to.end_headers()
        end = fault.cut_at if fault.cut_at is not None else fault.stall_at
        to.wfile.write(body if end is None else body[:end])
        to.wfile.flush()
        if fault.stall_at is not None:
            self.closing.wait(20)
        if end is not None:
            to.close_connection = True


def program(tool: Tool, version: str) -> bytes:
    """A program that tells its version as the real one does."""
    outputs = {
        Tool.KUBECTL: f'{{"clientVersion": {{"gitVersion": "v{version}"}}}}',
        Tool.HELM: f"v{version}",
        Tool.ISTIOCTL: f'{{"clientVersion": {{"version": "{version}"}}}}',
    }[tool]
    return f"#!/bin/sh\necho '{outputs}'\n".encode() + b"# " + tool.encode() * 4000 + b"\n"


def archive(files: Mapping[str, bytes], *others: tarfile.TarInfo) -> bytes:
    """A .tar.gz with files, and before them entries without content, such as links."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for other in others:
            tar.addfile(other)
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), 0o755
            tar.addfile(entry, io.BytesIO(body))
    return made.getvalue()


def elf(machine: int) -> bytes:
    """The beginning of a Linux program for a processor (e_machine), and some more bytes."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine.to_bytes(2, "little") + bytes(300)
