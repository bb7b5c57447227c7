"""What went wrong, in words for the person at the terminal."""

from __future__ import annotations


class LabError(Exception):
    """One line: what was seen, what was expected, and what fixes it."""


class Cancelled(LabError):  # noqa: N818 (an order that was followed, not an error)
    """The run was told to stop."""
