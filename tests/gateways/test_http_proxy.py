"""Through a proxy, API servers are reached as kubectl reaches them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.kube import objects
from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.errors import KubeError
from tests.support.connect_proxy import ConnectProxy
from tests.support.fake_api import FakeApi, free_port, kubeconfig
from tests.support.self_signed import self_signed, server_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from istio_mc.domain.problem import Problem

NAMESPACE = "/api/v1/namespaces/istio-system"
FOUND = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}}
SERVER = "https://api.kt:6443"


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed("api.kt").write(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture
def secure(certificate: Path) -> Iterator[FakeApi]:
    """An API server that nobody reaches by its name but through the proxy."""
    with FakeApi(server_context(certificate)).serve() as server:
        server.on(NAMESPACE, FOUND)
        yield server


@pytest.fixture
def proxy(secure: FakeApi) -> Iterator[ConnectProxy]:
    with ConnectProxy(leads_to=secure.address).there() as made:
        yield made


def kube(certificate: Path, server: str = SERVER, **cluster: object) -> Kube:
    ca = base64.b64encode(certificate.read_bytes()).decode()
    document = kubeconfig({"kt": server}, {"certificate-authority-data": ca, **cluster})
    return Kube("kt", document, connect_timeout_s=2.0, read_timeout_s=2.0)


def get(client: Kube) -> dict[str, Any] | None:
    try:
        return client.get(objects.NAMESPACE, "istio-system")
    finally:
        client.close()


def failure(client: Kube) -> Problem:
    with pytest.raises(KubeError) as error:
        get(client)
    (problem,) = error.value.problems
    return problem


class TestTheKubeconfigsProxy:
    def test_is_taken(self, certificate: Path, proxy: ConnectProxy) -> None:
        assert get(kube(certificate, **{"proxy-url": proxy.url})) == FOUND
        assert proxy.requested == ["api.kt:6443"]

    def test_is_sent_the_user_and_password_of_its_url(self, certificate: Path, proxy: ConnectProxy) -> None:
        proxy.user = "jane:p@ß"
        assert get(kube(certificate, **{"proxy-url": f"http://jane:p%40%C3%9F@{proxy.address}"})) == FOUND

    def test_is_used_for_any_value_of_no_proxy(
        self, certificate: Path, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NO_PROXY", "api.kt")
        assert get(kube(certificate, **{"proxy-url": proxy.url})) == FOUND

    def test_comes_before_the_environments(
        self, certificate: Path, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
        assert get(kube(certificate, **{"proxy-url": proxy.url})) == FOUND

    def test_carries_port_forwards_too(
        self, certificate: Path, secure: FakeApi, proxy: ConnectProxy, api: FakeApi
    ) -> None:
        proxy.user = "jane:secret"
        api.on("/ready", {})
        secure.on_forward("istio-system", "istiod-1", p15014=api.address)
        client = kube(certificate, **{"proxy-url": f"http://jane:secret@{proxy.address}"})

        assert client.http_get("istio-system", "istiod-1", 15014, "/ready") == b"{}"
        client.close()

    def test_may_itself_be_reached_by_tls(
        self, certificate: Path, secure: FakeApi, api: FakeApi, tmp_path: Path
    ) -> None:
        """As with kubectl, it shows a certificate of the cluster's CA."""
        own = self_signed("127.0.0.1")
        proxy = ConnectProxy(leads_to=secure.address, user="jane:secret")
        shown = server_context(own.write(tmp_path / "proxy.pem"))
        proxy._server.socket = shown.wrap_socket(proxy._server.socket, server_side=True)
        api.on("/ready", {})
        secure.on_forward("istio-system", "istiod-1", p15014=api.address)
        both = base64.b64encode(certificate.read_bytes() + own.certificate).decode()
        cluster = {"proxy-url": f"https://jane:secret@{proxy.address}", "certificate-authority-data": both}

        with proxy.there():
            client = kube(certificate, **cluster)
            assert client.get(objects.NAMESPACE, "istio-system") == FOUND
            assert client.http_get("istio-system", "istiod-1", 15014, "/ready") == b"{}"
            client.close()
        assert proxy.requested == ["api.kt:6443", "api.kt:6443"]


