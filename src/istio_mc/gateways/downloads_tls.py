"""Certificates of download hosts that are not accepted: why, and what helps."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    import httpx

_DATES = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_NAMES = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_COMPANY = Advice(
    "set SSL_CERT_FILE to a PEM file with the CA that signed it, such as a company proxy's; it replaces the "
    "public CAs, which many systems have together with their own in /etc/ssl/certs/ca-certificates.crt"
)
_CLOCK = Advice("compare this machine's clock; if it is right, the host or the proxy needs a new certificate")
_OTHER_HOST = Advice("check the URL and the proxy: another host responds under this name")


def refuse_untrusted(url: str, error: httpx.HTTPError) -> None:
    """Raises where a request failed because a certificate is not accepted: no further try changes that.

    Raises:
        ProblemError: `download-untrusted`.
    """
    cause = _verification_of(error)
    if cause is None:
        return
    code = cause.verify_code
    raise ProblemError(
        Problem(
            code="download-untrusted",
            message=f"{url} could not be fetched: the certificate of {error.request.url.host} is not trusted",
            seen=cause.verify_message or cause.reason,
            expected=f"a valid certificate from a CA in {_trusted()}",
            hint=_CLOCK if code in _DATES else _OTHER_HOST if code in _NAMES else _COMPANY,
            docs="troubleshooting.md#download-untrusted",
        )
    ) from None


def _verification_of(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def _trusted() -> str:
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if place := os.environ.get(variable):
            return f"{place} ({variable})"
    return "the list of public CAs (SSL_CERT_FILE is not set)"
