"""Ctrl-C in the middle of every verb that works on clusters; the same command then does the rest.

The road to the API servers is slow, and it is closed when the verb is where the test wants it: so the run is
in the middle of its work when it is interrupted, whatever the machine's speed.
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import CONTEXTS, SYSTEM, Site, clean, each, get, kubectl, set_cilium
from tests.e2e.road import Road

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.harness import Running

ENDS_WITHIN_S = 8
NAT = "198.18.0.21"
CILIUM = ("--contexts", "ncloud", "--yes", "--settle", "1s")


@pytest.fixture(scope="module", autouse=True)
def _cilium_set_again() -> Iterator[None]:
    yield
    set_cilium()


@pytest.fixture
def road() -> Iterator[Road]:
    with Road(0.2).there() as made:
        yield made


@dataclass(frozen=True)
class Case:
    """A verb to interrupt.

    Attributes:
        line: Its command line.
        at: The line of progress at which it is interrupted; empty: once it has asked a cluster.
        before: Makes something for it to do.
        told: What the message says that the next run does.
        done: Whether what it was to do is done, once the same command was run again.
    """

    line: tuple[str, ...]
    at: str
    told: str
    before: Callable[[Site], object] = lambda _site: None
    done: Callable[[Site], bool] = lambda _site: True


def whole(site: Site) -> bool:
    site.run("verify", "--wait", "30s", "--skip", "cni").exits(0)
    return True


def without_links(site: Site) -> None:
    assert site
    each(lambda name: kubectl(name, "delete", "secret", "-n", SYSTEM, "-l", "istio/multiCluster=true"))


def without_labels(site: Site) -> None:
    assert site
    each(
        lambda name: kubectl(name, "label", "namespace", SYSTEM, "istio-mc/mesh-id-", "istio-mc/cluster-id-")
    )


def members(_site: Site) -> bool:
    labels = each(lambda name: get(name, "namespace", SYSTEM, namespace=None)["metadata"]["labels"])
    return all("istio-mc/mesh-id" in found for found in labels.values())


def addresses(_site: Site) -> list[str] | None:
    found: list[str] | None = get("kt", "service", "istio-ingressgateway")["spec"].get("externalIPs")
    return found


def samples(_site: Site) -> list[bool]:
    return [bool(get(name, "namespace", "sample", namespace=None)) for name in CONTEXTS]


def systems(_site: Site) -> list[bool]:
    return [bool(get(name, "namespace", SYSTEM, namespace=None)) for name in CONTEXTS]


def cilium_as_it_comes(site: Site) -> None:
    """The settings of Cilium's chart, and no backup of an earlier fix."""
    site.run("cilium", "revert", *CILIUM, "--force")
    data = '{"data":{"bpf-lb-sock-hostns-only":"false","cni-exclusive":"true"}}'
    kubectl("ncloud", "patch", "configmap", "cilium-config", "-n", "kube-system", "--type=merge", "-p", data)


LOOKS = "nothing was changed; the same command looks anew"
REST = "the same command does the rest"
CASES = {
    "link": Case(("link",), r"\bkt  link started", "still missing", without_links, whole),
    "adopt": Case(("adopt",), r"  namespace started", "clusters that are left", without_labels, members),
    "verify": Case(("verify", "--skip", "cni"), r"  verify started", LOOKS),
    "status": Case(("status",), r"  status started", LOOKS),
    "address, taken": Case(
        ("address", "--unset", "kt", "--yes"),
        r"\bkt  address started",
        "changes that are left",
        done=lambda site: addresses(site) is None,
    ),
    "address, given": Case(
        ("address", "--set", f"kt={NAT}"),
        r"\bkt  address started",
        "changes that are left",
        done=lambda site: addresses(site) == [NAT],
    ),
    "sample deploy": Case(
        ("sample", "deploy"),
        r"\bkt  sample started",
        "where it is missing",
        before=lambda site: site.run("sample", "remove", "--yes"),
        done=lambda site: samples(site) == [True] * 3,
    ),
    "sample test": Case(("sample", "test"), r"  test started", LOOKS),
    "sample remove": Case(
        ("sample", "remove", "--yes"),
        r"  sample waiting",
        "takes away the rest",
        done=lambda site: samples(site) == [False] * 3,
    ),
    "cilium fix": Case(
        ("cilium", "fix", *CILIUM),
        "settings written",
        "restarts the agents",
        before=cilium_as_it_comes,
        done=lambda site: cilium_is(site, "right"),
    ),
    "cilium revert": Case(
        ("cilium", "revert", *CILIUM),
        "settings written",
        "restarts the agents",
        done=lambda site: cilium_is(site, "to fix"),
    ),
    "a cluster leaves": Case(
        ("uninstall", "--contexts", "kt", "--yes"),
        r"  forget started",
        "takes away the rest",
        done=lambda site: systems(site) == [False, True, True],
    ),
    "uninstall": Case(
        ("uninstall", "--yes"),
        r"  uninstall started",
        "takes away the rest",
        done=lambda site: systems(site) == [False] * 3,
    ),
}


def cilium_is(site: Site, status: str) -> bool:
    data = site.run("cilium", "status", "--contexts", "ncloud", "-o", "json").exits(0).data
    (found,) = data["clusters"]
    assert found["status"] == status, json.dumps(found, indent=1)
    return True


def test_ctrl_c_in_the_middle_of_an_install_and_the_next_makes_the_mesh(
    site: Site, road: Road, tmp_path: Path
) -> None:
    clean()
    case = Case(("install",), r"\bnhn  istio started", REST, done=whole)
    interrupt(site, road, tmp_path, case)
    site.run(*case.line, timeout_s=200).exits(0)
    assert case.done(site)


def test_ctrl_c_before_the_first_reading_of_a_watch_is_an_interruption(
    mesh: Site, road: Road, tmp_path: Path
) -> None:
    interrupt(mesh, road, tmp_path, Case(("status", "--watch"), "", LOOKS))


@pytest.mark.parametrize("name", CASES)
def test_ctrl_c_in_the_middle_says_so_and_the_same_command_does_the_rest(
    mesh: Site, road: Road, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    case.before(mesh)
    interrupt(mesh, road, tmp_path, case)
    mesh.run(*case.line, timeout_s=200).exits(0)
    assert case.done(mesh)


def interrupt(site: Site, road: Road, folder: Path, case: Case) -> None:
    """Runs a verb by the slow road, closes that where the case says, and presses Ctrl-C."""
    slow = replace(site, kubeconfig=road.kubeconfig(folder / "kubeconfig"))
    run = slow.start(*case.line)
    if case.at:
        run.until(case.at)
    else:
        assert road.travelled.wait(20)
    road.close()
    run.process.send_signal(signal.SIGINT)
    assert_told(run, case)


def assert_told(run: Running, case: Case) -> None:
    """It ended soon, with its children, and said what was done and what comes next."""
    ended = run.wait(ENDS_WITHIN_S).exits(130)
    assert run.left_behind() == []
    told = ended.stderr.partition("error: interrupted")[2]
    assert "done by then: " in told, ended
    assert case.told in told, ended
    assert "istio-mc" in told.partition("try:")[2], ended
    assert "Traceback" not in ended.stderr
