"""Requests and streams trust whom the kubeconfig says, as Go does, and show its client certificate."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from istio_mc.domain.pki.certificates import new_intermediate
from istio_mc.gateways.kube import tls
from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.errors import KubeError
from tests.support.leaves import leaf
from tests.support.self_signed import SelfSigned, self_signed, server_context
from tests.support.stream_server import StreamServer
from tests.support.world import EC, root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
NAME = "api.kt"
CALLS: dict[str, Callable[[Kube], object]] = {
    "request": lambda kube: kube.request("GET", "/version"),
    "exec": lambda kube: kube.execute("sample", "sleep-1", "sleep", ["true"], timeout_s=5.0),
}
every_call = pytest.mark.parametrize("call", CALLS)


def data(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def kube(server: StreamServer, cluster: dict[str, Any], user: dict[str, Any] | None = None) -> Kube:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kt", "cluster": {"server": server.url, **cluster}}],
        "users": [{"name": "me", "user": user or {"token": "abc"}}],
        "contexts": [{"name": "kt", "context": {"cluster": "kt", "user": "me"}}],
        "current-context": "kt",
    }
    return Kube("kt", document, connect_timeout_s=2.0, read_timeout_s=2.0)


def done(call: str, kube_of_call: Kube) -> None:
    try:
        CALLS[call](kube_of_call)
    finally:
        kube_of_call.close()


def failure(call: str, kube_of_call: Kube) -> str:
    with pytest.raises(KubeError) as error:
        done(call, kube_of_call)
    (problem,) = error.value.problems
    return f"{problem.message} {problem.seen}"


@pytest.fixture(scope="module")
def own() -> SelfSigned:
    return self_signed(NAME)


@pytest.fixture(scope="module")
def client() -> SelfSigned:
    return self_signed(common_name="jane")


@pytest.fixture
def server(own: SelfSigned, tmp_path: Path) -> Iterator[StreamServer]:
    with StreamServer(server_context(own.write(tmp_path / "server.pem"))).serve() as made:
        yield made


@every_call
class TestTheServer:
    def test_is_known_by_the_authority_and_name_of_the_kubeconfig(
        self, server: StreamServer, own: SelfSigned, call: str
    ) -> None:
        named = {"certificate-authority-data": data(own.certificate), "tls-server-name": NAME}
        done(call, kube(server, named))

    def test_under_another_name_is_refused(self, server: StreamServer, own: SelfSigned, call: str) -> None:
        message = failure(call, kube(server, {"certificate-authority-data": data(own.certificate)}))
        assert "certificate is not valid for '127.0.0.1'" in message
        assert server.requests == []

    def test_of_another_authority_is_refused(self, server: StreamServer, call: str) -> None:
        other = self_signed(NAME)
        named = {"certificate-authority-data": data(other.certificate), "tls-server-name": NAME}
        assert "certificate verify failed" in failure(call, kube(server, named))
        assert server.requests == []

    def test_is_not_known_by_the_systems_authorities(self, server: StreamServer, call: str) -> None:
        assert "certificate verify failed" in failure(call, kube(server, {"tls-server-name": NAME}))

    @pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
    def test_is_not_verified_where_the_kubeconfig_disables_it(self, server: StreamServer, call: str) -> None:
        done(call, kube(server, {"insecure-skip-tls-verify": True}))

    @pytest.mark.parametrize(
        "bundle", [lambda pem: BROKEN + pem, lambda pem: "루트 CA\n".encode() + pem + BROKEN]
    )
    def test_is_known_by_what_can_be_read_of_a_bundle(
        self, server: StreamServer, own: SelfSigned, call: str, bundle: Callable[[bytes], bytes]
    ) -> None:
        authorities = data(bundle(own.certificate))
        done(call, kube(server, {"certificate-authority-data": authorities, "tls-server-name": NAME}))

    @pytest.mark.parametrize("authorities", [b"none", BROKEN])
    def test_of_a_bundle_without_a_certificate_is_a_problem_of_the_kubeconfig(
        self, server: StreamServer, call: str, authorities: bytes
    ) -> None:
        message = failure(call, kube(server, {"certificate-authority-data": data(authorities)}))
        assert "certificate-authority: contains no certificate that can be read" in message

    @pytest.mark.parametrize("anchor", ["intermediate", "server"])
    def test_is_known_by_an_anchor_that_is_not_a_root(self, tmp_path: Path, call: str, anchor: str) -> None:
        issuer = new_intermediate(root(), "kt-k2p", datetime.now(UTC), key=EC)
        shown = leaf(issuer, x509.DNSName(NAME))
        pem = {
            "intermediate": issuer.certificate.public_bytes(Encoding.PEM),
            "server": shown.certificate.public_bytes(Encoding.PEM),
        }
        key = shown.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = tmp_path / "chain.pem"
        chain.write_bytes(key + pem["server"] + pem["intermediate"])
        with StreamServer(server_context(chain)).serve() as server:
            named = {"certificate-authority-data": data(pem[anchor]), "tls-server-name": NAME}
            done(call, kube(server, named))


class TestTheClient:
    @pytest.fixture
    def strict(self, own: SelfSigned, client: SelfSigned, tmp_path: Path) -> Iterator[StreamServer]:
        """A server that lets nobody in without a certificate."""
        context = server_context(own.write(tmp_path / "server.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client.certificate.decode())
        with StreamServer(context).serve() as made:
            yield made

    @pytest.fixture
    def cluster(self, own: SelfSigned) -> dict[str, str]:
        return {"certificate-authority-data": data(own.certificate), "tls-server-name": NAME}

    @every_call
    @pytest.mark.parametrize("embedded", [True, False], ids=["data", "files"])
    def test_shows_its_certificate(
        self,
        strict: StreamServer,
        cluster: dict[str, str],
        client: SelfSigned,
        tmp_path: Path,
        call: str,
        *,
        embedded: bool,
    ) -> None:
        both = {"client-certificate": client.certificate, "client-key": client.key}
        user = {f"{key}-data": data(pem) for key, pem in both.items()}
        if not embedded:
            for key, pem in both.items():
                (tmp_path / key).write_bytes(pem)
            user = {key: str(tmp_path / key) for key in both}
        done(call, kube(strict, cluster, user))

    @every_call
    def test_without_one_is_refused(self, strict: StreamServer, cluster: dict[str, str], call: str) -> None:
        failure(call, kube(strict, cluster))  # in words that depend on how far the handshake had come
        assert strict.requests == []

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (
                lambda user: user | {"client-key-data": data(self_signed().key)},
                "client-certificate, client-key: do not belong together",
            ),
            (
                lambda user: user | {"client-key-data": data(b"no key")},
                "client-certificate, client-key: cannot be read",
            ),
            (lambda user: user | {"client-certificate-data": "!"}, "client-certificate-data: is not base64"),
            (
                lambda _: {"client-certificate": "/none/x", "client-key": "/none/y"},
                "cannot read /none/x: No such",
            ),
            (lambda _: {"client-certificate": "/a\0b", "client-key": "/none/y"}, "invalid path"),
        ],
        ids=["another key", "no key", "no base64", "no file", "no path"],
    )
    def test_with_one_that_cannot_be_used_is_a_problem_of_the_kubeconfig(
        self,
        strict: StreamServer,
        cluster: dict[str, str],
        client: SelfSigned,
        change: Callable[[dict[str, str]], dict[str, str]],
        fault: str,
    ) -> None:
        user = {"client-certificate-data": data(client.certificate), "client-key-data": data(client.key)}
        message = failure("request", kube(strict, cluster, change(user)))
        assert "the kubeconfig entry of kt cannot be used" in message
        assert fault in message

    def test_with_an_encrypted_key_does_not_prompt_for_its_passphrase(
        self, strict: StreamServer, cluster: dict[str, str], client: SelfSigned
    ) -> None:
        locked = load_pem_private_key(client.key, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
        )
        user = {"client-certificate-data": data(client.certificate), "client-key-data": data(locked)}
        assert "client-key: is encrypted" in failure("request", kube(strict, cluster, user))

    def test_leaves_no_file_with_its_key_however_it_ends(self, client: SelfSigned, tmp_path: Path) -> None:
        folder = tmp_path / "temporary"
        folder.mkdir()
        program = (
            "import os, ssl, sys\n"
            "from istio_mc.gateways.kube import tls\n"
            "loaded = ssl.SSLContext.load_cert_chain\n"
            "def load(*given, **named):\n"
            "    loaded(*given, **named)\n"
            "    os.kill(os.getpid(), 9)\n"
            "ssl.SSLContext.load_cert_chain = load\n"
            "certificate, _, key = sys.stdin.buffer.read().partition(b'|')\n"
            "tls.context_of(tls.TlsSettings(certificate=certificate, key=key))\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program],
            input=client.certificate + b"|" + client.key,
            env=os.environ | {"TMPDIR": str(folder)},
            timeout=30,
            check=False,
        )
        assert ended.returncode == -9
        assert list(folder.iterdir()) == []


class TestContexts:
    def test_the_same_settings_have_one_context(self, own: SelfSigned) -> None:
        first, again = (tls.TlsSettings(authorities=own.certificate) for _ in range(2))
        assert tls.context_of(first) is tls.context_of(again)

    @pytest.mark.parametrize("other", [{"verify": False}, {"authorities": None}])
    def test_other_settings_have_another(self, own: SelfSigned, other: dict[str, Any]) -> None:
        first = tls.TlsSettings(authorities=own.certificate)
        assert tls.context_of(first) is not tls.context_of(
            tls.TlsSettings(**{"authorities": own.certificate, **other})
        )

    def test_a_key_is_in_no_representation(self, own: SelfSigned) -> None:
        settings = tls.TlsSettings(certificate=own.certificate, key=own.key)
        assert "PRIVATE" not in repr(settings)
