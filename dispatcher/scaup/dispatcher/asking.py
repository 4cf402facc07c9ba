"""Asking the filter who wants a batch of events, again and again until it knows, or until the entries are too old.

*Not knowing is not not matching*: without an answer nothing is decided.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from scaup.core.bus.connection import Bus
from scaup.core.model import names
from scaup.core.model.errors import BusUnavailableError
from scaup.core.model.matching import MatchAnswer, Question
from scaup.core.model.names import BrokerUid
from scaup.core.runtime.definitions import Definitions

log = structlog.get_logger()

_TIMEOUT_S: Final = 2.0
_PAUSE_S: Final = 0.1
_BEHIND_S: Final = 1.0


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
    subject = names.match_subject(broker)
    why = ""
    while loop.time() < until:
        question = Question(events, definitions.revision, definitions.created, data)
        try:
            msg = await bus.request(subject, question.to_bytes(), timeout=_TIMEOUT_S)
            answer = MatchAnswer.from_bytes(msg.data)
            if answer.wants_data and data is None:
                return answer
            if answer.retry or len(answer.events) != len(events):
                why = answer.retry or "the answer is not about what was asked"
            elif await _caught_up(definitions, answer):
                return answer
            else:
                why = "this dispatcher is behind the filter's revision"
        except BusUnavailableError as error:
            why = str(error)
        except (ValueError, KeyError, TypeError) as error:
            why = f"the answer cannot be read: {error!r}"
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
