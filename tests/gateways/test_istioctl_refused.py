"""What an API server refused to istioctl has the same code as what it refuses to istio-mc itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.istio.istioctl import Istioctl
from tests.support.fake_istioctl import write_istioctl

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = "Error: failed to install manifests: failed to update resource with server-side apply for obj "


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('Deployment/x: admission webhook "v.example" denied the request: no', "admission-denied"),
        ('Service/x: services "x" is forbidden: exceeded quota: lb, requested: services=1', "quota-exceeded"),
        ("Deployment/x: no matches for kind", "istioctl-failed"),
    ],
)
def test_the_code_is_that_of_what_istioctl_quotes(tmp_path: Path, text: str, code: str) -> None:
    folder = write_istioctl(tmp_path / "bin", install=f"echo '{TEXTS}{text}' >&2; exit 1")
    document = tmp_path / "istio-operator.yaml"
    document.write_text("{}")
    with pytest.raises(ProblemError) as error:
        Istioctl(folder / "istioctl", "1.26.0").install(
            document,
            context="kt",
            kubeconfig=tmp_path / "kubeconfig",
            timeout_s=20,
            cancel=threading.Event(),
            pasted_kubeconfig="",
        )
    (problem,) = error.value.problems
    assert (problem.code, problem.cluster, text in str(problem.seen)) == (code, "kt", True)
