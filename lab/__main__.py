"""`python -m lab`: three real Kubernetes clusters on this machine."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from lab import binaries, down, files, health, proc, settings
from lab.errors import LabError
from lab.lock import locked
from lab.log import log_line
from lab.node import Inside, find_init
from lab.up import up

_INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    root = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    verbs = root.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("up", help="bring the lab up; leave it if it is whole")
    verb.add_argument("--fresh", action="store_true", help="build the clusters anew in any case")
    verb.add_argument(
        "--istio",
        action="append",
        choices=binaries.known("istio"),
        metavar="VERSION",
        help=f"once for each, the mesh's own first (default: {', '.join(settings.ISTIO)})",
    )
    verb.add_argument(
        "--kubernetes",
        choices=binaries.known("kubernetes"),
        default=settings.KUBERNETES,
        metavar="VERSION",
        help="(default: %(default)s)",
    )
    verbs.add_parser("down", help="remove everything but the cache")
    verbs.add_parser("status", help="tell whether every part runs (exit code 1: not)")
    verb = verbs.add_parser("env", help='print lines for a shell: eval "$(python -m lab env)"')
    verb.add_argument("--istio", default="", metavar="VERSION", help="of another Istio than the mesh's own")
    verb = verbs.add_parser("exec", help="run a command in a node's namespaces")
    verb.add_argument("node", choices=[name for c in settings.CLUSTERS for name in (c.name, c.edge) if name])
    verb.add_argument("command", nargs=argparse.REMAINDER)
    return root


def _need_root() -> None:
    if not sys.platform.startswith("linux"):
        raise LabError(f"the lab needs Linux: this is {sys.platform}")
    if os.geteuid() != 0:
        raise LabError("the lab needs root, for namespaces and mounts: run it with sudo")


def _up(versions: settings.Versions, *, fresh: bool) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both mean: stop, and clean up
    with locked(settings.LOCK):
        try:
            up(versions, fresh=fresh)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            proc.cancel()
            proc.resume()
            log_line("interrupted: removing what stands")
            down.clear()
            raise


def _down() -> None:
    with locked(settings.LOCK):
        down.clear()
        if left := down.left():
            raise LabError(f"still there: {'; '.join(left)}; run `python -m lab down` again")
    log_line("down")


def _status() -> int:
    faults = health.faults()
    for fault in faults:
        log_line(fault)
    if not faults:
        log_line("up, every part of it")
    return 1 if faults else 0


def _exec(name: str, command: list[str]) -> None:
    pid = find_init(name)
    if pid is None:
        raise LabError(f"{name} does not run: expected the lab to be up; `python -m lab up`")
    words = [str(word) for word in Inside(pid).command(command or ["bash"])]
    os.execvp(words[0], words)  # noqa: S606 (this process becomes that one)


def main(argv: list[str] | None = None) -> int:
    """Run one verb; its exit code is the program's."""
    options = parser().parse_args(argv)
    try:
        if options.verb == "env":
            sys.stdout.write(files.shell(options.istio))
            return 0
        _need_root()
        os.environ.update(settings.past_proxies())
        match options.verb:
            case "up":
                chosen = tuple(dict.fromkeys(options.istio or settings.ISTIO))
                _up(settings.Versions(options.kubernetes, chosen), fresh=options.fresh)
            case "down":
                _down()
            case "status":
                return _status()
            case "exec":
                _exec(options.node, options.command)
    except LabError as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
