"""Faults of API servers as Problems, with their fixes."""

from __future__ import annotations

import ssl

import urllib3

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube.refusal import Reason, problem_of, read_refusal
from istio_mc.domain.links.remote_secrets import CertificateFault
from istio_mc.domain.problem import Code, Problem, ProblemError


class KubeError(ProblemError):
    """An API server responded with a fault, or did not respond.

    Attributes:
        untrusted: Whether the server showed a certificate that is not trusted.
        certificate: The fault of that certificate; None if no certificate arrived.
    """

    def __init__(
        self,
        problem: Problem,
        status: int,
        *,
        untrusted: bool = False,
        certificate: CertificateFault | None = None,
        reason: Reason | None = None,
    ) -> None:
        super().__init__(problem)
        self.status = status
        self.untrusted = untrusted
        self.certificate = certificate
        self.reason = reason

    @property
    def unreachable(self) -> bool:
        """Whether there was no response at all."""
        return self.status == 0


def unreachable(
    context: str, server: str, error: Exception, *, untrusted: bool = False, through: object = None
) -> KubeError:
    """The error for no response, or an untrusted one; `through` is the proxy that was used, if any."""
    seen = _short(error)
    problem = Problem(
        code=Code.CLUSTER_UNREACHABLE,
        cluster=context,
        message="API server is not reachable",
        seen=f"{seen}; through {through}" if through else seen,
        expected=f"a response from {server}",
        hint=_access_hint(context, error),
    )
    return KubeError(problem, 0, untrusted=untrusted, certificate=_certificate_fault(error))


def _access_hint(context: str, error: Exception) -> Advice:
    # The fault of the certificate is known here; kubectl would only repeat it.
    match _certificate_fault(error):
        case CertificateFault.NAME:
            return Advice(
                f"in the kubeconfig, set tls-server-name of the cluster of {context} to a name it shows"
            )
        case CertificateFault.DATES:
            return Advice(
                f"renew the certificate of the API server of {context}; "
                "if its dates are right, correct the clock of this machine"
            )
        case CertificateFault.ISSUER:
            return Advice(f"in the kubeconfig, set the CA of this API server for the cluster of {context}")
        case None:
            return Advice(kubectl(context, "get", "--raw", "/readyz"))


_BY_VERIFY_CODE = {
    9: CertificateFault.DATES,
    10: CertificateFault.DATES,
    62: CertificateFault.NAME,
    64: CertificateFault.NAME,
}
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, CERT_HAS_EXPIRED, HOSTNAME_MISMATCH and IP_ADDRESS_MISMATCH."""


def _certificate_fault(error: Exception) -> CertificateFault | None:
    """Why the certificate was rejected; None if it was not rejected, or did not arrive."""
    reason = getattr(error, "reason", error)
    if not isinstance(reason, urllib3.exceptions.SSLError):
        return None
    cause = reason.args[0] if reason.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _BY_VERIFY_CODE.get(cause.verify_code, CertificateFault.ISSUER)
    # If tls-server-name is set, urllib3 compares names itself (util/ssl_match_hostname.py, 2.5).
    return None if isinstance(cause, ssl.SSLError) else CertificateFault.NAME


def malformed(context: str, server: str, method: str, path: str, status: int, raw: bytes) -> KubeError:
    """The error for a response that is not from an API server."""
    problem = Problem(
        code=Code.MALFORMED_ANSWER,
        cluster=context,
        message=f"the server at the address of {context} is not an API server",
        seen=f"{method} {path}: {len(raw)} bytes, {raw[:80]!r}",
        expected="a JSON object as Kubernetes writes it",
        hint=Advice(f"check for a proxy in front of {server} that responds instead"),
    )
    return KubeError(problem, status)


def refused(context: str, method: str, path: str, status: int, raw: bytes) -> KubeError:
    """The error for a refusal of the API server, with its reason."""
    refusal = read_refusal(method, path, status, raw)
    return KubeError(problem_of(context, refusal), status, reason=refusal.reason)


def stream_failed(context: str, what: str, path: str, error: Exception | str, status: int = 0) -> KubeError:
    """The error for a stream through the API server that was not opened, or broke.

    Args:
        path: Path of the pod's subresource.
        error: The reason; a text if the cluster reported it.
    """
    namespace, _, _, subresource = path.split("/")[-4:]
    problem = Problem(
        code=Code.STREAM_FAILED,
        cluster=context,
        message=f"{what} failed in {context}",
        seen=error if isinstance(error, str) else _short(error),
        expected="an open stream through the API server",
        hint=Advice(
            kubectl(context, "-n", namespace, "auth", "can-i", "get", "pods", f"--subresource={subresource}")
        ),
    )
    return KubeError(problem, status)


def _short(error: Exception) -> str:
    """An error's text without the object addresses and class paths urllib3 puts before it."""
    reason = getattr(error, "reason", None)
    if not isinstance(reason, Exception):  # for an ssl.SSLError it is OpenSSL's name of the fault
        reason = error
    # A ProxyError contains the connection's original error (urllib3 2, exceptions.ProxyError).
    reason = getattr(reason, "original_error", reason)
    # For a timed out connection, urllib3's error has two parts: the connection and the text.
    parts: tuple[object, ...] = getattr(reason, "args", ())
    text = str(parts[-1] if len(parts) > 1 and isinstance(parts[-1], str) else reason)
    head, mark, tail = text.partition(">: ")
    if not mark:
        head, mark, tail = text.partition("): ")
    return (tail if mark else head).strip() or type(error).__name__
