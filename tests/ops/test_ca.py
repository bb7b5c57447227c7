"""The verbs of `istio-mc ca`: judged by openssl, killed in the middle, run two at once."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from istio_mc.domain.hint import Advice, Command
from istio_mc.domain.pki import pem
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.certificates import KeySpec, KeyType, new_intermediate, new_root
from istio_mc.domain.pki.pem import NamedPem
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.domain.settings.model import CaSettings
from istio_mc.gateways.host import files
from istio_mc.gateways.host.ca_store import CaStore
from istio_mc.ops.ca import authority
from istio_mc.ops.ca.authority import Outcome
from istio_mc.ops.ca.options import CaOptions, OwnCa, options_of
from tests.support.marks import in_thorough

EC = KeySpec(KeyType.EC, 256)
OPTIONS = CaOptions(key=EC)
ImportedCa = Callable[[Path], CaOptions]
CLUSTERS = ["kt-k2p", "ncloud-nks", "nhn-nks"]


@pytest.fixture
def store(tmp_path: Path) -> CaStore:
    return CaStore(tmp_path / "certs")


def now() -> datetime:
    """The real clock: openssl judges by it."""
    return datetime.now(UTC)


def codes(problems: tuple[Problem, ...]) -> list[str]:
    return sorted(problem.code for problem in problems)


def refused(error: pytest.ExceptionInfo[ProblemError]) -> list[str]:
    return codes(error.value.problems)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {".lock", ".gitignore"}
    }


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def openssl_verify(store: CaStore, cluster: str) -> str:
    """What openssl says of a cluster's CA, seen as by another cluster: root known, chain sent along."""
    at = store.folder / cluster
    output = openssl(
        "verify", "-x509_strict", "-check_ss_sig", "-CAfile", store.folder / "root-cert.pem",
        "-untrusted", at / "cert-chain.pem", at / "ca-cert.pem",
    )  # fmt: skip
    return output.removeprefix(str(at / "ca-cert.pem")).strip(": ")


def key_is_the_certificates(store: CaStore, cluster: str) -> bool:
    at = store.folder / cluster
    certified = openssl("x509", "-noout", "-pubkey", "-in", at / "ca-cert.pem")
    return certified == openssl("pkey", "-pubout", "-in", at / "ca-key.pem")


def root_of(store: CaStore) -> str:
    return authority.show(store).root.fingerprint


# From nothing


@pytest.mark.parametrize(
    ("setting", "flags", "desired"),
    [
        ("rsa-3072", (None, None), KeySpec(KeyType.RSA, 3072)),
        ("rsa-4096", (None, None), KeySpec(KeyType.RSA, 4096)),
        ("ec-384", (None, None), KeySpec(KeyType.EC, 384)),
        ("ec-384", ("rsa", None), KeySpec(KeyType.RSA, 3072)),
        ("rsa-4096", ("ec", None), KeySpec(KeyType.EC, 256)),
        ("ec-384", ("ec", None), KeySpec(KeyType.EC, 384)),
        ("rsa-3072", (None, 2048), KeySpec(KeyType.RSA, 2048)),
        ("rsa-3072", ("ec", 384), KeySpec(KeyType.EC, 384)),
    ],
)
def test_flags_override_the_key_settings(
    setting: str, flags: tuple[str | None, int | None], desired: KeySpec
) -> None:
    assert options_of(CaSettings(key=setting), *flags).key == desired


def test_a_flag_wins_over_the_settings_validity() -> None:
    settings = CaSettings(validity="3650d")
    assert options_of(settings).validity == timedelta(days=3650)
    assert options_of(settings, validity="48h").validity == timedelta(hours=48)


