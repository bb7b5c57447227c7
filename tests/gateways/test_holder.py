"""Whether the run that left something in a cluster is still at work."""

from __future__ import annotations

import socket
import subprocess
import sys

from istio_mc.gateways.host.process import has_ended, holder


def test_this_run_is_at_work() -> None:
    assert not has_ended(holder())


def test_a_process_of_this_machine_that_is_gone_has_ended() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert has_ended(f"{socket.gethostname()}/{done.pid}")


def test_of_another_machine_nothing_is_known() -> None:
    assert not has_ended("elsewhere/1")


def test_the_end_of_a_holder_without_a_process_is_unknown() -> None:
    assert not has_ended("")
    assert not has_ended(f"{socket.gethostname()}/x")
