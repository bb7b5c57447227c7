"""Child processes: deadlines, groups, cancelling."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.gateways.host import process

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.thorough


def sh(script: str, *, timeout_s: float = 20, **options: object) -> process.Completed:
    return process.run(["sh", "-c", script], timeout_s=timeout_s, name="a script", **options)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not os.path.isdir("/proc/self")  # noqa: PTH112


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().endswith("\n"):
            return path.read_text()
        time.sleep(0.01)
    raise AssertionError(path)


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.02)


def test_gives_the_exit_code_both_outputs_and_the_time() -> None:
    done = sh("echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert 0 < done.seconds < 10


def test_reading_more_than_a_pipe_holds_does_not_block() -> None:
    done = process.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.stdout.write('x' * 2_000_000); sys.stderr.write('y' * 2_000_000)",
        ],
        timeout_s=20,
        name="much output",
    )
    assert len(done.stdout) == len(done.stderr) == 2_000_000


def test_standard_input_is_closed() -> None:
    assert sh("cat").stdout == b""


def test_the_environment_is_what_was_given() -> None:
    done = sh("echo $COLOUR", env={"COLOUR": "red", "PATH": os.environ["PATH"]})
    assert done.stdout.decode().split() == ["red"]


def test_output_stays_out_of_repr() -> None:
    assert "s3cret" not in repr(sh("echo s3cret; echo s3cret >&2"))


def test_at_the_deadline_the_child_and_its_children_are_ended(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    started = time.monotonic()
    with pytest.raises(process.ProcessTimeout) as caught:
        sh(f"echo waiting for a login >&2; sleep 60 & echo $! $$ > {pids}; wait", timeout_s=0.5)
    assert time.monotonic() - started < 30, "it sleeps for 60"
    (problem,) = caught.value.problems
    assert problem.code == "process-timeout"
    assert problem.message == "a script did not exit within 0.5 s and was stopped"
    assert problem.seen == "waiting for a login"
    assert problem.hint is not None
    assert "sh -c 'echo waiting" in str(problem.hint)
    for pid in pids.read_text().split():
        wait_until_dead(int(pid))


def test_children_that_ignore_sigterm_are_killed_after_two_seconds(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    started = time.monotonic()
    with pytest.raises(process.ProcessTimeout):
        sh(f"trap '' TERM; (trap '' TERM; sleep 60) & echo $! $$ > {pids}; sleep 60; wait", timeout_s=0.3)
    assert 2 < time.monotonic() - started < 30, "it sleeps for 60"
    for pid in pids.read_text().split():
        wait_until_dead(int(pid))


def test_a_leader_that_obeys_does_not_save_a_child_that_ignores_sigterm(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(process.ProcessTimeout):
        sh(f"(trap '' TERM; sleep 60) & echo $! > {pids}; sleep 60", timeout_s=0.5)
    wait_until_dead(int(pids.read_text()))


def test_a_background_process_with_open_pipes_does_not_block_the_caller(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    done = sh(f"echo token; sleep 30 & echo $! > {pids}; exit 0")
    assert (done.returncode, done.stdout) == (0, b"token\n")
    assert done.seconds < 5
    os.kill(int(pids.read_text()), 9)


def test_output_of_a_child_is_read_completely_on_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = subprocess.Popen.communicate
    begun = time.monotonic()

    def starved(popen: subprocess.Popen[bytes], timeout: float) -> tuple[bytes, bytes]:
        if time.monotonic() - begun < 1.5:  # this thread has its turn only when its slice is over
            time.sleep(timeout)
            raise subprocess.TimeoutExpired(popen.args, timeout, output=b"", stderr=b"")
        return real(popen, timeout=timeout)

    monkeypatch.setattr(subprocess.Popen, "communicate", starved)
    assert sh("echo all of it").stdout == b"all of it\n"


@pytest.mark.parametrize(
    "given", [{"argv": ["true", "s3cret\0"]}, {"env": {"A": "s3cret\0"}}, {"env": {"A=s3cret": "x"}}]
)
def test_an_invalid_program_argument_is_a_problem_that_omits_the_value(given: dict[str, Any]) -> None:
    options: dict[str, Any] = {"argv": ["true"], "timeout_s": 5, "name": "plugin"}
    with pytest.raises(process.ProcessStartError) as error:
        process.run(**options | given)
    assert not error.value.missing
    assert "an argument or an environment variable" in error.value.problems[0].message
    assert "s3cret" not in error.value.problems[0].message


def test_a_missing_program_is_distinguished_from_one_that_cannot_be_run(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    with pytest.raises(process.ProcessStartError) as missing:
        process.run(["no-such-program", "a b"], timeout_s=1, name="plugin")
    assert missing.value.missing
    assert missing.value.problems[0].message == "plugin: program no-such-program not found"
    assert str(missing.value.problems[0].hint) == "The command: no-such-program 'a b'"
    with pytest.raises(process.ProcessStartError) as denied:
        process.run([plain], timeout_s=1, name="plugin")
    assert not denied.value.missing


def test_a_shared_event_stops_all_its_children_and_lets_none_start() -> None:
    cancel = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(sh, "sleep 60", cancel=cancel) for _ in range(4)]
        time.sleep(0.3)
        cancel.set()
        for future in waiting:
            with pytest.raises(process.ProcessCancelled):
                future.result(timeout=5)
    with pytest.raises(process.ProcessCancelled):
        sh("true", cancel=cancel)


def test_stop_all_ends_every_child_and_its_callers_learn_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(sh, f"sleep 60 & echo $! > {tmp_path}/{n}; wait") for n in range(4)]
        pids = [int(wait_for(tmp_path / str(n))) for n in range(4)]
        process.stop_all()
        for future in waiting:
            with pytest.raises(process.ProcessCancelled):
                future.result(timeout=5)
    for pid in pids:
        wait_until_dead(pid)
    assert sh("echo later").stdout == b"later\n"


def test_ctrl_c_ends_the_child(tmp_path: Path) -> None:
    script = (
        "from istio_mc.gateways.host import process\n"
        f"process.run(['sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 60'], timeout_s=60, name='x')\n"
    )
    with ThreadPoolExecutor(1) as pool:
        program = tmp_path / "program.sh"
        program.write_text(
            f'#!/bin/sh\n{sys.executable} -c "$1" & p=$!\n'
            f"while ! [ -s {tmp_path}/pid ]; do sleep 0.05; done\nkill -INT $p\nwait $p\n"
        )
        # sh starts background jobs with SIGINT ignored; Python then leaves it so, unless told otherwise.
        whole = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + script
        done = pool.submit(
            process.run, ["sh", str(program), whole], timeout_s=30, name="a program that is interrupted"
        ).result()
    assert b"KeyboardInterrupt" in done.stderr
    wait_until_dead(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("number", ["INT", "TERM", "HUP"])
def test_a_child_is_not_left_behind_that_starts_while_an_interrupt_comes(tmp_path: Path, number: str) -> None:
    """On a busy machine a child may run for a while before its program knows that it has one."""
    script = (
        "import subprocess, time\n"
        "from istio_mc.gateways.host import process, signals\n"
        "signals.end_at_once()\n"
        "class Busy(subprocess.Popen):\n"
        "    def __init__(self, *words, **more):\n"
        "        super().__init__(*words, **more)\n"
        "        time.sleep(0.5)\n"
        "subprocess.Popen = Busy\n"
        f"child = 'echo $$ > {tmp_path}/pid; kill -{number} $PPID; exec sleep 60'\n"
        "with signals.interrupting(lambda: None):\n"
        "    process.run(['sh', '-c', child], timeout_s=60, name='x')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30, check=False)
    assert b"KeyboardInterrupt" in done.stderr
    wait_until_dead(int((tmp_path / "pid").read_text()))


def test_a_program_that_ends_by_an_error_of_its_own_leaves_no_child(tmp_path: Path) -> None:
    script = (
        "import pathlib, threading, time\n"
        "from istio_mc.cli.edge import leave\n"
        "from istio_mc.gateways.host import process\n"
        f"child = 'echo $$ > {tmp_path}/pid; exec sleep 60'\n"
        "work = lambda: process.run(['sh', '-c', child], timeout_s=60, name='x')\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        f"pid = pathlib.Path('{tmp_path}/pid')\n"
        "while not (pid.exists() and pid.read_text()):\n"
        "    time.sleep(0.01)\n"
        "leave(1)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=30, check=False)
    assert done.returncode == 1
    wait_until_dead(int((tmp_path / "pid").read_text()))


def test_once_the_program_ends_no_child_is_started() -> None:
    script = (
        "from istio_mc.gateways.host import process\n"
        "process.stop_all(for_good=True)\n"
        "try:\n"
        "    process.run(['echo', 'started'], timeout_s=60, name='x')\n"
        "except process.ProcessCancelled as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30, check=True)
    assert done.stdout == b"x was stopped before it exited\n"


def test_an_interactive_child_reads_the_terminal_and_writes_its_prompt_there() -> None:
    ours, theirs = os.openpty()
    program = (
        "from istio_mc.gateways.host import process\n"
        "script = 'echo Code: >&2; read code; echo got $code'\n"
        "done = process.run(['sh', '-c', script], timeout_s=20, name='x', interactive=True)\n"
        "print(done.stdout, done.stderr)\n"
    )
    with ThreadPoolExecutor(1) as pool, os.fdopen(ours, "r+b", buffering=0) as terminal:
        running = pool.submit(
            subprocess.run,
            [sys.executable, "-c", program],
            stdin=theirs,
            stderr=theirs,
            stdout=subprocess.PIPE,
            timeout=30,
            check=True,
        )
        seen = b""
        while b"Code:" not in seen:
            seen += terminal.read(100)
        terminal.write(b"1234\n")
        assert running.result().stdout == b"b'got 1234\\n' b''\n"
    os.close(theirs)


def test_an_interactive_child_that_gets_no_answer_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(process.ProcessTimeout):
        process.run(["sleep", "60"], timeout_s=0.3, name="x", interactive=True)
    assert time.monotonic() - started < 5


def test_many_threads_at_once_each_get_their_own_output() -> None:
    with ThreadPoolExecutor(16) as pool:
        results = pool.map(lambda n: sh(f"echo {n}").stdout, range(64))
        assert [int(text) for text in results] == list(range(64))


def test_commands_are_shown_ready_to_paste(tmp_path: Path) -> None:
    assert process.command_to_paste(["istioctl", "-f", tmp_path / "a b"]) == f"istioctl -f '{tmp_path}/a b'"


def test_the_end_of_an_output_is_plain_text_of_bounded_length() -> None:
    assert process.tail(b"\x1b[31mred\x1b[0m\r\n") == "red"
    assert process.tail(b"1\n2\n3\n", lines=2) == "2\n3"
    assert process.tail(b"x" * 50, characters=10) == "…" + "x" * 10
    assert process.tail(b"\xff") == "\N{REPLACEMENT CHARACTER}"