@pytest.mark.parametrize("key", [EC, *in_thorough(KeySpec(), KeySpec(KeyType.EC, 384))], ids=str)
def test_openssl_verifies_every_clusters_ca(store: CaStore, key: KeySpec) -> None:
    authority.ensure(store, CLUSTERS, CaOptions(key=key), now())
    assert {cluster: openssl_verify(store, cluster) for cluster in CLUSTERS} == dict.fromkeys(CLUSTERS, "OK")
    assert all(key_is_the_certificates(store, cluster) for cluster in CLUSTERS)


def test_the_store_holds_what_goes_into_the_clusters(store: CaStore) -> None:
    certs = authority.ensure(store, CLUSTERS, OPTIONS, now()).ca_certs
    assert list(certs) == CLUSTERS
    for cluster, made in certs.items():
        assert {name: (store.folder / cluster / name).read_bytes() for name in made.files()} == made.files()


def test_everything_new_is_reported_as_created(store: CaStore) -> None:
    result = authority.ensure(store, CLUSTERS, OPTIONS, now())
    assert result.init.outcome is Outcome.CREATED
    assert [(c.cluster_id, c.outcome) for c in result.issue.clusters] == [
        (cluster, Outcome.CREATED) for cluster in CLUSTERS
    ]


def test_init_makes_a_root_and_no_cluster(store: CaStore) -> None:
    result = authority.init(store, OPTIONS, now())
    assert (result.outcome, result.can_issue, result.issuer) == (Outcome.CREATED, True, None)
    assert sorted(tree(store.folder)) == ["root-ca.key", "root-cert.pem"]


def test_issue_needs_a_root(store: CaStore) -> None:
    with pytest.raises(ProblemError) as error:
        authority.issue(store, ["kt"], OPTIONS, now())
    assert refused(error) == ["ca-no-root"]
    assert "istio-mc ca init" in str(error.value.problems[0].hint)


def test_a_cluster_named_twice_counts_once(store: CaStore) -> None:
    assert len(authority.ensure(store, ["kt", "kt"], OPTIONS, now()).issue.clusters) == 1


@pytest.mark.parametrize("ids", [["../kt"], ["root-cert.pem"], ["kt", "KT"], [""]])
def test_ids_that_cannot_be_folders_are_refused_before_anything_is_written(
    store: CaStore, ids: list[str]
) -> None:
    with pytest.raises(InputError) as error:
        authority.ensure(store, ids, OPTIONS, now())
    assert refused(error) == ["cluster-id"]
    assert not store.folder.exists()


