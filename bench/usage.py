"""CPU seconds, memory and bytes written of processes, read from outside.

Responsible for: reading /proc (Linux) or `ps` (elsewhere), and finding the processes under one process.
Must not: start, stop or signal anything.
"""

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LINUX = sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Reading:
    """One process at one moment."""

    cpu_seconds: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process used between two readings."""

    name: str
    pid: int
    cpu_seconds: float
    peak_mib: float
    gone: bool
    """The process ended (or was replaced by another) during the run: the figures are incomplete."""


class Meter:
    """Measures a set of named processes from `start` to `stop`."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before: dict[str, Reading | None] = {}

    def start(self) -> None:
        """Begin; the kernel's peak of memory is set back where it lets us."""
        for name, pid in self._pids.items():
            if _LINUX:
                with contextlib.suppress(OSError):  # then the peak is that of the process's whole life
                    Path(f"/proc/{pid}/clear_refs").write_text("5")
            self._before[name] = read(pid)

    def stop(self) -> list[Usage]:
        """What each process used since `start`."""
        used = []
        for name, pid in self._pids.items():
            before, after = self._before.get(name), read(pid)
            if before is None or after is None:
                used.append(Usage(name, pid, 0.0, 0.0, gone=True))
                continue
            peak = after.peak_mib if _LINUX else max(before.peak_mib, after.peak_mib)
            used.append(Usage(name, pid, after.cpu_seconds - before.cpu_seconds, peak, gone=False))
        return used


def read(pid: int) -> Reading | None:
    """CPU seconds so far and peak resident memory; None when there is no such process."""
    try:
        return _read_proc(pid) if _LINUX else _read_ps(pid)
    except (OSError, ValueError, IndexError):
        return None


def _read_proc(pid: int) -> Reading:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = _stat_fields(pid)
    peak = 0.0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            peak = int(line.split()[1]) / 1024
    return Reading((int(fields[11]) + int(fields[12])) / ticks, peak)


def resident_mib(pid: int) -> float:
    """Resident memory now (Linux; elsewhere what `ps` says); 0 where it cannot be known."""
    try:
        if not _LINUX:
            return _read_ps(pid).peak_mib
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def busy_seconds() -> float:
    """CPU seconds that all cores together have been busy, or taken by other machines (Linux); else 0."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # without idle and iowait
    return 0.0


def written_bytes(pid: int) -> int | None:
    """Bytes that a process has had written to disks (Linux); None where that cannot be known."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "write_bytes":
                return int(value)
    return None


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from `state` on; the name before them may contain anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _read_ps(pid: int) -> Reading:
    shown = subprocess.run(
        ["ps", "-o", "time=,rss=", "-p", str(pid)], capture_output=True, text=True, timeout=5, check=False
    )
    time, rss = shown.stdout.split()
    seconds = 0.0
    for part in time.replace("-", ":").split(":"):  # [[dd-]hh:]mm:ss.cc, days being rare enough
        seconds = seconds * 60 + float(part)
    return Reading(seconds, int(rss) / 1024)


def descendants(pid: int) -> dict[str, int]:
    """The processes under `pid`, each named after its `-m scaup.X` module or its program."""
    table = _table_proc() if (Path("/proc") / "self" / "stat").exists() else _table_ps()
    found: dict[str, int] = {}
    wanted = {pid}
    grown = True
    while grown:
        more = {child for child, (parent, _) in table.items() if parent in wanted} - wanted
        wanted |= more
        grown = bool(more)
    for child in sorted(wanted - {pid}):
        name, number = name_of(table[child][1]), 2
        while name in found:
            name, number = f"{name_of(table[child][1])}#{number}", number + 1
        found[name] = child
    return found


def name_of(command: list[str]) -> str:
    """`scaup.ingress` gives `ingress`; a program gives its own name."""
    for flag, module in itertools.pairwise(command):
        if flag == "-m":
            return module.removeprefix("scaup.")
    if any(Path(part).name == "nats-server" for part in command[:2]):
        return "nats-server"
    return Path(command[0]).name if command else "?"


def _table_proc() -> dict[int, tuple[int, list[str]]]:
    table = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):  # it ended while we looked
            pid = int(entry.name)
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            table[pid] = (int(_stat_fields(pid)[1]), [part for part in command if part])
    return table


def _table_ps() -> dict[int, tuple[int, list[str]]]:
    shown = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,command="], capture_output=True, text=True, timeout=10, check=False
    )
    table = {}
    for line in shown.stdout.splitlines():
        pid, parent, *command = line.split()
        table[int(pid)] = (int(parent), command)
    return table
