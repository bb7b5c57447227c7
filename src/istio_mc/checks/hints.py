"""Commands that fix most faults; each can be pasted unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Command, istio_mc
from istio_mc.domain.istio import istiod

if TYPE_CHECKING:
    from istio_mc.checks.model import Facts

# In backquotes, for the texts of records, without a cluster.
INSTALL = f"`{istio_mc('install')}`"
LINK = f"`{istio_mc('link')}`"
PRUNE = f"`{istio_mc('link', '--prune')}`"
ADDRESS = f"`{istio_mc('address')}`"
_RESTART = istiod.restart_istiod("CONTEXT", "istiod")
RESTART_ISTIOD = f"restart istiod: `{_RESTART}`"


def install(facts: Facts) -> Command:
    """The command that restores everything an install sets."""
    return istio_mc("install", contexts=facts.clusters)


def relink(facts: Facts) -> Command:
    """The command that writes wrong or missing remote secrets."""
    return istio_mc("link", contexts=facts.clusters)


def restart_istiod(facts: Facts, name: str) -> Command:
    """The command that restarts a cluster's istiods."""
    return istiod.restart_istiod(name, facts.mesh_of(name).istiod)
