"""The how-to page about replays, command by command, against a real ``scaup up``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scaupup import Up, free_offset, scaup_up
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "examples" / "hello"
PAGE = ROOT / "docs" / "how-to" / "replay.md"


def commands() -> list[str]:
    """The blocks of the page, each as it would be pasted."""
    return re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


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


@pytest.mark.timeout(300)  # nine commands, each a process of its own
async def test_every_command_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    send, dry, replay, choose, slow, apply, get = commands()
    with scaup_up(tmp_path / ".scaup", free_offset(), "-f", str(HELLO)) as up:
        up.wait_until_up()
        assert done(send, tmp_path) == "r1 202\nr2 202\n"
        await eventually(lambda: ids(up, 8088) == ["r1", "r2"] and ids(up, 8089) == ["r1"], "they are delivered")
        assert done(dry, tmp_path).startswith("1 of 2 events of Broker default/default would be sent to Trigger ")
        assert done(replay, tmp_path).endswith(": 1 delivered\n")
        assert ids(up, 8089) == ["r1", "r1"]
        assert ids(up, 8088) == ["r1", "r2"]
        sentence, _, told = done(choose, tmp_path).partition("\n")
        assert sentence.startswith("1 of 2 events ")
        assert json.loads(told)["queued"] == 1
        await eventually(lambda: sorted(ids(up, 8088)) == ["r1", "r1", "r2", "r2"], "one by id, and the oldest")
        assert done(slow, tmp_path).endswith(": 2 delivered\n")
        assert sorted(ids(up, 8088)) == ["r1", "r1", "r1", "r2", "r2", "r2"]
        done(apply, tmp_path)

        def is_done() -> bool:
            said = json.loads(done(get, tmp_path))["status"].get("annotations", {}).get("scaup.dev/start")
            return bool(said == "done: 2 of 2 events queued")

        await eventually(is_done, "the new Trigger has its history")
        await eventually(lambda: ids(up, 8089)[-2:] == ["r1", "r2"], "its sink has it")
