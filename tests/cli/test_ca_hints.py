"""Hints of `istio-mc ca verify` are run in a shell, as a person would paste them: then the fault is gone."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from istio_mc.domain.pki import pem
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.certificates import Authority, KeySpec, new_intermediate
from istio_mc.domain.pki.pem import NamedPem
from tests.conftest import Ran
from tests.support import forge
from tests.support.odd_cas import key, key_pem
from tests.support.odd_cas import pem as block

Run = Callable[..., Ran]
Damage = Callable[[Path], None]


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a line in a shell that finds this istio-mc."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": path, "HOME": str(folder), "NO_COLOR": "1"},
    )  # fmt: skip


def verify(folder: Path, certs: str) -> list[dict[str, str]]:
    """What `ca verify` says, errors and warnings."""
    done = shell(f"istio-mc ca verify -o json --certs-dir {shlex.quote(certs)}", folder)
    found = json.loads(done.stdout)
    return [*found["errors"], *found["messages"]]


@pytest.fixture
def certs(istio_mc: Run, tmp_path: Path) -> Path:
    """A store with the CA of cluster c1; the name of its folder has a space."""
    name = "my certs"
    assert istio_mc("ca", "init", "--key-type", "ec", "--certs-dir", name).code == 0
    assert istio_mc("ca", "issue", "--cluster-id", "c1", "--certs-dir", name).code == 0
    return tmp_path / name


def removed(*names: str) -> Damage:
    def damage(certs: Path) -> None:
        for name in names:
            (certs / name).unlink()

    return damage


def opened(name: str) -> Damage:
    return lambda certs: (certs / name).chmod(0o755)


def rewrote(name: str, content: bytes) -> Damage:
    def damage(certs: Path) -> None:
        (certs / name).write_bytes(content)

    return damage


def headed(name: str) -> Damage:
    def damage(certs: Path) -> None:
        parameters = block(forge.oid("1.2.840.10045.3.1.7"), "EC PARAMETERS")
        rewrote(name, parameters + (certs / name).read_bytes())(certs)

    return damage


def another_key(certs: Path) -> None:
    removed("c1/ca-cert.pem")(certs)
    rewrote("c1/ca-key.pem", key_pem(key("P256", 8)))(certs)


def expired(certs: Path) -> None:
    """The CA of c1, as one that was valid for a minute years ago."""
    root = pem.read_certificate(NamedPem("", (certs / "root-cert.pem").read_bytes())).value
    signer = pem.read_key(NamedPem("", (certs / "root-ca.key").read_bytes())).value
    own = pem.read_key(NamedPem("", (certs / "c1" / "ca-key.pem").read_bytes())).value
    made = new_intermediate(
        Authority(root, signer),
        "c1",
        datetime.now(UTC),
        key=KeySpec(),
        private=own,
        validity=timedelta(seconds=0),
    )
    for name, content in CaCerts.from_authority(made).files().items():
        rewrote(f"c1/{name}", content)(certs)


COMMANDS: dict[str, Damage] = {
    "a chain is missing": removed("c1/cert-chain.pem"),
    "a CA's certificate is missing": removed("c1/ca-cert.pem"),
    "all certificates are missing": removed("c1/ca-cert.pem", "c1/cert-chain.pem", "c1/root-cert.pem"),
    "a key has its parameters first": headed("c1/ca-key.pem"),
    "all can read the root's key": opened("root-ca.key"),
    "all can read the folder": opened(""),
    "all can read a cluster's key": opened("c1/ca-key.pem"),
    "a CA has expired": expired,
}


@pytest.mark.thorough
@pytest.mark.parametrize("damage", COMMANDS.values(), ids=COMMANDS)
def test_a_hint_that_is_a_command_fixes_the_fault(certs: Path, damage: Damage) -> None:
    damage(certs)
    (problem,) = verify(certs.parent, certs.name)
    assert problem["hintType"] == "command"
    done = shell(problem["hint"], certs.parent)
    assert done.returncode == 0, done.stderr
    assert verify(certs.parent, certs.name) == []


ADVICE: dict[str, tuple[Damage, str]] = {
    "a CA's key is lost": (
        removed("c1/ca-key.pem"),
        "put it back; or, to have a new CA issued under the same root: ",
    ),
    "a CA's certificate is lost": (another_key, "to have a new CA issued under the same root: "),
    "the root's certificate is lost": (removed("root-cert.pem"), "put the copy back: "),
}


@pytest.mark.thorough
@pytest.mark.parametrize(("damage", "before"), ADVICE.values(), ids=ADVICE)
def test_the_command_in_an_advice_fixes_the_fault(certs: Path, damage: Damage, before: str) -> None:
    damage(certs)
    advised = [one for one in verify(certs.parent, certs.name) if one["hint"]]
    assert advised[0]["hintType"] == "manual"
    done = shell(advised[0]["hint"].removeprefix(before), certs.parent)
    assert done.returncode == 0, done.stderr
    assert verify(certs.parent, certs.name) == []


@pytest.mark.thorough
def test_a_command_that_reads_a_file_has_it(certs: Path) -> None:
    (certs / "c1" / "ca-cert.pem").write_bytes(block(forge.root(key("K256")).der()))
    (certs / "c1" / "ca-key.pem").write_bytes(b"rubbish")
    hints = [one["hint"] for one in verify(certs.parent, certs.name)]
    commands = [hint.removeprefix("inspect it with: ") for hint in hints if hint]
    assert len(commands) == 2
    for command in commands:
        assert "No such file" not in shell(command, certs.parent).stderr


@pytest.mark.thorough
def test_a_lost_signing_key_is_not_used_in_a_command(certs: Path) -> None:
    """Neither `ca issue` nor anything else can complete the files then: no command is offered."""
    removed("c1/ca-cert.pem", "c1/cert-chain.pem", "root-ca.key")(certs)
    found = verify(certs.parent, certs.name)
    assert {one["code"] for one in found} == {"ca-no-signer"}
    assert {one["hintType"] for one in found} == {"manual"}


@pytest.mark.thorough
def test_a_problem_with_other_faults_has_no_single_command(certs: Path) -> None:
    headed("c1/cert-chain.pem")(certs)
    rewrote("c1/ca-key.pem", key_pem(key("P256", 8)))(certs)
    found = {one["code"]: one for one in verify(certs.parent, certs.name)}
    assert set(found) == {"pem-malformed", "key-mismatch"}
    assert found["pem-malformed"]["hint"].startswith(
        "first fix what else is reported, then: istio-mc ca issue"
    )
