"""Writes docs/error-codes.md from the enumeration of codes: `make docs`."""

from __future__ import annotations

from pathlib import Path

from istio_mc.domain.problem import Code

PAGE = Path(__file__).parents[1] / "docs" / "error-codes.md"

_HEAD = """\
<!-- Written by `make docs` from src/istio_mc/domain/problem.py: change that module, not this page. -->
# Error codes

Every error and warning has one of these codes: `code` in [JSON](json.md). They do not change between
versions.

| code | explained in |
|---|---|
"""


def page() -> str:
    """The whole page, as it must stand in docs/error-codes.md."""
    return _HEAD + "".join(f"| `{code}` | [{code.docs}]({code.docs}) |\n" for code in sorted(Code))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
