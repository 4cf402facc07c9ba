"""``scaup send``: one event, made with the CloudEvents SDK, posted to a Broker, and what came of it."""

from __future__ import annotations

import asyncio
import mimetypes
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from scaup.cli import showing
from scaup.cli.access import ApiAccess
from scaup.cli.kinds import BROKER
from scaup.cli.kube import open_api, unreachable
from scaup.cli.problems import FailedError, UsageError

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=5)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the command line says about the event. ``data`` and ``file`` exclude each other, ``-`` is standard input."""

    type: str
    source: str = "scaup-cli"
    id: str | None = None
    data: str | None = None
    file: str | None = None
    attributes: Sequence[str] = ()


def make(parts: Parts) -> tuple[str, dict[str, str], bytes]:
    """The event's id, and headers and body of its binary mode; UsageError where it is none."""
    from cloudevents.core.bindings.http import to_binary_event
    from cloudevents.core.exceptions import CloudEventValidationError
    from cloudevents.core.v1.event import CloudEvent

    data, content_type = _data(parts)
    attributes: dict[str, Any] = {"type": parts.type, "source": parts.source}
    if parts.id is not None:
        attributes["id"] = parts.id
    if content_type and data:
        attributes["datacontenttype"] = content_type
    for given in parts.attributes:
        name, equals, value = given.partition("=")
        if not equals or not name:
            msg = f"--attr {given}: expected name=value"
            raise UsageError(msg)
        attributes[name] = _time(value) if name == "time" else value
    try:
        event = CloudEvent(attributes, data)
    except CloudEventValidationError as error:
        first = next(reason for reasons in error.errors.values() for reason in reasons)
        msg = f"this is no CloudEvent: {first}"
        raise UsageError(msg, hint="attribute names are 1 to 20 lower-case letters and digits") from error
    message = to_binary_event(event)
    return str(event.get_id()), message.headers, message.body


async def send(access: ApiAccess, namespace: str, broker: str, parts: Parts) -> str:
    """Post the event; the line to print. FailedError where the Broker is not there or does not take it."""
    made = make(parts)
    async with open_api(access) as api:
        item = await api.find(BROKER.path(namespace, broker))
    if item is None:
        msg = f"there is no Broker {namespace}/{broker}"
        raise FailedError(msg, hint="`scaup get brokers -A` lists those there are")
    where = showing.url(item)
    if not where:
        _, reason, message = showing.ready(item)
        msg = f"the Broker {namespace}/{broker} has no address yet: {message or reason or 'it is not Ready'}"
        raise FailedError(msg, hint=f"`scaup describe broker {broker} -n {namespace}` says more")
    return await post(where, *made)


async def post(where: str, event_id: str, headers: dict[str, str], body: bytes) -> str:
    """POST to a URL; ``id`` and status in one line."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, skip_auto_headers={"Content-Type"}) as session,
            session.post(where, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            text = await answer.read()
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise unreachable(f"{urlsplit(where).scheme}://{urlsplit(where).netloc}", error) from error
    if not 200 <= status < 300:
        raise FailedError(f"{where} did not take the event {event_id} ({status}){_reason(text)}")
    return f"{event_id} {status}"


def _reason(answer: bytes) -> str:
    try:
        problem = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return f": {' '.join(answer[:200].decode('utf-8', 'replace').split())}" if answer else ""
    if not isinstance(problem, dict):
        return ""
    said = [
        str(problem[n])
        for n in ("detail", "what", "message", "title", "error", "where", "hint", "todo")
        if problem.get(n)
    ]
    return ": " + "; ".join(dict.fromkeys(said)) if said else ""


def _data(parts: Parts) -> tuple[bytes | None, str | None]:
    if parts.data is not None and parts.file is not None:
        raise UsageError("--data and --file exclude each other")
    if parts.data is not None:
        raw = parts.data.encode("utf-8", "surrogateescape")
        return raw, "application/json" if _is_json(raw) else "text/plain; charset=utf-8"
    if parts.file is None:
        return None, None
    try:
        raw = sys.stdin.buffer.read() if parts.file == "-" else Path(parts.file).read_bytes()
    except OSError as error:
        msg = f"--file {parts.file} cannot be read: {error.strerror}"
        raise UsageError(msg) from error
    guessed = mimetypes.guess_type(parts.file)[0]
    return raw, guessed or ("application/json" if _is_json(raw) else "application/octet-stream")


def _is_json(raw: bytes) -> bool:
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    return True


def _time(text: str) -> Any:
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        msg = f"--attr time={text}: expected an RFC 3339 time such as 2026-01-31T12:00:00Z"
        raise UsageError(msg)
    return moment


def run(access: ApiAccess, namespace: str, broker: str, parts: Parts) -> str:
    """``send`` from a command."""
    return asyncio.run(send(access, namespace, broker, parts))
