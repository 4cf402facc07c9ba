"""The life of a process: signals, drain, its parent's end, and its exit status. Each test runs a small real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys
from scaup.core.model.errors import BusError
from scaup.core.runtime import lifecycle
from scaup.core.runtime.settings import ServiceSettings

async def run(settings, life):
    print("up", flush=True)
    {body}

lifecycle.main("test", ServiceSettings, lambda settings: settings, run)
"""
DRAINS = """await life.stopping.wait()
    print(list(life.health.problems()), flush=True)
    await asyncio.sleep(0.1)
    print("drained", flush=True)"""
HANGS = "await life.stopping.wait(); print('stopping', flush=True); await asyncio.sleep(60)"


@contextmanager
def a_process(body: str, *, pass_fds: tuple[int, ...] = (), **environ: str) -> Iterator[subprocess.Popen[str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCAUP_")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | environ,
        pass_fds=pass_fds,
    )
    try:
        assert process.stdout is not None
        yield process
    finally:
        process.kill()
        process.communicate()


def until_up(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"


def end_of(process: subprocess.Popen[str], within_s: float = 10) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=within_s)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_work_finish_and_ends_with_0(number: int) -> None:
    with a_process(DRAINS) as process:
        until_up(process)
        process.send_signal(number)
        process.send_signal(number)  # a repeat within 2 s is the same signal
        assert end_of(process) == (0, "['stopping']\ndrained\n", "")


def test_the_drain_has_a_deadline() -> None:
    with a_process(HANGS, SCAUP_DRAIN_SECONDS="0.2") as process:
        until_up(process)
        begun = time.monotonic()
        process.terminate()
        status, _, err = end_of(process)
        assert status == 0
        assert 0.2 <= time.monotonic() - begun < 15
        assert "lifecycle.drain_deadline" in err


def test_a_second_signal_after_two_seconds_ends_the_drain() -> None:
    with a_process(HANGS, SCAUP_DRAIN_SECONDS="50") as process:
        until_up(process)
        process.terminate()
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2.1)
        process.terminate()
        assert end_of(process, 3)[0] == 0


def test_the_end_of_the_parent_is_a_signal_to_stop() -> None:
    reading, writing = os.pipe()
    with a_process(DRAINS, pass_fds=(reading,), SCAUP_UP_PARENT_FD=str(reading)) as process:
        os.close(reading)
        until_up(process)
        os.close(writing)  # as the kernel does when the parent is killed
        status, out, _ = end_of(process, 3)
        assert (status, out) == (0, "['stopping']\ndrained\n")


def test_the_orphan_is_ended_when_the_parent_is_gone(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    orphan = subprocess.Popen(["sleep", "60"])
    pid_file = tmp_path / "pid"
    pid_file.write_text(str(orphan.pid), encoding="ascii")
    environ = {"SCAUP_UP_PARENT_FD": str(reading), "SCAUP_UP_ORPHAN_PID_FILE": str(pid_file)}
    with a_process(HANGS, pass_fds=(reading,), **environ) as process:
        os.close(reading)
        until_up(process)
        os.close(writing)
        begun = time.monotonic()
        assert orphan.wait(5) == -signal.SIGTERM
        assert time.monotonic() - begun > 2, "the siblings have time to settle what they hold"
        process.wait(3)


@pytest.mark.parametrize(
    ("body", "event", "text"),
    [
        ("raise BusError('no bus', hint='look there')", "lifecycle.failed", "no bus"),
        ("raise ExceptionGroup('x', [BusError('no bus')])", "lifecycle.failed", "no bus"),
        ("raise ZeroDivisionError('oops')", "lifecycle.crashed", "oops"),
    ],
)
def test_a_failure_is_said_once_and_ends_with_1(body: str, event: str, text: str) -> None:
    with a_process(body) as process:
        status, _, err = end_of(process)
    assert status == 1
    assert len(err.splitlines()) == 1
    assert event in err
    assert text in err


def test_wrong_settings_are_one_clear_line_and_end_with_2() -> None:
    with a_process(DRAINS, SCAUP_DRAIN_SECOND="1") as process:
        status, out, err = end_of(process)
    assert (status, out) == (2, "")
    assert err == "scaup test: SCAUP_DRAIN_SECOND is no setting: did you mean SCAUP_DRAIN_SECONDS?\n"
