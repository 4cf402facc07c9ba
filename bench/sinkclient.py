"""The generator's side of the sink process: start it, ask it, end it.

Responsible for: one sink process and the control requests to it.
Must not: know what the answers mean for a run.
"""

import asyncio
import contextlib
import sys
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlencode

import orjson

ROOT = Path(__file__).resolve().parent.parent
"""Where `bench` is a package."""
_DEADLINE = 20.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class SinkClient:
    """A running sink."""

    port: int
    pid: int

    def url(self, path: str) -> str:
        """The address of one path, as a Trigger's subscriber."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def progress(self, run: str) -> dict[str, dict[str, int]]:
        """The counts of every path for this run."""
        return cast("dict[str, dict[str, int]]", orjson.loads(await self._ask("progress", run=run)))

    async def arrivals(self, run: str, path: str) -> "array[int]":
        """First arrivals at this path by sequence number."""
        first = array("q")
        first.frombytes(await self._ask("arrivals", run=run, path=path))
        return first

    async def behave(self, path: str, behaviour: str) -> None:
        """Change how a path answers: `answer`, `hang`, `status=503`, `delay=0.5`, `poison=100`."""
        await self._ask("behave", **{"path": path, "as": behaviour})

    async def reserve_door(self) -> int:
        """A further port of the sink that refuses connections until it is opened."""
        return int(await self._ask("reserve"))

    async def open_door(self, port: int) -> None:
        """Listen there; returns when a connection is taken."""
        await self._ask("open", port=str(port))
        await self._until_door(port, is_open=True)

    async def shut_door(self, port: int) -> None:
        """Break all connections there; returns when a new one is refused."""
        await self._ask("shut", port=str(port))
        await self._until_door(port, is_open=False)

    async def _until_door(self, port: int, *, is_open: bool) -> None:
        async with asyncio.timeout(_DEADLINE):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    taken = False
                else:
                    taken = True
                    writer.close()
                if taken is is_open:
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def forget(self, run: str) -> None:
        """Give back the memory of a run."""
        await self._ask("forget", run=run)

    async def _ask(self, what: str, **asked: str) -> bytes:
        target = f"/_/{what}?{urlencode(asked)}"
        async with asyncio.timeout(_DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(f"GET {target} HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n".encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        if not head.startswith(b"HTTP/1.1 200"):
            raise ValueError(f"the sink refuses {target}: {body.decode(errors='replace')}")
        return body


@contextlib.asynccontextmanager
async def started_sink(port: int = 0) -> AsyncIterator[SinkClient]:
    """A sink process of its own; it ends with this block, or with this process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.sink", "--port", str(port), "--with-parent"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the sink was started without pipes")
    try:
        async with asyncio.timeout(_DEADLINE):
            said = (await process.stdout.readline()).split()
        if len(said) != 2:
            raise RuntimeError(f"the sink did not start; is port {port} taken?")
        yield SinkClient(int(said[1]), process.pid)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
