"""link --rotate --expires: tokens that expire, each bound to a Secret, on stand-in clusters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from istio_mc.domain.istio.documents import BOUND_TOKEN_TYPE
from istio_mc.domain.links.token_times import claims
from istio_mc.ops.rotation import tokens as op
from istio_mc.ops.upgrade import gate
from tests.support import refusals
from tests.verbs.test_rotate import (
    READER,
    SYSTEM,
    accepted,
    all_replaced,
    refused,
    statuses,
    tokens,
    unreachable,
    used,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cluster import Cluster
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh

EXPIRES = ("link", "--rotate", "--expires", "90d", "-o", "json")
ONE = (*EXPIRES, "--contexts", "kt")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for a long time is waited for a short one."""
    monkeypatch.setattr(gate, "SETTLE_S", 0.0)
    monkeypatch.setattr(op, "SETTLE_S", 0.2)
    monkeypatch.setattr(op, "_POLL_S", 0.05)
    monkeypatch.setattr(op, "PROPAGATION_S", 0.0)


def bound_secrets(one: Cluster) -> list[Object]:
    return [secret for secret in one.store.of("Secret", SYSTEM) if secret.get("type") == BOUND_TOKEN_TYPE]


def lives(one: Cluster) -> set[timedelta]:
    """The lifetimes of the reader's tokens that a cluster accepts; those without an expiry have none."""
    found = map(claims, accepted(one))
    return {timedelta(seconds=each["exp"] - each["iat"]) for each in found if "exp" in each}


def all_bound(mesh: Mesh, before: dict[str, set[str]]) -> None:
    all_replaced(mesh, before)
    for one in mesh.clusters.values():
        assert lives(one) == {timedelta(days=90)}
        assert len(bound_secrets(one)) == 1


@pytest.mark.thorough
def test_every_cluster_gets_a_token_that_expires_and_the_old_one_is_accepted_no_more(
    installed: Mesh,
) -> None:
    before = tokens(installed)
    result = installed.run(*EXPIRES).exits(0)
    assert statuses(result) == dict.fromkeys(installed.names, "rotated")
    all_bound(installed, before)


def test_deleting_its_secret_ends_it(installed: Mesh) -> None:
    installed.run(*ONE).exits(0)
    (secret,) = bound_secrets(installed["kt"])
    installed["kt"].delete(secret)
    installed.settle()
    assert accepted(installed["kt"]) == set()


@pytest.mark.thorough
def test_the_granted_expiry_is_reported(installed: Mesh) -> None:
    result = installed.run(*ONE).exits(0)
    (token,) = accepted(installed["kt"])
    granted = datetime.fromtimestamp(claims(token)["exp"], UTC)
    assert datetime.fromisoformat(result.cluster("kt")["expires"]) == granted
    (secret,) = bound_secrets(installed["kt"])
    kept = secret["metadata"]["annotations"]["istio-mc/token-expires"]
    assert datetime.fromisoformat(kept) == granted
    assert result.warnings == []


@pytest.mark.thorough
def test_a_shorter_time_than_was_requested_is_a_warning(installed: Mesh) -> None:
    installed["kt"].faults.longest_token_s = 24 * 3600
    result = installed.run(*ONE).exits(0)
    assert result.warnings == [("token-shorter", "kt")]
    assert lives(installed["kt"]) == {timedelta(days=1)}


@pytest.mark.thorough
def test_what_renews_them_is_returned_on_a_schedule_that_the_granted_time_allows(installed: Mesh) -> None:
    installed["kt"].faults.longest_token_s = 24 * 3600
    renewal = installed.run(*ONE).exits(0).data["renewal"]
    assert renewal["command"].startswith("istio-mc link --rotate --expires 90d --contexts kt")
    assert renewal["schedule"] == "0 */12 * * *"
    cron_job = yaml.safe_load(renewal["cronJob"])
    (container,) = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert " ".join(container["command"]) == "istio-mc link --rotate --expires 90d --contexts kt"
    assert cron_job["spec"]["schedule"] == "0 */12 * * *"


