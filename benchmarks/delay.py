"""A proxy that delays what passes through it, as a distant API server does.

`kubectl`, `istioctl` and `istio-mc` all use it by HTTPS_PROXY, so that no kubeconfig differs.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 16
_VARIABLES = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")


@contextmanager
def delayed(round_trip_ms: float) -> Iterator[None]:
    """Makes each connection of the programs that start meanwhile slower by a round trip (0: no proxy).

    Raises:
        LabError: The proxy does not start.
    """
    if not round_trip_ms:
        yield
        return
    before = {name: os.environ.get(name) for name in _VARIABLES}
    words = [sys.executable, "-m", "benchmarks.delay", str(round_trip_ms)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            port = proxy.stdout.readline().strip() if proxy.stdout else ""
            if not port:
                raise LabError("the proxy that delays connections did not start")
            url = f"http://127.0.0.1:{port}"
            os.environ.update({name: "" if "no" in name.lower() else url for name in _VARIABLES})
            yield
        finally:
            proxy.terminate()
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


async def _serve(one_way_s: float) -> None:
    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, IndexError):
            head = await reader.readuntil(b"\r\n\r\n")
            host, _, port = head.split()[1].decode().rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            await asyncio.sleep(2 * one_way_s)  # a TCP handshake takes a round trip
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_pump(reader, far_writer, one_way_s), _pump(far_reader, writer, one_way_s))
        writer.close()

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Copies bytes, each `delay_s` after it arrived; keeps reading meanwhile."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""
            waiting.put_nowait((loop.time() + delay_s, data))

    async def write() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    with suppress(OSError):
        await asyncio.gather(read(), write())


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(float(sys.argv[1]) / 2000))
