"""NATS has no room left: what cannot be stored is not accepted, what was accepted is not let go of.

When there is room again everything goes on by itself.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scaup.core.bus.connection import Bus
from scaup.core.codec import kept
from scaup.core.model.definitions import Destination
from scaup.core.model.errors import StorageFullError
from scaup.dispatcher import overdue, parking
from tests.support import rawhttp
from tests.support.dataplane import World, delivery, metric, working
from tests.support.natsserver import nats_server
from tests.support.services import ingress_here
from tests.support.sinks import OK, answer, sink
from tests.support.waiting import eventually

LIMIT = "max_file_store: 600000"
FILLER = "filler"


@dataclass
class Storage:
    """All that NATS may store, which something that is none of ours fills."""

    bus: Bus

    async def fill(self) -> None:
        """Until nothing goes in any more, however small."""
        await self.bus.api(f"STREAM.CREATE.{FILLER}", {"name": FILLER, "subjects": [FILLER], "storage": "file"})
        with suppress(StorageFullError):
            while True:
                await self.bus.acked.store(FILLER, b"x" * 10_000)

    async def make_room(self) -> None:
        """As an operator would who finds what filled it."""
        await self.bus.api(f"STREAM.DELETE.{FILLER}")


@asynccontextmanager
async def a_small_plane(
    directory: Path, settings: dict[str, Any] | None = None
) -> AsyncIterator[tuple[World, Storage]]:
    with nats_server(directory / "nats", jetstream=LIMIT) as nats:
        async with working(nats.url, settings, log_max_bytes=200_000) as here:
            yield here, Storage(here.bus)


def _handed_back() -> float:
    return metric("scaup_handed_back_events_total", reason="not_settled")


def _dropped() -> float:
    return metric("scaup_dropped_events_total", namespace="default", broker="one", reason="dead_letters_full")


async def test_ingress_refuses_while_nats_has_no_room_and_accepts_again_by_itself(tmp_path: Path) -> None:
    async with a_small_plane(tmp_path) as (here, storage), sink() as there, ingress_here(here.bus) as ingress:
        await here.trigger("t", there.url)
        accepted = [n for n in range(20) if (await rawhttp.post(ingress.port, ce_id=f"before-{n}")).status == 202]
        await storage.fill()
        refused = [await rawhttp.post(ingress.port, ce_id=f"full-{n}") for n in range(20)]
        assert {one.status for one in refused} == {507}
        assert refused[0].headers["retry-after"] == "5"
        assert refused[0].json()["title"] == "bus.storage-full"
        assert "disk of the NATS servers" in refused[0].json()["hint"]
        await here.until_settled()
        await storage.make_room()
        assert (await rawhttp.post(ingress.port, ce_id="after")).status == 202
        await here.until_settled()
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted([*(f"before-{n}" for n in accepted), "after"])


@pytest.mark.parametrize("status", [503, 400])
async def test_event_whose_failure_cannot_be_stored_is_neither_acknowledged_nor_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """A retry (503) and a dead letter (400): the entry goes back to the log, again and again, until there is room."""
    monkeypatch.setattr(parking, "_INSIST_S", 0.6)
    async with a_small_plane(tmp_path) as (here, storage), sink() as well, sink() as there:
        dropped, back = _dropped(), _handed_back()
        there.script = lambda _request: answer(status, delay_s=0.3)
        await here.trigger("t", there.url, delivery=delivery(retry=5, backoff_delay_s=0.1))
        await here.trigger("well", well.url)
        ids = await here.send_many(5)
        await eventually(lambda: len(there.requests) == 5, "they are being tried")
        await storage.fill()

        await eventually(lambda: _handed_back() >= back + 10, "they go back, and come again", within_s=15)
        assert await here.unsettled() == 5
        assert not await here.dead_letters()
        assert len(there.requests) < 50  # no storm
        await storage.make_room()
        if status == 503:
            there.script = lambda _request: OK
        await here.until_settled(within_s=15)
        await here.until_queues_hold(0, within_s=15)
        letters = await here.dead_letters()
        assert {letter.event.id for letter in letters} == (set(ids) if status == 400 else set())
        assert set(there.ids) == set(ids)
        assert sorted(well.ids) == sorted(ids)
        assert _dropped() == dropped


async def test_retry_that_cannot_be_stored_leaves_the_event_in_its_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "_INSIST_S", 0.6)
    async with a_small_plane(tmp_path) as (here, storage), sink() as there:
        there.script = lambda _request: answer(500, delay_s=0.2)
        await here.trigger("t", there.url, delivery=delivery(retry=3, backoff_delay_s=0.5))
        sent = await here.send()
        await here.until_queues_hold(1)
        await storage.fill()
        await eventually(lambda: len(there.requests) >= 4, "it is tried, and goes back to the queue")
        assert await here.queue_size() == 1
        assert not await here.dead_letters()
        there.script = lambda _request: OK
        await storage.make_room()
        await here.until_queues_hold(0)
        assert set(there.ids) == {sent}
        assert not await here.dead_letters()


async def test_dead_letter_for_a_sink_that_cannot_be_stored_waits_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "_INSIST_S", 0.6)
    async with a_small_plane(tmp_path) as (here, storage), sink() as there, sink() as dead:
        there.script = lambda _request: answer(400, delay_s=0.3)
        await here.trigger("t", there.url, delivery=delivery(dead_letter_sink=Destination(uri=dead.url)))
        sent = await here.send()
        await eventually(lambda: there.requests, "it is being tried")
        await storage.fill()
        await eventually(lambda: len(there.requests) >= 2, "it is handed back and tried again", within_s=15)
        assert not dead.requests
        await storage.make_room()
        await eventually(lambda: dead.ids == [sent], "the dead letter arrives", within_s=15)
        await here.until_settled(within_s=15)


async def test_retry_that_was_due_while_there_was_no_room_is_made_when_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself never tries again to bring such an entry, until it is started anew."""
    monkeypatch.setattr(overdue, "_LATE", timedelta(seconds=1))
    async with a_small_plane(tmp_path) as (here, storage), sink(answer(503), answer(503), OK) as there:
        await here.trigger("t", there.url, delivery=delivery(backoff_delay_s=2.0))
        ids = [await here.send(), await here.send()]
        await here.until_queues_hold(2)
        due = max(kept.from_headers(each.headers).not_before for each in await here.queued())
        await storage.fill()
        await eventually(lambda: time.time() > due + 1.0, "they were due")
        assert len(there.requests) == 2
        await storage.make_room()
        await eventually(lambda: len(there.requests) == 4, "they are tried again", within_s=15)
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids * 2)
        assert not await here.dead_letters()
