"""The pictures of docs/images: tests/test_docs.py compares the one of a run with the program."""

from __future__ import annotations

import html
import re
from pathlib import Path

from scripts import pictures

ROOT = Path(__file__).parents[2]
SVG = pictures.RUN.read_text(encoding="utf-8")


def test_the_picture_shows_the_fault_its_fix_the_verdict_and_the_matrix() -> None:
    text = "".join(html.unescape(re.sub(r"<[^>]+>", "", SVG)).split())  # each word may be an element
    for part in (
        "error[gateway-address-pending]",
        "istio-mc address --set kt=ADDRESS",
        "× 1 failed, ",
        "Every version responds to every cluster: 9 of 9 pairs.",
    ):
        assert "".join(part.split()) in text


def test_the_picture_loads_nothing() -> None:
    assert "font-face" not in SVG
    assert set(re.findall(r"https?://[^\"]*", SVG)) == {"http://www.w3.org/2000/svg"}


def test_the_readme_shows_every_picture_and_each_is_small() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    images = sorted(pictures.IMAGES.iterdir())
    assert [image for image in images if f"docs/images/{image.name}" not in readme] == []
    assert {image.name: image.stat().st_size for image in images if image.stat().st_size > 200_000} == {}
