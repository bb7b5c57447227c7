"""How long the certificates of workloads are valid, and whether the CA that signs them lasts as long. Pure.

Proxies ask for as long as SECRET_TTL says, a day by default, and istiod gives them that. It looks at the
end of its CA only when it starts (Istio's pkg/security and security/pkg/pki/ca, 1.26.0).
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_TTL = timedelta(hours=24)
SETTING = "meshConfig.defaultConfig.proxyMetadata.SECRET_TTL"

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)"


def workload_ttl(values: Mapping[str, Any]) -> timedelta:
    """How long a cluster's workloads have their certificates made for; a day where the values say nothing."""
    found: Any = values
    for key in SETTING.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    text = str(found or "")
    if not re.fullmatch(f"(?:{_PART})+", text):
        return DEFAULT_TTL
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text)))
