"""What a figure was measured on: without it a figure says nothing.

Responsible for: naming the machine and the versions. Must not: measure.
"""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """The place and time of a bench."""

    date: str
    cpu: str
    cores: int
    system: str
    python: str
    nats: str
    sync: str = "interval (the default)"
    replicas: int = 1

    @classmethod
    def here(cls) -> "Machine":
        """The machine we run on, now."""
        return cls(
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            cpu=_cpu(),
            cores=os.cpu_count() or 0,
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=platform.python_version(),
            nats=_nats(),
        )

    def sentence(self) -> str:
        """All of it in two lines."""
        return (
            f"{self.date}  {self.cpu}, {self.cores} cores, {self.system}\n"
            f"Python {self.python}, {self.nats}, sync: {self.sync}, replicas: {self.replicas}; "
            "the load tool runs on the same cores"
        )


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _nats() -> str:
    """The version of the server that `scaup up` starts: the wheel's, beside this Python."""
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    if not program:
        return "nats-server: version unknown"
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    return shown.stdout.strip().replace(": v", " ")
