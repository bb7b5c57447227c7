"""Faults for tests: a cluster cut off, or its packets lost, and both undone.

    faults.cut("kt")     the cable is pulled: at once "no route" for who is near, silence for the others
    faults.heal("kt")
    faults.drop("kt")    packets to and from the node vanish on the way: only time-outs tell
    faults.undrop("kt")
    faults.swallow("kt") packets to the cluster's gateway vanish; its API server goes on answering
    faults.unswallow("kt")

Traffic between pods of one node goes on in all three. All of them may be called twice.
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
        _inside(settings.find(name).name).run(
            ["iptables", "-w", "-t", table, "-I", chain, direction, "eth0", "-j", "DROP"]
        )


def undrop(name: str) -> None:
    """Lose none any more."""
    inside = _inside(settings.find(name).name)
    for table, chain, direction in _RULES:
        rule = ["iptables", "-w", "-t", table, "-D", chain, direction, "eth0", "-j", "DROP"]
        while inside.run(rule, check=False).returncode == 0:
            pass


def swallow(name: str) -> None:
    """Lose every packet that comes from outside for the cluster's gateway."""
    unswallow(name)
    _before_gateway(name).run(_swallowing("-I", name))


def unswallow(name: str) -> None:
    """Lose none any more."""
    while _before_gateway(name).run(_swallowing("-D", name), check=False).returncode == 0:
        pass


def _before_gateway(name: str) -> node.Inside:
    """What has the gateway's address: the provider's box, or the node itself."""
    return _inside(settings.find(name).edge or name)


def _swallowing(how: str, name: str) -> list[str]:
    rule = ["-i", "eth0", "-d", settings.find(name).gateway, "-j", "DROP"]
    return ["iptables", "-w", "-t", "raw", how, "PREROUTING", *rule]


def _inside(name: str) -> node.Inside:
    pid = node.find_init(name)
    if pid is None:
        raise LabError(f"{name} does not run: expected the lab to be up; `python -m lab up`")
    return node.Inside(pid)
