"""What went wrong, as a value: carried to the edge, and turned into text, JSON and an exit code there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.hint import Hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault or warning that a person can act on.

    Attributes:
        code: Stable kebab-case name of the kind of fault, part of the JSON contract.
        message: One sentence that says what is wrong.
        cluster: Context name of the cluster concerned, or None where the whole mesh is.
        seen: What was found.
        expected: What should have been found.
        hint: What fixes it: a command that can be pasted unchanged, or advice.
        docs: Anchor in the documentation, such as `troubleshooting.md#unreachable`; where none is given, the
            section that explains the code.
        requests: What was requested, where a cluster refused it for a reason that concerns other requests
            too, such as a missing right.
    """

    code: str
    message: str
    cluster: str | None = None
    seen: str | None = None
    expected: str | None = None
    hint: Hint | None = None
    docs: str | None = None
    requests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.docs is None:
            object.__setattr__(self, "docs", docs_of(self.code))

    def on(self, cluster: str) -> Problem:
        """The same problem, said of a cluster."""
        return replace(self, cluster=cluster)


class ProblemError(Exception):
    """Something failed: carries every Problem found, so that none is told one at a time.

    Attributes:
        problems: What stands in the way.
        warnings: What was found with them, and does not.
    """

    def __init__(self, *problems: Problem, warnings: Iterable[Problem] = ()) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems
        self.warnings = tuple(warnings)


class InputError(ProblemError):
    """What the user gave cannot be used: exit code 2, and nothing was touched."""


_PAGE = "troubleshooting.md"
_SECTIONS = {
    "kubeconfig": """
        cluster-named-twice context-named-twice context-passed-over context-unknown current-context-unknown
        kubeconfig-malformed kubeconfig-missing kubeconfig-name-repeated kubeconfig-unreadable
        kubeconfig-unusable context-incomplete cluster-undefined user-undefined kubeconfig-key-repeated
        kubeconfig-key-unknown kubeconfig-name-missing cluster-incomplete cluster-unusable user-unusable""",
    "credential-plugins": """
        auth-provider-unsupported credential-pending credential-plugin-missing credential-plugin-failed
        credential-plugin-unusable""",
    "settings": """
        cluster-id-invalid network-invalid settings-invalid settings-key-unknown settings-missing
        settings-unreadable yaml-invalid yaml-key-repeated""",
    "versions-end-of-life": "istio-end-of-life istio-end-of-life-expected istio-unknown releases-old",
    "istio-version": "istio-none-fits istio-tag istio-version-unknown istio-versions-differ",
    "versions-kubernetes": "kubernetes-unknown",
    "ca-folder": """
        ca-cannot-sign ca-cert-lost ca-expires-soon ca-extended-key-usage ca-extension
        ca-flag-differs ca-folder-exposed ca-issuer-partial ca-key-exposed ca-key-id ca-key-lost
        ca-name ca-name-constraints ca-no-key ca-no-root ca-no-signer ca-not-a-ca ca-not-yet-valid
        ca-other-root ca-own ca-partial ca-path-length ca-policies ca-root-exists ca-root-lost
        ca-short-key ca-weak-key ca-weak-signature certificate-not-alone certificate-unreadable
        chain-broken cluster-id key-encrypted key-mismatch key-size key-type key-unreadable
        key-unsupported pem-malformed pem-rewritten root-not-self-signed validity""",
    "ca-expired": "ca-expired",
    "cacerts": "cacerts-not-base64 cacerts-partial chain-without-ca",
    "istioctl-missing": "istioctl-unusable",
    "istioctl-failed": "process-cancelled process-timeout program-missing program-not-started",
    "download-failed": "manifest-unreadable",
    "malformed-answer": "malformed-answer",
    "unauthenticated": "unauthenticated",
    "forbidden": "forbidden",
    "quota-exceeded": "quota-exceeded",
    "admission-denied": "admission-denied",
    "pod-security": "pod-security",
    "namespace-terminating": "namespace-terminating object-terminating",
    "webhook-failed": "webhook-failed",
    "object-invalid": "object-invalid",
    "conflict": "conflict already-exists",
    "not-found": "not-found",
    "too-many-requests": "too-many-requests",
    "api-unavailable": "api-unavailable",
    "api-error": "api-error",
    "api-refused": "api-refused",
    "namespace-stuck": "namespace-stuck",
    "pod-crashing": "pod-crashing",
    "image-not-pulled": "image-not-pulled",
    "container-not-created": "container-not-created",
    "pod-unschedulable": "pod-unschedulable",
    "volume-not-mounted": "volume-not-mounted",
    "pod-failed": "pod-failed",
    "pod-not-ready": "pod-not-ready",
    "internal": "internal",
    "anything-else": """
        bin-dir-off-path bundle-full bundle-many-pods ca-store-busy current-folder file-exists file-unreadable
        file-unwritable folder-not-private gateway-missing interrupted no-other-cluster
        not-confirmed not-in-this-run not-ours option-malformed option-repeated output-taken
        platform-unknown sample-not-deployed tool-unknown tool-version tools-missing two-platforms
        unknown-check usage""",
}
SECTION_OF = {code: section for section, codes in _SECTIONS.items() for code in codes.split()}
"""Code to section of troubleshooting.md."""


def docs_of(code: str) -> str | None:
    """Page and section that explain a code; None where its problem, or the check that finds it, tells."""
    return f"{_PAGE}#{SECTION_OF[code]}" if code in SECTION_OF else None
