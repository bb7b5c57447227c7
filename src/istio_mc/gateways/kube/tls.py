"""TLS settings of connections to an API server; equal settings share one SSLContext.

As in client-go 0.32.3 and Go 1.24, each certificate of a bundle is a trust anchor, also one that is not
self-signed, and a block that cannot be read is skipped (crypto/x509, CertPool.AppendCertsFromPEM).
"""

from __future__ import annotations

import base64
import ssl
import tempfile
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain.pki.go_x509 import read_pool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, NoReturn

_PROTOCOLS = ["http/1.1"]
_NO_PAIR = "KEY_VALUES_MISMATCH"


class UnusableTlsError(ValueError):
    """TLS settings that cannot be used; the message contains no key."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS settings of a kubeconfig, without the server's name.

    Attributes:
        authorities: PEM certificates of the CAs that may issue the server's certificate; None: the system's.
    """

    authorities: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    verify: bool = True


def read_settings(cluster: Mapping[str, object], user: Mapping[str, object]) -> TlsSettings:
    """Returns the TLS settings of a kubeconfig's cluster and user; inline data has precedence over a file.

    Raises:
        UnusableTlsError: A file cannot be read, or data is not base64.
    """
    return TlsSettings(
        authorities=_content(cluster, "certificate-authority"),
        certificate=_content(user, "client-certificate"),
        key=_content(user, "client-key"),
        verify=cluster.get("insecure-skip-tls-verify") is not True,
    )


_contexts: dict[TlsSettings, ssl.SSLContext] = {}
_making = threading.Lock()


def context_of(settings: TlsSettings) -> ssl.SSLContext:
    """Returns the context of these settings, always the same one: a new one parses every certificate again.

    Raises:
        UnusableTlsError: A certificate or key cannot be used.
    """
    with _making:
        if settings not in _contexts:
            _contexts[settings] = _new_context(settings)
        return _contexts[settings]


class _SharedContext(ssl.SSLContext):
    """A context that many threads use at the same time for new connections, and that must not change."""

    def set_alpn_protocols(self, alpn_protocols: object) -> None:
        """Does nothing: urllib3 sets them before each connection, always to the same value."""


def _new_context(settings: TlsSettings) -> ssl.SSLContext:
    context = _SharedContext(ssl.PROTOCOL_TLS_CLIENT)
    ssl.SSLContext.set_alpn_protocols(context, _PROTOCOLS)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.authorities is None:
        context.load_default_certs()
    else:
        _trust(context, settings.authorities)
    if settings.certificate is not None:
        _authenticate(context, settings.certificate, settings.key or b"")
    return context


def _trust(context: ssl.SSLContext, authorities: bytes) -> None:
    trusted = 0
    for der in read_pool(authorities):
        with suppress(ssl.SSLError):
            context.load_verify_locations(cadata=der)
            trusted += 1
    if not trusted:
        raise UnusableTlsError("certificate-authority: contains no certificate that can be read")


def _authenticate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # `ssl` reads them only from files: these never have a name, and disappear with the process.
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in (certificate, key)]
        try:
            certfile, keyfile = map(_written, files, (certificate, key))
            context.load_cert_chain(certfile, keyfile, password=_reject_passphrase)
        except OSError as error:  # ssl.SSLError is a subclass
            fault = "do not belong together" if _NO_PAIR in str(error) else f"cannot be read: {error}"
            raise UnusableTlsError(f"client-certificate, client-key: {fault}") from None


def _written(file: IO[bytes], data: bytes) -> str:
    file.write(data)
    file.seek(0)
    return f"/dev/fd/{file.fileno()}"


def _reject_passphrase() -> NoReturn:
    """Replaces OpenSSL's prompt for a passphrase on the terminal."""
    raise UnusableTlsError("client-key: is encrypted; kubectl uses no such key either")


def _content(entry: Mapping[str, object], key: str) -> bytes | None:
    if data := entry.get(f"{key}-data"):
        try:
            # Like Go's decoder: ignores line breaks only (encoding/base64, Go 1.24).
            return base64.b64decode(str(data).replace("\n", "").replace("\r", ""), validate=True)
        except ValueError:
            raise UnusableTlsError(f"{key}-data: is not base64") from None
    if path := entry.get(key):
        try:
            return Path(str(path)).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "invalid path"
            raise UnusableTlsError(f"{key}: cannot read {path}: {reason}") from None
    return None
