"""Remote secrets are read as data: no verb runs a program that one of them names, whatever istiod accepts.

`istioctl analyze` below 1.30.5, and of 1.31.0, does run them, on the machine of whoever calls it.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.marks import in_thorough

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.mark import ParameterSet

    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
NHN = "istio-remote-secret-nhn-nks"
LINES: tuple[str | ParameterSet, ...] = (
    "verify",
    "link",
    "uninstall --contexts nhn --yes",
    *in_thorough(
        "verify --only link,hazards -o json",
        "status",
        "report --file report.html",
        "bundle --file bundle.tar.gz",
        "contexts",
        "address",
        "link --dry-run",
        "link --prune --yes",
        "install --contexts kt,ncloud,nhn --dry-run",
        # It waits to its deadline for the cluster whose remote secret it leaves as it is.
        "install --contexts kt,ncloud,nhn --timeout 10s",
        "sample remove --yes",
        "uninstall --yes",
    ),
)


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """The file that the program of a remote secret writes: it is there once the program was run."""
    return tmp_path / "the program was run"


def program(ran: Path) -> dict[str, Any]:
    code = f"open({str(ran)!r}, 'w').close()"
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", code],
        "interactiveMode": "Never",
    }


def plant(mesh: Mesh, ran: Path) -> None:
    """Has kt, whose istiod accepts that, hold remote secrets that name a program, one of them of nhn."""
    kt = mesh["kt"]
    kt.edit(kt.get("Deployment", "istiod", SYSTEM), accept_programs)
    secret = kt.get("Secret", NHN, SYSTEM)
    kubeconfig = yaml.safe_load(base64.b64decode(secret["data"]["nhn-nks"]))
    kubeconfig["users"][0]["user"] = {"exec": program(ran)}
    plain = yaml.safe_load(yaml.safe_dump(kubeconfig))
    plain["clusters"][0]["cluster"] = {
        "server": plain["clusters"][0]["cluster"]["server"].replace("https", "http")
    }
    beside = yaml.safe_load(yaml.safe_dump(kubeconfig))
    beside["users"][0]["user"]["token"] = "t"  # noqa: S105 - of nobody
    contents = {"nhn-nks": kubeconfig, "stranger": beside, "other": plain}
    data = {key: base64.b64encode(yaml.safe_dump(one).encode()).decode() for key, one in contents.items()}
    kt.edit(secret, lambda found: found.update(data=data))
    kt.settle()


def accept_programs(istiod: dict[str, Any]) -> None:
    container = istiod["spec"]["template"]["spec"]["containers"][0]
    variable = {"name": "PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS", "value": "exec"}
    container["env"] = [*container["env"], variable]


def test_the_program_would_leave_its_file(ran: Path) -> None:
    started = program(ran)
    subprocess.run([started["command"], *started["args"]], check=True, timeout=30)
    assert ran.exists()


@pytest.mark.parametrize("line", LINES)
def test_no_verb_runs_what_a_remote_secret_names(installed: Mesh, ran: Path, line: str) -> None:
    plant(installed, ran)
    result = installed.run(*line.split())
    assert result.code in {0, 1, 3, 4}, result.stderr  # it did its work, or said what is wrong
    assert not ran.exists()


def test_verify_names_the_clusters_whose_remote_secrets_name_programs(installed: Mesh, ran: Path) -> None:
    plant(installed, ran)
    found = installed.run("verify", "--only", "hazards", "-o", "json")
    assert ("remote-secret-programs", None) in found.warnings
