"""Pages of the documentation, as a reader would follow them: each command is run, and has to say what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One command of a page, and the lines that follow it there; ``…`` stands for any lines, or any text in a line."""

    command: str
    says: list[str]


def steps(page: str) -> list[Step]:
    """The commands in the ``console`` blocks of a page of ``docs/``, in order."""
    found: list[Step] = []
    for block in _BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line.removeprefix("$ "), []))
            else:
                found[-1].says.append(line)
    assert found, f"{page} has no commands"
    return found


def follow(page: str, directory: Path, kubeconfig: Path, offset: int = 0) -> None:
    """Run every command of a page in a shell, in ``directory``; ports of the page are moved by ``offset``."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SCAUP_", "KUBECONFIG"))}
    environ |= {
        "HOME": str(directory),
        "SCAUP_KUBECONFIG": str(kubeconfig),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}",
    }
    for step in steps(page):
        command = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(int(port[0]) + offset), step.command)
        done = subprocess.run(
            ["sh", "-c", command],
            capture_output=True,
            text=True,
            cwd=directory,
            env=environ,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, f"{page}: {command}\n{done.stdout}{done.stderr}"
        assert re.fullmatch(_pattern(step.says), done.stdout.rstrip("\n")), (
            f"{page}: {command}\nsays:\n{done.stdout}{done.stderr}\nand not:\n" + "\n".join(step.says)
        )


def _pattern(says: list[str]) -> str:
    lines = [r"(?:.*\n)*?.*?" if line == "…" else re.escape(line).replace("…", ".*?") for line in says]
    return "\n".join(lines)


def assert_fresh(tool: str) -> None:
    """Assert that what ``tools/TOOL.py`` makes is what is there."""
    command = [sys.executable, str(DOCS.parent / "tools" / f"{tool}.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
