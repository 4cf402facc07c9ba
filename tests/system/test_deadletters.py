"""Dead letters as a person handles them: the page's own commands, and commands and dispatchers that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import warm
from tests.support.scaupup import Up, free_offset, scaup, scaup_up
from tests.support.sinks import OK, Sink, answer, sink
from tests.support.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "dead-letters.md"
DEFINITIONS = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: orders}
spec: {broker: default, subscriber: {uri: 'URI'}}
"""


class Person:
    """Who types commands."""

    def __init__(self, up: Up) -> None:
        self.up = up

    async def types(self, *arguments: str, status: int = 0) -> str:
        kubeconfig = self.up.data / "kubeconfig"
        done = await asyncio.to_thread(scaup, *arguments, cwd=self.up.data.parent, kubeconfig=kubeconfig)
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def starts(self, *arguments: str) -> warm.Command:
        environ = os.environ | {"SCAUP_KUBECONFIG": str(self.up.data / "kubeconfig")}
        return warm.Command("cli", arguments, env=environ, cwd=self.up.data.parent)

    async def letters(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(await self.types("deadletters", "list", "-o", "json"))["items"]
        return items


@asynccontextmanager
async def dead(directory: Path, count: int) -> AsyncIterator[tuple[Person, Sink]]:
    """``scaup up`` with so many dead letters, and a sink that is well again."""
    async with sink(*[answer(400, b"no such order")] * count, OK) as there:
        path = directory / "d.yaml"
        path.write_text(DEFINITIONS.replace("URI", there.url))
        with scaup_up(directory / "data", free_offset(), "-f", str(path)) as up:
            await asyncio.to_thread(up.wait_until_up)
            person = Person(up)
            sending = [asyncio.to_thread(_post, up, number) for number in range(count)]
            assert set(await asyncio.gather(*sending)) == {202}

            async def are_dead() -> bool:
                return len(await person.letters()) == count

            await eventually(are_dead, "all are dead letters", within_s=30)
            there.requests.clear()
            yield person, there


def _post(up: Up, number: int) -> int:
    import urllib.request

    headers = {"ce-specversion": "1.0", "ce-type": "t", "ce-source": "/me", "ce-id": str(number)}
    request = urllib.request.Request(up.url(8080, "/default/default"), b"{}", headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return int(response.status)


async def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    lines = re.findall(r"^scaup (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) == 7
    async with dead(tmp_path, 3) as (person, there):
        name = (await person.letters())[0]["metadata"]["name"]
        said = [await person.types(*shlex.split(line.replace("NAME", name))) for line in lines]
        assert said[0].startswith("NAME ")
        assert said[0].count(name) == 1
        assert "no such order" in said[1]
        assert f"scaup deadletters replay {name} " in said[1]
        assert said[2] == "1 queued for Trigger orders\n1 delivered\n"
        assert said[3] == "2 would be queued for Trigger orders\n"
        assert said[4] == "2 queued for Trigger orders\n2 delivered\n"
        assert said[5] == said[6] == "No such dead letters in namespace default.\n"
        assert sorted(there.ids) == ["0", "1", "2"]


@pytest.mark.long
async def test_a_purge_asks_removes_what_was_selected_and_says_so(tmp_path: Path) -> None:
    async with dead(tmp_path, 3) as (person, _):
        names = [letter["metadata"]["name"] for letter in await person.letters()]
        assert "nothing says what to purge" in await person.types("deadletters", "purge", status=2)
        assert "--yes" in await person.types("deadletters", "purge", names[0], status=2)
        done = json.loads(await person.types("deadletters", "purge", names[1], "--yes", "-o", "json"))
        assert (done["selected"], done["purged"], done["byTrigger"][0]["trigger"]) == (1, 1, "orders")
        assert [letter["metadata"]["name"] for letter in await person.letters()] == [names[0], names[2]]
        assert "no dead letter" in await person.types("deadletters", "show", names[1], status=1)
        assert "2 of 2 purged" in await person.types("deadletters", "purge", "--trigger", "orders", "--yes")


async def test_command_and_dispatcher_are_killed_in_the_middle_and_nothing_is_lost(tmp_path: Path) -> None:
    async with dead(tmp_path, 60) as (person, there):
        process = person.starts("deadletters", "replay", "--all", "--rate", "20")
        await eventually(lambda: len(there.requests) >= 10, "some are delivered")
        process.kill()
        process.communicate()
        assert len(await person.letters()) > 0
        os.kill(person.up.children()["dispatcher"], signal.SIGKILL)
        said = await person.types("deadletters", "replay", "--all", "--wait")
        assert "queued for Trigger orders" in said
        assert await person.letters() == []
        times = Counter(there.ids)
        assert set(times) == {str(number) for number in range(60)}
        assert sum(times.values()) - 60 <= 2  # what was under way


async def test_ctrl_c_stops_a_replay_safely_and_says_how_to_go_on(tmp_path: Path) -> None:
    async with dead(tmp_path, 30) as (person, there):
        process = person.starts("deadletters", "replay", "--all", "--rate", "5")
        await eventually(lambda: len(there.requests) >= 3, "some are delivered")
        process.send_signal(signal.SIGINT)
        said, _ = await asyncio.to_thread(process.communicate, timeout=20)
        assert process.returncode == 130
        assert "Stopped. Nothing is lost" in said
        await person.types("deadletters", "replay", "--all", "--wait")
        assert await person.letters() == []
        assert sorted(there.ids, key=int) == [str(number) for number in range(30)]
