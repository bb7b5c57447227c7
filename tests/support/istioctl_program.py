"""istioctl, as a program: it has the tests' process do what it is to do (istioctl_serving.py).

It must start fast, as it is started hundreds of times: it imports next to nothing.
"""

import _socket
import os
import sys


def main(path: str, words: list[str]) -> int:
    """Sends what a run is given; writes what comes of it."""
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes longer to import than all else here
    request = "\0".join((folder, os.environ.get("KUBECONFIG", ""), *words)).encode()
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect(path)
    server.sendall(len(request).to_bytes(4, "big") + request)
    answer = b""
    while more := server.recv(1 << 20):
        answer += more
    code, stdout, stderr = answer.split(b"\0")
    sys.stdout.buffer.write(stdout)
    sys.stderr.buffer.write(stderr)
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
