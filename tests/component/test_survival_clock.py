"""Clocks that jump while events wait: none is given up early, and none waits for the length of the jump."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest

from scaup.core.bus.connection import Bus
from scaup.core.model.definitions import BrokerDefinition, Destination
from scaup.dispatcher import attempt, counts, keeper, replies, settle, target, worker
from tests.support.dataplane import delivery, metric, of_trigger, working
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, answer, sink
from tests.support.waiting import eventually

HOUR = 3600.0
DAY = 24 * HOUR


class Wall:
    """The wall clock of the dispatchers of this process: what ``time`` and ``datetime`` give them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        self.monotonic = time.monotonic
        wall = self

        class Jumping(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.now(tz) + timedelta(seconds=wall.ahead_s)

        for module in (attempt, counts, keeper, target):
            monkeypatch.setattr(module, "time", self)
        for module in (replies, settle, worker):
            monkeypatch.setattr(module, "datetime", Jumping)

    def time(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


@pytest.mark.parametrize("backoff_s", [0.8, 1.5])  # waited for here, and by the server
@pytest.mark.parametrize("jump_s", [-HOUR, pytest.param(HOUR, marks=pytest.mark.long), 3 * DAY])
async def test_retries_are_made_in_time_whatever_the_clock_of_the_dispatcher_does(
    nats: NatsServer, wall: Wall, jump_s: float, backoff_s: float
) -> None:
    async with working(nats.url) as here, sink(answer(503)) as there:
        await here.trigger("t", there.url, delivery=delivery(retry=50, backoff_delay_s=backoff_s))
        ids = await here.send_many(5)
        await here.until_queues_hold(5)
        wall.ahead_s = jump_s
        more = [await here.send()]
        await eventually(lambda: len(there.requests) >= 13, "all are tried again while the clock is wrong")
        wall.ahead_s = 0.0
        began, tried = time.monotonic(), len(there.requests)
        await eventually(lambda: len(there.requests) >= tried + 6, "all are tried again when it is right")
        there.script = lambda _request: OK
        await here.until_queues_hold(0)
        await here.until_settled()
        assert set(there.ids) == set(ids + more)
        assert len(there.requests) <= 6 * (
            3 + (time.monotonic() - began + 10) / backoff_s
        )  # no faster than they should
        assert not await here.dead_letters()


async def test_events_are_not_given_up_for_their_age_while_the_clock_is_days_ahead(
    nats: NatsServer, wall: Wall
) -> None:
    key = "address/v1/Service/default/web"
    async with working(nats.url) as here, sink() as there, sink() as dead:
        await here.address(key, None)
        await here.trigger("t", Destination(address=key), delivery=delivery(dead_letter_sink=Destination(uri=dead.url)))
        ids = await here.send_many(5)
        await here.until_queues_hold(5)
        before = metric("scaup_delivery_attempts_total", **of_trigger("t", outcome="unresolved"))
        wall.ahead_s = 3 * DAY

        def are_looked_at() -> bool:
            return metric("scaup_delivery_attempts_total", **of_trigger("t", outcome="unresolved")) >= before + 3

        await eventually(are_looked_at, "they are looked at")
        assert await here.queue_size() == 5
        wall.ahead_s = 0.0
        await here.address(key, there.url)
        await eventually(lambda: sorted(there.ids) == sorted(ids), "all are delivered")
        assert not dead.requests
        assert not await here.dead_letters()


async def test_history_is_not_trimmed_by_a_clock_that_is_days_ahead(
    nats: NatsServer, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(nats.url, history_max_age_s=HOUR) as here:
        await here.send_many(10)
        await here.until_settled()
        wall.ahead_s = 3 * DAY
        rounds: list[str] = []
        whole = keeper.Keeper.look_after_log

        async def counted(self: keeper.Keeper, broker: BrokerDefinition) -> None:
            await whole(self, broker)
            rounds.append(broker.name)

        monkeypatch.setattr(keeper.Keeper, "look_after_log", counted)
        await eventually(lambda: len(rounds) >= 2, "the keeper makes its rounds")
        assert len(await here.log()) == 10


async def test_retries_are_made_soon_after_the_clock_of_nats_jumped_back(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits was stored in the future then, and would be due as much later as the clock jumped."""
    async with working(nats.url) as here, sink(answer(503)) as there:
        await here.trigger("t", there.url, delivery=delivery(retry=50, backoff_delay_s=60.0))
        ids = await here.send_many(5)
        await here.until_queues_hold(5)
        there.script = lambda _request: OK
        whole = Bus.api

        async def an_hour_behind(self: Bus, subject: str, *args: Any, **more: Any) -> dict[str, Any]:
            found = await whole(self, subject, *args, **more)
            if "ts" in found:
                moment = datetime.fromisoformat(found["ts"]) - timedelta(hours=1)
                found["ts"] = moment.isoformat().replace("+00:00", "Z")
            return found

        monkeypatch.setattr(Bus, "api", an_hour_behind)
        await eventually(lambda: sorted(there.ids) == sorted(ids * 2), "all are tried again at once")
        await here.until_queues_hold(0)
