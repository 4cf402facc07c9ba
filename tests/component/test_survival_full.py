"""Full logs, queues and dead letters: each is felt where it is full, and nowhere else."""

from __future__ import annotations

import signal
from pathlib import Path

from scaup.core.model import names
from scaup.core.model.names import TriggerUid
from tests.support import rawhttp
from tests.support.dataplane import delivery, metric, of_trigger, working, world
from tests.support.natsserver import NatsServer
from tests.support.services import entries, service
from tests.support.sinks import answer, sink
from tests.support.waiting import eventually

BODY = b"x" * 10_000
REFUSING, OTHER = TriggerUid("refusing"), TriggerUid("other")


async def test_full_log_is_refused_with_a_time_to_wait_and_filled_again_when_a_dispatcher_comes(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with world(nats.url, log_max_bytes=400_000) as here, sink() as there:
        await here.trigger("t", there.url)
        with service("ingress", tmp_path, nats.url) as ingress, service("filter", tmp_path, nats.url) as matching:
            await ingress.until_ready()
            await matching.until_ready()
            accepted: list[str] = []

            async def post() -> int:
                name = f"e-{len(accepted)}"
                found = await rawhttp.post(ingress.port, body=BODY, ce_id=name)
                if found.status == 202:
                    accepted.append(name)
                else:
                    assert (found.status, found.headers["retry-after"]) == (507, "5")
                    assert "default/one" in found.json()["detail"]
                return found.status

            while await post() == 202:
                pass
            assert [await post() for _ in range(5)] == [507] * 5
            assert {(msg.headers or {})["ce-id"] for msg in await entries(here.bus, here.broker.uid)} == set(accepted)
            before = len(accepted)
            assert before in range(33, 38)  # of 40, a tenth is for replies
            with service("dispatcher", tmp_path, nats.url) as dispatcher:
                await dispatcher.until_ready()

                async def is_accepted() -> bool:
                    return await post() == 202

                _: bool = await eventually(is_accepted, "events are accepted again")
                for _round in range(3 * before):  # more than the log could ever hold
                    await eventually(is_accepted, "events go on being accepted")
                await eventually(lambda: set(there.ids) == set(accepted), "all are delivered")
                await here.until_settled()
                assert len(there.ids) == len(accepted)
                assert await dispatcher.stopped(signal.SIGTERM) == 0


async def test_full_queue_of_one_trigger_is_no_matter_for_the_others_nor_for_the_log(nats: NatsServer) -> None:
    async with working(nats.url, {"queue_quota": 10}) as here, sink(answer(503)) as down, sink() as well:
        patient = delivery(retry=1000, backoff_delay_s=30)
        await here.trigger("down", down.url, attributes={"kind": "a"}, delivery=patient)
        await here.trigger("other", down.url, attributes={"kind": "b"}, delivery=patient)
        await here.trigger("well", well.url)
        ids: list[str] = []
        for sent in range(5, 105, 5):  # no more at a time than the quota: on a slow machine all of them may wait
            ids += await here.send_many(5, kind="a")
            await eventually(lambda sent=sent: len(well.ids) == sent, "the sink that is well has them")  # type: ignore[misc]
        few = await here.send_many(5, kind="b")
        await here.until_settled()
        await eventually(lambda: sorted(well.ids) == sorted(ids + few), "the sink that is well has them all")
        # About ten wait: what is stored while the bus is asked how many there are is not counted at once.
        letters = await here.dead_letters(75)
        assert {letter.trigger for letter in letters} == {"down"}
        assert all(letter.facts.reason.startswith("the queue is full") for letter in letters)
        waiting = [each.headers["ce-id"] for each in await here.queued()]
        assert sorted([*waiting, *(letter.event.id for letter in letters)]) == sorted(ids + few)
        assert metric("scaup_dead_lettered_events_total", **of_trigger("down", to="kept")) >= 75


async def test_queue_that_is_worked_as_fast_as_it_fills_is_not_full(nats: NatsServer) -> None:
    async with working(nats.url, {"queue_quota": 10}) as here, sink() as there:
        await here.trigger("t", there.url, rate=1000.0)  # which is kept at the queue
        for number in range(1, 21):
            await here.send_many(5)
            await eventually(lambda number=number: len(there.ids) == 5 * number, "they are delivered")  # type: ignore[misc]
        assert not await here.dead_letters()


async def test_full_dead_letters_drop_what_is_more_at_once_and_count_it(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(400)) as refusing, sink(answer(400)) as other, sink() as well:
        stream = names.dead_stream(here.broker.uid)
        config = (await here.bus.api(f"STREAM.INFO.{stream}"))["config"]
        await here.bus.api(f"STREAM.UPDATE.{stream}", config | {"max_msgs_per_subject": 10})
        dropped = _dropped()
        await here.trigger(REFUSING, refusing.url)
        await here.trigger("well", well.url)
        await here.trigger(OTHER, other.url, attributes={"kind": "b"})
        ids = await here.send_many(50, kind="a")
        await here.until_settled()
        few = await here.send_many(5, kind="b")
        await here.until_settled()
        await here.until_queues_hold(0)
        assert sorted(well.ids) == sorted(ids + few)
        assert sorted(refusing.ids) == sorted(ids + few)  # each was tried once: what is dropped is not tried again
        kept = [letter.trigger for letter in await here.dead_letters(15)]
        assert (kept.count(REFUSING), kept.count(OTHER)) == (10, 5)
        assert _dropped() - dropped == 45
        assert await here.queue_size() == 0
        await here.bus.api(f"STREAM.PURGE.{stream}", {"filter": names.dead_subject(here.broker.uid, REFUSING)})
        again = await here.send()
        await here.until_settled()
        assert again in {letter.event.id for letter in await here.dead_letters(6)}


def _dropped() -> float:
    return metric("scaup_dropped_events_total", namespace="default", broker="one", reason="dead_letters_full")
