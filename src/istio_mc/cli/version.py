"""`istio-mc version`: its signature."""

from __future__ import annotations

from istio_mc.cli import edge


@edge.verb
def version(options: edge.Options) -> None:
    """Show the version of istio-mc, of Python, and of this machine's system.

    Examples:

      istio-mc version

      istio-mc version -o json
    """
    from istio_mc.ops.version import version as read
    from istio_mc.present.version import report

    edge.run("version", options, lambda _: report(read()))
