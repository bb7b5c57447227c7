"""A cluster tried as other istiods reach it: what came of it, told apart."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from istio_mc.domain.links.remote_secrets import READS, Access, AccessResult, CertificateFault, Reading
from istio_mc.gateways.kube.remote_access import try_access
from tests.support.fake_api import FakeApi, Reply, status
from tests.support.fake_mesh import HOST, tls

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ALLOWED = {"status": {"allowed": True}}
USER = '{"token": "token"}'


def reached(api: FakeApi, ca: bytes | None = None) -> Access:
    """An access to a fake API server under a name that is no loopback address."""
    return Access(api.url.replace("127.0.0.1", HOST), USER, ca)


def test_the_same_reachable_pod_gets_every_read_of_istiod(api: FakeApi) -> None:
    api.on(REVIEWS, ALLOWED)
    assert try_access("nhn", reached(api)).reading is Reading.OK
    assert len(api.calls) == 1 + 2 * len(READS)


def test_a_token_that_is_refused(api: FakeApi) -> None:
    api.on(REVIEWS, status(401, "Unauthorized"))
    assert try_access("nhn", reached(api)).reading is Reading.UNAUTHENTICATED


def test_rights_that_are_missing_are_named(api: FakeApi) -> None:
    api.on(REVIEWS, ALLOWED, {"status": {"allowed": False}})
    found = try_access("nhn", reached(api))
    assert found.reading is Reading.DENIED
    assert "endpointslices.discovery.k8s.io" in found.detail


def test_nothing_listens_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = try_access("nhn", Access(f"https://{HOST}:{port}", USER))
    assert found.reading is Reading.UNREACHABLE


def test_a_loopback_address_is_not_tested(api: FakeApi) -> None:
    assert try_access("nhn", Access(api.url, USER)).reading is Reading.UNREACHABLE
    assert api.calls == []


def test_a_certificate_of_another_ca() -> None:
    with FakeApi(tls()).serve() as api:
        found = try_access("nhn", reached(api))
    assert (found.reading, found.certificate) == (Reading.UNTRUSTED, CertificateFault.ISSUER)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_certificate_that_istiod_does_not_check_is_not_checked() -> None:
    with FakeApi(tls()).serve() as api:
        api.on(REVIEWS, ALLOWED)
        assert try_access("nhn", replace(reached(api), is_insecure=True)).reading is Reading.OK


def test_credentials_that_only_istiod_has_are_not_tested(api: FakeApi) -> None:
    found = try_access("nhn", replace(reached(api), untested="they come from OIDC"))
    assert (found, api.calls) == (AccessResult(Reading.UNTESTED, "they come from OIDC"), [])


@pytest.mark.parametrize("reply", [Reply(b"<html>", 200), status(500, "down")], ids=["no JSON", "500"])
def test_something_else_answers(api: FakeApi, reply: Reply) -> None:
    api.on(REVIEWS, reply)
    assert try_access("nhn", reached(api)).reading is Reading.STRANGE
