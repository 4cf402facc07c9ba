"""The official CloudEvents SDKs for Go and JavaScript (``tests/interop``) as producers and sinks.

Built once, then kept in ``$XDG_CACHE_HOME/scaup-interop`` (else ``~/.cache/scaup-interop``) under names that hold the
digest of the sources.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.builtonce import built, go_build, run_build
from tests.support.realtools import need

SOURCES: Final = Path(__file__).parent.parent / "interop"
_PATIENCE_S: Final = 30
Seen = dict[str, Any]
"""An event as an SDK understands it, by the names of ``described`` in ``tests/interop/go/main.go``."""


@dataclass
class SdkSink:
    """A sink that is made with an SDK. ``seen`` are the events it understood, in order."""

    url: str
    seen: list[Seen] = field(default_factory=list)

    def of(self, event_id: str) -> Seen | None:
        """What it understood of this event, if it came."""
        return next((one for one in self.seen if one["id"] == event_id), None)


@dataclass(frozen=True)
class Sdk:
    """The program that is made with an SDK."""

    command: tuple[str, ...]

    async def send(self, url: str, mode: str, *events: Seen) -> tuple[int, str]:
        """Have it make the events and post them; the status and the body of the answer."""
        process = await asyncio.create_subprocess_exec(
            *self.command, "send", url, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        order = json.dumps({"mode": mode, "events": [_described(event) for event in events]})
        said, wrong = await asyncio.wait_for(process.communicate(order.encode()), _PATIENCE_S)
        assert process.returncode == 0, wrong.decode()
        answer = json.loads(said)
        return answer["status"], answer["body"]

    @asynccontextmanager
    async def sink(self) -> AsyncIterator[SdkSink]:
        """A sink for the length of a test."""
        process = await asyncio.create_subprocess_exec(*self.command, "sink", stdout=subprocess.PIPE)
        assert process.stdout is not None
        port = json.loads(await asyncio.wait_for(process.stdout.readline(), _PATIENCE_S))["port"]
        running = SdkSink(f"http://127.0.0.1:{port}/")
        reading = asyncio.create_task(_read(process.stdout, running))
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await reading


async def _read(lines: asyncio.StreamReader, into: SdkSink) -> None:
    async for line in lines:
        event = json.loads(line)
        into.seen.append(event | {"data": base64.b64decode(event.get("data") or "")})


def _described(event: Seen) -> Seen:
    data = event.get("data")
    return event | ({} if data is None else {"data": base64.b64encode(data).decode()})


def go_sdk() -> Sdk:
    """The program of ``tests/interop/go``."""
    sources = SOURCES / "go"
    return Sdk((str(built("interop", "go", sources, lambda target: go_build(sources, ".", target))),))


def js_sdk() -> Sdk:
    """The program of ``tests/interop/js``, with what its lock file names."""

    def build(target: Path) -> None:
        shutil.copytree(SOURCES / "js", target)
        run_build([str(need("npm")), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], target, os.environ)

    return Sdk((str(need("node")), str(built("interop", "js", SOURCES / "js", build) / "main.js")))


if __name__ == "__main__":  # so that no test's time pays for the first build
    print(f"{go_sdk().command[-1]}\n{js_sdk().command[-1]}")
