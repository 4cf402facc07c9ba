"""``scaup sink``: one sink in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from datetime import datetime

from scaup.cli.lines import event_line
from scaup.cli.sink import Behaviour, Sink, serve
from scaup.core.model.event import Event


def run(port: int, behaviour: Behaviour) -> None:
    """Serve on loopback and print each event; PortTakenError where the port cannot be had."""
    quiet()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(port, behaviour))


def quiet() -> None:
    """The web server's own words are for nobody here."""
    import logging

    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)


async def _serve(port: int, behaviour: Behaviour) -> None:
    sink = Sink(behaviour, _show)
    server = serve(sink, port)

    def stop() -> None:
        sink.stopping.set()
        server.stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    _say(f"A sink at http://127.0.0.1:{server.port}/ (what it received: GET /events). Stop it with Ctrl-C.")
    await server.run()


def _show(event: Event) -> None:
    _say(event_line(event, "sink", datetime.now().astimezone()))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
