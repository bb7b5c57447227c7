"""`istio-mc ca` on files that other tools wrote: what is read, what is written, hints that work when run."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.pki import cacerts, pem
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.pem import NamedPem
from istio_mc.gateways.host.ca_store import CaStore
from istio_mc.ops.ca import authority
from istio_mc.ops.ca.options import CaOptions
from tests.conftest import Ran
from tests.support import forge
from tests.support.odd_cas import TEXTS, key, key_pem
from tests.support.odd_cas import pem as block

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Ran]
PARAMETERS = block(forge.oid("1.2.840.10045.3.1.7"), "EC PARAMETERS")


@pytest.fixture
def store(istio_mc: Run, tmp_path: Path) -> Path:
    """A root and the CA of cluster c1, in the folder certs of the current folder."""
    assert istio_mc("ca", "init", "--key-type", "ec").code == 0
    assert istio_mc("ca", "issue", "--key-type", "ec", "--cluster-id", "c1").code == 0
    return tmp_path / "certs"


def hint_of(ran: Ran) -> list[str]:
    """The command of the one fault that `ca verify` found."""
    (problem,) = ran.envelope["errors"]
    assert problem["hintType"] == "command"
    program, *arguments = shlex.split(problem["hint"])
    assert program == "istio-mc"
    return arguments


def files_of(folder: Path) -> CaCerts:
    names = {"ca_cert": "ca-cert.pem", "ca_key": "ca-key.pem", "cert_chain": "cert-chain.pem"}
    contents = {part: (folder / name).read_bytes() for part, name in names.items()}
    return CaCerts(**contents, root_cert=(folder / "root-cert.pem").read_bytes())


ODD = {
    "EC PARAMETERS and key": ("ca-key.pem", lambda data: PARAMETERS + data, "PEM block EC PARAMETERS first"),
    "key with byte order mark": ("ca-key.pem", TEXTS["byte order mark"], "a byte order mark"),
    "chain joined": ("cert-chain.pem", TEXTS["joined"], "no line break between two PEM blocks"),
    "CA indented": (
        "ca-cert.pem",
        TEXTS["indented"],
        "a PEM block that does not start at the beginning of a line",
    ),
    "root in UTF-16": ("root-cert.pem", TEXTS["UTF-16"], "UTF-16 text"),
    "root called X509": ("root-cert.pem", TEXTS["X509"], "PEM block X509 CERTIFICATE"),
}


@pytest.mark.parametrize(("file", "change", "reason"), ODD.values(), ids=ODD)
def test_verify_finds_objects_that_istiod_does_not_read_and_its_hint_fixes_them(
    istio_mc: Run, store: Path, file: str, change: Callable[[bytes], bytes], reason: str
) -> None:
    path = store / "c1" / file
    odd = change(path.read_bytes())
    path.write_bytes(odd)

    found = istio_mc("ca", "verify", "-o", "json")
    assert found.code == 4
    assert found.envelope["errors"][0]["code"] == "pem-malformed"
    assert reason in found.envelope["errors"][0]["seen"]

    fixed = istio_mc(*hint_of(found), "-o", "json")
    assert fixed.code == 0
    (notice,) = fixed.envelope["messages"]
    assert notice["code"] == "pem-rewritten"
    assert str(path.relative_to(store.parent)) in notice["message"]
    assert fixed.envelope["data"]["clusters"][0]["outcome"] == "rewritten"
    assert cacerts.faults(files_of(store / "c1"), datetime.now(UTC)) == []
    assert istio_mc("ca", "verify").code == 0
    (kept,) = (store / "replaced").rglob(file)
    assert kept.read_bytes() == odd


def test_certificate_and_key_in_one_file_are_distinguished(istio_mc: Run, store: Path) -> None:
    both = (store / "c1" / "ca-cert.pem").read_bytes() + (store / "c1" / "ca-key.pem").read_bytes()
    for name in ("ca-cert.pem", "ca-key.pem"):
        (store / "c1" / name).write_bytes(both)
    assert istio_mc(*hint_of(istio_mc("ca", "verify", "-o", "json"))).code == 0
    assert b"PRIVATE KEY" not in (store / "c1" / "ca-cert.pem").read_bytes()
    assert b"CERTIFICATE" not in (store / "c1" / "ca-key.pem").read_bytes()
    assert istio_mc("ca", "verify").code == 0


def test_plain_files_are_kept_to_the_byte(istio_mc: Run, store: Path) -> None:
    before = {path: path.read_bytes() for path in (store / "c1").iterdir()}
    again = istio_mc("ca", "issue", "--cluster-id", "c1", "-o", "json")
    assert again.envelope["data"]["clusters"][0]["outcome"] == "kept"
    assert again.envelope["messages"] == []
    assert {path: path.read_bytes() for path in (store / "c1").iterdir()} == before


def test_an_install_writes_plain_pem_into_the_secret_and_names_the_file(istio_mc: Run, store: Path) -> None:
    assert istio_mc("ca", "verify").code == 0
    path = store / "c1" / "ca-key.pem"
    odd = PARAMETERS + path.read_bytes()
    path.write_bytes(odd)
    made = authority.ensure(CaStore(store), ["c1"], CaOptions(), datetime.now(UTC))
    assert pem.load_key(NamedPem("ca-key.pem", made.ca_certs["c1"].ca_key))
    (notice,) = made.issue.warnings
    assert (notice.code, notice.cluster) == ("pem-rewritten", "c1")
    assert str(path) in notice.message
    assert notice.seen == "PEM block EC PARAMETERS"
    assert str(notice.hint) == shlex.join(
        ["istio-mc", "ca", "issue", "--certs-dir", str(store), "--cluster-id", "c1"]
    )
    assert path.read_bytes() == odd, "a complete store may be read-only"


def test_an_imported_root_is_written_as_plain_pem_and_its_files_are_listed(
    istio_mc: Run, tmp_path: Path
) -> None:
    root = forge.root(key("P256"))
    (tmp_path / "r.pem").write_bytes(b"Bag Attributes\n" + block(root.der()).replace(b"\n", b"\r\n"))
    (tmp_path / "r.key").write_bytes(PARAMETERS + key_pem(root.key))
    done = istio_mc("ca", "init", "--root-cert", "r.pem", "--root-key", "r.key", "-o", "json")
    assert done.code == 0
    seen_of = {message["message"].split()[0]: message["seen"] for message in done.envelope["messages"]}
    assert seen_of == {
        "r.pem": "text outside the PEM blocks, line breaks other than \\n",
        "r.key": "PEM block EC PARAMETERS",
    }
    assert (tmp_path / "certs" / "root-cert.pem").read_bytes() == block(root.der())
    assert (tmp_path / "certs" / "root-ca.key").read_bytes() == key_pem(root.key)
    shown = istio_mc("ca", "init", "--root-cert", "r.pem", "--root-key", "r.key")
    assert "warning[pem-rewritten]: r.pem was read, and will be written as plain PEM" in shown.err


def test_a_root_with_its_key_in_one_file_is_brought_in(istio_mc: Run, tmp_path: Path) -> None:
    root = forge.root(key("P256"))
    (tmp_path / "both.pem").write_bytes(block(root.der()) + key_pem(root.key))
    assert istio_mc("ca", "init", "--root-cert", "both.pem", "--root-key", "both.pem").code == 0
    assert (tmp_path / "certs" / "root-cert.pem").read_bytes() == block(root.der())
    assert (tmp_path / "certs" / "root-ca.key").read_bytes() == key_pem(root.key)


@pytest.mark.parametrize("kind", ["K256", "BP256"])
def test_a_root_that_istiod_cannot_use_is_refused_before_anything_is_written(
    istio_mc: Run, tmp_path: Path, kind: str
) -> None:
    root = forge.root(key(kind))
    (tmp_path / "r.pem").write_bytes(block(root.der()))
    (tmp_path / "r.key").write_bytes(key_pem(root.key))
    done = istio_mc("ca", "init", "--root-cert", "r.pem", "--root-key", "r.key", "-o", "json")
    assert done.code == 2
    assert [error["code"] for error in done.envelope["errors"]] == [
        "certificate-unreadable",
        "key-unsupported",
    ]
    assert not (tmp_path / "certs").exists()


def test_the_trust_domain_of_mesh_yaml_is_the_one_that_a_root_must_allow(
    istio_mc: Run, tmp_path: Path
) -> None:
    limits = forge.name_limits([(2, "io"), (2, "svc"), (6, "corp.example")])
    root = forge.root(key("P256"), extensions=(forge.basic(), forge.usage(), limits))
    (tmp_path / "r.pem").write_bytes(block(root.der()))
    (tmp_path / "r.key").write_bytes(key_pem(root.key))
    init = ["ca", "init", "--root-cert", "r.pem", "--root-key", "r.key", "-o", "json"]
    refused = istio_mc(*init)
    assert refused.code == 2
    assert "URI spiffe://cluster.local/" in refused.envelope["errors"][0]["seen"]
    (tmp_path / "mesh.yaml").write_text(
        "apiVersion: istio-mc/v1alpha1\nkind: Mesh\nvalues: {meshConfig: {trustDomain: corp.example}}\n"
    )
    assert istio_mc(*init).code == 0


def test_no_ca_is_issued_where_the_root_does_not_allow_the_name_of_one(istio_mc: Run, tmp_path: Path) -> None:
    limits = forge.name_limits([(2, "io"), (2, "svc")], [(2, "c2.intermediate.istio.io")])
    root = forge.root(key("P256"), extensions=(forge.basic(), forge.usage(), limits))
    (tmp_path / "r.pem").write_bytes(block(root.der()))
    (tmp_path / "r.key").write_bytes(key_pem(root.key))
    assert istio_mc("ca", "init", "--root-cert", "r.pem", "--root-key", "r.key").code == 0
    done = istio_mc("ca", "issue", "--cluster-id", "c1", "--cluster-id", "c2", "-o", "json")
    (problem,) = done.envelope["errors"]
    assert (problem["code"], problem["cluster"]) == ("ca-name-constraints", "c2")
    assert not (tmp_path / "certs" / "c1").exists()


@pytest.mark.thorough
def test_a_corporate_root_of_2010_is_brought_in(istio_mc: Run, tmp_path: Path) -> None:
    subprocess.run(
        [
            "openssl", "req", "-x509", "-sha1", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
            "-subj", "/O=Corp/CN=Corp Root 2010", "-keyout", "r.key", "-out", "r.pem",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        ],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    assert istio_mc("ca", "init", "--root-cert", "r.pem", "--root-key", "r.key").code == 0
    assert istio_mc("ca", "issue", "--key-type", "ec", "--cluster-id", "c1").code == 0
    assert istio_mc("ca", "verify").code == 0
