"""The folder of the CA: who can read it, what git sees of it, and options that do not fit what is there."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from istio_mc.domain.pki import pem
from istio_mc.domain.pki.certificates import KeySpec, KeyType
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.domain.settings.model import CaSettings
from istio_mc.gateways.host.ca_store import CaStore
from istio_mc.ops.ca import authority
from istio_mc.ops.ca import root as ca_root
from istio_mc.ops.ca.authority import Outcome
from istio_mc.ops.ca.options import CaOptions, OwnCa, options_of
from tests.support import forge
from tests.support.odd_cas import key, key_pem
from tests.support.odd_cas import pem as block

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

EC = CaOptions(key=KeySpec(KeyType.EC, 256))


@pytest.fixture
def store(tmp_path: Path) -> CaStore:
    return CaStore(tmp_path / "certs")


def now() -> datetime:
    return datetime.now(UTC)


def options(key_type: str | None = None, size: int | None = None, validity: str | None = None) -> CaOptions:
    """Those of a command line."""
    return options_of(CaSettings(), key_type, size, validity)


def problems_of(error: pytest.ExceptionInfo[ProblemError]) -> list[Problem]:
    return list(error.value.problems)


def own_root(tmp_path: Path, of: PrivateKeyTypes) -> OwnCa:
    root = forge.root(of)
    (tmp_path / "r.pem").write_bytes(block(root.der()))
    (tmp_path / "r.key").write_bytes(key_pem(root.key))
    return OwnCa(root_cert=tmp_path / "r.pem", root_key=tmp_path / "r.key")


class TestOthersCanRead:
    @pytest.mark.parametrize(
        ("name", "mode", "code", "fix"),
        [
            ("root-ca.key", 0o640, "ca-key-exposed", "chmod 600"),
            ("root-ca.key", 0o604, "ca-key-exposed", "chmod 600"),
            ("", 0o755, "ca-folder-exposed", "chmod 700"),
            ("", 0o720, "ca-folder-exposed", "chmod 700"),
        ],
        ids=["the group the key", "all the key", "all the folder", "the group writes the folder"],
    )
    def test_nothing_is_signed_until_the_command_is_run_that_fixes_it(
        self, store: CaStore, name: str, mode: int, code: str, fix: str
    ) -> None:
        authority.init(store, EC, now())
        path = store.folder / name if name else store.folder
        path.chmod(mode)
        for sign in (authority.issue, authority.ensure):
            with pytest.raises(ProblemError) as error:
                sign(store, ["kt"], EC, now())
            (problem,) = problems_of(error)
            assert (problem.code, str(problem.hint)) == (code, f"{fix} {path}")
            assert not (store.folder / "kt").exists()
        subprocess.run(str(problem.hint).split(), check=True)
        assert authority.issue(store, ["kt"], EC, now()).clusters[0].outcome is Outcome.CREATED

    def test_a_folder_that_others_can_only_pass_through_is_no_fault(self, store: CaStore) -> None:
        authority.init(store, EC, now())
        store.folder.chmod(0o711)
        assert authority.issue(store, ["kt"], EC, now()).clusters[0].outcome is Outcome.CREATED

    def test_a_renewal_is_a_signature_too(self, store: CaStore) -> None:
        authority.ensure(store, ["kt"], replace(EC, validity=timedelta(days=60)), now())
        shutil.rmtree(store.folder / "kt")
        authority.issue(store, ["kt"], replace(EC, validity=timedelta(days=10)), now())
        (store.folder / "root-ca.key").chmod(0o644)
        with pytest.raises(ProblemError) as error:
            authority.ensure(store, ["kt"], EC, now())
        assert [problem.code for problem in problems_of(error)] == ["ca-key-exposed"]

    def test_where_nothing_is_signed_it_does_not_matter(self, store: CaStore) -> None:
        authority.ensure(store, ["kt"], EC, now())
        (store.folder / "root-ca.key").chmod(0o644)
        assert authority.ensure(store, ["kt"], EC, now()).issue.clusters[0].outcome is Outcome.KEPT

    def test_no_key_is_put_into_a_folder_that_others_can_read(self, store: CaStore, tmp_path: Path) -> None:
        store.folder.mkdir()
        store.folder.chmod(0o755)
        for made in (EC, replace(EC, own=own_root(tmp_path, key("P256")))):
            with pytest.raises(ProblemError) as error:
                authority.init(store, made, now())
            assert [problem.code for problem in problems_of(error)] == ["ca-folder-exposed"]
            assert not (store.folder / "root-ca.key").exists()

    def test_verify_calls_it_an_error_and_that_of_a_cluster_a_warning(self, store: CaStore) -> None:
        authority.ensure(store, ["kt"], EC, now())
        for path in (store.folder, store.folder / "root-ca.key", store.folder / "kt" / "ca-key.pem"):
            path.chmod(0o755)
        found = authority.verify(store, now())
        assert [problem.code for problem in found.errors] == ["ca-folder-exposed", "ca-key-exposed"]
        assert [str(problem.hint) for problem in found.warnings] == [
            f"chmod 600 {store.folder / 'kt' / 'ca-key.pem'}"
        ]

    def test_an_init_that_changes_nothing_warns_of_it(self, store: CaStore) -> None:
        authority.init(store, EC, now())
        (store.folder / "root-ca.key").chmod(0o644)
        assert [problem.code for problem in authority.init(store, EC, now()).warnings] == ["ca-key-exposed"]


class TestGit:
    def test_git_sees_nothing_of_the_folder(self, store: CaStore) -> None:
        authority.ensure(store, ["kt"], EC, now())
        subprocess.run(["git", "init", "-q"], cwd=store.folder.parent, check=True)
        output = subprocess.run(
            ["git", "status", "--porcelain", "-uall"],
            cwd=store.folder.parent, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert output.stdout == ""

    def test_a_folder_from_before_gets_the_file_when_it_is_used(self, store: CaStore) -> None:
        authority.ensure(store, ["kt"], EC, now())
        (store.folder / ".gitignore").unlink()
        authority.ensure(store, ["kt"], EC, now())
        assert (store.folder / ".gitignore").read_text() == "*\n"

    def test_a_file_that_is_there_stays_as_it_is(self, store: CaStore) -> None:
        store.folder.mkdir(mode=0o700)
        (store.folder / ".gitignore").write_text("*.key\n")
        authority.ensure(store, ["kt"], EC, now())
        store.purge()
        assert (store.folder / ".gitignore").read_text() == "*.key\n"

    def test_a_purge_takes_it_away_with_the_folder(self, store: CaStore) -> None:
        authority.ensure(store, ["kt"], EC, now())
        store.purge()
        assert not store.folder.exists()

    def test_the_top_of_a_repository_is_not_ignored(self, store: CaStore) -> None:
        store.folder.mkdir(mode=0o700)
        subprocess.run(["git", "init", "-q"], cwd=store.folder, check=True)
        authority.init(store, EC, now())
        assert not (store.folder / ".gitignore").exists()

    def test_reading_writes_nothing(self, store: CaStore) -> None:
        authority.ensure(store, ["kt"], EC, now())
        (store.folder / ".gitignore").unlink()
        authority.verify(store, now())
        authority.show(store)
        assert not (store.folder / ".gitignore").exists()


class TestFlags:
    @pytest.mark.parametrize(
        "same",
        [options("ec"), options("ec", 256), options("ec", 256, "240h"), options(validity="10d"), options()],
    )
    def test_a_root_that_fits_the_options_is_kept(self, store: CaStore, same: CaOptions) -> None:
        authority.init(store, options("ec", 256, "10d"), now())
        assert authority.init(store, same, now()).outcome is Outcome.KEPT

    @pytest.mark.parametrize(
        ("other", "expected"),
        [
            (options("rsa"), [("--key-type rsa", "EC secp256r1", "RSA")]),
            (options("ec", 384), [("--key-size 384", "EC secp256r1", "a key of 384 bits")]),
            (options(validity="11d"), [("--validity 264h", "valid for 240h", "valid for 264h")]),
            (
                options("rsa", validity="1d"),
                [
                    ("--key-type rsa", "EC secp256r1", "RSA"),
                    ("--validity 24h", "valid for 240h", "valid for 24h"),
                ],
            ),
        ],
        ids=["type", "size", "validity", "all at once"],
    )
    def test_an_option_that_the_root_does_not_fit_is_an_error(
        self, store: CaStore, other: CaOptions, expected: list[tuple[str, str, str]]
    ) -> None:
        authority.init(store, options("ec", 256, "10d"), now())
        with pytest.raises(InputError) as error:
            authority.init(store, other, now())
        found = [(p.message.split(" does not fit")[0], p.seen, p.expected) for p in problems_of(error)]
        assert found == expected
        assert {problem.code for problem in problems_of(error)} == {"ca-flag-differs"}

    def test_a_root_that_is_brought_in_must_fit_too(self, store: CaStore, tmp_path: Path) -> None:
        own = own_root(tmp_path, key("P256"))
        with pytest.raises(InputError) as error:
            authority.init(store, replace(options("rsa"), own=own), now())
        assert [problem.code for problem in problems_of(error)] == ["ca-flag-differs"]
        assert not store.folder.exists()
        assert authority.init(store, replace(options("ec"), own=own), now()).outcome is Outcome.CREATED

    def test_an_option_that_a_clusters_ca_does_not_fit_is_an_error_where_none_is_made(
        self, store: CaStore
    ) -> None:
        authority.ensure(store, ["kt"], options("ec"), now())
        for again in (authority.issue, authority.ensure):
            assert again(store, ["kt"], options("ec"), now())
            with pytest.raises(InputError) as error:
                again(store, ["kt"], options("rsa"), now())
            (problem,) = problems_of(error)
            assert (problem.code, problem.cluster) == ("ca-flag-differs", "kt")

    def test_where_another_is_made_the_kept_ones_are_named(self, store: CaStore) -> None:
        authority.ensure(store, ["kt"], options("ec"), now())
        done = authority.issue(store, ["kt", "nhn"], options("rsa", 2048), now())
        assert [one.certificate.key for one in done.clusters] == ["EC secp256r1", "RSA 2048"]
        assert [(warning.code, warning.cluster) for warning in done.warnings] == [("ca-flag-differs", "kt")]

    def test_a_ca_that_ends_with_its_root_fits_a_longer_validity(self, store: CaStore) -> None:
        authority.init(store, options("ec", validity="10d"), now())
        for _ in range(2):
            assert authority.issue(store, ["kt"], options(validity="3650d"), now())


class TestKeysBelowARoot:
    @pytest.mark.parametrize(
        ("root", "desired"),
        [
            ("P256", KeySpec(KeyType.EC, 256)),
            ("P384", KeySpec(KeyType.EC, 384)),
            ("P521", KeySpec(KeyType.EC, 256)),
            ("ED", KeySpec(KeyType.EC, 256)),
            ("RSA2048", KeySpec(KeyType.RSA, 2048)),
            ("RSA1024", KeySpec(KeyType.RSA, 3072)),
        ],
    )
    def test_the_kind_of_key_is_the_roots(
        self, store: CaStore, tmp_path: Path, root: str, desired: KeySpec
    ) -> None:
        authority.init(store, replace(options(), own=own_root(tmp_path, key(root))), now())
        (made,) = authority.issue(store, ["kt"], options(), now()).clusters
        assert made.certificate.key.startswith(desired.type.upper())
        assert str(desired.size) in made.certificate.key

    @pytest.mark.parametrize(
        "expected", [options("ec", 384), options_of(CaSettings(key="ec-384"))], ids=["option", "mesh.yaml"]
    )
    def test_unless_another_is_chosen(self, store: CaStore, tmp_path: Path, expected: CaOptions) -> None:
        authority.init(store, replace(options(), own=own_root(tmp_path, key("RSA2048"))), now())
        (made,) = authority.issue(store, ["kt"], expected, now()).clusters
        assert made.certificate.key == "EC secp384r1"

    def test_a_new_root_and_what_is_below_it_are_of_one_kind(self, store: CaStore) -> None:
        done = authority.ensure(store, ["kt"], options("ec", 384), now())
        assert {done.init.root.key, done.issue.clusters[0].certificate.key} == {"EC secp384r1"}

    def test_that_of_other_kinds_is_the_nearest(self) -> None:
        assert KeySpec.like(ed25519.Ed25519PrivateKey.generate().public_key()) == KeySpec(KeyType.EC, 256)
        assert KeySpec.like(ec.generate_private_key(ec.SECP384R1()).public_key()) == KeySpec(KeyType.EC, 384)
        assert KeySpec.like(rsa.generate_private_key(65_537, 2048).public_key()) == KeySpec(KeyType.RSA, 2048)


class TestClusterIds:
    def test_all_that_can_be_none_in_a_mesh_are_refused_at_once_before_anything_is_issued(
        self, store: CaStore
    ) -> None:
        authority.init(store, EC, now())
        with pytest.raises(InputError) as error:
            authority.issue(store, ["kt", "nks_kr_1", "KT", "../x", "a" * 64, "root-ca.key"], EC, now())
        messages = " ".join(problem.message for problem in problems_of(error))
        assert len(problems_of(error)) == 5
        assert all(name in messages for name in ("nks_kr_1", "KT", "../x", "a" * 64, "root-ca.key"))
        assert not (store.folder / "kt").exists()

    def test_one_that_has_a_ca_already_is_completed_whatever_its_name(self, store: CaStore) -> None:
        authority.ensure(store, ["NKS_kr"], EC, now())
        (store.folder / "NKS_kr" / "root-cert.pem").unlink()
        assert authority.issue(store, ["NKS_kr"], EC, now()).clusters[0].outcome is Outcome.COMPLETED


def test_a_ca_of_a_corporate_root_is_read_back(store: CaStore, tmp_path: Path) -> None:
    authority.init(store, replace(options(), own=own_root(tmp_path, key("ED"))), now())
    authority.issue(store, ["kt"], options(), now())
    assert authority.verify(store, now()).ok
    assert pem.fingerprint(ca_root.load_root(store, store.read(), now()).certificate)
