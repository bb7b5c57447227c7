"""What istioctl prints beside the objects that it would install is not taken for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.problem import Code, ProblemError
from istio_mc.gateways.istio.istioctl import Istioctl

if TYPE_CHECKING:
    from pathlib import Path

# As istioctl 1.31.0 warns of ISTIO_META_DNS_AUTO_ALLOCATE: to standard output, unless it is told otherwise.
_WARNS = """\
#!/bin/sh
to=1
case "$*" in *"--log_target stderr"*) to=2 ;; esac
echo "2026-11-30T18:45:06.908338Z	warn	warnings occurred: 1 error occurred:" >&$to
echo "	* 'ISTIO_META_DNS_AUTO_ALLOCATE' is deprecated" >&$to
echo "{apiVersion: v1, kind: ConfigMap, metadata: {name: istio}}"
"""


def manifest(folder: Path, program: str) -> list[Any]:
    """What a program in place of istioctl makes of a document."""
    path = folder / "istioctl"
    path.write_text(program)
    path.chmod(0o755)
    document = folder / "istio-operator.yaml"
    document.write_text("{}")
    return Istioctl(path, "1.31.0").manifest(document)


def test_a_warning_about_settings_stays_out_of_the_objects(tmp_path: Path) -> None:
    (made,) = manifest(tmp_path, _WARNS)
    assert made["metadata"] == {"name": "istio"}


@pytest.mark.parametrize(
    "output",
    [
        "a: [",
        "a line of text",
        "{apiVersion: v1, kind: ConfigMap}",
        "{apiVersion: v1, kind: ConfigMap, metadata: {}}",
        "- {apiVersion: v1, kind: ConfigMap, metadata: {name: istio}}",
    ],
)
def test_output_that_is_no_object_is_an_error_of_istioctl(tmp_path: Path, output: str) -> None:
    with pytest.raises(ProblemError) as error:
        manifest(tmp_path, f"#!/bin/sh\necho '{output}'\n")
    (problem,) = error.value.problems
    assert (problem.code, problem.message) == (
        Code.ISTIOCTL_FAILED,
        "istioctl 1.31.0 printed a manifest that cannot be read",
    )
