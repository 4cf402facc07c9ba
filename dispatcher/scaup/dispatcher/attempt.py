"""One attempt: an HTTP POST out, an outcome in. Never raises for a failed delivery, never follows a redirect.

Knative eventing data plane: ``Prefer: reply`` is sent to subscribers; only a 200 may carry a reply; a 202's body is
none (DP-19, DP-22).
"""

from __future__ import annotations

import email.utils
import time
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from scaup.core.bus.client import header_lines
from scaup.core.codec import bundle, http, kept, percent
from scaup.core.codec.kept import MAX_ERROR_DATA, Facts
from scaup.core.codec.stored import add_passed, from_headers
from scaup.core.http.outbound import Answer, NoAnswerError, Origin, Outbound, SwitchedError
from scaup.core.model.definitions import Address
from scaup.core.model.errors import MalformedEventError
from scaup.core.model.event import HOPS, HOPS_HEADER, REQUIRED, Event, is_passed
from scaup.dispatcher.judge import Accepted, BadReply, NoAnswer, Outcome, Refused, Replied

_HOPS_HEADER: Final = "ce-" + HOPS
_TYPE_HEADER: Final = "ce-datacontenttype"
_MAX_KNOWN: Final = 10_000
_REQUIRED: Final = frozenset(REQUIRED)


@dataclass(slots=True)
class Outgoing:
    """An event as the log has it, and in the forms it is sent in; each form is made once, however many targets."""

    headers: dict[str, str]
    data: bytes
    _binary: bytes | None = None
    _event: Event | None = None
    _frame: tuple[Facts, bytes] | None = None

    @property
    def event(self) -> Event:
        """The event itself, hop count included. Raises ValueError where somebody stored what is none."""
        if self._event is None:
            event = from_headers(self.headers, self.data)
            if not event.attributes.keys() >= _REQUIRED:
                msg = f"one of {', '.join(REQUIRED)} is missing"
                raise ValueError(msg)
            self._event = event
        return self._event

    @property
    def size(self) -> int:
        """Bytes it takes, roughly."""
        return len(self.data) + 512

    @property
    def hops(self) -> str | None:
        """The hop count as it was stored. A sink gets it beside the event, so that a circle of Brokers ends (CP-28)."""
        return self.headers.get(_HOPS_HEADER)

    def binary(self) -> bytes:
        """The header lines of binary mode. The log's values are encoded by the same rules, so they go as they are."""
        if self._binary is None:
            lines = []
            for name, value in self.headers.items():
                if name == _TYPE_HEADER:
                    lines.append(f"content-type: {percent.decode(value.encode())}\r\n")
                elif name == _HOPS_HEADER:
                    lines.append(f"{HOPS_HEADER}: {value}\r\n")
                elif name.startswith("ce-") or is_passed(name):
                    lines.append(f"{name}: {value}\r\n")
            self._binary = "".join(lines).encode()
        return self._binary

    def frame(self, facts: Facts) -> bytes:
        """The event and what is known of its delivery as a part of a bundle."""
        if self._frame is None or self._frame[0] is not facts:
            lines = header_lines({**kept.event_headers(self.headers), **kept.to_headers(facts)})
            self._frame = facts, bundle.frame(lines, self.data)
        return self._frame[1]

    def structured(self) -> tuple[bytes, bytes]:
        """Header lines and body of structured mode."""
        headers, body = http.encode_structured(self.event.with_attributes(**{HOPS: None}))
        headers |= {name: value for name, value in self.headers.items() if is_passed(name)}
        if self.hops is not None:
            headers[HOPS_HEADER] = self.hops
        return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode(), body


class Attempts:
    """Makes attempts over one pool; knows the addresses it has met, so that the hot path parses none."""

    def __init__(self, outbound: Outbound, max_answer_bytes: int) -> None:
        self._outbound = outbound
        self._max_answer_bytes = max_answer_bytes
        self._origins: dict[tuple[str, str | None], Origin] = {}

    async def make(
        self, outgoing: Outgoing, address: Address, extra: bytes, *, timeout_s: float, structured: bool = False
    ) -> Outcome:
        """POST the event to ``address`` with the ``extra`` header lines; what came of it."""
        if structured:
            head, body = outgoing.structured()
        else:
            head, body = outgoing.binary(), outgoing.data
        try:
            origin = self._origin(address)
            answer = await self._outbound.post(origin, head + extra, body, timeout_s=timeout_s, limit=self._limit)
        except TimeoutError as error:
            why = f": {error}" if str(error) else ""
            return NoAnswer(f"no answer from {address.url} within {timeout_s:g} s{why}", timed_out=True)
        except SwitchedError:
            return Refused(101)  # DP-10: 1xx is final
        except NoAnswerError as error:
            return NoAnswer(f"{address.url}: {error}")
        except ValueError as error:
            return NoAnswer(str(error))
        return self._read(answer)

    def _limit(self, status: int) -> int:
        """How much of a body is read: a reply whole, of a failure as much as a dead letter carries."""
        return self._max_answer_bytes if status == 200 else MAX_ERROR_DATA

    def _read(self, answer: Answer) -> Outcome:
        status = answer.status
        if not 200 <= status < 300:
            return Refused(status, answer.body, _retry_after_s(answer.header(b"retry-after"), answer.header(b"date")))
        if status != 200:
            return Accepted(status)
        content_type = answer.header(b"content-type")
        if not http.is_event(content_type, answer.headers):
            return Accepted(status)
        if answer.is_cut:
            return BadReply(f"larger than {self._max_answer_bytes} bytes")
        try:
            events = http.decode(content_type, answer.headers, answer.body)
        except MalformedEventError as error:
            return BadReply(str(error))
        if len(events) != 1:
            return BadReply("a batch, where one event is expected")
        passed: dict[str, str] = {}
        for name, value in answer.headers:
            if is_passed(text := name.decode("latin-1")):
                add_passed(passed, text, value)
        return Replied(events[0], passed)

    def _origin(self, address: Address) -> Origin:
        key = (address.url, address.ca_certs)
        origin = self._origins.get(key)
        if origin is None:
            if len(self._origins) > _MAX_KNOWN:
                self._origins.clear()
            origin = self._origins[key] = Origin.parse(address.url, address.ca_certs)
        return origin


def _retry_after_s(value: str | None, date: str | None = None) -> float | None:
    """Seconds of a Retry-After header, in either form (RFC 9110 10.2.3); None where there is none to be read.

    A moment is counted from the answer's own ``date``, where it has one: both are of one clock, whatever ours says.
    """
    if value is None:
        return None
    if value.isascii() and value.strip().isdigit():
        return float(value)
    moment = _moment(value)
    if moment is None:
        return None
    now = _moment(date or "")
    return max(moment - (time.time() if now is None else now), 0.0)


def _moment(text: str) -> float | None:
    """An HTTP date in seconds since the epoch."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)  # the form without a zone is of UTC too (RFC 9110 5.6.7)
        return moment.timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
