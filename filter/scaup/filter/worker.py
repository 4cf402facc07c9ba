"""The story of the filter: a question comes in, the index is asked, the answer names its revision.

It must not keep anything that another replica would need, and must not answer from half a snapshot.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from scaup.core.bus.connection import Bus, Msg
from scaup.core.filters.subject import Subject
from scaup.core.model.matching import MatchAnswer, Question
from scaup.core.model.names import BrokerUid, TriggerUid
from scaup.core.runtime.definitions import Definitions
from scaup.filter import metrics
from scaup.filter.failures import Failures
from scaup.filter.index import BrokerIndex

log = structlog.get_logger()

_CATCH_UP_S: Final = 0.5


class Matcher:
    """All indexes of this replica, kept up with the definitions."""

    def __init__(self, bus: Bus, definitions: Definitions) -> None:
        self._bus = bus
        self._definitions = definitions
        self._indexes: dict[BrokerUid, BrokerIndex] = {}
        self._homes: dict[TriggerUid, BrokerUid] = {}
        self._changed = asyncio.Event()
        self.failures = Failures(definitions)
        definitions.on_change(self._on_change)

    async def answer(self, msg: Msg) -> None:
        """Answer one question, given as a request on the bus."""
        question = Question.from_bytes(msg.data)
        if self._is_behind(question):
            await self._catch_up(question)
        start = time.perf_counter()
        answer = self.match(BrokerUid(msg.subject.rpartition(".")[2]), question)
        metrics.SECONDS.observe(time.perf_counter() - start)
        await self._bus.publish(msg.reply, answer.to_bytes())

    def match(self, broker: BrokerUid, question: Question) -> MatchAnswer:
        """Who wants these events of ``broker``."""
        answer = MatchAnswer(self._definitions.revision)
        if self._is_behind(question):
            answer.retry = "this replica is behind the asker's revision"
            return answer
        if broker not in self._definitions.brokers:
            answer.retry = "this replica does not know the broker"
            return answer
        index = self._indexes.get(broker)
        answer.wants_data = index is not None and index.uses_data
        if answer.wants_data and question.data is None:
            answer.retry = "filters of this broker look at data: ask again with it"
            return answer
        positions: dict[TriggerUid, int] = {}
        matches = 0
        for number, attributes in enumerate(question.events):
            found: list[int] = []
            subject = Subject(attributes, question.data[number] if question.data is not None else None)
            for match in index.match(subject, self.failures.failed) if index else ():
                position = positions.setdefault(match[0], len(positions))
                if position == len(answer.triggers):
                    answer.triggers.append(match)
                found.append(position)
            matches += len(found)
            answer.events.append(found)
        metrics.matched(self._definitions.brokers[broker], len(question.events), matches)
        return answer

    def _is_behind(self, question: Question) -> bool:
        mine = self._definitions
        return mine.created == question.created and mine.revision < question.revision

    async def _catch_up(self, question: Question) -> None:
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                while self._is_behind(question):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            log.warning("filter.behind", revision=self._definitions.revision, asked=question.revision)

    def _on_change(self, keys: set[str]) -> None:
        for key in keys:
            if key.startswith("trigger."):
                self._update(TriggerUid(key.removeprefix("trigger.")))
        self._changed.set()

    def _update(self, uid: TriggerUid) -> None:
        trigger = self._definitions.triggers.get(uid)
        self.failures.forget(uid)
        home = self._homes.pop(uid, None)
        if home is not None and (trigger is None or trigger.broker != home):
            self._indexes[home].remove(uid)
        if trigger is not None:
            self._homes[uid] = trigger.broker
            problem = self._indexes.setdefault(trigger.broker, BrokerIndex()).put(trigger)
            if problem:
                self.failures.broken(uid, problem)
                log.error("filter.not_compiled", trigger=f"{trigger.namespace}/{trigger.name}", why=problem)
