"""What the clusters that stay do when one leaves, step by step, and what is reported where a step fails."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
import yaml

from istio_mc.domain.events import Event, State
from istio_mc.gateways.kube.snapshot import observe
from istio_mc.ops.rotation import tokens
from istio_mc.ops.session import topology
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.session import Session, open_named
from istio_mc.ops.uninstall.leave import forget
from istio_mc.ops.uninstall.plan import Uninstalling
from tests.support.own_reader import ACCOUNT, with_own_reader
from tests.support.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
OF_NHN, OF_NCLOUD = "istio-remote-secret-nhn-nks", "istio-remote-secret-ncloud-nks"
OTHER = {"kt": OF_NCLOUD, "ncloud": "istio-remote-secret-kt-k2p"}
READER_ACCOUNT = "istio-reader-service-account"
READER = f"{READER_ACCOUNT}-istio-remote-secret-token"
NO = Refused(403, "Forbidden", "no")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for a long time is waited for a short one."""
    monkeypatch.setattr(tokens, "SETTLE_S", 0.3)
    monkeypatch.setattr(tokens, "_POLL_S", 0.05)
    monkeypatch.setattr(tokens, "PROPAGATION_S", 0.0)


@pytest.fixture
def session(installed: Mesh, events: list[Event]) -> Iterator[Session]:
    inputs = Inputs(str(installed.kubeconfig), installed.names, installed.folder / "mesh.yaml", timeout_s=60)
    with installed.direct(), open_named(inputs, events.append) as found:
        yield found


def leaving(session: Session) -> Uninstalling:
    """nhn is to leave."""
    observed = {name: observe(kube) for name, kube in session.clusters.kubes.items()}
    clusters = topology.clusters_of(session.clusters.contexts, session.settings, observed)
    return Uninstalling(clusters, ("nhn",), observed, {}, (), {}, {})


def readers(one: Cluster) -> set[str]:
    """The token Secrets of the readers."""
    return {name for name in one.names("Secret", SYSTEM) if "-istio-remote-secret-token" in name}


def of_another_namespace(kind: str) -> Object:
    """An account of the reader's name in another namespace, or its token."""
    made: Object = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": READER_ACCOUNT, "namespace": "default"},
    }
    if kind == "Secret":
        made["metadata"]["name"] = "of-others"
        made["metadata"]["annotations"] = {"kubernetes.io/service-account.name": READER_ACCOUNT}
        made["type"] = "kubernetes.io/service-account-token"
    return made


def states(events: list[Event]) -> list[tuple[str | None, str]]:
    return [(event.cluster, event.state.name) for event in events if event.step == "forget"]


def test_the_new_token_is_distributed_before_the_old_one_goes(
    installed: Mesh, session: Session, events: list[Event]
) -> None:
    for kind in ("ServiceAccount", "Secret"):
        installed["kt"].make(of_another_namespace(kind))
    removed, failures = forget(session, leaving(session))
    assert failures == {}
    assert installed["kt"].has("Secret", "of-others", "default")
    for name in ("kt", "ncloud"):
        assert set(removed[name]) == {
            f"Secret {SYSTEM}/{OF_NHN}",
            f"Secret {SYSTEM}/{READER} (reader token, replaced)",
        }
        writes = [f"{one.method} {one.path.rpartition('/')[2]}" for one in installed[name].faults.writes][-4:]
        own, other = ["POST secrets", f"DELETE {READER}"], [f"PATCH {OTHER[name]}"]
        after = {"kt": [*own, *other], "ncloud": [*other, *own]}[name]
        assert writes == [f"DELETE {OF_NHN}", *after]
    steps = {tokens.TOKEN, tokens.REPLACE, tokens.SYNC, tokens.DELETE}
    begun = [(one.cluster, one.step) for one in events if one.state is State.STARTED and one.step in steps]
    assert begun == [
        ("kt", "token"),
        ("ncloud", "remote secrets"),
        ("kt", "discovery"),  # the last time that the old token can still be used
        ("kt", "discovery"),
        ("kt", "old token"),
        ("ncloud", "token"),
        ("kt", "remote secrets"),
        ("ncloud", "discovery"),
        ("ncloud", "discovery"),
        ("ncloud", "old token"),
    ]
    assert states(events)[:2] == [("kt", "PENDING"), ("ncloud", "PENDING")]
    assert Event("kt", "forget", State.STARTED, "nhn-nks") in events
    assert states(events)[-2:] == [("kt", "DONE"), ("ncloud", "DONE")]


@pytest.mark.parametrize(
    ("method", "path", "keeps"),
    [("POST", "/secrets$", "ncloud"), ("PATCH", "/secrets/istio-remote", "kt")],
    ids=["new token", "remote secret"],
)
def test_every_unfinished_cluster_is_an_error_for_each_failed_request(
    installed: Mesh, session: Session, events: list[Event], method: str, path: str, keeps: str
) -> None:
    todo = leaving(session)
    installed["kt"].faults.refuse(NO, "DELETE", path=f"/secrets/{OF_NHN}$")
    installed["ncloud"].faults.refuse(NO, method, path=path)
    _, failures = forget(session, todo)
    assert set(failures) == {"kt", "ncloud"}
    assert states(events)[-2:] == [("kt", "FAILED"), ("ncloud", "FAILED")]
    assert READER in readers(installed[keeps])


def test_an_old_token_that_cannot_be_deleted_is_an_error_of_its_cluster(
    installed: Mesh, session: Session, events: list[Event]
) -> None:
    installed["ncloud"].faults.refuse(NO, "DELETE", path=f"/secrets/{READER}$")
    removed, failures = forget(session, leaving(session))
    assert set(failures) == {"ncloud"}
    assert any("replaced" in one for one in removed["kt"])
    assert states(events)[-2:] == [("kt", "DONE"), ("ncloud", "FAILED")]


def test_old_tokens_stay_where_an_istiod_does_not_see_another_cluster_with_the_new(
    installed: Mesh, session: Session
) -> None:
    todo = leaving(session)
    kt = installed["kt"]
    for name in kt.names("ClusterRoleBinding"):
        if "reader" in name:
            kt.delete(kt.get("ClusterRoleBinding", name))
    _, failures = forget(session, todo)
    assert [(name, problem.code) for name, found in failures.items() for problem in found] == [
        ("ncloud", "not-synced")
    ]
    assert READER in readers(installed["kt"])


def test_the_token_that_is_replaced_is_that_of_the_reader_that_mesh_yaml_names(installed: Mesh) -> None:
    with_own_reader(installed)
    installed.run("link").exits(0)
    inputs = Inputs(str(installed.kubeconfig), installed.names, installed.folder / "mesh.yaml", timeout_s=60)
    with installed.direct(), open_named(inputs) as session:
        before = readers(installed["kt"])
        removed, failures = forget(session, leaving(session))
    assert failures == {}
    (old,) = (name for name in before if name.startswith(ACCOUNT))
    assert f"Secret {SYSTEM}/{old} (reader token, replaced)" in removed["kt"]
    after = readers(installed["kt"])
    assert READER in after  # another program's
    assert old not in after
    assert any(name.startswith(ACCOUNT) for name in after)
    data = installed["ncloud"].get("Secret", "istio-remote-secret-kt-k2p", SYSTEM)["data"]["kt-k2p"]
    token = yaml.safe_load(base64.b64decode(data))["users"][0]["user"]["token"]
    assert installed["kt"].tokens[token] == (SYSTEM, ACCOUNT)
