"""Renewing tokens that expire: how often, and what does it: a CronJob, or a line of CI. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from istio_mc.domain.hint import istio_mc

if TYPE_CHECKING:
    from collections.abc import Collection

    from istio_mc.domain.hint import Command

_DAY = timedelta(days=1)
_SCHEDULES = (
    (timedelta(days=62), "0 3 1 * *"),  # a month has up to 31 days
    (timedelta(days=14), "0 3 * * 1"),
    (2 * _DAY, "0 3 * * *"),
)
"""From which lifetime on, the longest of these that renews a token within the first half of its life."""
_HOURS = (12, 8, 6, 4, 3, 2, 1)
"""Hours that divide a day, so that a schedule of every so many is regular."""

NAME = "istio-mc-link-rotate"
_CRON_JOB = """\
# kubectl create namespace istio-mc
# kubectl -n istio-mc create secret generic istio-mc --from-file=config=KUBECONFIG --from-file=mesh.yaml
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
  namespace: istio-mc
spec:
  schedule: "{schedule}"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 2
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: istio-mc
              image: IMAGE
              workingDir: /mesh
              command: [{command}]
              env:
                - name: KUBECONFIG
                  value: /mesh/config
              volumeMounts:
                - name: mesh
                  mountPath: /mesh
          volumes:
            - name: mesh
              secret:
                secretName: istio-mc
                defaultMode: 0400
"""


def schedule(lifetime: timedelta) -> str:
    """When to renew tokens of this lifetime, as cron has it: at least twice in it (UTC at most clusters).

    `verify` warns from the last third of a token's life on, so that there is time after a run that failed.
    """
    for least, line in _SCHEDULES:
        if lifetime >= least:
            return line
    half = lifetime / 2
    hours = next((one for one in _HOURS if timedelta(hours=one) <= half), 1)
    return f"0 */{hours} * * *" if hours > 1 else "0 * * * *"


def renewing_command(lifetime: str, contexts: Collection[str]) -> Command:
    """The command that replaces the tokens of these clusters by others of this lifetime."""
    return istio_mc("link", "--rotate", "--expires", lifetime, contexts=contexts)


def cron_job(command: Command, when: str) -> str:
    """A CronJob that runs the command, in YAML; what is in capitals is the user's to fill in."""
    words = ", ".join(f'"{word}"' for word in command.argv)
    return _CRON_JOB.format(name=NAME, schedule=when, command=words)
