"""Asking the filters once who wants a batch of events. *Not knowing is not not matching*: it is an error here.

Must not ask again: how long that makes sense is known to who asks.
"""

from __future__ import annotations

from typing import Final

from scaup.core.bus.connection import Bus
from scaup.core.model import names
from scaup.core.model.errors import BusUnavailableError
from scaup.core.model.matching import MatchAnswer, Question
from scaup.core.model.names import BrokerUid

TIMEOUT_S: Final = 2.0


async def ask(bus: Bus, broker: BrokerUid, question: Question) -> MatchAnswer:
    """The answer to ``question``. One that ``wants_data`` which the question does not bring says nothing of the events.

    Raises BusUnavailableError, with the reason, where there is no answer that says who wants them.
    """
    msg = await bus.request(names.match_subject(broker), question.to_bytes(), timeout=TIMEOUT_S)
    try:
        answer = MatchAnswer.from_bytes(msg.data)
    except (ValueError, KeyError, TypeError) as error:
        why = f"the answer cannot be read: {error!r}"
        raise BusUnavailableError(why) from error
    if answer.wants_data and question.data is None:
        return answer
    if answer.retry or len(answer.events) != len(question.events):
        raise BusUnavailableError(answer.retry or "the answer is not about what was asked")
    return answer
