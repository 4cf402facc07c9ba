"""One attempt: an HTTP POST out, an outcome in. Never raises for a failed delivery, never follows a redirect.

Knative eventing data plane: ``Prefer: reply`` is sent to subscribers; only a 200 may carry a reply; a 202's body is
none (DP-19, DP-22).
"""

from __future__ import annotations

import asyncio
import email.utils
import ssl
import time
from dataclasses import dataclass
from typing import Final

import aiohttp
import yarl

from scaup.core.codec import http, percent
from scaup.core.codec.kept import MAX_ERROR_DATA
from scaup.core.codec.stored import from_headers
from scaup.core.model.definitions import Address
from scaup.core.model.errors import MalformedEventError
from scaup.core.model.event import HOPS, Event, is_passed
from scaup.dispatcher.judge import Accepted, BadReply, NoAnswer, Outcome, Refused, Replied

_HOPS_HEADER: Final = "ce-" + HOPS
_TYPE_HEADER: Final = "ce-datacontenttype"


@dataclass(slots=True)
class Outgoing:
    """An event as the log has it, and in the forms it is sent in; each form is made once, however many targets."""

    headers: dict[str, str]
    data: bytes
    _binary: dict[str, str] | None = None
    _event: Event | None = None

    @property
    def event(self) -> Event:
        """The event itself, hop count included."""
        if self._event is None:
            self._event = from_headers(self.headers, self.data)
        return self._event

    @property
    def size(self) -> int:
        """Bytes it takes, roughly."""
        return len(self.data) + 512

    @property
    def hops(self) -> str | None:
        """The hop count as it was stored; never sent to a sink."""
        return self.headers.get(_HOPS_HEADER)

    def binary(self) -> dict[str, str]:
        """Headers of binary mode. The log's header values are encoded by the same rules, so they go as they are."""
        if self._binary is None:
            self._binary = found = {}
            for name, value in self.headers.items():
                if name == _TYPE_HEADER:
                    found["content-type"] = percent.decode(value.encode())
                elif (name.startswith("ce-") and name != _HOPS_HEADER) or is_passed(name):
                    found[name] = value
        return self._binary

    def structured(self) -> tuple[dict[str, str], bytes]:
        """Headers and body of structured mode."""
        headers, body = http.encode_structured(self.event.with_attributes(**{HOPS: None}))
        return headers | {name: value for name, value in self.headers.items() if is_passed(name)}, body


class Attempts:
    """Makes attempts over one session; knows the addresses it has met, so that the hot path parses none."""

    def __init__(self, session: aiohttp.ClientSession, max_answer_bytes: int) -> None:
        self._session = session
        self._max_answer_bytes = max_answer_bytes
        self._urls: dict[str, yarl.URL] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def make(
        self,
        outgoing: Outgoing,
        address: Address,
        extra: dict[str, str],
        *,
        timeout_s: float,
        structured: bool = False,
    ) -> Outcome:
        """POST the event to ``address`` with the ``extra`` headers; what came of it."""
        if structured:
            headers, body = outgoing.structured()
        else:
            headers, body = outgoing.binary(), outgoing.data
        timeout = self._timeouts.get(timeout_s)
        if timeout is None:
            timeout = self._timeouts[timeout_s] = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.post(
                self._url(address.url),
                data=body,
                headers={**headers, **extra},
                timeout=timeout,
                allow_redirects=False,
                ssl=self._ssl(address),
            ) as answer:
                return await self._read(answer)
        except TimeoutError:
            return NoAnswer(f"no answer from {address.url} within {timeout_s:g} s", timed_out=True)
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError, asyncio.IncompleteReadError) as error:
            return NoAnswer(f"{address.url}: {error or type(error).__name__}")

    async def _read(self, answer: aiohttp.ClientResponse) -> Outcome:
        status = answer.status
        if not 200 <= status < 300:
            body = await _read_at_most(answer, MAX_ERROR_DATA)
            return Refused(status, body[:MAX_ERROR_DATA], _retry_after_s(answer.headers.get("Retry-After")))
        if status != 200:
            return Accepted(status)
        content_type = answer.headers.get("Content-Type")
        raw = [(name.lower(), value) for name, value in answer.raw_headers]
        if not http.is_event(content_type, raw):
            await _read_at_most(answer, self._max_answer_bytes)
            return Accepted(status)
        body = await _read_at_most(answer, self._max_answer_bytes)
        if len(body) > self._max_answer_bytes:
            return BadReply(f"larger than {self._max_answer_bytes} bytes")
        try:
            events = http.decode(content_type, raw, body)
        except MalformedEventError as error:
            return BadReply(str(error))
        if len(events) != 1:
            return BadReply("a batch, where one event is expected")
        passed = {name.lower(): value for name, value in answer.headers.items() if is_passed(name.lower())}
        return Replied(events[0], passed)

    def _url(self, text: str) -> yarl.URL:
        url = self._urls.get(text)
        if url is None:
            if len(self._urls) > 10_000:
                self._urls.clear()
            url = self._urls[text] = yarl.URL(text)
        return url

    def _ssl(self, address: Address) -> ssl.SSLContext | bool:
        if not address.ca_certs:
            return True
        context = self._contexts.get(address.ca_certs)
        if context is None:
            if len(self._contexts) > 1_000:
                self._contexts.clear()
            context = ssl.create_default_context()
            context.load_verify_locations(cadata=address.ca_certs)
            self._contexts[address.ca_certs] = context
        return context


async def _read_at_most(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or its first ``limit`` + 1 bytes or so; the connection of a longer one is closed, not read to its end."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > limit:
            answer.close()
            break
    return bytes(body)


def _retry_after_s(value: str | None) -> float | None:
    """Seconds of a Retry-After header, in either form (RFC 9110 10.2.3); None where there is none to be read."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None
