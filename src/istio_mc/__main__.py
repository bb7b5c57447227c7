"""Where the program begins: `istio-mc`, and `python -m istio_mc`."""

from __future__ import annotations

import gc

from istio_mc.gateways import signals


def main() -> None:
    """Entry point of the `istio-mc` program."""
    # Imports make much that stays and next to no garbage: looking for it is a tenth of `--help`.
    # A verb has it looked for again once it runs (cli/edge.py).
    gc.disable()
    signals.end_at_once()
    from istio_mc.cli.app import main as run  # noqa: PLC0415 - the collector is off only now

    run()


if __name__ == "__main__":
    main()
