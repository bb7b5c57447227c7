"""Faults for tests: a cluster cut off, or its packets lost, and both undone.

    faults.cut("kt")     the cable is pulled: at once "no route" for who is near, silence for the others
    faults.heal("kt")
    faults.drop("kt")    packets to and from the node vanish on the way: only time-outs tell
    faults.undrop("kt")
    faults.swallow("kt") packets to the cluster's gateway vanish; its API server goes on answering
    faults.swallow("kt", 15443)   those to one port of it alone
    faults.swallow("kt", 15443, of="ncloud")   and those of one cluster alone
    faults.unswallow("kt")
    faults.blind("kt", "nhn")     pods of kt and the API server of nhn do not hear each other any more
    faults.blind("kt", "nhn", pod="10.201.0.7")   one pod alone
    faults.unblind("kt")
    faults.stop_api_server("kt")  its API server does not respond; pods and what they call go on
    faults.resume_api_server("kt")

Traffic between pods of one node goes on in all of these. All of them may be called twice.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from lab import node, settings
from lab.errors import LabError
from lab.proc import comm, processes, run

# Tables that neither kube-proxy nor the CNI plugins write to.
_RULES = (
    ("raw", "PREROUTING", "-i"),
    ("mangle", "POSTROUTING", "-o"),
)


_RAW = ("iptables", "-w", "-t", "raw")
_FORWARDED = ("iptables", "-w", "-t", "mangle")


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


def swallow(name: str, port: int | None = None, *, of: str | None = None) -> None:
    """Lose every packet that comes from outside for the cluster's gateway, or for one port of it."""
    unswallow(name)
    only = ["-p", "tcp", "--dport", str(port)] if port else []
    only += ["-s", f"{settings.find(of).address}/32"] if of else []
    rule = ["-i", "eth0", "-d", f"{settings.find(name).gateway}/32", *only, "-j", "DROP"]
    _before_gateway(name).run([*_RAW, "-I", "PREROUTING", *rule])


def unswallow(name: str) -> None:
    """Lose none any more."""
    inside = _before_gateway(name)
    for line in inside.run([*_RAW, "-S", "PREROUTING"]).stdout.splitlines():
        how, *rule = line.split()
        if how == "-A" and f"{settings.find(name).gateway}/32" in rule and rule[-1] == "DROP":
            inside.run([*_RAW, "-D", *rule])


def blind(name: str, other: str, *, pod: str | None = None) -> None:
    """Lose every packet between the cluster's pods, or one of them, and the API server of another cluster.

    Where packets are forwarded, for what comes back to a pod has its address only there.
    """
    pods, server = pod or settings.find(name).pods, settings.find(other).address
    for rule in (
        ("-s", pods, "-d", server, "-p", "tcp", "--dport", "6443"),
        ("-s", server, "-d", pods, "-p", "tcp", "--sport", "6443"),
    ):
        _inside(name).run([*_FORWARDED, "-I", "FORWARD", *rule, "-j", "DROP"])


def unblind(name: str) -> None:
    """Lose none any more."""
    inside = _inside(name)
    for line in inside.run([*_FORWARDED, "-S", "FORWARD"]).stdout.splitlines():
        how, *rule = line.split()
        if how == "-A" and rule[-1] == "DROP":
            inside.run([*_FORWARDED, "-D", *rule])


def stop_api_server(name: str) -> None:
    """Stop the cluster's API server as it is: connections stay open, and no request gets a response.

    For less than a minute: then the kubelet starts another one.
    """
    _signal_api_server(name, signal.SIGSTOP)


def resume_api_server(name: str) -> None:
    """Let it go on, with the requests that it has received meanwhile."""
    _signal_api_server(name, signal.SIGCONT)


def _signal_api_server(name: str, what: signal.Signals) -> None:
    _signal("kube-apiserver", f"--advertise-address={settings.find(name).address}", what)


def stop_kubelet(name: str) -> None:
    """Stop the cluster's kubelet as it is: Secrets of running pods are not updated.

    For less than 40 seconds: then its node counts as lost.
    """
    _signal("kubelet", f"--hostname-override={name}", signal.SIGSTOP)


def resume_kubelet(name: str) -> None:
    """Let it go on."""
    _signal("kubelet", f"--hostname-override={name}", signal.SIGCONT)


def _signal(program: str, word: str, what: signal.Signals) -> None:
    for pid, words in processes():
        if Path(words[0]).name == program and word in words:
            os.kill(pid, what)
            if what is signal.SIGCONT:
                _continue_nsenter(pid)


def _continue_nsenter(pid: int) -> None:
    """Let the nsenter go on that stopped together with what it has started: it would not notice its end."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    parent = int(stat.rpartition(")")[2].split()[1])
    if comm(parent) == "nsenter":
        os.kill(parent, signal.SIGCONT)


def stop_agent(pod: str) -> None:
    """Stop the agent beside a pod's Envoy, which goes on with the certificates that it has."""
    _signal_agent(pod, signal.SIGSTOP)


def resume_agent(pod: str) -> None:
    """Let it go on."""
    _signal_agent(pod, signal.SIGCONT)


def _signal_agent(pod: str, what: signal.Signals) -> None:
    for pid, words in processes():
        if Path(words[0]).name == "pilot-agent":
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if f"POD_NAME={pod}".encode() in environment:
                os.kill(pid, what)


def _before_gateway(name: str) -> node.Inside:
    """What has the gateway's address: the provider's box, or the node itself."""
    return _inside(settings.find(name).edge or name)


def _inside(name: str) -> node.Inside:
    pid = node.find_init(name)
    if pid is None:
        raise LabError(f"{name} does not run: expected the lab to be up; `python -m lab up`")
    return node.Inside(pid)
