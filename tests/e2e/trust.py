"""What a workload's certificate and istiod's log tell of the CA a cluster runs under."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.e2e.harness import CLUSTER_IDS, GATEWAY, SYSTEM, command, fingerprint, kubectl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.harness import Site


def istiod_uses_the_given_ca(context: str) -> None:
    """Its log says so (security/pkg and pilot/pkg/bootstrap/istio_ca.go, Istio 1.26.0)."""
    log = kubectl(context, "logs", "-n", SYSTEM, "deployment/istiod", "--tail=-1")
    assert "Use local CA certificate" in log
    assert "Use self-signed certificate as the CA certificate" not in log


def workload_is_signed_under(site: Site, context: str, folder: Path) -> x509.Certificate:
    """The gateway's own certificate leads to the site's root, as openssl sees it; the intermediate CA."""
    secrets = _active_secrets(context, f"{GATEWAY}.{SYSTEM}")
    chain = x509.load_pem_x509_certificates(
        base64.b64decode(secrets["default"]["tlsCertificate"]["certificateChain"]["inlineBytes"])
    )
    root = base64.b64decode(secrets["ROOTCA"]["validationContext"]["trustedCa"]["inlineBytes"])
    leaf, intermediate = chain[0], chain[1]
    name = f"{CLUSTER_IDS[context]}.intermediate.istio.io"
    assert leaf.issuer == intermediate.subject
    assert intermediate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == name
    assert fingerprint(root) == site.root
    (folder / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
    (folder / "chain.pem").write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in chain[1:]))
    done = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-show_chain",
            "-CAfile",
            site.certs / "root-cert.pem",
            "-untrusted",
            folder / "chain.pem",
            folder / "leaf.pem",
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert name in done.stdout
    assert "root.istio.io" in done.stdout
    return intermediate


def trusted_roots(context: str, proxy: str) -> set[str]:
    """Fingerprints of the root certificates that a proxy (POD.NAMESPACE) trusts now."""
    trusted = _active_secrets(context, proxy)["ROOTCA"]["validationContext"]["trustedCa"]["inlineBytes"]
    return {
        fingerprint(root.public_bytes(Encoding.PEM))
        for root in x509.load_pem_x509_certificates(base64.b64decode(trusted))
    }


def _active_secrets(context: str, proxy: str) -> dict[str, Any]:
    shown = command("istioctl", "proxy-config", "secret", proxy, "--context", context, "-o", "json")
    return {item["name"]: item["secret"] for item in json.loads(shown)["dynamicActiveSecrets"]}
