"""The supervisor of ``scaup up``, with small programs in place of the services."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from scaup.cli.problems import FailedError
from scaup.cli.up.supervisor import Child, Supervisor, backoff
from tests.support.waiting import eventually

RUNS = "import time; print('running', flush=True); time.sleep(600)"
OBEYS_NOT = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('running', flush=True); time.sleep(600)"
)


def child(tmp_path: Path, name: str, code: str = RUNS, *, needs: tuple[str, ...] = (), stop_s: float = 5.0) -> Child:
    log = tmp_path / f"{name}.log"
    begun = log.stat().st_size if log.exists() else 0

    async def ready() -> str | None:
        return None if b"running" in log.read_bytes()[begun:] else "it has not said so"

    return Child(name, (sys.executable, "-c", code), ready, log, dict(os.environ), needs, stop_s)


@asynccontextmanager
async def supervised(*children: Child) -> AsyncIterator[tuple[Supervisor, list[str]]]:
    said: list[str] = []
    supervisor = Supervisor(children, said.append)
    try:
        yield supervisor, said
    finally:
        supervisor.stop_at_once()
        await supervisor.stop()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_first_restart_is_at_once_and_later_ones_wait_up_to_thirty_seconds() -> None:
    assert [backoff(deaths) for deaths in range(1, 9)] == [0, 1, 2, 4, 8, 16, 30, 30]


async def test_children_are_ready_when_start_returns_and_gone_when_stop_returns(tmp_path: Path) -> None:
    async with supervised(child(tmp_path, "b", needs=("a",)), child(tmp_path, "a")) as (supervisor, said):
        await supervisor.start(20)
        pids = [supervisor.pid("a"), supervisor.pid("b")]
        assert all(pid and is_alive(pid) for pid in pids)
        await supervisor.stop()
        assert not any(pid and is_alive(pid) for pid in pids)
        assert said == []


async def test_a_child_is_a_direct_child_in_a_session_of_its_own(tmp_path: Path) -> None:
    async with supervised(child(tmp_path, "a")) as (supervisor, _):
        await supervisor.start(20)
        pid = supervisor.pid("a")
        assert pid is not None
        assert os.getsid(pid) == pid
        assert int(await _stat(pid)) == os.getpid()


async def _stat(pid: int) -> str:
    process = await asyncio.create_subprocess_exec("ps", "-o", "ppid=", "-p", str(pid), stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode()


async def test_a_child_that_is_killed_is_started_again_at_once_with_a_clear_line(tmp_path: Path) -> None:
    async with supervised(child(tmp_path, "a")) as (supervisor, said):
        await supervisor.start(20)
        first = supervisor.pid("a")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: any("ready again" in line for line in said), "a is ready again")
        assert supervisor.pid("a") != first
        assert said[0].splitlines()[0] == "a was ended by SIGKILL; starting it again now."


async def test_the_second_death_in_a_row_waits_a_second(tmp_path: Path) -> None:
    async with supervised(child(tmp_path, "a")) as (supervisor, said):
        await supervisor.start(20)
        for deaths in (1, 2):
            pid = supervisor.pid("a")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await eventually(partial(_has_died, said, deaths), "the line is said")
            if deaths == 1:
                await eventually(partial(_runs_anew, supervisor, pid), "a runs again")
        assert "starting it again in 1 s." in said[-1]


def _has_died(said: list[str], times: int) -> bool:
    return len([line for line in said if "SIGKILL" in line]) == times


def _runs_anew(supervisor: Supervisor, old: int) -> bool:
    return supervisor.pid("a") not in {None, old}


async def test_stopping_asks_one_after_the_other_in_the_given_order(tmp_path: Path) -> None:
    note = tmp_path / "order"
    tells = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        f"    open({str(note)!r}, 'a').write(sys.argv[1] + ' ')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('running', flush=True)\ntime.sleep(600)"
    )
    named = []
    for name in ("first", "second", "third"):
        made = child(tmp_path, name, tells)
        named.append(Child(name, (*made.command, name), made.ready, made.log, made.environ, (), 5.0))
    async with supervised(*named) as (supervisor, _):
        await supervisor.start(20)
        await supervisor.stop()
    assert note.read_text() == "first second third "


async def test_a_child_that_does_not_obey_is_killed_at_its_deadline(tmp_path: Path) -> None:
    async with supervised(child(tmp_path, "a", OBEYS_NOT, stop_s=0.2)) as (supervisor, _):
        await supervisor.start(20)
        pid = supervisor.pid("a")
        async with asyncio.timeout(20):
            await supervisor.stop()
        assert pid is not None
        assert not is_alive(pid)


async def test_stopping_at_once_does_not_wait_for_deadlines(tmp_path: Path) -> None:
    children = [child(tmp_path, name, OBEYS_NOT, stop_s=60) for name in ("a", "b")]
    async with supervised(*children) as (supervisor, _):
        await supervisor.start(20)
        stopping = asyncio.create_task(supervisor.stop())
        supervisor.stop_at_once()
        async with asyncio.timeout(20):
            await stopping


async def test_a_child_that_refuses_its_settings_ends_the_start_with_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print('SCAUP_FOO is no setting', file=sys.stderr); sys.exit(2)"
    async with supervised(child(tmp_path, "a", code)) as (supervisor, _):
        with pytest.raises(FailedError, match="a ended by itself with exit status 2 before it was ready") as failed:
            await supervisor.start(20)
        assert failed.value.details == ("a: SCAUP_FOO is no setting",)


async def test_a_child_that_is_never_ready_ends_the_start_and_is_named_with_its_reason(tmp_path: Path) -> None:
    silent = child(tmp_path, "a", "import time; time.sleep(600)")
    async with supervised(child(tmp_path, "b", needs=("a",)), silent) as (supervisor, _):
        with pytest.raises(FailedError, match=r"not ready within 0.3 s: a is not ready: it has not said so$"):
            await supervisor.start(0.3)


async def test_a_program_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    made = child(tmp_path, "a")
    missing = Child("a", (str(tmp_path / "nothing"),), made.ready, made.log)
    async with supervised(missing) as (supervisor, _):
        with pytest.raises(FailedError, match="a cannot be started: No such file"):
            await supervisor.start(20)


async def test_stopping_during_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    silent = child(tmp_path, "a", "import time; time.sleep(600)")
    async with supervised(silent, child(tmp_path, "b", needs=("a",))) as (supervisor, _):
        starting = asyncio.create_task(supervisor.start(20))
        await eventually(lambda: supervisor.pid("a") is not None, "a is started")
        pid = supervisor.pid("a")
        await supervisor.stop()
        await starting
        assert pid is not None
        assert not is_alive(pid)
        assert supervisor.pid("b") is None
