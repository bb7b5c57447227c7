"""The commands that mend most faults, written once; each can be pasted as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.mesh import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from istio_mc.checks.model import Facts


def install(facts: Facts) -> str:
    """Sets back what an install sets."""
    return f"istio-mc install --contexts {facts.named}"


def relink(facts: Facts) -> str:
    """Writes the remote secrets anew that are not as they shall be."""
    return f"istio-mc link --contexts {facts.named}"


def restart_istiod(facts: Facts, name: str) -> str:
    """Restarts a cluster's istiods."""
    return f"kubectl --context {name} -n {SYSTEM_NAMESPACE} rollout restart deployment {facts.mesh.istiod}"
