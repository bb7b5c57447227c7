"""What people and programs get to read, kept in tests/golden.

After a change that is wanted: `UPDATE_GOLDEN=1 pytest tests/present`, then look at `git diff tests/golden`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.cells import cell_len

from istio_mc.checks import access, cacerts, control_plane, gateway, remote_secret, trust
from istio_mc.checks.environment import PRESETS
from istio_mc.checks.runner import run
from istio_mc.domain import plan
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice
from istio_mc.domain.istio import documents
from istio_mc.domain.kube.kubeconfig import KubeconfigFile, merge
from istio_mc.domain.mesh import MANAGED_BY
from istio_mc.domain.observed import Surroundings
from istio_mc.domain.pki.pem import CertificateFacts
from istio_mc.domain.plan import Step
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.traffic.sample import Calls
from istio_mc.ops import sample as sample_op
from istio_mc.ops.ca import authority as ca_op
from istio_mc.ops.contexts import ContextsResult, ShownContext
from istio_mc.ops.install.install import InstalledCluster, InstallResult
from istio_mc.ops.link import LinkResult
from istio_mc.ops.verify.verify import VerifyResult
from istio_mc.present import ca, contexts, install, sample
from istio_mc.present import link as link_present
from istio_mc.present.output import terminal
from istio_mc.present.output.envelope import Envelope, Report
from istio_mc.present.output.problems import print_problems
from istio_mc.present.verify import summary
from tests.support.fake_api import kubeconfig
from tests.support.world import CHOICE, CLUSTERS, MESH, UNREACHABLE, World, root_fingerprint

Golden = Callable[[str, str], None]
SENTENCE = re.compile(r"Root CA  |Istio |  (fix|next):  |([0-9A-F]{2}:){31}")
ROOT = "AB:" * 31 + "AB"
CHECKS = (
    *access.CHECKS,
    *cacerts.CHECKS,
    *control_plane.CHECKS,
    *trust.CHECKS,
    *gateway.CHECKS,
    *remote_secret.CHECKS,
)


@pytest.fixture
def shown(
    golden: Golden, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Compares a report, as a pipe gets it and as JSON, with its golden files."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def compare(name: str, report: Report, steady: Callable[[str], str] = str) -> None:
        report.render(terminal.console())
        if not report.renders_problems:
            print_problems(terminal.console(), report.warnings, style="yellow", title="warning")
            print_problems(terminal.console(), report.errors, style="red", title="error")
        text = capsys.readouterr().out + f"exit {int(report.exit)}\n"
        golden(f"{name}.txt", "".join(f"{line.rstrip()}\n" for line in steady(text).splitlines()))
        envelope = Envelope("verb", report.exit, report.data, report.errors, report.warnings)
        golden(f"{name}.json", steady(envelope.text("json")))
        for columns in (80, 120):
            monkeypatch.setenv("COLUMNS", str(columns))
            report.render(terminal.console())
            screen = steady(capsys.readouterr().out)
            golden(
                f"screens/{name}-{columns}.txt", "".join(f"{line.rstrip()}\n" for line in screen.splitlines())
            )
            wide = [line for line in screen.splitlines() if cell_len(line) > columns]
            # Sentences, commands and fingerprints are there to be copied.
            assert [line for line in wide if not SENTENCE.match(line)] == [], "a table fits"

    return compare


Shown = Callable[..., None]


def verified(world: World) -> Report:
    facts = world.facts()
    return summary.report(VerifyResult(facts, tuple(run(CHECKS, facts))), ())


def steady(text: str) -> str:
    """Without the root's fingerprint and end, which are others in every run."""
    text = text.replace(root_fingerprint()[:20], "AB:AB:AB:AB:AB:AB:AB")
    return re.sub(r"until 2\d{3}-\d\d-\d\d", "until 2036-01-01", text)


class TestVerify:
    def test_a_mesh_that_works(self, shown: Shown) -> None:
        shown("verify-ok", verified(World()), steady)

    def test_a_mesh_with_faults(self, shown: Shown) -> None:
        world = World()
        world.silence("nhn")
        world.find("kt", "Service", "istio-ingressgateway")["spec"] = {}
        world.status("kt", "ncloud", "timeout")
        shown("verify-faults", verified(world), steady)

    def test_what_is_only_to_be_known_is_no_failure(self, shown: Shown) -> None:
        facts = World().facts()
        facts = replace(facts, surroundings=dict.fromkeys(CLUSTERS, Surroundings(metrics=False)))
        storage = [check for check in PRESETS if check.id == "storage.default"]
        result = VerifyResult(facts, tuple(run(storage, facts)))
        assert result.failed == ()
        shown("verify-warnings", summary.report(result, ()))


