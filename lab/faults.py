"""Faults for tests: a cluster cut off, or its packets lost, and both undone.

    faults.cut("kt")     the cable is pulled: at once "no route" for who is near, silence for the others
    faults.heal("kt")
    faults.drop("kt")    packets to and from the node vanish on the way: only time-outs tell
    faults.undrop("kt")

Traffic between pods of one node goes on in both. All four may be called twice.
"""

from __future__ import annotations

from lab import node, settings
from lab.errors import LabError
from lab.proc import run

# Tables that neither kube-proxy nor the CNI plugins write to.
_RULES = (
    ("raw", "PREROUTING", "-i"),
    ("mangle", "POSTROUTING", "-o"),
)


def cut(name: str) -> None:
    """Pull the cluster's cable."""
    run(["ip", "link", "set", settings.find(name).link, "down"])


def heal(name: str) -> None:
    """Plug the cluster's cable in."""
    run(["ip", "link", "set", settings.find(name).link, "up"])


def drop(name: str) -> None:
    """Lose every packet to and from the cluster."""
    undrop(name)
    for table, chain, direction in _RULES:
        _inside(name).run(["iptables", "-w", "-t", table, "-I", chain, direction, "eth0", "-j", "DROP"])


def undrop(name: str) -> None:
    """Lose none any more."""
    for table, chain, direction in _RULES:
        rule = ["iptables", "-w", "-t", table, "-D", chain, direction, "eth0", "-j", "DROP"]
        while _inside(name).run(rule, check=False).returncode == 0:
            pass


def _inside(name: str) -> node.Inside:
    pid = node.find_init(settings.find(name).name)
    if pid is None:
        raise LabError(f"{name} does not run: expected the lab to be up; `python -m lab up`")
    return node.Inside(pid)
