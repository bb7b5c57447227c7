"""Style sheet of the page: light, dark, narrow and print."""

from __future__ import annotations

from importlib import resources

from istio_mc.present.html.markup import Markup

NARROW_PX = 640
"""Up to this width tables become cards, and the mesh is drawn narrow; report.css has it too."""

STYLE = Markup("\n" + resources.files("istio_mc").joinpath("data", "report.css").read_text("utf-8"))
