"""Where the program begins: `istio-mc`, and `python -m istio_mc`."""

from __future__ import annotations

# Built into Python: `signal` itself takes milliseconds to import, in which Ctrl-C would be a traceback.
import _signal  # type: ignore[import-not-found] # typeshed describes `signal` alone
import gc


def main() -> None:
    """Entry point of the `istio-mc` program."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    # Modules, and what clusters return, are many objects that stay: every 700 new ones, as Python does by
    # itself, a search for garbage takes a tenth of a run.
    gc.set_threshold(50_000)
    from istio_mc.gateways.host import signals  # noqa: PLC0415 - the threshold holds for its import, too

    signals.end_at_once()
    from istio_mc.cli.last_resort import guard  # noqa: PLC0415 - likewise

    guard(_program)


def _program() -> None:
    from istio_mc.cli.app import app  # noqa: PLC0415 - within the guard: also what fails here is one line

    app()


if __name__ == "__main__":
    main()
