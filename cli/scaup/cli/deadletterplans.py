"""What a replay makes of one dead letter: whether it can be sent again, and in which form. Pure."""

from __future__ import annotations

from enum import Enum
from typing import Final

from scaup.cli.deadletterselect import Scope
from scaup.core.bus.deadletters import DeadLetter
from scaup.core.codec import kept, percent
from scaup.core.codec.kept import Facts, Replay

_ADDED: Final = (
    "knativeerrordest",
    "knativeerrorcode",
    "knativeerrordata",
    "scauptrigger",
    "scaupattempts",
    "scaupfirstfailure",
    "scauplastfailure",
)
"""What a death adds to the event for its dead letter sink."""
_HOPS_USED_UP: Final = "the reply's hops"


class WhyNot(Enum):
    """Why a dead letter cannot be sent to the Trigger that failed: its key in what is printed, and the words."""

    BROKER_DELETED = "brokerDeleted", "its Broker is deleted; purge it when it is of no more use"
    TRIGGER_DELETED = "triggerDeleted", "its Trigger is deleted; purge it when it is of no more use"
    NO_TRIGGER = "noTrigger", "it was set aside before it was known who wants it; `show` has the event"
    REPLY = "reply", "it is a reply whose hops were used up, which no Trigger was to get; `show` has the event"

    @property
    def key(self) -> str:
        """Its name in JSON and YAML."""
        return str(self.value[0])

    @property
    def text(self) -> str:
        """For a person."""
        return str(self.value[1])


def why_not(letter: DeadLetter, scope: Scope) -> WhyNot | None:
    """Why it cannot be replayed; None where it can."""
    if letter.trigger is None:
        return WhyNot.NO_TRIGGER
    if scope.is_deleted:
        return WhyNot.BROKER_DELETED
    if letter.trigger not in scope.triggers:
        return WhyNot.TRIGGER_DELETED
    return WhyNot.REPLY if letter.facts.reason.startswith(_HOPS_USED_UP) else None


def replay_facts(letter: DeadLetter, at: str) -> Facts:
    """The facts of its replay: a new start. The id is the letter's own, so that two commands mean the same replay."""
    return Facts(
        letter.facts.sequence, letter.facts.accepted, replay=Replay(f"d{letter.sequence}", at, letter.sequence)
    )


def as_accepted(letter: DeadLetter) -> dict[str, str]:
    """The event's headers as they were accepted: without what its own death added for the dead letter sink.

    What an event brought with it from an earlier death, or from a producer, stays: of ours are those that name this
    Trigger and this first failure.
    """
    headers = kept.event_headers(letter.headers)

    def attribute(name: str) -> str:
        return percent.decode(headers.get("ce-" + name, "").encode())

    is_ours = (
        "ce-scaupattempts" in headers
        and attribute("scauptrigger") == letter.trigger_name != ""
        and attribute("scaupfirstfailure") in {"", letter.facts.first_failure}
    )
    if is_ours:
        for name in _ADDED:
            headers.pop("ce-" + name, None)
    return headers