@pytest.mark.thorough
def test_people_read_the_expiry_the_cron_job_and_the_line_of_ci(installed: Mesh) -> None:
    result = installed.run("link", "--rotate", "--expires", "90d", "--contexts", "kt").exits(0)
    assert ", expires 20" in result.stdout
    assert "  istio-mc link --rotate --expires 90d --contexts kt" in result.stdout
    assert "kind: CronJob" in result.stdout


@pytest.mark.thorough
def test_tokens_that_do_not_expire_need_no_renewal(installed: Mesh) -> None:
    assert (
        installed.run("link", "--rotate", "--contexts", "kt", "-o", "json").exits(0).data["renewal"] is None
    )


@pytest.mark.thorough
@pytest.mark.parametrize("words", [("link",), ("install", "--contexts", "kt,ncloud,nhn")])
def test_a_later_link_or_install_keeps_them(installed: Mesh, words: tuple[str, ...]) -> None:
    installed.run(*EXPIRES).exits(0)
    before = installed.snapshots()
    installed.run(*words).exits(0)
    assert installed.snapshots() == before


@pytest.mark.thorough
def test_a_link_that_is_gone_is_made_again_with_the_token_that_expires(installed: Mesh) -> None:
    installed.run(*ONE).exits(0)
    ncloud = installed["ncloud"]
    ncloud.delete(ncloud.get("Secret", "istio-remote-secret-kt-k2p", SYSTEM))
    installed.run("link").exits(0)
    assert used(installed, "kt") == accepted(installed["kt"])
    assert lives(installed["kt"]) == {timedelta(days=90)}


@pytest.mark.thorough
def test_a_rotation_that_names_no_lifetime_keeps_that_of_the_token(installed: Mesh) -> None:
    installed.run(*ONE).exits(0)
    before = tokens(installed)
    installed.run("link", "--rotate").exits(0)
    all_replaced(installed, before)
    assert lives(installed["kt"]) == {timedelta(days=90)}
    assert lives(installed["ncloud"]) == set()


@pytest.mark.thorough
def test_a_rotation_returns_to_tokens_that_do_not_expire(installed: Mesh) -> None:
    installed.run(*ONE).exits(0)
    before = accepted(installed["kt"])
    installed.run("link", "--rotate", "--expires", "never", "--contexts", "kt").exits(0)
    assert not before & accepted(installed["kt"])
    assert lives(installed["kt"]) == set()
    assert bound_secrets(installed["kt"]) == []


@pytest.mark.thorough
def test_a_rotation_of_another_lifetime_that_was_interrupted_is_not_continued(installed: Mesh) -> None:
    before = tokens(installed)
    installed.run("link", "--rotate", "--canary", "kt", dies_after="PATCH .*/secrets/istio-remote-secret-")
    installed.run(*EXPIRES, "--canary", "kt").exits(0)
    all_bound(installed, before)


PHASES = {
    "Secret": "POST .*/secrets$",
    "token": f"POST .*/serviceaccounts/{READER}/token$",
    "token in its Secret": f"PATCH .*/secrets/{READER}-istio-remote-secret-token-2$",
    "remote secret": "PATCH .*/secrets/istio-remote-secret-",
    "old token": f"DELETE .*/secrets/{READER}-istio-remote-secret-token$",
}
"""A write of each phase of a cluster's rotation."""


@pytest.mark.thorough
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_that_was_killed_is_continued_by_the_same_command(installed: Mesh, phase: str) -> None:
    before = tokens(installed)
    installed.run(*EXPIRES, "--canary", "kt", dies_after=PHASES[phase])
    result = installed.run(*EXPIRES, "--canary", "kt").exits(0)
    assert result.data["continued"]
    all_bound(installed, before)


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [unreachable, refused])
@pytest.mark.parametrize("phase", [name for name in PHASES if name != "old token"])
def test_a_fault_in_any_phase_stops_it_and_the_same_command_goes_on(
    installed: Mesh, phase: str, fault: Callable[[Mesh], None]
) -> None:
    before = tokens(installed)
    installed.when(PHASES[phase], lambda: fault(installed))
    result = installed.run(*EXPIRES, "--canary", "kt", "--timeout", "20s")
    assert result.code != 0
    for name in installed.names:  # every link works with what the others have of it
        assert used(installed, name) <= accepted(installed[name])
    installed.heal("kt")
    installed["kt"].faults.rules.clear()
    installed.run(*EXPIRES, "--canary", "kt").exits(0)
    all_bound(installed, before)


