"""Asking the filter who wants a batch of events, again and again until it knows, or until the entries are too old.

*Not knowing is not not matching*: without an answer nothing is decided.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from scaup.core.bus.asking import TIMEOUT_S as _TIMEOUT_S
from scaup.core.bus.asking import ask
from scaup.core.bus.connection import Bus
from scaup.core.model import names
from scaup.core.model.errors import BusUnavailableError
from scaup.core.model.matching import MatchAnswer, Question
from scaup.core.model.names import BrokerUid
from scaup.core.runtime.definitions import Definitions

log = structlog.get_logger()

_PAUSE_S: Final = 0.1
_BEHIND_S: Final = 1.0
_RESTART_S: Final = 5.0
"""A filter that ended is here again in this time, where somebody starts it again."""


async def who_wants(
    bus: Bus,
    definitions: Definitions,
    broker: BrokerUid,
    events: list[dict[str, str]],
    data: list[bytes] | None,
    until: float,
) -> MatchAnswer | None:
    """The filter's answer, at a revision that this dispatcher has applied too; None when it did not come by ``until``.

    ``data`` is None unless the filter asked for it; where it asks now, its answer has ``wants_data`` and no events.
    ``until`` is in loop time.
    """
    loop = asyncio.get_running_loop()
    why = ""
    while loop.time() < until:
        question = Question(events, definitions.revision, definitions.created, data)
        try:
            answer = await ask(bus, broker, question)
            if (answer.wants_data and data is None) or await _caught_up(definitions, answer):
                return answer
            why = "this dispatcher is behind the filter's revision"
        except BusUnavailableError as error:
            why = str(error)
        await asyncio.sleep(_PAUSE_S)
    log.warning("asking.no_answer", broker=broker, why=why)
    return None


async def _caught_up(definitions: Definitions, answer: MatchAnswer) -> bool:
    """Wait a little where the answer names Triggers this dispatcher has not heard of yet; False where that is vain."""
    end = asyncio.get_running_loop().time() + _BEHIND_S
    while definitions.revision < answer.revision and any(uid not in definitions.triggers for uid, _ in answer.triggers):
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.005)
    return True


async def filters_answer(bus: Bus, definitions: Definitions, broker: BrokerUid, patience_s: float) -> bool:
    """Whether filters answer a question about no events; asked again for ``patience_s``, for one may just start."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    question = Question([], definitions.revision, definitions.created).to_bytes()
    while True:
        try:
            await bus.request(names.match_subject(broker), question, timeout=_TIMEOUT_S)
        except BusUnavailableError:
            if loop.time() > until:
                return False
            await asyncio.sleep(_PAUSE_S)
        else:
            return True


async def ends_filters(
    bus: Bus, definitions: Definitions, broker: BrokerUid, events: list[dict[str, str]], data: list[bytes], rounds: int
) -> bool:
    """Whether a question about these events stays unanswered ``rounds`` times, filters answering before and after each.

    That nobody was there to be asked says nothing, and ends it; so does any answer, whatever it says.
    """
    loop = asyncio.get_running_loop()
    subject = names.match_subject(broker)
    for _ in range(rounds):
        if not await filters_answer(bus, definitions, broker, _RESTART_S):
            return False
        epoch, asked_at = bus.epoch, loop.time()
        try:
            question = Question(events, definitions.revision, definitions.created)
            answer = MatchAnswer.from_bytes((await bus.request(subject, question.to_bytes(), timeout=_TIMEOUT_S)).data)
            if not answer.wants_data:
                return False
            question.data = data
            asked_at = loop.time()
            await bus.request(subject, question.to_bytes(), timeout=_TIMEOUT_S)
        except BusUnavailableError:
            taken_by_one = loop.time() - asked_at > _TIMEOUT_S * 0.9  # else there was nobody, and NATS said so at once
            if not taken_by_one or bus.epoch != epoch:
                return False
        else:
            return False
    return await filters_answer(bus, definitions, broker, _RESTART_S)
