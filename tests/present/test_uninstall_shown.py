"""What an uninstall tells before it asks, and after it is done; kept in tests/golden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from istio_mc.domain.kube import objects
from istio_mc.domain.removal import Deletion, Left, Removal
from istio_mc.ops.uninstall.leave import named_in_settings, tokens_kept
from istio_mc.ops.uninstall.plan import Uninstalling
from istio_mc.ops.uninstall.purge import CaRemoval
from istio_mc.ops.uninstall.uninstall import UninstallResult, untouched
from istio_mc.present.output import terminal
from istio_mc.present.output.envelope import Envelope, Exit
from istio_mc.present.uninstall import question, report
from tests.support.world import CLUSTERS, UNREACHABLE, World

Golden = Callable[[str, str], None]
SYSTEM = "istio-system"
REMOVAL = Removal(
    objects=(
        Deletion(objects.DEPLOYMENT, SYSTEM, "istiod"),
        Deletion(objects.DEPLOYMENT, SYSTEM, "istio-ingressgateway"),
        Deletion(objects.SECRET, SYSTEM, "cacerts"),
        Deletion(objects.SECRET, SYSTEM, "istio-remote-secret-nhn-nks"),
        Deletion(objects.CLUSTER_ROLE, None, "istiod-clusterrole-istio-system"),
    ),
    crds=(Deletion(objects.CRD, None, "envoyfilters.networking.istio.io"),),
    namespace=True,
    left=(),
    other_revisions=(),
)
KEPT = replace(
    REMOVAL,
    namespace=False,
    left=(
        Left("CustomResourceDefinition gateways.networking.istio.io", "in use: default/of-others"),
        Left("Namespace istio-system", "of-others is in it"),
    ),
)
ALL = Uninstalling(
    clusters=CLUSTERS,
    going=("kt", "ncloud", "nhn"),
    observed={},
    removals={"kt": REMOVAL, "ncloud": KEPT},
    sample=("kt",),
    meshed={"ncloud": ("shop/a", "shop/b", "shop/c", "shop/d")},
    failures={"nhn": (replace(UNREACHABLE, cluster="nhn"),)},
    roots={"kt": (Deletion(objects.CONFIG_MAP, "default", "istio-ca-root-cert"),)},
    mesh_id="mesh1",
    servers={name: f"https://{name}.example.com:6443" for name in CLUSTERS},
)
LEAVING = replace(
    ALL, going=("kt",), removals={"kt": REMOVAL}, observed=World().facts().observed, meshed={}, failures={}
)
WENT = {
    "kt": ("Deployment istio-system/istiod", "Secret istio-system/cacerts", "Namespace istio-system"),
    "ncloud": ("Deployment istio-system/istiod",),
}
FORGOTTEN = dict.fromkeys(
    ("ncloud", "nhn"),
    (
        "Secret istio-system/istio-remote-secret-kt-k2p",
        "Secret istio-system/old (reader token, replaced)",
    ),
)
RESULTS = {
    "uninstall": UninstallResult(ALL, WENT, ALL.failures),
    "uninstall-dry-run": untouched(ALL, (), None),
    "uninstall-leaving": UninstallResult(replace(LEAVING), {"kt": WENT["kt"], **FORGOTTEN}, {}),
}


@pytest.mark.parametrize("name", RESULTS)
def test_what_went_and_what_stays_is_listed(
    name: str, golden: Golden, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    made = report(RESULTS[name], (), None)
    made.render(terminal.console())
    golden(f"{name}.txt", capsys.readouterr().out)
    golden(
        f"{name}.json", Envelope("uninstall", made.exit, made.data, made.errors, made.warnings).text("json")
    )


@pytest.mark.parametrize(("name", "todo"), {"uninstall": ALL, "uninstall-leaving": LEAVING}.items())
def test_all_that_will_go_is_shown_before_the_one_question(
    name: str, todo: Uninstalling, golden: Golden
) -> None:
    golden(f"{name}-question.txt", question(todo, None) + "\n")


@pytest.mark.parametrize(
    ("todo", "whole"),
    [
        (ALL, True),
        (LEAVING, False),
        (replace(LEAVING, observed={}), False),
        (replace(LEAVING, clusters={"kt": CLUSTERS["kt"]}, observed={}), True),
    ],
    ids=["all go", "the others stay", "the others stay and do not respond", "the only one goes"],
)
def test_the_mesh_id_is_required_where_no_member_stays(todo: Uninstalling, whole: bool) -> None:  # noqa: FBT001
    assert todo.is_whole_mesh is whole
    assert ("Type the mesh ID mesh1 to confirm" in question(todo, None)) is whole
    assert ("Go on?" in question(todo, None)) is not whole


def test_some_clusters_done_and_some_not_is_partial() -> None:
    assert report(RESULTS["uninstall"], (), None).exit is Exit.PARTIAL


def test_kept_tokens_are_reported_with_the_command_that_revokes_them() -> None:
    silent = replace(LEAVING, observed={"ncloud": LEAVING.observed["ncloud"]})
    warning = tokens_kept(silent, {})
    assert warning.message.startswith("the tokens in kt still work: they link nhn")
    assert str(warning.hint) == "istio-mc uninstall --contexts kt"


def test_settings_that_still_name_a_leaving_cluster_are_reported() -> None:
    (warning,) = named_in_settings(LEAVING, ("kt", "nhn"), Path("mesh.yaml"))
    assert warning.message.startswith("the next install adds kt again")
    assert named_in_settings(LEAVING, ("nhn",), Path("mesh.yaml")) == ()
    assert named_in_settings(ALL, ("kt", "nhn"), Path("mesh.yaml")) == (), (
        "a mesh that is taken away whole may be installed again"
    )


CA = CaRemoval("/site/certs", is_removed=True, requested=True)
FATES = {
    "purged": (replace(CA, gone=True), "was removed."),
    "kept": (replace(CA, is_removed=False, requested=False), "remains; --purge-ca removes it."),
    "not done": (replace(CA, is_removed=False), "remains: not all clusters were removed."),
}


@pytest.mark.parametrize(("ca", "expected"), FATES.values(), ids=FATES)
def test_the_outcome_for_the_ca_is_reported(
    ca: CaRemoval, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = report(RESULTS["uninstall"], (), ca)
    made.render(terminal.console())
    assert f"The mesh's CA in /site/certs {expected}" in capsys.readouterr().out
    assert made.data["purgedCA" if ca.gone else "keptCA"] == "/site/certs"


def test_the_removal_of_a_ca_is_reported_before_it_happens(capsys: pytest.CaptureFixture[str]) -> None:
    report(RESULTS["uninstall-dry-run"], (), CA).render(terminal.console())
    assert "The mesh's CA in /site/certs would be removed, with its root key." in capsys.readouterr().out
    assert "the CA in /site/certs is removed, with its root key" in question(ALL, CA)
