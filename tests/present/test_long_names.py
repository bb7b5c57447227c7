"""Clusters named as clouds name them, on a narrow terminal: a name is there to be copied, and is not cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Facts, Result, Target, Verdict
from istio_mc.domain.istio.documents import cross_network_gateway
from istio_mc.domain.istio.services import MergedService
from istio_mc.domain.plan import Step
from istio_mc.domain.traffic.sample import Calls
from istio_mc.ops import sample as sample_op
from istio_mc.ops.install.install import InstalledCluster, InstallResult
from istio_mc.ops.link import LinkResult
from istio_mc.ops.verify.verify import VerifyResult
from istio_mc.present import install, link, sample
from istio_mc.present.output import terminal
from istio_mc.present.output.services import render_services
from istio_mc.present.verify import table
from tests.support.world import CHOICE, CLUSTERS, MESH

NAMES = (
    "nks_kr_결제서비스_0f0f0f0f-1234-4abc-9def-0123456789ab",
    "arn:aws:eks:ap-northeast-2:123456789012:cluster/Prod",
    "N" * 80,
)
LONG = {name: replace(cluster, context=name) for name, cluster in zip(NAMES, CLUSTERS.values(), strict=True)}
VERSIONS = {name: f"v{number}" for number, name in enumerate(NAMES, 1)}
STEP = Step("expose", ("it is missing",), (cross_network_gateway(),))
CALLS = Calls(answered=dict.fromkeys(VERSIONS.values(), 20), failed={})
REPORTS = {
    "install": install.report(
        InstallResult(MESH, None, tuple(InstalledCluster(one, (STEP,)) for one in LONG.values()), CHOICE), ()
    ),
    "link": link.report(LinkResult(LONG, dict.fromkeys(NAMES, STEP), {}, {}, dry_run=True), ()),
    "sample deploy": sample.deployed(sample_op.Deployed(VERSIONS, {}), (), done="running"),
    "sample test": sample.tested(sample_op.Tested(VERSIONS, dict.fromkeys(NAMES, CALLS), ()), ()),
}


@pytest.mark.parametrize("verb", REPORTS)
def test_a_name_stands_on_one_line(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    REPORTS[verb].render(terminal.console())
    lines = capsys.readouterr().out.splitlines()
    assert [name for name in NAMES if name not in lines] == []


def test_a_matrix_explains_a_pair_beside_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    REPORTS["sample test"].render(terminal.console())
    assert f"  v2 ({NAMES[1]})  √ 20" in capsys.readouterr().out


def test_the_remote_clusters_of_an_istiod_are_listed_beside_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (synced,) = [check for check in ALL if check.id == "link.synced"]
    pairs = [(name, peer) for name in NAMES for peer in NAMES if name != peer]
    results = tuple(Result(synced, Target(*pair), Verdict.OK, "synced") for pair in pairs)
    table.render(VerifyResult(Facts(MESH, LONG, {}, {}, seen={}), results), terminal.console(), show_all=True)
    lines = capsys.readouterr().out.partition("remote clusters by istiod\n")[2].splitlines()
    assert lines[:4] == [NAMES[0], f"  {NAMES[0]}  -", f"  {NAMES[1]}  √ synced", f"  {NAMES[2]}  √ synced"]


def test_the_number_of_endpoints_is_shown_beside_each_cluster_of_a_service(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ports = dict.fromkeys(NAMES, ("http 80/TCP",))
    one = MergedService("sample", "reviews", dict(zip(NAMES, (1, 2, 3), strict=True)), ports, {})
    render_services([one], terminal.console())
    assert f"  {NAMES[1]}  2" in capsys.readouterr().out.splitlines()


def test_a_dry_run_lists_the_changes(capsys: pytest.CaptureFixture[str]) -> None:
    REPORTS["link"].render(terminal.console())
    assert "to change" in capsys.readouterr().out
