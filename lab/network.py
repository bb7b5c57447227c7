"""The lab's wire: one bridge, and a cable from it to every node and every box outside a cluster."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.proc import run
from lab.settings import BRIDGE, BRIDGE_ADDRESS, LINK_PREFIX

if TYPE_CHECKING:
    from lab.node import Inside

_MARK = "  # istio-mc-lab"
_MARK_NEWLINE = "  # istio-mc-lab, and the newline before"


def links() -> list[str]:
    """Names of the lab's links on the machine, the bridge last."""
    listed = json.loads(run(["ip", "-json", "link", "show"]).stdout)
    names = [str(link["ifname"]) for link in listed]
    cables = [name for name in names if name.startswith(LINK_PREFIX)]
    return cables + [name for name in names if name == BRIDGE]


def up() -> None:
    """Lay the bridge."""
    routes = run(["ip", "-json", "-4", "addr", "show"]).stdout
    taken = [
        link["ifname"]
        for link in json.loads(routes)
        for address in link.get("addr_info", [])
        if str(address.get("local", "")).startswith("198.18.0.")
    ]
    if taken:
        raise LabError(f"198.18.0.0/24 is in use on {taken[0]}: expected it free; remove that address")
    run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "addr", "add", f"{BRIDGE_ADDRESS}/24", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])


def down() -> None:
    """Take everything away that `up` and `connect` laid."""
    for name in links():
        run(["ip", "link", "delete", name], check=False)


def connect(name: str, inside: Inside, address: str, *more: str) -> None:
    """Lay a cable from the bridge to a box: `eth0` there, with one address or several."""
    link = LINK_PREFIX + name
    run(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(inside.pid)])
    run(["ip", "link", "set", link, "master", BRIDGE, "up"])
    lines = [
        "link set lo up",
        f"addr add {address}/24 dev eth0",
        *(f"addr add {other}/32 dev eth0" for other in more),
        "link set eth0 up",
        f"route add default via {BRIDGE_ADDRESS}",
    ]
    inside.run(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")
    # Forwarding, and without telling anybody of a shorter way: the shorter way would leave the NAT out.
    settings = {
        "ipv4/ip_forward": "1",
        "ipv4/conf/all/send_redirects": "0",
        "ipv4/conf/eth0/send_redirects": "0",
        "bridge/bridge-nf-call-iptables": "1",
    }
    for key, value in settings.items():
        path = f"/proc/sys/net/{key}"
        if Path(path).exists() or not key.startswith("bridge"):
            inside.run(["sh", "-c", f"echo {value} > {path}"], check=not key.startswith("bridge"))


def name_host(address: str, hostname: str, file: Path = Path("/etc/hosts")) -> None:
    """Give a hostname to the machine itself, as public DNS would."""
    text = file.read_text(encoding="utf-8")
    unname_hosts_text = without_names(text)
    if unname_hosts_text and not unname_hosts_text.endswith("\n"):
        line = f"\n{address} {hostname}{_MARK_NEWLINE}\n"
    else:
        line = f"{address} {hostname}{_MARK}\n"
    # In place: in a container the file is a mount and cannot be replaced.
    file.write_text(unname_hosts_text + line, encoding="utf-8")


def unname_hosts(file: Path = Path("/etc/hosts")) -> None:
    """Take the lab's lines out again, byte for byte."""
    with contextlib.suppress(FileNotFoundError):
        text = file.read_text(encoding="utf-8")
        if (rest := without_names(text)) != text:
            file.write_text(rest, encoding="utf-8")


def without_names(text: str) -> str:
    """Return the text of a hosts file without the lab's lines."""
    kept: list[str] = []
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\n")
        if bare.endswith(_MARK_NEWLINE):
            kept[-1:] = [previous.removesuffix("\n") for previous in kept[-1:]]
        elif not bare.endswith(_MARK):
            kept.append(line)
    return "".join(kept)
