"""All checks, in the order of running and printing: a check follows those it depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks import (
    access,
    cacerts,
    control_plane,
    data_path,
    discovery,
    drift,
    environment,
    gateway,
    identity,
    network_policies,
    remote_access,
    remote_secret,
    services,
    silence,
    token_age,
    trust,
    versions,
    webhooks,
)

if TYPE_CHECKING:
    from istio_mc.checks.model import Check

EVERY: tuple[Check, ...] = (
    *access.CHECKS,
    *access.AFTER_AN_INSTALL,
    *identity.CHECKS,
    *identity.THIS_MACHINE,
    *access.CLOCKS,
    *cacerts.CHECKS,
    *control_plane.CHECKS,
    *network_policies.OF_CONTROL_PLANE,
    *trust.CHECKS,
    *trust.TRUST_DOMAINS,
    *webhooks.CHECKS,
    *gateway.CHECKS,
    *remote_secret.CHECKS,
    *token_age.EXPIRED,
    *remote_access.CHECKS,
    *token_age.CHECKS,
    *discovery.CHECKS,
    *silence.CHECKS,
    *environment.SERVICES,
    *services.CHECKS,
    *network_policies.OF_WORKLOADS,
    *data_path.CHECKS,
    *data_path.WITH_DEEP,
    *versions.CHECKS,
    *versions.HAZARDS,
    *environment.IN_A_MESH,
    *network_policies.ENFORCED,
    *drift.CHECKS,
)
"""What verify asks with --deep: the one option with which it changes something."""

ALL: tuple[Check, ...] = tuple(check for check in EVERY if check not in data_path.WITH_DEEP)
"""What verify asks."""

PREFLIGHT: tuple[Check, ...] = (
    *access.CHECKS,
    *identity.THIS_MACHINE,
    *trust.BEFORE_AN_INSTALL,
    *environment.PRESETS,
    *environment.BEFORE_AN_INSTALL,
    *versions.BEFORE_AN_INSTALL,
    *remote_access.BEFORE_AN_INSTALL,
)
"""What install asks before its first change."""
