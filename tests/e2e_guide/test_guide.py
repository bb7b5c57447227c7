"""docs/guide.md's road from three consoles' kubeconfigs to the matrix, each command as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import yaml

from lab import settings
from tests.e2e import shared
from tests.e2e.harness import LAB_KUBECONFIG, Site, clean, get

GUIDE = (Path(__file__).parents[2] / "docs/guide.md").read_text(encoding="utf-8")
NAT = settings.find("kt").gateway
ELSEWHERE = {"istio-mc tools install"}
"""Shown on a server of its own: its published one is not for tests."""


def road() -> list[str]:
    """The commands of the guide's code blocks, in their order, up to the matrix and the sample's end."""
    blocks = re.findall(r"^```\n(.*?)^```", GUIDE.partition("## 10.")[0], re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("istio-mc ")]


@pytest.fixture
def desk() -> Site:
    """An empty folder with the three files that the consoles handed out; all tests share what it becomes."""
    clean()
    folder = shared.FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    for cluster, path in zip(settings.CLUSTERS, LAB_KUBECONFIG.split(":"), strict=True):
        shutil.copy(path, folder / f"{cluster.name}.yaml")
        (folder / f"{cluster.name}.yaml").chmod(0o600)
    (joined,) = re.findall(r"^export KUBECONFIG=(.*)$", GUIDE, re.MULTILINE)
    return Site(folder, kubeconfig=joined)


def with_the_labs_values(site: Site) -> None:
    """What the lab needs beside a user's own settings: the Istio that it has, and `values` for its Envoy."""
    path = site.folder / "mesh.yaml"
    values = yaml.safe_load(settings.MESH.read_text(encoding="utf-8"))
    kept = {key: values[key] for key in ("meshID", "istio", "values", "gatewayAPI", "tools") if key in values}
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(document | kept), encoding="utf-8")


def interrupted_at_the_address(site: Site) -> None:
    """Step 7: kt's gateway has no address, and Ctrl-C is as good as waiting for the deadline."""
    run = site.start("install")
    run.until("the gateway of kt has no address", timeout_s=120)
    run.process.send_signal(signal.SIGINT)
    stderr = run.wait(10).exits(130).stderr
    assert "the same command finishes the rest" in stderr
    pending = site.run("address", "--contexts", "kt", "-o", "json").exits(0).data["clusters"][0]
    assert pending["status"] == "pending"
    assert {port["port"] for port in pending["ports"] if port["needed"]} == {15443, 15021}


def assigned_by_metallb() -> list[str]:
    """Addresses in the status of kt's gateway, which nothing but MetalLB writes there."""
    service = get("kt", "service", "istio-ingressgateway")
    assert "externalIPs" not in service["spec"]
    return [entry["ip"] for entry in service["status"]["loadBalancer"].get("ingress", [])]


def test_the_whole_road(desk: Site) -> None:
    walked = []
    for line in road():
        words = shlex.split(line.replace("203.0.113.7", NAT))[1:]
        walked.append(line)
        if line in ELSEWHERE:
            continue
        if line == "istio-mc install":
            interrupted_at_the_address(desk)
            continue
        if line in ("istio-mc sample remove", "istio-mc cilium fix --contexts ncloud"):
            words += ["--yes"]  # nobody is at a terminal here
        done = desk.run(*words, timeout_s=200).exits(0)
        if words[:2] == ["config", "init"]:
            with_the_labs_values(desk)
        if words[:2] == ["sample", "test"]:
            assert "9 of 9 pairs" in done.stdout
            assert assigned_by_metallb() == [NAT]

    assert [line.split()[1] for line in walked] == [
        "contexts",
        "tools",
        "contexts",
        "cilium",
        "addons",
        "config",
        "install",
        "install",
        "address",
        "addons",
        "address",
        "verify",
        "sample",
        "sample",
        "sample",
    ]
    assert get("kt", "namespace", "sample", namespace=None) is None
    assert (desk.folder / "certs/root-ca.key").exists(), "step 6 has it backed up"
