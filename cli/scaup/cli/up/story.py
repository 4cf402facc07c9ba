"""The story of ``scaup up``: check everything, start everything, show it, follow the files, stop everything.

Only this process speaks. What it promises of starting and stopping stands in the README of this home.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from scaup.cli import manifests
from scaup.cli.applying import Applier
from scaup.cli.kinds import BROKER, LOCAL_SINK, TRIGGER, Kind, Kinds
from scaup.cli.kube import Api, open_plain
from scaup.cli.problems import DONE, FAILED, FailedError
from scaup.cli.showing import ready, url
from scaup.cli.sinkcommand import quiet
from scaup.cli.up import layout, natsserver
from scaup.cli.up.datadir import DataDirectory, write_private
from scaup.cli.up.follow import NAMESPACE, Followed
from scaup.cli.up.layout import LOOPBACK, Options
from scaup.cli.up.localsinks import LocalSinks, parse
from scaup.cli.up.probes import http_probe, nats_probe, require_free
from scaup.cli.up.screen import Screen, Started, final
from scaup.cli.up.supervisor import Child, Supervisor
from scaup.core.model.errors import DefinitionError, ScaupError

_SECOND_SIGNAL_AFTER_S: Final = 2.0
_DEFINITIONS_READY_WITHIN_S: Final = 15.0


def run(options: Options) -> int:
    """Run until stopped; the exit code. Raises what keeps it from starting."""
    import uvloop

    begun = time.monotonic()
    quiet()
    screen = Screen()
    manifests.require(options.files)
    followed = Followed(options.files, screen.say)
    sinks = _local_sinks(followed.load())
    layout.require_offset(options, sinks)
    sync = natsserver.sync(dict(os.environ))
    data = DataDirectory(options.data)
    data.open(screen.say)
    try:
        require_free(layout.ports(options, sinks), options.port_offset)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_Up(options, data, screen, followed, sync).run(begun))
    finally:
        data.close()


def _local_sinks(documents: Sequence[manifests.Document]) -> dict[str, int]:
    """Port (before the offset) of every LocalSink in the files. What is wrong with one is said when it is applied."""
    found = {}
    for document in documents:
        identity = document.identity(NAMESPACE)
        if (identity.kind, identity.api_version) == (LOCAL_SINK.kind, LOCAL_SINK.api_version):
            try:
                found[identity.name] = parse(document.content.get("spec"))[0]
            except DefinitionError:
                continue
    return found


class _Up:
    """One run."""

    def __init__(self, options: Options, data: DataDirectory, screen: Screen, followed: Followed, sync: str) -> None:
        self._options = options
        self._data = data
        self._screen = screen
        self._followed = followed
        self._sync = sync
        self._stopping = asyncio.Event()
        self._first_signal: float | None = None
        self._supervisor: Supervisor | None = None

    async def run(self, begun: float) -> int:
        """From the first child to the last."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        await self._require_nats()
        reading, writing = os.pipe()  # its writing end is ours alone: it closes with us, however we end
        self._supervisor = Supervisor(self._children(reading), self._screen.say, (reading, self._data.lock))
        work = loop.create_task(self._work(self._supervisor, begun))
        stopping = loop.create_task(self._stopping.wait())
        status = DONE
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not self._stopping.is_set():
                work.result()
                status = FAILED
        finally:
            stopping.cancel()
            work.cancel()
            self._screen.say("Stopping.")
            await asyncio.gather(work, return_exceptions=True)
            await self._supervisor.stop()
            os.close(reading)
            os.close(writing)
        self._screen.say("Stopped. The data stays in " + _short(self._options) + ".")
        return status

    def _on_signal(self) -> None:
        now = time.monotonic()
        if self._first_signal is None:
            self._first_signal = now
            self._stopping.set()
        elif now - self._first_signal > _SECOND_SIGNAL_AFTER_S and self._supervisor is not None:
            self._screen.say("Stopping at once.")
            self._supervisor.stop_at_once()

    async def _work(self, supervisor: Supervisor, begun: float) -> None:
        """Everything between starting and stopping."""
        server = layout.api_url(self._options)
        async with AsyncExitStack() as stack:
            api = await stack.enter_async_context(open_plain(server))
            kinds = Kinds(api)
            applier = Applier(api, kinds, NAMESPACE)
            sinks = LocalSinks(api, self._options.port_offset, self._screen.event, self._screen.say)
            stack.push_async_callback(sinks.stop)
            starting = asyncio.create_task(supervisor.start())
            stack.callback(starting.cancel)
            running = asyncio.create_task(self._define(supervisor, kinds, sinks, applier))
            stack.callback(running.cancel)
            await asyncio.wait({starting, running}, return_when=asyncio.FIRST_EXCEPTION)
            if starting.done():  # its reason is the better one
                starting.result()
            following = running.result()
            stack.callback(following.cancel)
            await starting
            if self._stopping.is_set():
                return
            await self._show(api, sinks, begun)
            await asyncio.gather(following, self._followed.follow(applier))

    async def _define(
        self, supervisor: Supervisor, kinds: Kinds, sinks: LocalSinks, applier: Applier
    ) -> asyncio.Task[None]:
        """Everything that can be done as soon as the API is there; the task that goes on running the sinks."""
        await supervisor.until_ready("apiserver")
        found = await kinds.find(LOCAL_SINK.api_version, LOCAL_SINK.kind)
        sinks.kind = found or await kinds.register(LOCAL_SINK)
        following = asyncio.create_task(sinks.follow())
        await self._followed.apply(applier, quietly=True)
        return following

    async def _show(self, api: Api, sinks: LocalSinks, begun: float) -> None:
        end = asyncio.get_running_loop().time() + _DEFINITIONS_READY_WITHIN_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(sinks.synced.wait(), _DEFINITIONS_READY_WITHIN_S)
        while True:
            brokers, triggers = await _items(api, BROKER), await _items(api, TRIGGER)
            unready = [_unready(k, i) for k, items in ((BROKER, brokers), (TRIGGER, triggers)) for i in items]
            waiting = [text for text in unready if text]
            if not waiting or asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(0.1)
        urls = {f"{i['metadata']['namespace']}/{i['metadata']['name']}": url(i) for i in brokers if url(i)}
        started = Started(
            seconds=time.monotonic() - begun,
            brokers=urls,
            triggers=len(triggers),
            sinks=sinks.addresses(),
            unready=waiting,
            data=_short(self._options),
        )
        self._screen.say(final(started, self._options))

    async def _require_nats(self) -> None:
        if self._options.nats_url is None:
            return
        from scaup.core.bus import check
        from scaup.core.bus.connection import BusAccess

        environ = os.environ
        access = BusAccess(
            self._options.nats_url,
            environ.get("SCAUP_NATS_CREDS") or None,
            environ.get("SCAUP_NATS_CA") or None,
            environ.get("SCAUP_NATS_TOKEN") or None,
        )
        problems = await check.problems(access)
        if problems:
            msg = f"the NATS at {check.without_secret(access.url)} cannot be used: {'; '.join(problems)}"
            raise FailedError(msg, hint="change it, or leave --nats-url out for an embedded one")

    def _children(self, parent_fd: int) -> list[Child]:
        options, data = self._options, self._data
        data.rotate_logs()
        embedded = options.nats_url is None
        token = data.token() if embedded else None
        metrics = layout.metrics_urls(options)
        data.note(api=layout.api_url(options), nats=layout.nats_url(options), embedded=embedded, metrics=metrics)
        secrets = layout.Secrets(token, data.kubeconfig, data.nats_pid if embedded else None)
        inherited = dict(os.environ) | {"SCAUP_UP_PARENT_FD": str(parent_fd)}
        children = [
            Child(
                name=home.name,
                command=(sys.executable, "-m", f"scaup.{home.name}"),
                ready=http_probe(f"http://{LOOPBACK}:{home.ready_port + options.port_offset}/readyz"),
                log=data.log(home.name),
                environ=layout.environment(home, options, secrets, inherited),
                needs=home.needs,
                stop_s=home.stop_s,
            )
            for home in layout.HOMES
        ]
        if token is not None:
            children.append(self._nats_child(token))
        return children

    def _nats_child(self, token: str) -> Child:
        port = layout.NATS_PORT + self._options.port_offset
        path = self._data.path / "nats.conf"
        text = natsserver.configuration(
            port=port,
            store=self._data.nats_store,
            pid=self._data.nats_pid,
            token=token,
            sync_mode=self._sync,
        )
        write_private(path, text)
        return Child(
            name=layout.NATS,
            command=(str(natsserver.program()), "-c", str(path)),
            ready=nats_probe(LOOPBACK, port),
            log=self._data.log(layout.NATS),
            environ=dict(os.environ),
            stop_s=layout.NATS_STOP_S,
        )


async def _items(api: Api, kind: Kind) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = (await api.get(kind.path(None))).get("items") or []
    except ScaupError:
        return []
    return found


def _unready(kind: Kind, item: dict[str, Any]) -> str:
    status, reason, message = ready(item)
    if status == "True":
        return ""
    metadata = item["metadata"]
    why = message or reason or "no condition yet"
    return f"{kind.kind} {metadata['namespace']}/{metadata['name']} is not Ready: {why}"


def _short(options: Options) -> str:
    return str(options.data)
