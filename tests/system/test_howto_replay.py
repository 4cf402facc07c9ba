"""The how-to page about replays, command by command, against a real ``scaup up``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.scaupup import Up, free_offset, scaup_up
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "examples" / "hello"
PAGE = ROOT / "docs" / "how-to" / "replay.md"


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def done(line: str, cwd: Path) -> str:
    """What a shell command prints; it has to succeed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SCAUP_", "KUBECONFIG"))}
    environ |= {"HOME": str(cwd), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, cwd=cwd, env=environ, timeout=60, check=False
    )
    assert ran.returncode == 0, (line, ran.stderr)
    return ran.stdout


def ids(up: Up, port: int) -> list[str]:
    return [event["id"] for event in up.get(port, "/events") or []]


async def test_every_command_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    first, second, dry, replay, by_id, limited, slow = commands()
    with scaup_up(tmp_path / ".scaup", free_offset(), "-f", str(HELLO)) as up:
        up.wait_until_up()
        for line in (first, second):
            assert done(line, tmp_path).endswith(" 202\n")
        await eventually(lambda: ids(up, 8088) == ["r1", "r2"] and ids(up, 8089) == ["r1"], "they are delivered")
        assert done(dry, tmp_path).startswith("1 of 2 events of Broker default/default would be sent to Trigger ")
        assert done(replay, tmp_path).endswith(": 1 delivered\n")
        assert ids(up, 8089) == ["r1", "r1"]
        assert ids(up, 8088) == ["r1", "r2"]
        assert done(by_id, tmp_path).startswith("1 of 2 events ")
        await eventually(lambda: ids(up, 8088) == ["r1", "r2", "r2"], "the one with the id is sent again")
        assert json.loads(done(limited, tmp_path))["queued"] == 1
        await eventually(lambda: ids(up, 8088) == ["r1", "r2", "r2", "r1"], "the oldest is sent again")
        assert done(slow, tmp_path).endswith(": 2 delivered\n")
        assert sorted(ids(up, 8088)) == ["r1", "r1", "r1", "r2", "r2", "r2"]
