"""Signals that end a run: each in a program of its own, for a test must not end pytest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from istio_mc.gateways.host import signals

NAMES = [number.name for number in signals.ENDING]
PROGRAM = """
import hashlib, os, signal, sys, threading, time
from istio_mc.gateways.host import signals

def send(number, after=0.0):
    threading.Timer(after, os.kill, (os.getpid(), number)).start()

def at_last():
    print("at last", flush=True)
    os._exit(9)

for number in () if sys.argv[1:] else signals.ENDING:
    signal.signal(number, signal.SIG_DFL)  # whatever started the tests: nohup, or a shell in the background
signals.end_at_once()
"""


def run(script: str, *, ignored: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a program whose `signals` are the run's; `ignored`: a signal that it is started with, ignored."""
    program = [sys.executable, "-c", PROGRAM + textwrap.dedent(script), *filter(None, [ignored])]
    shell = ["sh", "-c", f"trap '' {ignored}; exec \"$@\"", "sh"] if ignored else []
    # Without coverage, which would write its data in the threads and at the ends that are tested here.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        [*shell, *program], capture_output=True, text=True, timeout=60, check=False, env=env
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_first_signal_interrupts_and_no_later_one_interrupts_the_clean_up(name: str) -> None:
    done = run(f"""
        try:
            with signals.interrupting(at_last):
                try:
                    signal.raise_signal(signal.{name})
                    time.sleep(60)
                finally:
                    for number in signals.ENDING:
                        signal.raise_signal(number)
                    print("cleaned up")
        except KeyboardInterrupt:
            signal.raise_signal(signal.{name})
            print(signals.received().name)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"cleaned up\n{name}\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_before_a_run_a_signal_ends_the_program_without_a_traceback(name: str) -> None:
    done = run(f"signal.raise_signal(signal.{name})")
    assert (done.returncode, done.stderr) == (-signal.Signals[name], "")


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM"])
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(name: str) -> None:
    done = run(
        f"""
        with signals.interrupting(at_last):
            signal.raise_signal(signal.SIG{name})
            time.sleep(0.1)
        print("went on")
        """,
        ignored=name,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_a_signal_is_delayed_until_the_end_of_a_deferred_block() -> None:
    done = run("""
        try:
            with signals.interrupting(at_last), signals.deferred():
                with signals.deferred():
                    signal.raise_signal(signal.SIGTERM)
                    print("inner")
                print("outer")
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert (done.returncode, done.stdout) == (0, "inner\nouter\ninterrupted\n"), done.stderr


def test_a_signal_that_does_not_wake_the_main_thread_interrupts_it_all_the_same() -> None:
    done = run("""
        silent, _ = os.pipe()
        # Another thread takes the signal: the main thread's read goes on.
        threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGHUP)).start()
        try:
            with signals.interrupting(at_last):
                os.read(silent, 1)
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_a_child_has_no_signal_ignored_or_blocked() -> None:
    done = run("""
        import subprocess
        child = (
            "import signal\\n"
            "numbers = [getattr(signal, name) for name in ('SIGHUP', 'SIGQUIT', 'SIGTERM', 'SIGXCPU')]\\n"
            "print({signal.getsignal(n) for n in numbers} == {signal.SIG_DFL},"
            " signal.pthread_sigmask(signal.SIG_BLOCK, []))\\n"
        )
        with signals.interrupting(at_last), signals.deferred():
            print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout)
    """)
    assert done.stdout.strip() == "True set()", done.stderr


@pytest.mark.thorough
def test_a_main_thread_that_does_not_come_back_is_not_waited_for() -> None:
    begun = time.monotonic()
    done = run("""
        send(signal.SIGTERM, after=0.2)
        with signals.interrupting(at_last):
            hashlib.pbkdf2_hmac("sha512", b"x", b"y", 200_000_000)  # minutes, in which no handler runs
    """)
    assert (done.returncode, done.stdout) == (9, "at last\n"), done.stderr
    assert time.monotonic() - begun < 30


@pytest.mark.thorough
def test_a_second_signal_after_a_while_ends_a_clean_up_that_takes_too_long() -> None:
    done = run("""
        send(signal.SIGINT, after=0.2)
        send(signal.SIGINT, after=2.0)
        with signals.interrupting(at_last):
            try:
                time.sleep(60)
            finally:
                time.sleep(60)
    """)
    assert (done.returncode, done.stdout) == (9, "at last\n"), done.stderr


def test_of_two_threads_that_end_the_program_one_does() -> None:
    done = run("""
        signals.end()
        threading.Thread(target=lambda: (signals.end(), print("second")), daemon=True).start()
        time.sleep(0.2)
        signals.end()  # the same thread may say so again
        print("first", flush=True)
        os._exit(0)
    """)
    assert done.stdout == "first\n", done.stderr
