"""uninstall --contexts: the tokens that the cluster had are replaced as `link --rotate` replaces them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from istio_mc.ops.rotation import tokens as op
from istio_mc.ops.upgrade import gate
from tests.verbs.test_rotate import READER, SYSTEM, accepted, of_another_tool, used, versioned
from tests.verbs.test_rotate_expires import ONE, bound_secrets, lives

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

LEAVE = ("uninstall", "--contexts", "nhn", "--yes", "-o", "json")
STAYING = ("kt", "ncloud")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for a long time is waited for a short one."""
    monkeypatch.setattr(gate, "SETTLE_S", 0.0)
    monkeypatch.setattr(op, "SETTLE_S", 0.2)
    monkeypatch.setattr(op, "_POLL_S", 0.05)
    monkeypatch.setattr(op, "PROPAGATION_S", 0.0)


def replaced(mesh: Mesh, before: dict[str, set[str]]) -> None:
    """Each cluster that stays accepts one token, which it did not accept before, and the other one has it."""
    for name in STAYING:
        assert len(accepted(mesh[name])) == 1
        assert not accepted(mesh[name]) & before[name]
        assert used(mesh, name) == accepted(mesh[name])


def tokens(mesh: Mesh) -> dict[str, set[str]]:
    return {name: accepted(mesh[name]) for name in STAYING}


@pytest.mark.thorough
def test_an_istiod_that_loses_endpoints_keeps_the_old_token_until_the_same_command_after_the_repair(
    installed: Mesh,
) -> None:
    before = tokens(installed)
    (istiod,) = installed["ncloud"].istiods.running()
    installed.when("PATCH .*/secrets/istio-remote-secret-kt-k2p$", lambda: istiod.blind.add("kt-k2p"))
    result = installed.run(*LEAVE).exits(3)
    assert ("discovery-gateway", "ncloud") in result.errors
    assert ("tokens-kept", None) in result.warnings
    assert before["kt"] < accepted(installed["kt"])
    made = accepted(installed["kt"]) - before["kt"]
    istiod.blind.clear()
    installed.run(*LEAVE).exits(0)
    replaced(installed, before)
    assert accepted(installed["kt"]) == made  # it was continued, and not begun again


@pytest.mark.thorough
def test_tokens_that_expire_are_replaced_by_such_tokens(installed: Mesh) -> None:
    installed.run(*ONE).exits(0)
    before = tokens(installed)
    installed.run(*LEAVE).exits(0)
    replaced(installed, before)
    assert {name: bool(lives(installed[name])) for name in STAYING} == {"kt": True, "ncloud": False}
    assert len(bound_secrets(installed["kt"])) == 1


@pytest.mark.thorough
def test_a_rotation_that_gave_the_cluster_new_tokens_is_not_continued(installed: Mesh) -> None:
    rotate = ("link", "--rotate", "--canary", "kt")
    installed.run(*rotate, dies_after="POST .*/secrets$")
    installed.run("link").exits(0)  # which distributes the newest tokens
    known = {name: accepted(installed[name]) for name in STAYING}
    assert len(known["kt"]) == 2
    installed.run(*LEAVE).exits(0)
    replaced(installed, known)


@pytest.mark.thorough
def test_istiods_that_would_lose_a_cluster_keep_its_token(installed: Mesh) -> None:
    before = tokens(installed)
    versioned(installed["ncloud"], "1.30.3")
    result = installed.run(*LEAVE).exits(3)
    assert ("rotation-defect", "ncloud") in result.errors
    assert tokens(installed) == before
    assert all(used(installed, name) == before[name] for name in STAYING)


@pytest.mark.thorough
def test_a_token_in_a_secret_of_another_tool_is_kept_and_named(installed: Mesh) -> None:
    before = tokens(installed)
    of_another_tool(installed["ncloud"], "kt-k2p")
    result = installed.run(*LEAVE).exits(3)
    assert result.errors == [("rotation-not-replaced", "ncloud")]
    assert used(installed, "kt") <= accepted(installed["kt"])
    assert not before["ncloud"] & accepted(installed["ncloud"])


@pytest.mark.thorough
def test_the_token_of_another_tool_is_ended_only_where_the_cluster_had_it(installed: Mesh) -> None:
    annotations = {"kubernetes.io/service-account.name": READER}
    kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token"}
    for name in ("distributed", "monitoring"):
        metadata = {"name": name, "namespace": SYSTEM, "annotations": annotations}
        installed["kt"].make({**kind, "metadata": metadata})
        installed.settle()
        if name == "distributed":
            installed.run("link").exits(0)  # the newest token
    installed.run(*LEAVE).exits(0)
    assert not installed["kt"].has("Secret", "distributed", SYSTEM)
    assert installed["kt"].has("Secret", "monitoring", SYSTEM)