class TestContexts:
    def test_reached_silent_and_not_queried(self, shown: Shown) -> None:
        document = kubeconfig({name: f"https://{name}.example:6443" for name in CLUSTERS})
        merged = merge([KubeconfigFile("/home/me/kubeconfig", document)])
        kt, ncloud, nhn = merged.contexts
        result = ContextsResult(
            "kt",
            (
                ShownContext(kt, "kt-k2p", "network1", "mesh1", "v1.30.4", reachable=True),
                ShownContext(ncloud, "ncloud-nks"),
                ShownContext(nhn, "nhn-nks", reachable=False, problems=(UNREACHABLE,)),
            ),
        )
        shown("contexts", contexts.report(result, ()))
        shown("contexts-wide", contexts.report(result, (), is_wide=True))

    def test_names_as_clouds_give_them_stay_whole_however_narrow_the_terminal(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name, server = "nks_kr_shop_00000000-0000-4000-8000-000000000000", "https://" + "a" * 50 + ".example"
        merged = merge([KubeconfigFile("/home/me/kubeconfig", kubeconfig({name: server}))])
        report = contexts.report(
            ContextsResult(name, (ShownContext(merged.contexts[0], "shop"),)), (), is_wide=True
        )
        for columns in ("80", "200", ""):
            monkeypatch.setenv("COLUMNS", columns)
            report.render(terminal.console())
            lines = capsys.readouterr().out.splitlines()
            assert any(line.split()[:2] == ["*", name] for line in lines)
            assert any(server in line for line in lines)


STEPS = (
    Step(
        plan.NAMESPACE,
        ("Namespace istio-system is missing",),
        (documents.namespace(MESH, CLUSTERS["kt"], None),),
    ),
    Step(
        plan.CACERTS,
        ("Secret cacerts is missing",),
        (documents.cacerts({"ca-cert.pem": "Y2VydA==", "ca-key.pem": "c2VjcmV0"}),),
    ),
)


def installed(*clusters: InstalledCluster, dry_run: bool = False) -> Report:
    return install.report(InstallResult(MESH, ROOT, clusters, CHOICE, dry_run=dry_run), ())


class TestInstall:
    DONE = InstalledCluster(CLUSTERS["kt"], STEPS, ("198.18.0.21",))
    UNCHANGED = InstalledCluster(CLUSTERS["ncloud"], (), ("lb.ncloud.example",))

    def test_one_failed(self, shown: Shown) -> None:
        failed = InstalledCluster(CLUSTERS["nhn"], (), problems=(UNREACHABLE,))
        shown("install-partial", installed(self.DONE, self.UNCHANGED, failed))

    def test_a_cluster_that_failed_half_way_is_not_reported_as_done(self, shown: Shown) -> None:
        shown("install-half-way", installed(replace(self.DONE, addresses=(), problems=(UNREACHABLE,))))

    def test_nothing_to_change(self, shown: Shown) -> None:
        shown("install-unchanged", installed(self.UNCHANGED))

    def test_dry_run_shows_documents_and_hides_secrets(self, shown: Shown) -> None:
        shown("install-dry-run", installed(self.DONE, self.UNCHANGED, dry_run=True))

    @pytest.mark.parametrize("output", ["json", "yaml"])
    def test_no_secret_is_in_a_dry_run(self, output: str) -> None:
        report = installed(self.DONE, dry_run=True)
        assert "c2VjcmV0" not in Envelope("install", report.exit, report.data).text(output)

    @pytest.mark.parametrize(
        ("failed", "code"), [(0, 0), (1, 3), (2, 1)], ids=["none-failed", "one-failed", "all-failed"]
    )
    def test_exit_code(self, failed: int, code: int) -> None:
        bad = replace(self.UNCHANGED, problems=(UNREACHABLE,))
        assert installed(*[bad] * failed, *[self.UNCHANGED] * (2 - failed)).exit == code


class TestLink:
    def test_written_unchanged_and_failed(self, shown: Shown) -> None:
        secret = documents.remote_secret("nhn-nks", {"apiVersion": "v1"})
        steps = {"kt": Step(plan.LINK, ("Secret is missing",), (secret,)), "ncloud": None}
        shown(
            "link",
            link_present.report(LinkResult(CLUSTERS, steps, {"nhn": (UNREACHABLE,)}, {}, dry_run=False), ()),
        )


VERSIONS = {"kt": "v1", "ncloud": "v2", "nhn": "v3"}


class TestSample:
    def test_every_version_answers(self, shown: Shown) -> None:
        calls = dict.fromkeys(VERSIONS, Calls({"v1": 20, "v2": 21, "v3": 19}, {}))
        shown("sample-test-ok", sample.tested(sample_op.Tested(VERSIONS, calls, ()), ()))

    def test_one_version_is_seen_too_seldom(self, shown: Shown) -> None:
        calls = {
            "kt": Calls({"v1": 30, "v2": 21}, {"503": 9}),
            "ncloud": Calls({"v1": 20, "v2": 20, "v3": 20}, {}),
        }
        problem = Problem(
            code=Code.TOO_FEW_ANSWERS,
            cluster="kt",
            message="0 of 60 calls were answered by v3 in nhn",
            seen="HTTP status 503: 9",
            expected="at least 17% of the calls",
            hint=Advice("istio-mc verify"),
        )
        shown("sample-test-fault", sample.tested(sample_op.Tested(VERSIONS, calls, (problem,)), ()))

    def test_deployed(self, shown: Shown) -> None:
        result = sample_op.Deployed(VERSIONS, {"nhn": (UNREACHABLE,)})
        shown("sample-deploy", sample.deployed(result, (), done="running"))


class TestCa:
    FACTS = CertificateFacts(
        subject="CN=root.istio.io",
        issuer="CN=root.istio.io",
        serial="0a1b",
        not_before=datetime(2026, 1, 1, tzinfo=UTC),
        not_after=datetime(2036, 1, 1, tzinfo=UTC),
        fingerprint=ROOT,
        key="RSA 3072",
        path_length=2,
        names=("root.istio.io",),
    )

    def test_show(self, shown: Shown) -> None:
        broken = Problem(
            code=Code.KEY_MISMATCH, message="ca-key.pem is not its key", hint=Advice("restore it")
        )
        result = ca_op.ShowResult(
            folder=Path("/certs"),
            root=self.FACTS,
            issuer=None,
            can_issue=True,
            clusters=(
                ca_op.ShownCluster(cluster_id="kt-k2p", certificate=self.FACTS, problems=()),
                ca_op.ShownCluster(cluster_id="nhn-nks", certificate=None, problems=(broken,)),
            ),
        )
        shown("ca-show", ca.shown(result))

    @pytest.mark.parametrize(
        ("errors", "expected"),
        [((), "certs: valid: root CA and 1 intermediate CA"), ((UNREACHABLE,), "certs: 1 fault")],
        ids=["whole", "faulty"],
    )
    def test_a_folder_is_summed_up_in_a_line(
        self, errors: tuple[Problem, ...], expected: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = ca_op.VerifyResult(folder=Path("certs"), clusters=("kt-k2p",), errors=errors, warnings=())
        ca.verified(found).render(terminal.console())
        assert capsys.readouterr().out == expected + "\n"


class TestProblems:
    def test_all_known_data_is_shown(self, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
        problems = [
            UNREACHABLE,
            Problem(
                code=Code.ISTIOCTL_FAILED,
                cluster="kt",
                message="istioctl install in kt failed with exit code 1",
                seen="first line\nsecond [line]",
                expected="exit code 0",
                hint=Advice("istioctl install --context kt"),
            ),
            Problem(code=Code.SETTINGS_INVALID, message="mesh.yaml:3: not a [mapping]"),
        ]
        print_problems(terminal.console(), problems, style="red", title="error")
        golden("problems.txt", capsys.readouterr().out)


class TestProgress:
    def test_a_pipe_gets_one_line_for_each_change(self, capsys: pytest.CaptureFixture[str]) -> None:
        with terminal.progress(terminal.console(stderr=True), enabled=True) as on_progress:
            on_progress(Event("kt", "istio", State.STARTED, "Deployment istiod is missing"))
            on_progress(Event(None, "preflight", State.DONE))
        lines = [line.split("s  ", 1)[1] for line in capsys.readouterr().err.splitlines()]
        assert lines == ["kt  istio started: Deployment istiod is missing", "mesh  preflight done"]

    def test_no_one_else_gets_colour(self, capsys: pytest.CaptureFixture[str]) -> None:
        with terminal.progress(terminal.console(stderr=True), enabled=False) as on_progress:
            on_progress(Event("kt", "istio", State.STARTED))
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_only_secrets_are_hidden(kind: str) -> None:
    document = {"kind": kind, "metadata": {"labels": dict(MANAGED_BY)}, "data": {"a": "b"}}
    assert install.without_secrets(document)["data"] == {"a": "b" if kind == "ConfigMap" else "(hidden)"}
    assert document["data"] == {"a": "b"}
