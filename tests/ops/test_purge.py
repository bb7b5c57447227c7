"""--purge-ca, with real stores: the CA of this mesh goes with the last of it, and no other one ever does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.istio import documents
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.observed import Observed
from istio_mc.domain.problem import InputError
from istio_mc.gateways.host.ca_store import CaStore
from istio_mc.ops.uninstall.plan import Uninstalling
from istio_mc.ops.uninstall.purge import prepare_purge, purge
from tests.support.world import CLUSTERS, UNREACHABLE, World, ca_certs

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.pki.cacerts import CaCerts


def running(found: CaCerts) -> dict[str, Observed]:
    secret = documents.cacerts(found.secret_data())
    return dict.fromkeys(CLUSTERS, Observed("v1.32.3", {ref_of(secret): secret}))


def everything(observed: dict[str, Observed]) -> Uninstalling:
    return Uninstalling(CLUSTERS, tuple(CLUSTERS), observed, {}, (), {}, {})


MESH = everything(running(ca_certs("kt")))


@pytest.fixture
def store(tmp_path: Path) -> CaStore:
    """A folder with the root that the mesh runs under."""
    made = CaStore(tmp_path / "certs")
    made.folder.mkdir(mode=0o700)
    (made.folder / "root-cert.pem").write_bytes(ca_certs("kt").root_cert)
    return made


def refused(store: CaStore, todo: Uninstalling) -> str:
    with pytest.raises(InputError) as error:
        prepare_purge(store, todo, requested=True)
    (problem,) = error.value.problems
    assert problem.hint
    return problem.code


def test_it_is_removed_where_that_is_requested(store: CaStore) -> None:
    found = prepare_purge(store, MESH, requested=True)
    assert found
    assert found.is_removed
    assert purge(store, found).gone
    assert not store.folder.exists()


def test_it_stays_and_is_reported_where_removal_is_not_requested(store: CaStore) -> None:
    found = prepare_purge(store, MESH, requested=False)
    assert found
    assert (found.folder, found.is_removed) == (str(store.folder), False)


def test_the_ca_of_another_mesh_is_refused(store: CaStore) -> None:
    other = replace(ca_certs("kt"), root_cert=ca_certs("kt").ca_cert)
    assert refused(store, everything(running(other))) == "ca-of-another-mesh"


def test_clusters_without_a_ca_do_not_prevent_its_purge(store: CaStore) -> None:
    found = prepare_purge(store, everything(dict.fromkeys(CLUSTERS, Observed("v1.32.3", {}))), requested=True)
    assert found
    assert found.is_removed


def test_clusters_that_stay_keep_it(store: CaStore) -> None:
    leaving = replace(MESH, going=("kt",), observed=World().facts().observed)
    assert refused(store, leaving) == "ca-in-use"
    assert prepare_purge(store, leaving, requested=False) is None


def test_a_cluster_that_is_not_done_keeps_it(store: CaStore) -> None:
    found = prepare_purge(store, replace(MESH, failures={"nhn": (UNREACHABLE,)}), requested=True)
    assert found
    assert not found.is_removed


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    store = CaStore(tmp_path / "none")
    assert refused(store, MESH) == "ca-absent"
    assert prepare_purge(store, MESH, requested=False) is None
