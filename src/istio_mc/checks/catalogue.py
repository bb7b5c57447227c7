"""Every check, in the order it is asked and shown: a check stands after those it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks import (
    access,
    cacerts,
    clocks,
    control_plane,
    data_path,
    deep,
    drift,
    environment,
    gateway,
    hazards,
    identity,
    network_policies,
    reader_account,
    remote_access,
    remote_secret,
    services,
    this_machine,
    trust,
    trust_domains,
    versions,
    webhooks,
)

if TYPE_CHECKING:
    from istio_mc.checks.model import Check

EVERY: tuple[Check, ...] = (
    *access.CHECKS,
    *identity.CHECKS,
    *this_machine.CHECKS,
    *clocks.CHECKS,
    *cacerts.CHECKS,
    *control_plane.CHECKS,
    *network_policies.CHECKS,
    *trust.CHECKS,
    *trust_domains.CHECKS,
    *webhooks.CHECKS,
    *gateway.CHECKS,
    *remote_secret.CHECKS,
    *remote_access.CHECKS,
    *data_path.CHECKS,
    *deep.CHECKS,
    *versions.CHECKS,
    *hazards.CHECKS,
    *environment.IN_A_MESH,
    *services.CHECKS,
    *drift.CHECKS,
)
"""What verify asks with --deep: the one option with which it changes something."""

ALL: tuple[Check, ...] = tuple(check for check in EVERY if check not in deep.CHECKS)
"""What verify asks."""

PREFLIGHT: tuple[Check, ...] = (
    *access.CHECKS,
    *this_machine.CHECKS,
    *trust_domains.BEFORE_AN_INSTALL,
    *environment.PRESETS,
    *environment.BEFORE_AN_INSTALL,
    *hazards.BEFORE_AN_INSTALL,
    *reader_account.BEFORE_AN_INSTALL,
)
"""What install asks before its first change."""