def test_an_id_that_differs_from_a_folder_in_case_only_is_refused(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    with pytest.raises(ProblemError) as error:
        authority.ensure(store, ["KT"], OPTIONS, now())
    assert refused(error) == ["cluster-id"]


# Again


def test_a_second_run_changes_nothing_and_reports_kept(store: CaStore) -> None:
    first = authority.ensure(store, CLUSTERS, OPTIONS, now())
    before = tree(store.folder)
    second = authority.ensure(store, CLUSTERS, CaOptions(key=KeySpec()), now() + timedelta(days=1))
    assert tree(store.folder) == before
    assert {second.init.outcome, *(c.outcome for c in second.issue.clusters)} == {Outcome.KEPT}
    assert second.ca_certs == first.ca_certs


def test_a_cluster_that_joins_gets_a_ca_under_the_same_root(store: CaStore) -> None:
    authority.ensure(store, CLUSTERS[:2], OPTIONS, now())
    before = tree(store.folder)
    result = authority.ensure(store, CLUSTERS, OPTIONS, now())
    assert [c.outcome for c in result.issue.clusters] == [Outcome.KEPT, Outcome.KEPT, Outcome.CREATED]
    assert before.items() <= tree(store.folder).items()
    assert openssl_verify(store, CLUSTERS[2]) == "OK"


def test_a_complete_store_may_be_read_only(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    (store.folder / ".lock").unlink()
    assert authority.ensure(store, ["kt"], OPTIONS, now()).init.outcome is Outcome.KEPT
    assert not (store.folder / ".lock").exists()


def test_the_root_key_may_be_kept_elsewhere_once_every_cluster_has_its_ca(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    (store.folder / "root-ca.key").unlink()
    result = authority.ensure(store, ["kt"], OPTIONS, now())
    assert (result.init.outcome, result.init.can_issue) == (Outcome.KEPT, False)


def test_without_the_root_key_a_further_cluster_is_refused_by_name(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    (store.folder / "root-ca.key").unlink()
    with pytest.raises(ProblemError) as error:
        authority.ensure(store, ["kt", "nhn"], OPTIONS, now())
    assert refused(error) == ["ca-no-signer"]
    assert "nhn" in error.value.problems[0].message


# Never a new root over an old one


@pytest.mark.parametrize("lost", [["root-cert.pem"], ["root-cert.pem", "root-ca.key"]])
def test_a_lost_root_is_reported_with_the_copy_to_put_back(store: CaStore, lost: list[str]) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    for name in lost:
        (store.folder / name).unlink()
    before = tree(store.folder)
    with pytest.raises(ProblemError) as error:
        authority.ensure(store, ["kt"], OPTIONS, now())
    assert refused(error) == ["ca-root-lost"]
    assert f"cp {store.folder}/kt/root-cert.pem {store.folder}/root-cert.pem" in str(
        error.value.problems[0].hint
    )
    assert tree(store.folder) == before


def test_a_root_key_alone_gets_no_new_certificate(store: CaStore) -> None:
    authority.init(store, OPTIONS, now())
    (store.folder / "root-cert.pem").unlink()
    with pytest.raises(ProblemError) as error:
        authority.init(store, OPTIONS, now())
    assert refused(error) == ["ca-root-lost"]


def test_a_prepared_root_of_another_key_is_not_taken(store: CaStore) -> None:
    authority.init(store, OPTIONS, now())
    (store.folder / "root-cert.pem").rename(store.folder / "root-cert.pem.new")
    (store.folder / "root-ca.key").write_bytes(pem.dump_key(EC.generate()))
    with pytest.raises(ProblemError) as error:
        authority.init(store, OPTIONS, now())
    assert refused(error) == ["ca-root-lost"]


def test_an_expired_root_whose_key_is_elsewhere_is_reported(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    (store.folder / "root-ca.key").unlink()
    with pytest.raises(ProblemError) as error:
        authority.ensure(store, ["kt"], OPTIONS, now() + timedelta(days=4000))
    assert refused(error) == ["ca-expired"]


def test_an_expired_root_is_reported_and_kept(store: CaStore) -> None:
    authority.init(store, OPTIONS, now())
    before = tree(store.folder)
    with pytest.raises(ProblemError) as error:
        authority.ensure(store, ["kt"], OPTIONS, now() + timedelta(days=4000))
    assert refused(error) == ["ca-expired"]
    assert tree(store.folder) == before


# A run killed in the middle


class Killed(BaseException):
    """The end of a run in the middle of a write."""


@pytest.mark.parametrize("after", range(9))
def test_a_run_that_ends_before_any_of_its_writes_is_finished_by_the_next(
    store: CaStore, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    left = after

    def write(*arguments: Any, **options: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        whole(*arguments, **options)

    whole = files.write
    with monkeypatch.context() as patch:
        patch.setattr(files, "write", write)
        with pytest.raises(Killed):
            authority.ensure(store, CLUSTERS, OPTIONS, now())
    before = store.read().root_key
    authority.ensure(store, CLUSTERS, OPTIONS, now())
    assert before in (None, store.read().root_key)
    assert [openssl_verify(store, cluster) for cluster in CLUSTERS] == ["OK"] * 3


ENSURE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from istio_mc.domain.pki.certificates import KeySpec, KeyType
from istio_mc.gateways.host.ca_store import CaStore
from istio_mc.ops.ca import authority
from istio_mc.ops.ca.options import CaOptions

def ensure(folder):
    options = CaOptions(key=KeySpec(KeyType.EC, 256))
    authority.ensure(CaStore(Path(folder)), sys.argv[2:], options, datetime.now(UTC))
"""

# Makes folders 0, 1, 2 …, the run in each killed after so many changes to the disk, until one is not killed.
# Each run is a fork, for starting Python for each would take a minute.
KILLED = (
    ENSURE
    + """
import os, signal
left = 0

def dies(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

for after in range(1000):
    if not (child := os.fork()):
        left = after
        for name in ("fsync", "link", "rename", "replace", "unlink"):
            setattr(os, name, dies(getattr(os, name)))
        ensure(f"{sys.argv[1]}/{after}")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
"""
)


@pytest.mark.thorough
def test_a_run_killed_at_any_point_is_finished_by_the_next_under_the_same_root(tmp_path: Path) -> None:
    killing = [sys.executable, "-c", KILLED, str(tmp_path), *CLUSTERS[:2]]
    subprocess.run(killing, check=True, capture_output=True, timeout=60)
    *killed, lived = sorted((int(folder.name), CaStore(folder)) for folder in tmp_path.iterdir())
    for after, store in killed:
        # A root counts from when its key and its certificate are both somewhere on the disk.
        names = [name for name in ("root-cert.pem", "root-cert.pem.new") if (store.folder / name).exists()]
        begun = names and (store.folder / "root-ca.key").exists()
        root = (store.folder / names[0]).read_bytes() if begun else None
        issued = {
            name: content for name, content in tree(store.folder).items() if name[0] != "." and "/" in name
        }

        authority.ensure(store, CLUSTERS, OPTIONS, now())

        there = tree(store.folder)
        assert root in {None, there["root-cert.pem"]}, after
        assert issued.items() <= there.items(), after
        assert [openssl_verify(store, cluster) for cluster in CLUSTERS] == ["OK"] * 3, after
        assert len(there) == 2 + 4 * len(CLUSTERS), f"{after}: something was left behind: {sorted(there)}"
    assert lived[0] > 20, "the process was to die at every step, and there are more"


@pytest.mark.thorough
def test_two_processes_at_once_make_one_root(store: CaStore) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", f"{ENSURE}\nensure(sys.argv[1])", str(store.folder), *CLUSTERS],
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for run in runs:
        _, output = run.communicate(timeout=60)
        assert run.returncode == 0, output.decode()
    assert [openssl_verify(store, cluster) for cluster in CLUSTERS] == ["OK"] * 3
    assert len(tree(store.folder)) == 2 + 4 * len(CLUSTERS)


# Stores that other tools made


def test_the_guides_folders_without_a_copy_of_the_root_are_completed(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    before = tree(store.folder)
    (store.folder / "kt" / "root-cert.pem").unlink()
    result = authority.issue(store, ["kt"], OPTIONS, now())
    assert result.clusters[0].outcome is Outcome.COMPLETED
    assert tree(store.folder) == before


@pytest.mark.parametrize("absent", [["cert-chain.pem"], ["ca-cert.pem"], ["cert-chain.pem", "root-cert.pem"]])
def test_derivable_files_are_derived_and_not_created_again(store: CaStore, absent: list[str]) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    before = tree(store.folder)
    for name in absent:
        (store.folder / "kt" / name).unlink()
    authority.issue(store, ["kt"], OPTIONS, now())
    assert tree(store.folder) == before


def test_a_key_without_any_certificate_gets_one(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    key = (store.folder / "kt" / "ca-key.pem").read_bytes()
    for name in ("ca-cert.pem", "cert-chain.pem", "root-cert.pem"):
        (store.folder / "kt" / name).unlink()
    assert authority.issue(store, ["kt"], OPTIONS, now()).clusters[0].outcome is Outcome.COMPLETED
    assert (store.folder / "kt" / "ca-key.pem").read_bytes() == key
    assert openssl_verify(store, "kt") == "OK"
    assert key_is_the_certificates(store, "kt")


def test_a_key_beside_the_chain_of_another_is_reported_and_kept(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    (store.folder / "kt" / "ca-cert.pem").unlink()
    (store.folder / "kt" / "ca-key.pem").write_bytes(pem.dump_key(EC.generate()))
    before = tree(store.folder)
    with pytest.raises(ProblemError) as error:
        authority.ensure(store, ["kt"], OPTIONS, now())
    assert refused(error) == ["ca-cert-lost"]
    assert tree(store.folder) == before


def test_a_certificate_without_its_key_is_reported_and_kept(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    (store.folder / "kt" / "ca-key.pem").unlink()
    before = tree(store.folder)
    with pytest.raises(ProblemError) as error:
        authority.ensure(store, ["kt"], OPTIONS, now())
    assert refused(error) == ["ca-key-lost"]
    assert tree(store.folder) == before


def test_all_faults_of_all_clusters_are_reported_together_and_nothing_is_written(store: CaStore) -> None:
    authority.ensure(store, CLUSTERS[:2], OPTIONS, now())
    (store.folder / CLUSTERS[0] / "ca-cert.pem").write_text("rubbish")
    (store.folder / CLUSTERS[0] / "ca-key.pem").write_text("rubbish")
    (store.folder / CLUSTERS[1] / "ca-key.pem").write_bytes(pem.dump_key(EC.generate()))
    with pytest.raises(ProblemError) as error:
        authority.ensure(store, CLUSTERS, OPTIONS, now())
    assert {(problem.cluster, problem.code) for problem in error.value.problems} == {
        (CLUSTERS[0], "certificate-unreadable"),
        (CLUSTERS[0], "key-unreadable"),
        (CLUSTERS[1], "key-mismatch"),
    }
    assert not (store.folder / CLUSTERS[2]).exists()


def test_a_clusters_ca_under_another_root_is_refused(store: CaStore, tmp_path: Path) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    authority.ensure(CaStore(tmp_path / "other"), ["nhn"], OPTIONS, now())
    shutil.copytree(tmp_path / "other" / "nhn", store.folder / "nhn")
    with pytest.raises(ProblemError) as error:
        authority.ensure(store, ["kt", "nhn"], OPTIONS, now())
    assert [(problem.cluster, problem.code) for problem in error.value.problems] == [("nhn", "ca-other-root")]


# A root of the user's own


@pytest.fixture(scope="module")
def corp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root and, below it, a CA for the mesh, as openssl makes them."""
    folder = tmp_path_factory.mktemp("corp")
    ec = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]  # quick to make; RSA keys are not
    for name, subject, key, extra in (
        ("root", "/O=Corp/CN=Corp Root", ["rsa:2048"], []),
        ("policy", "/O=Corp/CN=Corp Policy CA", ec, ["-CA", "root.pem", "-CAkey", "root.key"]),
        ("mesh", "/O=Corp/CN=Corp Mesh CA", ec, ["-CA", "policy.pem", "-CAkey", "policy.key"]),
    ):
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "3000", "-subj", subject,
                "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                *extra,
            ],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
    return folder


def own_root(corp: Path) -> CaOptions:
    return replace(OPTIONS, own=OwnCa(root_cert=corp / "root.pem", root_key=corp / "root.key"))


def own_issuer(corp: Path) -> CaOptions:
    return replace(
        OPTIONS,
        own=OwnCa(
            root_cert=corp / "root.pem",
            issuer_cert=corp / "mesh.pem",
            issuer_key=corp / "mesh.key",
            issuer_chain=corp / "policy.pem",
        ),
    )


def test_a_root_of_ones_own_signs_the_clusters_cas(store: CaStore, corp: Path) -> None:
    result = authority.ensure(store, ["kt"], own_root(corp), now())
    assert result.init.root.subject == "CN=Corp Root,O=Corp"
    assert openssl_verify(store, "kt") == "OK"


def test_an_issuer_of_ones_own_signs_and_the_roots_key_is_not_needed(store: CaStore, corp: Path) -> None:
    result = authority.ensure(store, ["kt"], own_issuer(corp), now())
    assert result.init.issuer is not None
    assert result.init.issuer.subject == "CN=Corp Mesh CA,O=Corp"
    assert not (store.folder / "root-ca.key").exists()
    assert openssl_verify(store, "kt") == "OK"


def test_the_chain_goes_through_ones_own_issuer_to_the_root(store: CaStore, corp: Path) -> None:
    files = authority.ensure(store, ["kt"], own_issuer(corp), now()).ca_certs["kt"]
    names = [pem.common_name(c) for c in pem.load_certificates(NamedPem("chain", files.cert_chain))]
    assert names == ["kt.intermediate.istio.io", "Corp Mesh CA", "Corp Policy CA", "Corp Root"]


def test_later_runs_need_not_name_ones_own_issuer_again(store: CaStore, corp: Path) -> None:
    authority.init(store, own_issuer(corp), now())
    assert (
        authority.issue(store, ["kt"], OPTIONS, now()).clusters[0].certificate.issuer
        == "CN=Corp Mesh CA,O=Corp"
    )


@pytest.mark.parametrize("brought", [own_root, own_issuer])
def test_bringing_the_same_again_keeps_it(store: CaStore, corp: Path, brought: ImportedCa) -> None:
    authority.init(store, brought(corp), now())
    before = tree(store.folder)
    assert authority.init(store, brought(corp), now()).outcome is Outcome.KEPT
    assert tree(store.folder) == before


@pytest.mark.parametrize("brought", [own_root, own_issuer])
def test_a_bringing_in_that_was_cut_short_is_completed_by_the_same_again(
    store: CaStore, corp: Path, brought: ImportedCa
) -> None:
    authority.init(store, brought(corp), now())
    before = tree(store.folder)
    for name in sorted(before):
        if name.endswith(".key"):
            (store.folder / name).unlink()
    assert authority.init(store, brought(corp), now()).outcome is Outcome.COMPLETED
    assert tree(store.folder) == before


def test_an_interrupted_issuer_names_the_command_to_run(store: CaStore, corp: Path) -> None:
    authority.init(store, own_issuer(corp), now())
    (store.folder / "issuer-ca.key").unlink()
    with pytest.raises(ProblemError) as error:
        authority.issue(store, ["kt"], OPTIONS, now())
    assert refused(error) == ["ca-issuer-partial"]
    assert "--issuer-key" in str(error.value.problems[0].hint)


@pytest.mark.parametrize("brought", [own_root, own_issuer])
def test_ones_own_root_never_replaces_another(store: CaStore, corp: Path, brought: ImportedCa) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    before = tree(store.folder)
    with pytest.raises(ProblemError) as error:
        authority.init(store, brought(corp), now())
    assert refused(error) == ["ca-root-exists"]
    assert tree(store.folder) == before


def test_ones_own_certificate_does_not_join_another_roots_key(store: CaStore, corp: Path) -> None:
    authority.init(store, OPTIONS, now())
    (store.folder / "root-cert.pem").unlink()
    before = tree(store.folder)
    with pytest.raises(ProblemError) as error:
        authority.init(store, own_root(corp), now())
    assert refused(error) == ["ca-root-exists"]
    assert tree(store.folder) == before


def test_ones_own_root_is_refused_where_clusters_run_under_another_that_was_lost(
    store: CaStore, corp: Path
) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    (store.folder / "root-cert.pem").unlink()
    (store.folder / "root-ca.key").unlink()
    with pytest.raises(ProblemError) as error:
        authority.init(store, own_root(corp), now())
    assert refused(error) == ["ca-root-exists"]


def test_an_issuer_may_take_over_from_its_root(store: CaStore, corp: Path) -> None:
    authority.ensure(store, ["kt"], own_root(corp), now())
    authority.ensure(store, ["nhn"], own_issuer(corp), now())
    assert [openssl_verify(store, cluster) for cluster in ("kt", "nhn")] == ["OK", "OK"]


def test_an_issuer_that_allows_no_ca_below_it_is_one_clear_error(store: CaStore, tmp_path: Path) -> None:
    root = new_root(now(), key=EC)
    leafy = new_intermediate(root, "mesh", now(), key=EC)  # path length 0: workloads only
    (tmp_path / "r.pem").write_bytes(pem.dump_certificates([root.certificate]))
    (tmp_path / "i.pem").write_bytes(pem.dump_certificates([leafy.certificate]))
    (tmp_path / "i.key").write_bytes(pem.dump_key(leafy.key))
    own = OwnCa(root_cert=tmp_path / "r.pem", issuer_cert=tmp_path / "i.pem", issuer_key=tmp_path / "i.key")
    with pytest.raises(InputError) as error:
        authority.ensure(store, ["kt"], replace(OPTIONS, own=own), now())
    (problem,) = error.value.problems
    assert (problem.code, problem.seen) == ("ca-path-length", "basicConstraints pathlen:0")
    assert not store.folder.exists()


@pytest.mark.parametrize(
    ("own", "count"),
    [
        (OwnCa(root_cert=Path("r")), 2),  # no key; and the file is not there
        (OwnCa(root_key=Path("/dev/null")), 1),
        (OwnCa(root_cert=Path("/dev/null"), issuer_cert=Path("/dev/null")), 1),
        (OwnCa(root_cert=Path("r"), root_key=Path("k"), issuer_chain=Path("c")), 4),
    ],
)
def test_all_faults_of_an_imported_ca_are_reported_together(store: CaStore, own: OwnCa, count: int) -> None:
    with pytest.raises(InputError) as error:
        authority.init(store, replace(OPTIONS, own=own), now())
    assert len(error.value.problems) == count
    assert not store.folder.exists()


def test_no_private_key_shows_in_a_result_or_an_error(store: CaStore, corp: Path) -> None:
    result = authority.ensure(store, ["kt"], own_issuer(corp), now())
    (store.folder / "kt" / "ca-key.pem").write_bytes(pem.dump_key(EC.generate()))
    with pytest.raises(ProblemError) as error:
        authority.ensure(store, ["kt"], OPTIONS, now())
    assert "PRIVATE KEY" not in repr(
        (result, error.value.problems, authority.show(store), authority.verify(store, now()))
    )


# show and verify


def test_show_gives_what_openssl_prints(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    (shown,) = authority.show(store).clusters
    at = store.folder / "kt" / "ca-cert.pem"
    assert shown.certificate is not None
    assert openssl("x509", "-noout", "-serial", "-in", at) == f"serial={shown.certificate.serial}"
    assert openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", at).endswith(
        shown.certificate.fingerprint
    )


def test_show_goes_on_past_a_cluster_that_cannot_be_read(store: CaStore) -> None:
    authority.ensure(store, ["kt", "nhn"], OPTIONS, now())
    (store.folder / "kt" / "ca-cert.pem").write_text("rubbish")
    kt, nhn = authority.show(store).clusters
    assert (kt.certificate, codes(kt.problems)) == (None, ["certificate-unreadable"])
    assert nhn.certificate is not None


def test_show_of_an_empty_store_names_the_first_command(store: CaStore) -> None:
    with pytest.raises(ProblemError) as error:
        authority.show(store)
    assert refused(error) == ["ca-no-root"]


def test_verify_finds_nothing_wrong_with_what_was_just_made(store: CaStore) -> None:
    authority.ensure(store, CLUSTERS, OPTIONS, now())
    result = authority.verify(store, now())
    assert (result.ok, result.errors, result.warnings) == (True, (), ())
    assert list(result.clusters) == sorted(CLUSTERS)


def test_verify_reports_every_fault_and_changes_nothing(store: CaStore, tmp_path: Path) -> None:
    authority.ensure(store, ["kt", "nhn"], OPTIONS, now())
    authority.ensure(CaStore(tmp_path / "other"), ["ncloud"], OPTIONS, now())
    shutil.copytree(tmp_path / "other" / "ncloud", store.folder / "ncloud")
    (store.folder / "kt" / "cert-chain.pem").unlink()
    (store.folder / "nhn" / "ca-key.pem").write_text("rubbish")
    before = tree(store.folder)
    result = authority.verify(store, now())
    assert {(problem.cluster, problem.code) for problem in result.errors} == {
        ("kt", "ca-partial"),
        ("nhn", "key-unreadable"),
        ("ncloud", "ca-other-root"),
    }
    assert tree(store.folder) == before


def test_verify_warns_before_an_end_comes(store: CaStore) -> None:
    authority.ensure(store, ["kt"], replace(OPTIONS, validity=timedelta(days=60)), now())
    result = authority.verify(store, now(), within=timedelta(days=90))
    assert result.ok
    assert codes(result.warnings) == ["ca-expires-soon"] * 2


def test_verify_warns_of_exposed_keys_and_an_absent_root_key(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    (store.folder / "kt" / "ca-key.pem").chmod(0o644)
    (store.folder / "root-ca.key").unlink()
    assert codes(authority.verify(store, now()).warnings) == ["ca-key-exposed", "ca-no-signer"]


def test_verify_warns_of_a_ca_named_for_another_cluster(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    (store.folder / "kt").rename(store.folder / "kt-k2p")
    assert codes(authority.verify(store, now()).warnings) == ["ca-name"]


def test_verify_reports_every_expired_certificate_once(store: CaStore) -> None:
    authority.ensure(store, ["kt"], OPTIONS, now())
    result = authority.verify(store, now() + timedelta(days=4000))
    assert [(problem.cluster, problem.code) for problem in result.errors] == [
        (None, "ca-expired"),
        ("kt", "ca-expired"),
    ]


def test_a_live_secret_can_be_compared_with_the_store(store: CaStore) -> None:
    files = authority.ensure(store, ["kt"], OPTIONS, now()).ca_certs["kt"]
    assert CaCerts.from_secret_data(files.secret_data()).same_as(files)


def test_a_folder_with_a_space_in_its_name_can_be_pasted_from_the_hint(tmp_path: Path) -> None:
    store = CaStore(tmp_path / "my certs")
    authority.ensure(store, ["kt"], OPTIONS, now())
    (store.folder / "kt" / "ca-cert.pem").unlink()
    (store.folder / "root-ca.key").chmod(0o644)
    found = authority.verify(store, now())
    hints = [shlex.split(str(one.hint)) for one in (*found.errors, *found.warnings)]
    assert ["istio-mc", "ca", "issue", "--certs-dir", str(store.folder), "--cluster-id", "kt"] in hints
    assert ["chmod", "600", str(store.folder / "root-ca.key")] in hints


def test_a_cluster_without_its_key_is_not_sent_to_a_command_that_refuses_it(store: CaStore) -> None:
    authority.ensure(store, ["kt", "nhn"], OPTIONS, now())
    for name in ("kt/ca-key.pem", "nhn/cert-chain.pem"):
        (store.folder / name).unlink()
    hints = {problem.cluster: problem.hint for problem in authority.verify(store, now()).errors}
    assert isinstance(hints["kt"], Advice)
    assert isinstance(hints["nhn"], Command)
    with pytest.raises(ProblemError):
        authority.ensure(store, ["kt"], OPTIONS, now())
    authority.ensure(store, ["nhn"], OPTIONS, now())
    assert (store.folder / "nhn" / "cert-chain.pem").exists()
