"""What is written beside an event that waits in a queue or is kept as a dead letter: the facts of its delivery so far.

They are headers of the entry, next to the event's ``ce-`` headers, so that they survive every process and are not
mixed up with the event.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import Final

SEQUENCE: Final = "Scaup-Sequence"
ACCEPTED: Final = "Scaup-Accepted"
ATTEMPTS: Final = "Scaup-Attempts"
NOT_BEFORE: Final = "Scaup-Not-Before"
FIRST_FAILURE: Final = "Scaup-First-Failure"
LAST_FAILURE: Final = "Scaup-Last-Failure"
REASON: Final = "Scaup-Reason"
STATUS: Final = "Scaup-Status"
DESTINATION: Final = "Scaup-Destination"
ERROR_DATA: Final = "Scaup-Error-Data"
TRIGGER: Final = "Scaup-Trigger"
REPLAY: Final = "Scaup-Replay"
REPLAYED: Final = "Scaup-Replayed"
DEAD_LETTER: Final = "Scaup-Dead-Letter"
SUSPECT: Final = "Scaup-Suspect"
"""Of an entry that was part of a bundle which may have ended dispatchers: it is to be tried alone."""
MARK: Final = "Scaup-Mark"
"""Of an entry without an event, in an ordered queue: the place in the log up to which all was stored before it."""
MARK_NAME: Final = "Scaup-Mark-Name"

NO_ANSWER_YET: Final = "no answer yet"
"""The reason in the facts of an event that waits while its attempt is still under way."""
_STATE: Final = ("Nats-", "Scaup-")
MAX_ERROR_DATA: Final = 768
"""Bytes of a failed answer that are kept: base64 of them fills the 1,024 characters of ``knativeerrordata``."""


@dataclass(frozen=True, slots=True)
class Replay:
    """That a person asked for an event to be sent to a Trigger again.

    ``id`` is the asking's own (letters and digits), ``at`` when (RFC 3339 text): waiting counts from then.
    ``dead_letter`` is the sequence of the kept dead letter that goes when this delivery has come to an end; 0 for none.
    """

    id: str
    at: str
    dead_letter: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """The delivery of one event to one Trigger so far.

    ``sequence`` is its place in the event log, ``accepted`` when it was stored there, ``attempts`` how often it was
    tried; times are RFC 3339 text, ``not_before`` seconds since the epoch (0: now).
    """

    sequence: int
    accepted: str = ""
    attempts: int = 0
    not_before: float = 0.0
    first_failure: str = ""
    last_failure: str = ""
    reason: str = ""
    status: int | None = None
    destination: str = ""
    error_data: bytes = b""
    replay: Replay | None = None

    @property
    def key(self) -> str:
        """What tells this delivery from all others to its Trigger, in names and subjects."""
        return _key(str(self.sequence), self.replay.id if self.replay else "")

    def failed(self, at: str, reason: str, *, status: int | None, destination: str, error_data: bytes) -> Facts:
        """The same after one more failed attempt."""
        return replace(
            self,
            attempts=self.attempts + 1,
            first_failure=self.first_failure or at,
            last_failure=at,
            reason=reason,
            status=status,
            destination=destination,
            error_data=error_data[:MAX_ERROR_DATA],
        )


def to_headers(facts: Facts) -> dict[str, str]:
    """The facts as headers; what is unset is left out."""
    headers = {SEQUENCE: str(facts.sequence), ATTEMPTS: str(facts.attempts)}
    texts = {
        ACCEPTED: facts.accepted,
        FIRST_FAILURE: facts.first_failure,
        LAST_FAILURE: facts.last_failure,
        REASON: _one_line(facts.reason),
        DESTINATION: _one_line(facts.destination),
    }
    headers.update({name: text for name, text in texts.items() if text})
    if facts.not_before:
        headers[NOT_BEFORE] = f"{facts.not_before:.3f}"
    if facts.status is not None:
        headers[STATUS] = str(facts.status)
    if facts.error_data:
        headers[ERROR_DATA] = base64.b64encode(facts.error_data).decode()
    if facts.replay is not None:
        headers |= {REPLAY: facts.replay.id, REPLAYED: facts.replay.at}
        if facts.replay.dead_letter:
            headers[DEAD_LETTER] = str(facts.replay.dead_letter)
    return headers


def from_headers(headers: dict[str, str]) -> Facts:
    """What ``to_headers`` wrote. Raises ValueError where the entry is not one of ours."""
    if SEQUENCE not in headers:
        msg = f"the entry has no header {SEQUENCE}"
        raise ValueError(msg)
    status = headers.get(STATUS)
    try:
        error_data = base64.b64decode(headers.get(ERROR_DATA, ""))
    except binascii.Error:
        error_data = b""
    return Facts(
        sequence=int(headers[SEQUENCE]),
        accepted=headers.get(ACCEPTED, ""),
        attempts=int(headers.get(ATTEMPTS, "0")),
        not_before=float(headers.get(NOT_BEFORE, "0")),
        first_failure=headers.get(FIRST_FAILURE, ""),
        last_failure=headers.get(LAST_FAILURE, ""),
        reason=headers.get(REASON, ""),
        status=int(status) if status else None,
        destination=headers.get(DESTINATION, ""),
        error_data=error_data,
        replay=_replay(headers) if REPLAY in headers else None,
    )


def key_of(headers: dict[str, str]) -> str:
    """The key of the facts in these headers, of which nothing else is read. Raises KeyError where there are none."""
    return _key(headers[SEQUENCE], headers.get(REPLAY, ""))


def _key(sequence: str, replay: str) -> str:
    return f"{sequence}-{replay}" if replay else sequence


def _replay(headers: dict[str, str]) -> Replay:
    return Replay(headers[REPLAY], headers.get(REPLAYED, ""), int(headers.get(DEAD_LETTER, "0")))


def event_headers(headers: dict[str, str]) -> dict[str, str]:
    """The headers of an entry without those that are there for the stream's or these facts' sake."""
    return {name: value for name, value in headers.items() if not name.startswith(_STATE)}


def _one_line(text: str) -> str:
    """Headers lose line breaks; non-ASCII text is kept."""
    return " ".join(text.split())[:1024]
