"""The CA's folder: the guide's layout, private, and in a known state whenever a run was killed."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, ClassVar

import pytest

from istio_mc.domain.cacerts import CaCerts
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.castore import CaStore, ClusterFiles, StoreFiles

if TYPE_CHECKING:
    from pathlib import Path

KT = CaCerts(ca_cert=b"ca", ca_key=b"key", cert_chain=b"chain", root_cert=b"root")


@pytest.fixture
def store(tmp_path: Path) -> CaStore:
    return CaStore(tmp_path / "certs", time.monotonic() + 0.3)


def tree(store: CaStore) -> dict[str, bytes]:
    return {
        str(path.relative_to(store.folder)): path.read_bytes()
        for path in store.folder.rglob("*")
        if path.is_file() and path.name not in {".lock", ".gitignore"}
    }


def code(error: pytest.ExceptionInfo[ProblemError]) -> str:
    (problem,) = error.value.problems
    return problem.code


def test_a_store_that_is_not_there_reads_as_empty(store: CaStore) -> None:
    assert store.read() == StoreFiles()


def test_reading_makes_nothing(store: CaStore) -> None:
    store.read()
    assert not store.folder.exists()


def test_root_and_clusters_are_laid_out_as_in_the_guide(store: CaStore) -> None:
    with store.locked():
        store.create_root(b"root", b"root key")
        store.write_cluster("kt-k2p", KT)
    assert tree(store) == {
        "root-cert.pem": b"root",
        "root-ca.key": b"root key",
        "kt-k2p/ca-cert.pem": b"ca",
        "kt-k2p/ca-key.pem": b"key",
        "kt-k2p/cert-chain.pem": b"chain",
        "kt-k2p/root-cert.pem": b"root",
    }


def test_what_was_written_reads_back(store: CaStore) -> None:
    with store.locked():
        store.create_root(b"root", b"root key")
        store.write_cluster("kt", KT)
    assert store.read() == StoreFiles(
        root_cert=b"root",
        root_key=b"root key",
        clusters={"kt": ClusterFiles(ca_cert=b"ca", ca_key=b"key", cert_chain=b"chain", root_cert=b"root")},
    )


def test_every_folder_and_file_is_its_owners_alone(store: CaStore) -> None:
    with store.locked():
        store.create_root(b"root", b"root key")
        store.write_cluster("kt", KT)
        store.bring_issuer(b"root", cert=b"i", key=b"k", chain=b"c")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [store.folder, *store.folder.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_a_root_is_never_overwritten(store: CaStore) -> None:
    with store.locked():
        store.create_root(b"root", b"root key")
        with pytest.raises(ProblemError) as error:
            store.create_root(b"other", b"other key")
    assert code(error) == "file-exists"
    with store.locked():
        pass
    assert tree(store) == {"root-cert.pem": b"root", "root-ca.key": b"root key"}


def test_bringing_a_root_adds_only_what_is_missing(store: CaStore) -> None:
    with store.locked():
        store.bring_root(b"root", b"root key")
        store.bring_root(b"other", b"other key")
    assert tree(store) == {"root-cert.pem": b"root", "root-ca.key": b"root key"}


def test_a_clusters_folder_that_is_there_gets_only_what_is_missing(store: CaStore) -> None:
    (store.folder / "kt").mkdir(parents=True)
    (store.folder / "kt" / "ca-key.pem").write_bytes(b"theirs")
    with store.locked():
        store.write_cluster("kt", KT)
    assert store.read().clusters["kt"].ca_key == b"theirs"
    assert store.read().clusters["kt"].ca_cert == b"ca"


def test_folders_that_hold_no_ca_are_not_clusters(store: CaStore) -> None:
    (store.folder / "notes").mkdir(parents=True)
    (store.folder / "notes" / "readme.txt").touch()
    assert store.read().clusters == {}


def test_a_root_prepared_by_a_run_that_was_killed_is_kept_while_its_key_waits(store: CaStore) -> None:
    store.folder.mkdir()
    (store.folder / "root-ca.key").write_bytes(b"key")
    (store.folder / "root-cert.pem.new").write_bytes(b"prepared")
    with store.locked():
        assert store.read().prepared_root == b"prepared"


@pytest.mark.parametrize("there", [[], ["root-ca.key", "root-cert.pem"]], ids=["no key yet", "root is there"])
def test_a_prepared_root_that_serves_nothing_is_cleared_away(store: CaStore, there: list[str]) -> None:
    store.folder.mkdir()
    for name in [*there, "root-cert.pem.new"]:
        (store.folder / name).write_bytes(b"")
    with store.locked():
        assert sorted(tree(store)) == there


def test_what_killed_runs_left_is_cleared_away(store: CaStore) -> None:
    for folder in (".abc.istio-mc.tmp", "kt"):
        (store.folder / folder).mkdir(parents=True)
    for name in (
        ".root-ca.key.x1.istio-mc.tmp",
        ".abc.istio-mc.tmp/ca-key.pem",
        "kt/.ca-key.pem.x2.istio-mc.tmp",
    ):
        (store.folder / name).write_bytes(b"secret")
    with store.locked():
        assert tree(store) == {}


def test_keys_that_others_may_read_are_listed(store: CaStore) -> None:
    with store.locked():
        store.create_root(b"root", b"root key")
        store.write_cluster("kt", KT)
    (store.folder / "kt" / "ca-key.pem").chmod(0o644)
    assert store.read().exposed == (store.folder / "kt" / "ca-key.pem",)


def test_keys_do_not_show_in_the_repr(store: CaStore) -> None:
    with store.locked():
        store.create_root(b"root", b"very secret")
        store.write_cluster("kt", KT)
    shown = repr(store.read())
    assert "very secret" not in shown
    assert "ca_key" not in shown


def test_a_second_run_waits_for_the_first_and_then_says_who_is_in_the_way(store: CaStore) -> None:
    with (
        store.locked(),
        pytest.raises(ProblemError) as error,
        CaStore(store.folder, time.monotonic() + 0.2).locked(),
    ):
        pass
    assert code(error) == "ca-store-busy"


def test_a_killed_run_holds_no_lock(store: CaStore) -> None:
    held = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import sys, time; from pathlib import Path; from istio_mc.gateways.castore import CaStore\n"
                "with CaStore(Path(sys.argv[1])).locked(): print('held', flush=True); time.sleep(60)"
            ),
            str(store.folder),
        ],
        stdout=subprocess.PIPE,
    )
    with held:
        assert held.stdout is not None
        assert held.stdout.readline() == b"held\n"
        held.kill()
        held.wait()
    with store.locked():
        pass


def test_a_file_in_the_stores_place_is_told(store: CaStore) -> None:
    store.folder.touch()
    with pytest.raises(ProblemError) as error, store.locked():
        pass
    assert code(error) == "file-unwritable"
    with pytest.raises(ProblemError) as error:
        store.read()
    assert code(error) == "file-unreadable"


def test_a_file_in_a_clusters_place_is_told(store: CaStore) -> None:
    with store.locked():
        (store.folder / "kt").touch()
        with pytest.raises(ProblemError) as error:
            store.write_cluster("kt", KT)
    assert code(error) == "file-unwritable"


class TestReplaced:
    """What a cluster's Secret held before another CA was written over it."""

    CONTENTS: ClassVar[dict[str, bytes]] = {"ca-key.pem": b"old key", "ca-cert.pem": b"old certificate"}

    def test_it_is_kept_for_the_owner_alone(self, tmp_path: Path) -> None:
        folder = CaStore(tmp_path / "certs").keep_replaced("kt", self.CONTENTS)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == self.CONTENTS
        modes = [path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())]
        assert modes == [0o700, 0o600, 0o600]

    def test_the_same_is_kept_once(self, tmp_path: Path) -> None:
        store = CaStore(tmp_path / "certs")
        assert store.keep_replaced("kt", self.CONTENTS) == store.keep_replaced("kt", self.CONTENTS)

    def test_another_is_kept_beside_it(self, tmp_path: Path) -> None:
        store = CaStore(tmp_path / "certs")
        store.keep_replaced("kt", self.CONTENTS)
        store.keep_replaced("kt", {"ca-key.pem": b"older key"})
        assert len([*(store.folder / "replaced").iterdir()]) == 2

    def test_it_is_no_clusters_folder(self, tmp_path: Path) -> None:
        store = CaStore(tmp_path / "certs")
        store.keep_replaced("kt", self.CONTENTS)
        assert store.read().clusters == {}

    def test_a_purge_leaves_it(self, tmp_path: Path) -> None:
        store = CaStore(tmp_path / "certs")
        folder = store.keep_replaced("kt", self.CONTENTS)
        store.purge()
        assert (folder / "ca-key.pem").exists()
