"""A dispatcher whose name server is silent delivers to all other sinks, and ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.dataplane import delivery, world
from tests.support.natsserver import NatsServer
from tests.support.sinks import sink
from tests.support.waiting import eventually

# The dispatcher, and beneath it a system whose lookups of some names do not return.
_DISPATCHER = """
import socket, time
ask = socket.getaddrinfo
def getaddrinfo(host, *args, **more):
    if str(host).endswith(".silent"):
        print("asked", host, flush=True)
        time.sleep(300)
    return ask(host, *args, **more)
socket.getaddrinfo = getaddrinfo
from scaup.dispatcher.__main__ import main
main()
"""


@contextmanager
def _running(environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", _DISPATCHER], env=environ, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_dispatcher_delivers_and_ends_in_time_while_lookups_hang(nats: NatsServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SCAUP_")}
    environ |= {"SCAUP_NATS_URL": nats.url, "SCAUP_METRICS_LISTEN": "127.0.0.1:0", "SCAUP_DRAIN_SECONDS": "2"}
    async with world(nats.url) as here, sink() as there:
        for number in range(40):  # more than may be looked up at once
            await here.trigger(f"t-{number}", f"http://{number}.silent/", delivery=delivery(timeout_s=60))
        await here.filter()
        with _running(environ, log) as process:
            await here.send()
            await eventually(lambda: log.read_text().count("asked") >= 32, "lookups hang")
            await here.trigger("well", f"http://localhost:{there.port}/")
            sent = await here.send(id="after")
            await eventually(lambda: sent in there.ids, "the other sink gets its event", within_s=10)
            process.send_signal(signal.SIGTERM)
            start = time.monotonic()
            assert await asyncio.to_thread(process.wait, 20) == 0, log.read_text()[-3000:]
            assert time.monotonic() - start < 15
