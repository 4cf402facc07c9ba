"""The commands of ``docs/how-to/duplicates.md``, one after the other, print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.scaupup import Up, free_offset, scaup_up
from tests.support.waiting import eventually

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "duplicates.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^```sh\n(.*?)^```\n\n^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BROKERS = "/apis/eventing.knative.dev/v1/namespaces/default/brokers"
TRIGGERS = "/apis/eventing.knative.dev/v1/namespaces/default/triggers"


def printed(commands: str, up: Up) -> list[str]:
    """The lines that a shell prints, spaces made single, with the ports that are this test's."""
    here = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{int(found[1]) + up.offset}", commands)
    environ = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SCAUP_KUBECONFIG": str(up.data / "kubeconfig"),
    }
    done = subprocess.run(
        ["sh", "-c", here],
        cwd=up.data.parent,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return in_lines(done.stdout)


def in_lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def is_ready(up: Up) -> bool:
    items = [up.get(8081, f"{path}/orders") or {} for path in (BROKERS, TRIGGERS)]
    ready = [
        condition["status"]
        for item in items
        for condition in item.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready"
    ]
    return ready == ["True", "True"]


def test_every_command_of_the_page_says_what_it_prints() -> None:
    assert len(STEPS) == PAGE.count("```sh\n") == 8


async def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    whole = re.search(r"^```yaml\n# orders.yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert whole is not None
    (tmp_path / "orders.yaml").write_text(f"# orders.yaml\n{whole[1]}", encoding="utf-8")
    with scaup_up(tmp_path / "data", free_offset()) as up:
        up.wait_until_up()
        for commands, expected in STEPS:
            if commands.startswith(("curl", "scaup describe")):  # these only look, and a moment later there may be more

                def says(commands: str = commands, expected: str = expected) -> bool:
                    return printed(commands, up) == in_lines(expected)

                try:
                    await eventually(says, commands)
                except AssertionError:
                    assert printed(commands, up) == in_lines(expected)
            else:
                assert printed(commands, up) == in_lines(expected), commands
            if "created" in expected:
                await eventually(lambda: is_ready(up), "the Broker and its Trigger are Ready")