@pytest.mark.thorough
def test_an_istiod_that_does_not_follow_stops_it_and_the_same_command_goes_on(installed: Mesh) -> None:
    before = tokens(installed)
    (istiod,) = installed["ncloud"].istiods.running()
    installed.when("PATCH .*/secrets/istio-remote-secret-kt-k2p$", lambda: istiod.blind.add("kt-k2p"))
    result = installed.run(*EXPIRES, "--canary", "kt").exits(1)
    assert ("rotation-stopped", "kt") in result.errors
    assert before["kt"] < accepted(installed["kt"])
    istiod.blind.clear()
    installed.run(*EXPIRES, "--canary", "kt").exits(0)
    all_bound(installed, before)


@pytest.mark.thorough
def test_an_istiod_that_no_longer_shows_what_it_has_stops_it_before_the_old_token_is_deleted(
    installed: Mesh,
) -> None:
    before, ncloud = tokens(installed), installed["ncloud"]
    installed.when(
        "PATCH .*/secrets/istio-remote-secret-kt-k2p$", lambda: setattr(ncloud.faults, "breaks_every", 1)
    )
    result = installed.run(*EXPIRES, "--canary", "kt").exits(1)
    assert result.errors == [("not-ready", "ncloud")] * 3 + [("rotation-stopped", "kt")]
    assert before["kt"] < accepted(installed["kt"])
    ncloud.faults.breaks_every = 0
    installed.run(*EXPIRES, "--canary", "kt").exits(0)
    all_bound(installed, before)


def test_an_api_server_that_grants_no_token_stops_it_and_the_old_one_is_accepted(installed: Mesh) -> None:
    before = tokens(installed)
    installed["kt"].faults.refuse(refusals.Refused(403, "Forbidden", "no"), "POST", path="/token$")
    result = installed.run(*ONE).exits(1)
    assert ("rotation-stopped", "kt") in result.errors
    assert tokens(installed) == before
    assert all(used(installed, name) == accepted(installed[name]) for name in installed.names)


def test_the_right_to_request_tokens_is_needed_where_they_are(installed: Mesh) -> None:
    for name in ("kt", "ncloud"):
        installed[name].faults.denied.add("create serviceaccounts/token")
    result = installed.run(*ONE).exits(2)
    assert result.errors == [("rights-missing", "kt")]
    (error,) = result.json["errors"]
    assert error["seen"] == "denied: create serviceaccounts/token in istio-system"


@pytest.mark.thorough
def test_tokens_that_do_not_expire_need_no_right_to_request_them(installed: Mesh) -> None:
    installed["kt"].faults.denied.add("create serviceaccounts/token")
    installed.run("link", "--rotate", "--contexts", "kt").exits(0)


@pytest.mark.thorough
def test_uninstall_removes_them(installed: Mesh) -> None:
    installed.run(*EXPIRES).exits(0)
    kt = installed["kt"]
    kt.edit(
        kt.get("Namespace", SYSTEM),
        lambda one: one["metadata"]["labels"].pop("app.kubernetes.io/managed-by"),
    )
    installed.run("uninstall", "--yes").exits(0)
    assert kt.has("Namespace", SYSTEM)
    assert bound_secrets(kt) == []
    assert accepted(kt) == set()


@pytest.mark.parametrize("text", ["5x", "0d", "90", "36501d", "30s"])
def test_an_impossible_lifetime_is_refused(installed: Mesh, text: str) -> None:
    result = installed.run("link", "--rotate", "--expires", text)
    assert result.code == 2
    assert "--expires: invalid lifetime" in result.stderr


def test_expires_requires_rotate(installed: Mesh) -> None:
    result = installed.run("link", "--expires", "90d")
    assert result.code == 2
    assert "--expires requires --rotate" in result.stderr
