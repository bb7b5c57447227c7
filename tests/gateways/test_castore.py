"""The CA's folder: the guide's layout, private, and in a known state whenever a run was killed."""

from __future__ import annotations

import errno
import fcntl
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from istio_mc.domain.events import Event, State
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host import files, intermediate_store, root_store, temporary
from istio_mc.gateways.host.ca_store import CaStore, ClusterFiles, StoreFiles

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
        store.import_issuer(b"root", cert=b"i", key=b"k", chain=b"c")
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
        store.import_root(b"root", b"root key")
        store.import_root(b"other", b"other key")
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


def test_a_second_run_waits_for_the_first_and_then_names_the_holder(store: CaStore) -> None:
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
                "import sys, time; from pathlib import Path\n"
                "from istio_mc.gateways.host.ca_store import CaStore\n"
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


def test_a_file_at_the_path_of_the_store_is_reported(store: CaStore) -> None:
    store.folder.touch()
    with pytest.raises(ProblemError) as error, store.locked():
        pass
    assert code(error) == "file-unwritable"
    with pytest.raises(ProblemError) as error:
        store.read()
    assert code(error) == "file-unreadable"


def test_a_file_at_the_path_of_a_cluster_is_reported(store: CaStore) -> None:
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
        modes = [path.stat().st_mode & 0o777 for path in (folder.parent, folder, *folder.iterdir())]
        assert modes == [0o700, 0o700, 0o600, 0o600]

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


def test_the_certificate_of_a_root_whose_key_is_elsewhere_is_kept_and_not_overwritten(store: CaStore) -> None:
    with store.locked():
        store.import_certificate(b"root")
        store.import_certificate(b"another")
    assert tree(store) == {"root-cert.pem": b"root"}


class TestAPurge:
    """It removes the CA of a mesh whose root and intermediates have changed, and nothing else."""

    FINGERPRINT: ClassVar = "AA:BB"
    USER: ClassVar = (
        *("", "kt-k2p", "roots", "roots/aabb", "roots/aabb/kt-k2p"),
        *("intermediates", "intermediates/ccdd", "intermediates/next", "intermediates/next/nhn-nks"),
    )
    """Every folder of the store."""

    @pytest.fixture
    def changed(self, store: CaStore) -> CaStore:
        """The CA after a change of the root, in a second one, and in a change of the intermediates."""
        with store.locked():
            store.create_root(b"root", b"root key")
            store.write_cluster("kt-k2p", KT)
            store.write_cluster("nhn-nks", KT)
        later = root_store.new_store(store, self.FINGERPRINT)
        with later.locked():
            later.import_certificate(b"later root")
            later.write_request("kt-k2p", b"key", b"request")
        root_store.keep_twin(later, b"twin")
        root_store.name_current(store, later)
        root_store.name_next(store, later)
        intermediate_store.keep_next_cas(store, {"kt-k2p": KT, "nhn-nks": KT})
        intermediate_store.take_next_ca(store, "kt-k2p", "CC:DD")
        return store

    def test_nothing_is_left(self, changed: CaStore) -> None:
        changed.purge()
        assert not changed.folder.exists()

    def test_from_the_later_root_nothing_is_left_either(self, changed: CaStore) -> None:
        root_store.current_store(changed.folder).purge()
        assert not changed.folder.exists()

    @pytest.mark.parametrize("folder", USER)
    def test_files_of_the_user_alone_are_left(self, changed: CaStore, folder: str) -> None:
        own = changed.folder / folder / "notes.txt"
        own.write_text("of the user")
        changed.purge()
        assert [path for path in changed.folder.rglob("*") if path.is_file()] == [own]

    @pytest.mark.parametrize(("held", "purged"), [("", "roots/aabb"), ("roots/aabb", "")])
    def test_the_run_that_it_waits_for_is_reported(self, changed: CaStore, held: str, purged: str) -> None:
        events: list[Event] = []
        base = changed.folder if purged else None
        waiting = CaStore(changed.folder / purged, time.monotonic() + 0.2, events.append, base)
        with CaStore(changed.folder / held).locked(), pytest.raises(ProblemError) as error:
            waiting.purge()
        assert code(error) == "ca-store-busy"
        assert {event.state for event in events} == {State.WAITING}


