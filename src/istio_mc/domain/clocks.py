"""What a server's Date header tells of its clock. Pure."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def ahead_s(date: str | None, now: datetime) -> float | None:
    """How many seconds a server's clock is ahead of this machine's; None where the header does not tell.

    Right to a second and the time the answer took.

    Args:
        date: The header (RFC 9110 section 6.6.1); None: there was none.
        now: The present here, aware.
    """
    try:
        told = parsedate_to_datetime(date or "")
        return (told - now).total_seconds()
    except (TypeError, ValueError):
        return None