class TestTheEnvironmentsProxy:
    @pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
    @pytest.mark.parametrize("scheme", ["http://", ""])
    def test_is_taken_with_a_scheme_and_without(
        self, certificate: Path, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, name: str, scheme: str
    ) -> None:
        monkeypatch.setenv(name, scheme + proxy.address)
        assert get(kube(certificate)) == FOUND

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_is_passed_by_for_this_machine_itself(
        self,
        certificate: Path,
        secure: FakeApi,
        proxy: ConnectProxy,
        monkeypatch: pytest.MonkeyPatch,
        host: str,
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        server = f"https://{host}:{secure.address[1]}"
        assert get(kube(certificate, server, **{"tls-server-name": "api.kt"})) == FOUND
        assert proxy.requested == []

    def test_is_passed_by_by_port_forwards_too(
        self,
        certificate: Path,
        secure: FakeApi,
        proxy: ConnectProxy,
        api: FakeApi,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        api.on("/ready", {})
        secure.on_forward("istio-system", "istiod-1", p15014=api.address)
        client = kube(certificate, secure.url, **{"tls-server-name": "api.kt"})

        assert client.http_get("istio-system", "istiod-1", 15014, "/ready") == b"{}"
        assert proxy.requested == []
        client.close()

    def test_is_not_taken_for_what_no_proxy_names(
        self, certificate: Path, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", ".invalid")
        problem = failure(kube(certificate, "https://api.kt.invalid:6443"))
        assert "proxy" not in (problem.seen or "")
        assert proxy.requested == []


class TestWhatFails:
    def test_a_proxy_that_does_not_answer_is_named_without_its_password(self, certificate: Path) -> None:
        unused = f"127.0.0.1:{free_port()}"
        problem = failure(kube(certificate, **{"proxy-url": f"http://jane:secret@{unused}"}))
        assert problem.code == "cluster-unreachable"
        assert problem.seen == (
            "Failed to establish a new connection: [Errno 111] Connection refused; "
            f"through the proxy http://{unused} (proxy-url in the kubeconfig)"
        )

    def test_a_proxy_that_refuses_its_user_is_reported(self, certificate: Path, proxy: ConnectProxy) -> None:
        proxy.user = "jane:secret"
        problem = failure(kube(certificate, **{"proxy-url": proxy.url}))
        assert (problem.seen or "").startswith("Tunnel connection failed: 407 Proxy Authentication Required")

    @pytest.mark.parametrize(
        "url",
        [
            "socks5://jane:secret@127.0.0.1:1080",
            "http://",
            "http://[::1",
            "kt:1",
            "http://jane:secret@no host:3128",
        ],
    )
    def test_what_is_no_http_proxy_is_one_clear_error(self, certificate: Path, url: str) -> None:
        problem = failure(kube(certificate, **{"proxy-url": url}))
        assert (problem.code, problem.cluster) == ("proxy-unusable", "kt")
        assert (problem.seen or "") == f"{url.replace('jane:secret@', '')}, proxy-url in the kubeconfig"
        assert "proxy-url of the cluster of kt" in str(problem.hint)

    def test_a_password_without_its_host_is_not_shown(self, certificate: Path) -> None:
        problem = failure(kube(certificate, **{"proxy-url": "http://jane:secret"}))
        assert problem.seen == "http://jane:…, proxy-url in the kubeconfig"

    @pytest.mark.parametrize("where", ["name", "secret", "host"])
    def test_one_with_a_line_break_is_an_error_without_its_password(
        self, certificate: Path, where: str
    ) -> None:
        url = "http://name:secret@host:3128".replace(where, f"{where}\n")
        problem = failure(kube(certificate, **{"proxy-url": url}))
        assert problem.code == "proxy-unusable"
        assert (problem.seen or "").startswith(f"http://{'host�' if where == 'host' else 'host'}:3128, ")

    def test_the_fix_for_the_environments_proxy_names_the_variable(
        self, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
        problem = failure(kube(certificate))
        assert problem.seen == "socks5://127.0.0.1:1080, HTTPS_PROXY in the environment"
        assert "NO_PROXY" in str(problem.hint)
