"""Records which subcommands and flags a kubectl and an istioctl have, from their own --help.

    python -m tests.commands.record KUBECTL ISTIOCTL

writes kubectl.json and istioctl.json beside this file. Run it for another version of either, or where a hint
uses a subcommand that is not recorded yet: then name it in USED first. `lab up` fetches both.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
USED = {
    "kubectl": [
        "annotate",
        "api-resources",
        "apply",
        "auth can-i",
        "auth whoami",
        "config get-contexts",
        "config rename-context",
        "config use-context",
        "config view",
        "cordon",
        "create",
        "delete",
        "describe",
        "drain",
        "edit",
        "events",
        "exec",
        "get",
        "label",
        "logs",
        "patch",
        "port-forward",
        "rollout history",
        "rollout restart",
        "rollout status",
        "rollout undo",
        "scale",
        "taint",
        "top nodes",
        "top pods",
        "uncordon",
        "version",
        "wait",
    ],
    "istioctl": [
        "analyze",
        "proxy-config clusters",
        "proxy-config endpoints",
        "proxy-config listeners",
        "proxy-config routes",
        "proxy-config secret",
        "proxy-status",
        "remote-clusters",
        "tag list",
        "version",
    ],
}
_KUBECTL_FLAG = re.compile(r"^    (?:-(?P<short>\w), )?--(?P<long>[\w-]+)=(?P<default>.*):$", re.MULTILINE)
_COBRA_FLAG = re.compile(
    r"^ {2,6}(?:-(?P<short>\w), )?--(?P<long>[\w-]+)(?: (?P<type>\w+))?(?:\s{2,}|$)", re.MULTILINE
)


def _help(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def _kubectl_type(default: str) -> str:
    if default in ("true", "false"):
        return "bool"
    return "int" if re.fullmatch(r"-?\d+", default) else "string"


def _flags(text: str) -> dict[str, str]:
    """The type of each flag: `bool`, `int`, or `string` for whatever else has a value."""
    found: dict[str, str] = {}
    for match in _KUBECTL_FLAG.finditer(text):
        named = _kubectl_type(match["default"])
        found |= {f"--{match['long']}": named} | ({f"-{match['short']}": named} if match["short"] else {})
    if not found:
        for match in _COBRA_FLAG.finditer(text):
            named = {None: "bool", "int": "int"}.get(match["type"], "string")
            found |= {f"--{match['long']}": named} | ({f"-{match['short']}": named} if match["short"] else {})
    return dict(sorted(found.items()))


def _version(program: str, path: str) -> str:
    if program == "kubectl":
        return str(
            json.loads(_help(path, "version", "--client", "-o", "json"))["clientVersion"]["gitVersion"]
        )
    return str(json.loads(_help(path, "version", "--remote=false", "-o", "json"))["clientVersion"]["version"])


def record(program: str, path: str) -> None:
    """Writes what a program's help says."""
    everywhere = _flags(_help(path, "options" if program == "kubectl" else "--help"))
    table = {
        "version": _version(program, path),
        "global": everywhere,
        "commands": {
            words: {
                name: named
                for name, named in _flags(_help(path, *words.split(), "--help")).items()
                if name not in everywhere
            }
            for words in USED[program]
        },
    }
    (HERE / f"{program}.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    for program, path in zip(USED, sys.argv[1:], strict=True):
        record(program, path)
