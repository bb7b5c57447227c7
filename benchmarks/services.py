"""The cost of `istio-mc verify` and `istio-mc trace` as the number of Services grows.

Three simulated clusters have the same Services, each with a pod with a sidecar, a VirtualService, a
DestinationRule and an AuthorizationPolicy. Istio's own objects are not compared: their number does not depend
on Services.
"""

from __future__ import annotations

from benchmarks.clusters import run
from benchmarks.growth import Crowd, Crowds
from lab.log import log_line
from tests.support import many_services
from tests.support.fake_mesh import FakeMesh

COUNTS = (20, 1000, 2000)
_CLUSTERS = 3
_COMMANDS = {
    "verify": ("verify",),
    "trace": ("trace", f"{many_services.NAMESPACE}/{many_services.name_of(7)}"),
}


def measure(rounds: int) -> Crowds:
    """Runs both commands with each number of Services by turns.

    Raises:
        LabError: A command failed, or reported a fault of the healthy mesh.
    """
    runs = []
    for _ in range(rounds):
        for count in COUNTS:
            for command, words in _COMMANDS.items():
                with FakeMesh(_CLUSTERS, services=count).serve() as mesh:
                    used = run(mesh, words, {})
                requests = sum(sum(counts.values()) for counts in mesh.counts().values())
                runs.append(Crowd(command, count, *used, requests))
                log_line(f"{command}, {count} Services: {used.seconds:.1f} s, {used.cpu:.1f} s of CPU")
    return Crowds(tuple(runs))