class TestTheOrderOfWrites:
    """Whenever a run is killed, what is there can be finished and is mistaken for nothing else."""

    @pytest.fixture
    def written(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The names of files, as they are written."""
        names: list[str] = []
        write = files.write

        def noted(path: Path, data: bytes, **how: Any) -> None:
            write(path, data, **how)
            names.append(path.name)

        monkeypatch.setattr(files, "write", noted)
        return names

    def test_a_new_root_is_prepared_then_its_key_is_kept_then_it_counts(
        self, store: CaStore, written: list[str]
    ) -> None:
        with store.locked():
            written.clear()
            store.create_root(b"root", b"root key")
            assert not (store.folder / "root-cert.pem.new").exists()
        assert written == ["root-cert.pem.new", "root-ca.key", "root-cert.pem"]

    def test_a_root_of_ones_own_comes_before_its_key(self, store: CaStore, written: list[str]) -> None:
        with store.locked():
            written.clear()
            store.import_root(b"root", b"root key")
        assert written == ["root-cert.pem", "root-ca.key"]

    def test_the_key_of_an_issuer_comes_last(self, store: CaStore, written: list[str]) -> None:
        with store.locked():
            written.clear()
            store.import_issuer(b"root", cert=b"i", key=b"k", chain=b"c")
        assert written == ["root-cert.pem", "issuer-chain.pem", "issuer-cert.pem", "issuer-ca.key"]

    def test_a_renewed_certificate_comes_after_the_chain_that_holds_both(
        self, store: CaStore, written: list[str]
    ) -> None:
        with store.locked():
            store.write_cluster("kt", KT)
            written.clear()
            store.renew_cluster(
                "kt", CaCerts(ca_cert=b"new", ca_key=b"other", cert_chain=b"both", root_cert=b"other")
            )
        assert written == ["cert-chain.pem", "ca-cert.pem"]
        assert store.read().clusters["kt"] == ClusterFiles(
            ca_cert=b"new", ca_key=b"key", cert_chain=b"both", root_cert=b"root"
        )


def test_an_issuer_reads_back(store: CaStore) -> None:
    with store.locked():
        store.import_issuer(b"root", cert=b"i", key=b"k", chain=b"c")
    assert store.read() == StoreFiles(root_cert=b"root", issuer_cert=b"i", issuer_key=b"k", issuer_chain=b"c")


@pytest.mark.parametrize("name", ["root-ca.key", "issuer-ca.key"])
def test_each_key_above_the_clusters_that_others_may_read_is_listed(store: CaStore, name: str) -> None:
    with store.locked():
        store.create_root(b"root", b"root key")
        store.import_issuer(b"root", cert=b"i", key=b"k", chain=b"c")
    (store.folder / name).chmod(0o644)
    assert store.read().exposed == (store.folder / name,)


def test_a_folder_that_others_may_read_is_listed(store: CaStore) -> None:
    with store.locked():
        store.create_root(b"root", b"root key")
    store.folder.chmod(0o755)
    assert store.read().exposed == (store.folder,)


@pytest.mark.parametrize("missing", ["ca_cert", "ca_key", "cert_chain", "root_cert"])
def test_a_folder_with_any_file_of_a_ca_is_a_clusters(store: CaStore, missing: str) -> None:
    content = {"ca_cert": b"ca", "ca_key": b"key", "cert_chain": b"chain", "root_cert": b"root"}
    with store.locked():
        store.write_cluster("kt", KT)
    name = missing.replace("_", "-") + ".pem"
    (store.folder / "kt" / name).unlink()
    assert store.read().clusters == {"kt": ClusterFiles(**content | {missing: None})}


class TestRewriting:
    def test_the_files_hold_the_new_content_and_what_they_held_is_kept(self, store: CaStore) -> None:
        with store.locked():
            store.write_cluster("kt", KT)
            store.rewrite_cluster("kt", {"ca-key.pem": b"as PKCS #8", "ca-cert.pem": b"without a text"})
        (kept,) = (store.folder / "replaced").iterdir()
        assert {path.name: path.read_bytes() for path in kept.iterdir()} == {
            "ca-key.pem": b"key",
            "ca-cert.pem": b"ca",
        }
        assert kept.name.startswith("kt-")
        assert store.read().clusters["kt"] == ClusterFiles(
            ca_cert=b"without a text", ca_key=b"as PKCS #8", cert_chain=b"chain", root_cert=b"root"
        )

    def test_what_is_kept_already_is_not_written_again(self, store: CaStore) -> None:
        folder = store.keep_replaced("kt", TestReplaced.CONTENTS)
        (folder / "ca-key.pem").write_bytes(b"seen and edited")
        (folder / "ca-cert.pem").unlink()
        store.keep_replaced("kt", TestReplaced.CONTENTS)
        assert (folder / "ca-key.pem").read_bytes() == b"seen and edited"
        assert (folder / "ca-cert.pem").read_bytes() == b"old certificate"

    def test_the_order_of_the_files_makes_no_other_folder(self, store: CaStore) -> None:
        turned = dict(reversed(TestReplaced.CONTENTS.items()))
        assert store.keep_replaced("kt", TestReplaced.CONTENTS) == store.keep_replaced("kt", turned)


class TestPurge:
    def test_nothing_stays_of_a_store(self, store: CaStore) -> None:
        with store.locked():
            store.create_root(b"root", b"root key")
            store.import_issuer(b"root", cert=b"i", key=b"k", chain=b"c")
            store.write_cluster("kt", KT)
            store.write_cluster("nhn", KT)
        store.purge()
        assert not store.folder.exists()

    def test_what_is_of_the_users_own_stays_where_it_is(self, store: CaStore) -> None:
        with store.locked():
            store.create_root(b"root", b"root key")
            store.write_cluster("kt", KT)
            store.write_cluster("nhn", KT)
        (store.folder / "kt" / "notes.txt").write_bytes(b"mine")
        (store.folder / ".gitignore").write_bytes(b"*.pem\n")
        store.purge()
        assert {str(path.relative_to(store.folder)) for path in store.folder.rglob("*")} == {
            ".gitignore",
            "kt",
            "kt/notes.txt",
        }

    def test_it_waits_for_another_run(self, store: CaStore) -> None:
        with store.locked():
            store.create_root(b"root", b"root key")
            with pytest.raises(ProblemError) as error:
                CaStore(store.folder, time.monotonic() + 0.1).purge()
        assert code(error) == "ca-store-busy"
        assert tree(store)


class TestTheLock:
    def test_a_run_goes_on_once_the_one_before_it_has_ended(self, tmp_path: Path) -> None:
        events: list[Event] = []
        first = CaStore(tmp_path / "certs")
        released = threading.Event()

        def on_progress(event: Event) -> None:
            events.append(event)
            released.set()

        def hold() -> None:
            with first.locked():
                held.set()
                released.wait(20)

        held = threading.Event()
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(20)
        with CaStore(tmp_path / "certs", time.monotonic() + 20, on_progress).locked():
            pass
        holder.join()
        assert [event.state for event in (events[0], events[-1])] == [State.WAITING, State.DONE]

    def test_a_free_lock_is_not_reported(self, tmp_path: Path) -> None:
        events: list[Event] = []
        with CaStore(tmp_path / "certs", progress=events.append).locked():
            pass
        assert events == []

    def test_a_fault_within_gives_it_back(self, store: CaStore) -> None:
        with pytest.raises(KeyError), store.locked():
            raise KeyError
        with store.locked():
            pass

    def test_a_file_system_without_locks_is_named(
        self, store: CaStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refused)
        with pytest.raises(ProblemError) as error, store.locked():
            pass
        (problem,) = error.value.problems
        assert (problem.code, problem.seen) == ("file-unwritable", "No locks available")


class TestGit:
    def test_the_folder_is_ignored_as_a_whole(self, store: CaStore) -> None:
        with store.locked():
            pass
        assert (store.folder / ".gitignore").read_bytes() == b"*\n"

    def test_the_users_own_file_stays(self, store: CaStore) -> None:
        store.folder.mkdir()
        (store.folder / ".gitignore").write_bytes(b"mine")
        store.keep_out_of_git()
        assert (store.folder / ".gitignore").read_bytes() == b"mine"

    def test_the_top_of_a_repository_gets_none(self, store: CaStore) -> None:
        (store.folder / ".git").mkdir(parents=True)
        store.keep_out_of_git()
        assert not (store.folder / ".gitignore").exists()

    def test_another_run_may_be_quicker(self, store: CaStore, monkeypatch: pytest.MonkeyPatch) -> None:
        def too_late(path: Path, *_: object, **__: object) -> None:
            path.write_bytes(b"*\n")
            raise ProblemError(Problem(code=Code.FILE_EXISTS, message="it is there"))

        store.folder.mkdir()
        monkeypatch.setattr(files, "write", too_late)
        store.keep_out_of_git()

    def test_a_folder_that_cannot_be_written_is_reported(
        self, store: CaStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: object, **__: object) -> None:
            raise ProblemError(Problem(code=Code.FILE_UNWRITABLE, message="no space"))

        store.folder.mkdir()
        monkeypatch.setattr(files, "write", refused)
        with pytest.raises(ProblemError) as error:
            store.keep_out_of_git()
        assert code(error) == "file-unwritable"


def test_a_clusters_folder_is_made_on_the_file_system_that_it_is_moved_to(
    store: CaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents: list[Path | None] = []
    make = temporary.make_folder

    def noted(parent: Path | None = None) -> Path:
        parents.append(parent)
        return make(parent)

    monkeypatch.setattr(temporary, "make_folder", noted)
    with store.locked():
        store.write_cluster("kt", KT)
    assert parents == [store.folder]


def test_a_cluster_is_written_while_the_folder_holds_other_things(store: CaStore) -> None:
    (store.folder / ".hidden").mkdir(parents=True)
    (store.folder / ".hidden" / "ca-key.pem").write_bytes(b"not a cluster's")
    (store.folder / "ca-key.pem").write_bytes(b"nor this")
    with store.locked():
        store.write_cluster("kt", KT)
    assert set(store.read().clusters) == {"kt"}
