"""Whether `istio-mc sample test -o json` tells of a complete matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def faults(envelope: Mapping[str, Any], contexts: Collection[str]) -> list[str]:
    """Say what is missing from the matrix of these clusters ([]: every version answers every cluster)."""
    if envelope["status"] != "success":
        errors = [f"{error.get('cluster')}: {error['message']}" for error in envelope.get("errors") or []]
        return errors or [f"status {envelope['status']}"]
    data = envelope["data"]
    versions, rows = data["versions"], {row["name"]: row for row in data["clusters"]}
    found = [f"{context} has no version" for context in contexts if context not in versions]
    found += [f"{context} has no client" for context in contexts if context not in rows]
    for name, row in rows.items():
        least = data["leastShare"] * row["calls"]
        found += [
            f"{version} answered {name} in {times} of {row['calls']} calls"
            for version, times in row["responses"].items()
            if times < least
        ]
        missing = set(versions.values()) - set(row["responses"])
        found += [f"{version} never answered {name}" for version in sorted(missing)]
    return found
