"""What istioctl prints beside the objects that it would install is not taken for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def test_a_warning_about_settings_stays_out_of_the_objects(tmp_path: Path) -> None:
    program = tmp_path / "istioctl"
    program.write_text(_WARNS)
    program.chmod(0o755)
    document = tmp_path / "istio-operator.yaml"
    document.write_text("{}")
    (made,) = Istioctl(program, "1.31.0").manifest(document)
    assert made["metadata"] == {"name": "istio"}
