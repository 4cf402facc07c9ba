"""The filter's answers: who wants these events, at which revision, and when it does not know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.bus.kv import Bucket, dumps
from scaup.core.model.definitions import to_json
from scaup.core.model.matching import MatchAnswer, Question
from scaup.core.model.names import MATCH_SUBJECTS, BrokerUid, match_subject, trigger_key
from scaup.core.runtime.definitions import Definitions
from scaup.filter import worker
from scaup.filter.worker import Matcher
from tests.support.events import BROKER, a_broker, a_trigger, an_event
from tests.support.natsserver import NatsServer
from tests.support.services import define, following
from tests.support.waiting import eventually

TRIGGERS = [
    a_trigger("all"),
    a_trigger("a", {"type": "a"}, generation=3),
    a_trigger("none", {"type": "a"}, matching=False),
    a_trigger("other", broker="broker-2"),
]


@asynccontextmanager
async def a_filter(nats: NatsServer) -> AsyncIterator[tuple[Bus, Definitions, Bucket]]:
    """A filter that answers on the bus, as its process does."""
    async with connect(BusAccess(nats.url), "test") as bus, asyncio.TaskGroup() as tasks:
        bucket = await define(bus, [a_broker(), a_broker("broker-2", name="two")], TRIGGERS)
        definitions = Definitions()
        matcher = Matcher(bus, definitions)
        task = await following(bus, definitions, tasks)
        await bus.subscribe(MATCH_SUBJECTS, matcher.answer, queue="filter")
        yield bus, definitions, bucket
        task.cancel()


async def ask(bus: Bus, question: Question, broker: BrokerUid = BROKER, timeout: float = 2) -> MatchAnswer:
    answer = await bus.request(match_subject(broker), question.to_bytes(), timeout=timeout)
    return MatchAnswer.from_bytes(answer.data)


def about(*kinds: str, revision: int = 0, created: str = "") -> Question:
    return Question([an_event(type=kind).attributes for kind in kinds], revision, created)


def wanted(answer: MatchAnswer) -> list[set[tuple[str, int]]]:
    return [{answer.triggers[position] for position in positions} for positions in answer.events]


async def test_every_event_has_its_triggers_with_their_generations(nats: NatsServer) -> None:
    async with a_filter(nats) as (bus, definitions, _):
        answer = await ask(bus, about("a", "b", "a"))
        assert answer.retry == ""
        assert answer.revision == definitions.revision
        assert wanted(answer) == [{("all", 1), ("a", 3)}, {("all", 1)}, {("all", 1), ("a", 3)}]
        assert wanted(await ask(bus, about("a"), BrokerUid("broker-2"))) == [{("other", 1)}]
        assert wanted(await ask(bus, about())) == []


async def test_an_unknown_broker_is_not_knowing_and_not_nobody(nats: NatsServer) -> None:
    async with a_filter(nats) as (bus, _, __):
        answer = await ask(bus, about("a"), BrokerUid("unknown"))
        assert "does not know the broker" in answer.retry
        assert answer.events == []


async def test_a_change_is_matched_from_its_revision_on(nats: NatsServer) -> None:
    async with a_filter(nats) as (bus, definitions, bucket):
        created = definitions.created
        revision = await bucket.put(trigger_key("new"), dumps(to_json(a_trigger("new", {"type": "b"}))))
        assert wanted(await ask(bus, about("b", revision=revision, created=created))) == [{("all", 1), ("new", 1)}]
        newer = a_trigger("new", {"type": "c"}, generation=2)
        revision = await bucket.put(trigger_key("new"), dumps(to_json(newer)))
        assert wanted(await ask(bus, about("b", "c", revision=revision, created=created))) == [
            {("all", 1)},
            {("all", 1), ("new", 2)},
        ]
        moved = a_trigger("new", broker="broker-2", generation=3)
        revision = await bucket.put(trigger_key("new"), dumps(to_json(moved)))
        assert wanted(await ask(bus, about("c", revision=revision, created=created))) == [{("all", 1)}]
        revision = await bucket.delete(trigger_key("all"))
        assert wanted(await ask(bus, about("a", revision=revision, created=created))) == [{("a", 3)}]


async def test_a_replica_that_is_behind_waits_a_little_and_then_hands_back(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_CATCH_UP_S", 0.1)
    async with a_filter(nats) as (bus, definitions, _):
        ahead = about("a", revision=definitions.revision + 1, created=definitions.created)
        answer = await ask(bus, ahead)
        assert "behind" in answer.retry
        assert answer.events == []
        assert (await ask(bus, about("a", revision=10**6, created="another bucket"))).retry == ""


async def test_a_replica_that_is_behind_answers_as_soon_as_it_has_caught_up(nats: NatsServer) -> None:
    async with a_filter(nats) as (bus, definitions, bucket):
        revision = definitions.revision + 1
        asking = asyncio.create_task(ask(bus, about("x", revision=revision, created=definitions.created)))
        assert await bucket.put(trigger_key("x"), dumps(to_json(a_trigger("x", {"type": "x"})))) == revision
        assert wanted(await asking) == [{("all", 1), ("x", 1)}]


async def test_a_question_that_cannot_be_read_harms_nobody(nats: NatsServer) -> None:
    async with a_filter(nats) as (bus, _, __):
        for nonsense in (b"", b"{", b"[]", b'{"events": [1], "revision": 0, "created": ""}'):
            await bus.publish(match_subject(BROKER), nonsense, "nobody")
        assert (await ask(bus, about("a"))).retry == ""


async def test_data_are_asked_for_only_where_a_filter_looks_at_them(nats: NatsServer) -> None:
    async with a_filter(nats) as (bus, _, bucket):
        question = Question([an_event(type="a", datacontenttype="application/json").attributes] * 2, 0, "")
        await bucket.delete(trigger_key("all"))

        plain = await ask(bus, question)
        await bucket.put(trigger_key("t2"), dumps(to_json(a_trigger("t2", filters=({"cel": "data.n == 1"},)))))
        asked = await eventually_asks(bus, question)
        question.data = [b'{"n": 1}', b'{"n": 2}']
        answered = await ask(bus, question)

        assert (plain.wants_data, len(plain.events)) == (False, 2)
        assert (asked.wants_data, asked.events, bool(asked.retry)) == (True, [], True)
        wanted = [{answered.triggers[position][0] for position in positions} for positions in answered.events]
        assert wanted == [{"a", "t2"}, {"a"}]


async def eventually_asks(bus: Bus, question: Question) -> MatchAnswer:
    answers: list[MatchAnswer] = []

    async def asks() -> bool:
        answers.append(await ask(bus, question))
        return answers[-1].wants_data

    await eventually(asks, "the filter asks for data")
    return answers[-1]
