"""A dry run names the Gateway API's CRDs; their schemas, thousands of lines, are for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain import plan
from istio_mc.domain.plan import Step
from istio_mc.ops.install.install import InstalledCluster, InstallResult
from istio_mc.present import install
from istio_mc.present.output import terminal
from tests.support.world import CHOICE, CLUSTERS, MESH

if TYPE_CHECKING:
    import pytest

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gateways.gateway.networking.k8s.io"},
    "spec": {"group": "gateway.networking.k8s.io", "versions": [{"name": "v1", "schema": {}}]},
}


def test_people_read_the_names_and_programs_get_the_documents(capsys: pytest.CaptureFixture[str]) -> None:
    step = Step(plan.GATEWAY_API, ("Gateway API CRDs are missing",), (CRD,))
    cluster = InstalledCluster(CLUSTERS["kt"], (step,))
    report = install.report(InstallResult(MESH, None, (cluster,), CHOICE, dry_run=True), ())
    report.render(terminal.console())
    text = capsys.readouterr().out
    assert "CustomResourceDefinition gateways.gateway.networking.k8s.io" in text
    assert "versions:" not in text
    assert report.data["clusters"][0]["steps"][0]["documents"] == [CRD]
