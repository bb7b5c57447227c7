"""A root of the user's own, with the commands of docs/day-two.md: on three real clusters no request fails."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.e2e.harness import CONTEXTS, fingerprint, live_root
from tests.e2e_life.test_keys import done, without_a_failed_request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.harness import Site

SUBJECT = ["-subj", "/O=Example Corp/CN=Example Corp Root"]
ROOT = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650", *SUBJECT]


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


def test_requests_are_signed_elsewhere_and_no_request_fails(with_sample: Site, tmp_path: Path) -> None:
    root, key = tmp_path / "corp-root.pem", tmp_path / "corp-root.key"  # the key is not in the site's folder
    openssl("req", *ROOT, "-keyout", key, "-out", root)
    command = ("ca", "rotate", "--root-cert", str(root), "--canary", "kt", "-o", "json")

    unsigned = with_sample.run(*command).exits(1)
    assert [(one["code"], one["cluster"]) for one in unsigned.json["errors"]] == [
        ("own-root-unsigned", name) for name in CONTEXTS
    ]
    requests = sorted((with_sample.certs / "roots").glob("*/*/ca.csr"))
    assert len(requests) == len(CONTEXTS)
    for request in requests:
        signer: list[str | Path] = [
            "-CA",
            root,
            "-CAkey",
            key,
            "-days",
            "3650",
            "-out",
            request.with_name("ca-cert.pem"),
        ]
        openssl("x509", "-req", "-in", request, "-copy_extensions", "copyall", *signer)

    with_sample.run(*command, "--rehearse").exits(0)
    with without_a_failed_request("ca rotate --root-cert"):
        done(with_sample.run(*command, timeout_s=400))

    assert {live_root(name) for name in CONTEXTS} == {fingerprint(root.read_bytes())}
    with_sample.run("verify", "--wait", "30s").exits(0)
    assert "Nothing to change" in with_sample.run("install", "--contexts", ",".join(CONTEXTS)).exits(0).stdout
