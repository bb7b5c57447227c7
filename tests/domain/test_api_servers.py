"""An API server's address in a remote secret is one that leads there from every cluster."""

from __future__ import annotations

import pytest

from istio_mc.domain.istio.documents import remote_kubeconfig, remote_secret
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.links.state import as_linked, refuse_for_us_only
from istio_mc.domain.mesh import ApiServer, Cluster
from istio_mc.domain.observed import Observed
from istio_mc.domain.problem import InputError
from tests.support.world import CA

PUBLIC = "https://203.0.113.8:6443"
OURS = "https://127.0.0.1:6443"


def linked(server: str, *, name: str | None = None) -> Observed:
    """A cluster that holds a remote secret of kt-k2p."""
    kubeconfig = remote_kubeconfig("kt-k2p", ApiServer(server, tls_server_name=name), "token", CA)
    secret = remote_secret("kt-k2p", kubeconfig)
    return Observed("v1.32.3", {ref_of(secret): secret})


def clusters(**servers: str) -> dict[str, Cluster]:
    return {name: Cluster(name, f"{name}-id", name, ApiServer(server)) for name, server in servers.items()}


class TestAsLinked:
    def test_the_content_of_every_remote_secret(self) -> None:
        found = as_linked("kt-k2p", [linked(PUBLIC, name="api.kt"), linked(PUBLIC, name="api.kt")])
        assert found == ApiServer(PUBLIC, CA, "api.kt")

    def test_nothing_where_they_do_not_agree(self) -> None:
        assert as_linked("kt-k2p", [linked(PUBLIC), linked("https://203.0.113.9:6443")]) is None

    def test_nothing_without_a_holder(self) -> None:
        assert as_linked("nhn-nks", [linked(PUBLIC)]) is None

    def test_an_address_that_means_the_reader_itself_does_not_count(self) -> None:
        assert as_linked("kt-k2p", [linked(OURS)]) is None
        assert as_linked("kt-k2p", [linked(OURS), linked(PUBLIC)]) == ApiServer(PUBLIC, CA)


class TestRefused:
    def test_every_cluster_that_the_others_cannot_reach_is_named_with_a_fix(self) -> None:
        with pytest.raises(InputError) as error:
            refuse_for_us_only(clusters(kt=OURS, ncloud=PUBLIC, nhn="https://localhost:6443"))
        reported = [(p.code, p.cluster, p.seen) for p in error.value.problems]
        assert reported == [
            ("api-server-for-us-only", "kt", OURS),
            ("api-server-for-us-only", "nhn", "https://localhost:6443"),
        ]
        assert "--api-server kt=https://" in str(error.value.problems[0].hint)

    def test_a_single_cluster_is_reached_by_no_other(self) -> None:
        refuse_for_us_only(clusters(kt=OURS))

    def test_addresses_that_lead_there_pass(self) -> None:
        refuse_for_us_only(clusters(kt=PUBLIC, nhn="https://api.nhn.example:6443"))
