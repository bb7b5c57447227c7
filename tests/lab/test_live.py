"""The lab itself: its providers' quirks, its faults, and that it comes and goes whole.

The last tests take the lab down; it is up and empty again when they end.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lab import down, faults, health, images, network, node, quirks, settings
from lab.cluster import Kubectl
from lab.proc import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]
PORT = 8088


def lab(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def eventually(ready: Callable[[], bool], timeout: float = 30) -> None:
    end = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.2)


def answer(url: str, timeout: float = 2) -> str:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310 (the lab's own)
            return str(response.read().decode().strip())
    except OSError as error:
        return f"no answer: {error}"


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "lab-test"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": PORT}]},
    }


def web(cluster: settings.Cluster) -> dict[str, Any]:
    script = (
        f"mkdir /tmp/www && echo {cluster.name} > /tmp/www/index.html && exec httpd -f -p {PORT} -h /tmp/www"
    )
    container = {"name": "web", "image": images.CURL, "command": ["sh", "-c", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "lab-test", "labels": {"app": "web"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


@pytest.fixture(scope="module")
def kubectls() -> Iterator[dict[str, Kubectl]]:
    """A web server and a LoadBalancer Service in each cluster."""
    assert health.faults() == []
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab-test"}}
    each = {cluster.name: Kubectl(cluster) for cluster in settings.CLUSTERS}
    for kubectl in each.values():
        kubectl.apply(yaml.safe_dump(namespace))
        eventually(lambda kubectl=kubectl: "default" in kubectl("get", "sa", "-n", "lab-test"))  # type: ignore[misc]
        kubectl.apply(yaml.safe_dump_all([web(kubectl.cluster), service("web")]))
    for kubectl in each.values():
        kubectl("wait", "-n", "lab-test", "--for=condition=Ready", "pod/web", "--timeout=60s")
    yield each
    for kubectl in each.values():
        kubectl("delete", "namespace", "lab-test", "--ignore-not-found", "--wait=false")


def ingress(kubectl: Kubectl) -> object:
    found = json.loads(kubectl("get", "service", "-n", "lab-test", "web", "-o", "json"))
    return found["status"]["loadBalancer"].get("ingress")


@pytest.mark.parametrize(
    ("name", "status", "host"),
    [
        ("kt", None, "198.18.0.21"),
        ("ncloud", {"hostname": "gw.ncloud.lab.test"}, "gw.ncloud.lab.test"),
        ("nhn", {"ip": "198.18.0.23", "ipMode": "VIP"}, "198.18.0.23"),
    ],
)
def test_each_provider_has_its_own_load_balancer(
    kubectls: dict[str, Kubectl], name: str, status: dict[str, str] | None, host: str
) -> None:
    url = f"http://{host}:{PORT}/"
    for _ in range(2):
        eventually(lambda: answer(url) == name)
        assert ingress(kubectls[name]) == ([status] if status else None)
        # From a pod of another cluster, by the same name.
        other = kubectls["nhn" if name != "nhn" else "kt"]
        assert other("exec", "-n", "lab-test", "web", "--", "curl", "-sS", "-m5", url).strip() == name
        # Once more, with a Service that has other nodePorts.
        kubectls[name]("delete", "service", "-n", "lab-test", "web")
        kubectls[name].apply(yaml.safe_dump(service("web")))


def test_a_name_of_the_outside_does_not_exist(kubectls: dict[str, Kubectl]) -> None:
    output = kubectls["kt"](
        "exec", "-n", "lab-test", "web", "--", "sh", "-c", "nslookup example.com 2>&1 || true"
    )
    assert "NXDOMAIN" in output


def agent_settings(kubectl: Kubectl) -> dict[str, str]:
    pid = node.find_init(kubectl.cluster.name)
    assert pid is not None
    output = node.Inside(pid).run(["curl", "-sS", "-m", "5", "http://127.0.0.1:9879/config"]).stdout
    return dict(json.loads(output))


def test_cilium_takes_new_settings_only_with_a_restart() -> None:
    kubectl = Kubectl(settings.find("ncloud"))
    before = agent_settings(kubectl)["cni-exclusive"]
    other = "true" if before == "false" else "false"

    def write(value: str) -> None:
        body = json.dumps({"data": {"cni-exclusive": value}})
        kubectl("patch", "configmap", "-n", "kube-system", "cilium-config", "--type=merge", "-p", body)

    def restart() -> None:
        kubectl("rollout", "restart", "-n", "kube-system", "daemonset/cilium")
        kubectl("rollout", "status", "-n", "kube-system", "daemonset/cilium", "--timeout=50s")

    write(other)
    try:
        assert agent_settings(kubectl)["cni-exclusive"] == before
        restart()
        assert agent_settings(kubectl)["cni-exclusive"] == other
    finally:
        write(before)
        restart()


@pytest.mark.parametrize(
    ("do", "undo"),
    [
        (faults.cut, faults.heal),
        (faults.drop, faults.undrop),
        (faults.swallow, faults.unswallow),
    ],
)
@pytest.mark.usefixtures("kubectls")
def test_faults_come_and_go(do: Callable[[str], None], undo: Callable[[str], None]) -> None:
    url = f"http://198.18.0.21:{PORT}/"
    eventually(lambda: answer(url) == "kt")
    do("kt")
    do("kt")
    try:
        assert answer(url).startswith("no answer")
        assert answer(f"http://198.18.0.23:{PORT}/") == "nhn"
    finally:
        undo("kt")
        undo("kt")
    eventually(lambda: answer(url) == "kt")


def test_a_lab_that_is_whole_is_left_as_it_is() -> None:
    before = node.find_init("kt")
    done = lab("up")
    assert done.returncode == 0, done.stderr
    assert "already up" in done.stderr
    assert node.find_init("kt") == before


def kubelet() -> int | None:
    pid = node.find_init("kt")
    assert pid is not None
    return node.Inside(pid).find("kubelet")


def kill_everything() -> None:
    for pid, _ in down.own_processes():
        os.kill(pid, signal.SIGKILL)


def half_an_up() -> None:
    """Leave what `lab up --fresh` has when it is killed in the middle."""
    with subprocess.Popen(
        [sys.executable, "-m", "lab", "up", "--fresh"], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as run:
        end = time.monotonic() + 120
        seen_none = False
        while time.monotonic() < end:
            running = node.find_init("kt") is not None
            seen_none |= not running
            if (
                seen_none
                and running
                and settings.find("kt").node.joinpath("var/lib/kubelet/config.yaml").exists()
            ):
                break
            time.sleep(0.1)
        run.kill()
    assert not settings.STAMP.exists()


def test_a_kubelet_that_ends_is_started_again() -> None:
    ended = kubelet()
    assert ended is not None
    os.kill(ended, signal.SIGKILL)
    eventually(lambda: kubelet() not in (None, ended))


def test_a_part_that_is_missing_is_noticed() -> None:
    desired = quirks.balancer_command(settings.find("kt"))
    (balancer,) = [pid for pid, words in processes() if words[: len(desired)] == desired]
    os.kill(balancer, signal.SIGKILL)
    assert lab("status").returncode == 1


def test_what_is_broken_is_built_again() -> None:
    kill_everything()
    assert lab("status").returncode == 1
    done = lab("up")
    assert done.returncode == 0, done.stderr
    assert lab("status").returncode == 0


def test_interrupted_it_removes_what_stands() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "lab", "up", "--fresh"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "starting three clusters" in line:
                break
        time.sleep(5)
        run.send_signal(signal.SIGINT)
        output = run.stderr.read()
        assert run.wait(timeout=60) == 130, output
    assert "Traceback" not in output
    assert down.left() == []


def machine() -> dict[str, Any]:
    """What of the machine the lab could leave a trace in."""
    folders = (
        "/etc",
        "/etc/cni",
        "/opt",
        "/run",
        "/run/lock",
        "/usr/libexec",
        "/var/lib",
        "/var/log",
        "/var/run",
    )
    sysctls = (
        "vm/overcommit_memory",
        "kernel/panic",
        "kernel/panic_on_oops",
        "fs/inotify/max_user_instances",
    )
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return {
        "folders": {
            name: sorted(p.name for p in Path(name).iterdir()) for name in folders if Path(name).is_dir()
        },
        "hosts": Path("/etc/hosts").read_bytes(),
        "links": network.links(),
        "mounts": [line.split()[4] for line in mounts],
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob("*/k8s.io/*")),
        "sysctls": {name: Path("/proc/sys", name).read_text(encoding="ascii") for name in sysctls},
        "rules": subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout.count(
            "-A "
        ),
        "processes": sorted(
            words[0]
            for _, words in processes()
            if re.search(r"containerd|kube|etcd|coredns|envoy|pilot|lab-init|loadbalancer", words[0])
        ),
    }


def test_half_an_up_is_built_again_and_down_leaves_nothing() -> None:
    assert lab("down").returncode == 0
    before = machine()
    assert before["processes"] == []
    assert before["links"] == []
    half_an_up()
    assert lab("status").returncode == 1
    done = lab("up")
    assert done.returncode == 0, done.stderr
    assert sorted(network.links()) == [
        "lab-kt",
        "lab-kt-edge",
        "lab-ncloud",
        "lab-ncloud-edge",
        "lab-nhn",
        "lab0",
    ]
    assert lab("down").returncode == 0
    assert down.left() == []
    assert machine() == before
    # A second time there is nothing to do, and that is no fault.
    assert lab("down").returncode == 0
    assert lab("up").returncode == 0
