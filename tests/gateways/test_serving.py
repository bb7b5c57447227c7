"""The certificate istiod serves is seen for what it is, whoever signed it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.pki.certificates import Authority, new_intermediate
from istio_mc.domain.pki.pem import issued_by
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.istio.data_path import serving
from istio_mc.gateways.kube.client import Kube
from tests.support.fake_api import FakeApi
from tests.support.leaves import Leaf, istiod_leaf, talker, tls_server
from tests.support.world import EC, root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POD = {"metadata": {"name": "istiod-1"}}


@pytest.fixture(scope="module")
def intermediate() -> Authority:
    return new_intermediate(root(), "kt-k2p", datetime.now(UTC), key=EC)


@pytest.fixture(scope="module")
def shown(intermediate: Authority) -> Leaf:
    return istiod_leaf(intermediate)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi().serve() as server:
        yield server


def kube(api: FakeApi, target: tuple[str, int]) -> Kube:
    api.on_forward("istio-system", "istiod-1", p15012=target)
    return Kube("kt", api.kubeconfig(), read_timeout_s=2)


def failure(kube: Kube) -> Problem:
    with pytest.raises(ProblemError) as error:
        serving(kube, POD)
    (problem,) = error.value.problems
    assert problem.cluster == "kt"
    return problem


def test_it_is_the_certificate_that_is_shown(
    api: FakeApi, intermediate: Authority, shown: Leaf, tmp_path: Path
) -> None:
    with tls_server(shown, intermediate, tmp_path) as address:
        found = serving(kube(api, address), POD)
    assert (found.pod, found.certificate) == ("istiod-1", shown.certificate)
    assert issued_by(found.certificate, intermediate.certificate)


def test_it_is_read_with_one_port_forward(
    api: FakeApi, intermediate: Authority, shown: Leaf, tmp_path: Path
) -> None:
    with tls_server(shown, intermediate, tmp_path) as address:
        serving(kube(api, address), POD)
    assert api.calls == [("GET", "/api/v1/namespaces/istio-system/pods/istiod-1/portforward?ports=15012")]


@pytest.mark.parametrize(
    "response", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x03\x00\x02\x02\x00"]
)
def test_a_peer_without_tls_is_one_error_that_names_the_pod(api: FakeApi, response: bytes) -> None:
    with talker(response) as address:
        problem = failure(kube(api, address))
    assert problem.code == "stream-failed"
    assert "istio-system/istiod-1:15012" in problem.message


def test_a_port_without_a_listener_is_reported_in_the_kubelets_words(api: FakeApi) -> None:
    assert "connection refused" in (failure(kube(api, ("127.0.0.1", 1))).seen or "")
