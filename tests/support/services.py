"""The data plane's services, in this process or as processes of their own, with definitions written by the test."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from scaup.core.bus import topology
from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import Bucket, dumps
from scaup.core.http.server import HttpServer, bind
from scaup.core.model.definitions import AddressBookEntry, BrokerDefinition, Complete, TriggerDefinition, to_json
from scaup.core.model.names import (
    COMPLETE_KEY,
    DEFINITIONS_BUCKET,
    REPLICAS_BUCKET,
    BrokerUid,
    broker_key,
    log_stream,
    trigger_key,
)
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.health import Health
from scaup.core.runtime.observe import metrics_app
from scaup.ingress.app import Ingress
from scaup.ingress.settings import IngressSettings
from tests.support import rawhttp, warm
from tests.support.ports import Port
from tests.support.waiting import eventually


async def define(
    bus: Bus,
    brokers: Iterable[BrokerDefinition] = (),
    triggers: Iterable[TriggerDefinition] = (),
    addresses: dict[str, AddressBookEntry] | None = None,
) -> Bucket:
    """Provision the Brokers and write all that to the ``definitions`` bucket, complete, as the controller does."""
    bucket = Bucket(bus, DEFINITIONS_BUCKET)
    await bucket.ensure()
    await Bucket(bus, REPLICAS_BUCKET).ensure(ttl_s=20)
    brokers, triggers, addresses = list(brokers), list(triggers), addresses or {}
    for broker in brokers:
        await topology.ensure_broker(bus, broker)
        await bucket.put(broker_key(broker.uid), dumps(to_json(broker)))
    for trigger in triggers:
        await bucket.put(trigger_key(trigger.uid), dumps(to_json(trigger)))
    for key, entry in addresses.items():
        await bucket.put(key, dumps(to_json(entry)))
    await bucket.put(COMPLETE_KEY, dumps(to_json(Complete(1, len(brokers), len(triggers), len(addresses)))))
    return bucket


async def following(bus: Bus, definitions: Definitions, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
    """A task that keeps ``definitions`` up; they are loaded when this returns."""
    task = tasks.create_task(definitions.follow(bus))
    async with asyncio.timeout(10):
        await definitions.loaded.wait()
    return task


@dataclass
class InProcess:
    """An ingress in this process, on a port of its own."""

    port: int
    ingress: Ingress
    definitions: Definitions


@asynccontextmanager
async def ingress_here(bus: Bus, definitions: Definitions | None = None, **settings: Any) -> AsyncIterator[InProcess]:
    """The real ingress app behind the real HTTP server. Without ``definitions`` it follows the bucket."""
    held = definitions or Definitions()
    app = Ingress(bus, held, IngressSettings(**settings), metrics_app(Health()))
    server = HttpServer(app, bind("127.0.0.1", 0))
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.run())
        asking = tasks.create_task(app.room.keep_asking())
        work = [asking] if definitions is not None else [asking, await following(bus, held, tasks)]
        await eventually(lambda: server._server.started, "the server listens")
        try:
            yield InProcess(server.port, app, held)
        finally:
            server.stop()
            await serving
            for task in work:
                task.cancel()


async def entries(bus: Bus, broker: BrokerUid, *, stream: str = "") -> list[Msg]:
    """Everything in the event log of a Broker, oldest first, as a plain NATS client sees it."""
    name = stream or log_stream(broker)
    state = (await bus.api(f"STREAM.INFO.{name}"))["state"]
    jetstream = bus.client.jetstream()
    if not state["messages"]:
        return []
    found = []
    for sequence in range(state["first_seq"], state["last_seq"] + 1):
        try:
            raw = await jetstream.get_msg(name, sequence)
        except NotFoundError:  # settled or trimmed meanwhile
            continue
        found.append(Msg(bus.client, raw.subject or "", "", raw.data or b"", raw.headers))
    return found


@dataclass
class Service:
    """One ``python -m scaup.HOME``; its log is in ``log``."""

    home: str
    process: subprocess.Popen[bytes] | warm.Process
    log: Path
    port: int
    metrics_port: int

    async def until_ready(self, within_s: float = 40.0) -> None:
        """Until ``/readyz`` of its metrics port says so."""

        async def ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"{self.home} ended:\n{self.log.read_text()[-3000:]}")
            with suppress(OSError, EOFError, TimeoutError):
                return (await rawhttp.send(self.metrics_port, "GET", "/readyz")).status == 200
            return False

        _: bool = await eventually(ready, f"{self.home} is ready", within_s=within_s)

    async def stopped(self, number: int, within_s: float = 10.0) -> int:
        """Send a signal and give back the exit status."""
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, within_s)


def short_queue_waits(directory: Path) -> dict[str, str]:
    """The environment of a dispatcher whose queue entries come again 3 s after it was killed, and not 30 s."""
    directory.mkdir(parents=True, exist_ok=True)
    customized = "from scaup.core.bus import topology\ntopology.QUEUE_ACK_WAIT_S = 3.0\n"
    (directory / "sitecustomize.py").write_text(customized)
    return {"PYTHONPATH": str(directory)}


def _started(home: str, out: BinaryIO, environ: dict[str, str]) -> subprocess.Popen[bytes] | warm.Process:
    if "PYTHONPATH" not in environ:
        return warm.start(home, out=out, error=out, env=environ)
    # What is to be loaded beside it, only a new interpreter loads.
    command = [sys.executable, "-m", f"scaup.{home}"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ)


@contextmanager
def service(home: str, directory: Path, nats_url: str, **environ: str) -> Iterator[Service]:
    """Start a service on free ports against a NATS; killed at the end if it still runs."""
    directory.mkdir(parents=True, exist_ok=True)
    port, metrics_port = Port(), Port()
    log = directory / f"{home}-{port}.log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCAUP_")}
    settings = {
        "SCAUP_NATS_URL": nats_url,
        "SCAUP_LISTEN": f"127.0.0.1:{port}",
        "SCAUP_METRICS_LISTEN": f"127.0.0.1:{metrics_port}",
    }
    with ExitStack() as stack:
        out = stack.enter_context(log.open("wb"))
        process = _started(home, out, kept | settings | environ)
        try:
            yield Service(home, process, log, port, metrics_port)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
