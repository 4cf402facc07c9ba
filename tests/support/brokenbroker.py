"""A broker that can be told to be wrong: an ingress, filters and deliveries in one process, with a fault for each rule.

Without faults it conforms; with one it breaks the rule of that name, and hardly any other. It keeps nothing and is good
for nothing but showing that the conformance suite sees what is wrong.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from scaup.conformance.sink import stop_accepting
from scaup.conformance.wire import (
    Address,
    Answer,
    Headers,
    Request,
    WireError,
    exchange,
    read_body,
    read_head,
    value_of,
)
from scaup.core.codec import http
from scaup.core.filters.compiled import evaluate
from scaup.core.filters.subject import Subject
from scaup.core.model.durations import parse_duration
from scaup.core.model.errors import ScaupError
from scaup.core.model.event import Event, is_passed
from tests.support.brokenapi import BrokenApi, Resolved

FINAL_4XX = {404, 408, 409, 429}
ALLOW = [("Allow", "POST, OPTIONS")]


class BrokenBroker:
    """One broker. ``faults`` are the rules that it breaks."""

    def __init__(self, faults: frozenset[str]) -> None:
        self.faults = faults
        self.api = BrokenApi(faults, "")
        self._seen: set[tuple[str, str]] = set()
        self._dead = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def has(self, fault: str) -> bool:
        return fault in self.faults

    # -- HTTP ---------------------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while not self._dead and (await self._one(reader, writer)):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            if not writer.is_closing():
                with suppress(OSError):
                    await writer.drain()
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        line, headers = await read_head(reader)
        words = line.split(" ")
        if len(words) != 3:
            self._dead = self.has("dies_of_nonsense")
            _write(writer, Answer(400))
            return False
        method, target, version = words
        wrong = self._wrong(version, headers)
        if wrong is not None:
            _write(writer, wrong)
            return False
        if value_of(headers, "expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            body = b"" if self._is_chunked(headers) and self.has("no_chunks") else await read_body(reader, headers)
        except asyncio.IncompleteReadError as error:
            if not self.has("takes_half_bodies"):
                return False
            body = error.partial
        _write(writer, await self._answer(Request(method, target, headers, body)))
        await writer.drain()
        return version == "HTTP/1.1" and not self.has("closes_connections")

    def _wrong(self, version: str, headers: Headers) -> Answer | None:
        """What is wrong with a head."""
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        if len(lengths) > 1 and not self.has("believes_two_lengths"):
            return Answer(400)
        if lengths and self._is_chunked(headers):
            return Answer(400)
        if value_of(headers, "expect") and self.has("refuses_to_be_waited_for"):
            return Answer(417)
        hosts = [value for name, value in headers if name.lower() == "host"]
        return Answer(400) if version == "HTTP/1.1" and not hosts and not self.has("needs_no_host") else None

    @staticmethod
    def _is_chunked(headers: Headers) -> bool:
        return (value_of(headers, "transfer-encoding") or "").lower() == "chunked"

    async def _answer(self, request: Request) -> Answer:
        path = request.target.split("?")[0].rstrip("/")
        if path.startswith("/api"):
            status, value = await self.api.request(request.method, path, json.loads(request.body or b"null"))
            return Answer(status, [("Content-Type", "application/json")], json.dumps(value).encode())
        if request.method == "OPTIONS" and not self.has("knows_no_options"):
            return self._handshake()
        if request.method != "POST":
            return Answer(405, ALLOW)
        name = path.rpartition("/")[2]
        if self.has("refuses_everything"):
            return Answer(400)
        if not self.api.ready("Broker", name):
            return Answer(404)
        try:
            events = self._events(request)
        except ScaupError as error:
            return Answer(202 if self.has("takes_anything") else 400, body=str(error).encode())
        accepted = [event for event in events if not self._is_duplicate(event)]
        if len(accepted) < len(events) and self.has("refuses_duplicates"):
            return Answer(409)
        running = [self._run(self._take(event, request.headers, name)) for event in accepted]
        if self.has("holds_the_producer"):
            await asyncio.gather(*[task for found in running for task in await found])
        if self.has("answers_with_a_redirect"):
            return Answer(302, [("Location", "/")])
        return Answer(206 if self.has("answers_as_nobody_does") else 202)

    def _handshake(self) -> Answer:
        origin = "other.example.com" if self.has("grants_somebody_else") else "*"
        rate = "a lot" if self.has("grants_no_rate") else "*"
        grant = [("WebHook-Allowed-Origin", origin), ("WebHook-Allowed-Rate", rate)]
        return Answer(200, grant if self.has("options_without_allow") else [*grant, *ALLOW])

    # -- events -------------------------------------------------------------------------------------------------

    def _events(self, request: Request) -> list[Event]:
        kind = value_of(request.headers, "content-type") or ""
        content_type, body = self._misread(kind, request.body)
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers]
        events = http.decode(content_type, headers, body)
        if self.has("reads_headers_in_structured_mode") and kind.startswith("application/cloudevents"):
            for event in events:
                event.attributes |= {n[3:].decode(): v.decode() for n, v in headers if n.startswith(b"ce-")}
        if self.has("decodes_nothing"):
            raw = {name[3:].lower(): value for name, value in request.headers if name.lower().startswith("ce-")}
            for event in events:
                event.attributes |= raw
        for event in events:
            self._spoil(event, body)
        return events[:1] if self.has("takes_the_first_of_a_batch") else events

    def _misread(self, kind: str, body: bytes) -> tuple[str | None, bytes]:
        """The content type and the body as it takes them."""
        content_type = kind or None
        if self.has("heeds_the_case_of_types") and kind.lower().startswith("application/cloudevents"):
            content_type = kind if kind.islower() else "text/plain"
        if self.has("knows_no_parameters") and ";" in kind and "cloudevents" in kind:
            content_type = "text/plain"
        if self.has("guesses_the_mode") and body.startswith(b'{"specversion"'):
            content_type = "application/cloudevents+json"
        if self.has("refuses_batches_without_events") and body == b"[]":
            body = b"{"
        if self.has("strings_are_read_again"):
            body = _again(body)
        if self.has("null_is_text"):
            body = body.replace(b": null", b': "null"')
        return content_type, body

    def _spoil(self, event: Event, body: bytes) -> None:
        """What is kept of an event."""
        keep = {"id", "specversion", "conformancecase"}
        if self.has("garbles_attributes"):
            event.attributes |= {name: "x" + value for name, value in event.attributes.items() if name not in keep}
        if self.has("forgets_extensions"):
            known = keep | {"source", "type", "subject", "time", "datacontenttype", "dataschema"}
            event.attributes = {name: value for name, value in event.attributes.items() if name in known}
        if self.has("changes_versions"):
            event.attributes["specversion"] = "0.3"
        if event.attributes["specversion"] == "0.3":
            self._spoil_older(event, body)
        if self.has("garbles_data"):
            event.data = (event.data or b"") + b"!"
        if self.has("loses_data_that_is_null") and event.data == b"null":
            event.data = None
        if self.has("makes_up_types") and b"data_base64" in body:
            event.attributes.setdefault("datacontenttype", "application/octet-stream")
        if self.has("cuts_large_data"):
            event.data = (event.data or b"")[:60_000]

    def _spoil_older(self, event: Event, body: bytes) -> None:
        """The same of an event of CloudEvents 0.3."""
        if self.has("upgrades_older_events"):
            event.attributes["specversion"] = "1.0"
        if self.has("renames_schemas") and "schemaurl" in event.attributes:
            event.attributes["dataschema"] = event.attributes.pop("schemaurl")
        if self.has("keeps_base64") and b"datacontentencoding" in body:
            event.data = base64.b64encode(event.data or b"")

    def _is_duplicate(self, event: Event) -> bool:
        """Duplicates need not be looked for: only faults do."""
        key = (event.id, "" if self.has("duplicates_by_id") else event.source)
        known = key in self._seen
        self._seen.add(key)
        return known and bool({"duplicates_by_id", "refuses_duplicates"} & self.faults)

    # -- delivery -----------------------------------------------------------------------------------------------

    def _run(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _take(self, event: Event, headers: Headers, broker: str, origin: str = "") -> list[asyncio.Task[None]]:
        """Deliver an event to every Trigger that wants it."""
        if self.has("forgets_what_is_not_text") and b"\x00" in (event.data or b""):
            return []
        wants = [one for one in list(self.api.resolved.values()) if self._wants(one, event, broker)]
        own = [one for one in wants if "-ground-" not in one.name]
        if origin and self.has("replies_go_to_others_only"):
            wants = [one for one in wants if one.name != origin]
        if origin and self.has("forgets_replies"):
            return []
        if self.has("one_delivery_for_each_address"):
            wants = list({one.url: one for one in wants}.values())
        if self.has("forwards_to_one"):
            wants = [one for one in wants if one not in own[1:]]
        if self.has("delivers_twice"):
            wants += wants
        passed = [(name, value) for name, value in headers if self._travels(name.lower())]
        if self.has("keeps_the_last_header"):
            passed = list({name.lower(): (name, value) for name, value in passed}.values())
        return [self._run(self._deliver(one, event, passed)) for one in wants]

    def _travels(self, name: str) -> bool:
        if self.has("passes_all_headers"):
            return not name.startswith(("ce-", "content-", "host", "transfer-", "connection", "expect"))
        return is_passed(name) and not self.has("forgets_headers")

    def _wants(self, one: Resolved, event: Event, broker: str) -> bool:
        if one.broker != broker and not self.has("crosses_brokers"):
            return False
        if "-ground-" in one.name:
            return True
        if self.has("is_not_ready_when_it_says_so") and time.monotonic() < one.since + 1:
            return False
        case = event.attributes.get("conformancecase")
        is_ours = case is not None and f"-{case}-" in one.name  # faults of filters stay among a check's own
        if self.has("matches_everything") and is_ours:
            return True
        if self.has("matches_nothing"):
            return False
        if one.filters is None:
            return is_ours
        if self.has("ignores_case"):
            return (is_ours and "capital" in one.name) or evaluate(one.filters, Subject(event.attributes)) is True
        return evaluate(one.filters, Subject(event.attributes)) is True

    async def _deliver(self, one: Resolved, event: Event, passed: Headers) -> None:
        """Attempt after attempt, and then the dead letter sink."""
        failed, answer = await self._attempts(one, one.url, event, passed, asks="reply")
        if failed is None:
            assert answer is not None
            await self._reply(one, answer)
        elif one.dead and not self.has("no_dead_letters"):
            code = "500" if answer is None else str(answer.status)
            data = base64.b64encode((b"" if answer is None else answer.body)[:768]).decode()
            facts = {"knativeerrordest": one.url, "knativeerrorcode": code}
            letter = event.with_attributes(**facts, **({"knativeerrordata": data} if data else {}))
            await self._attempts(one, one.dead, letter, passed, asks="")

    async def _attempts(
        self, one: Resolved, url: str, event: Event, passed: Headers, *, asks: str
    ) -> tuple[str | None, Answer | None]:
        """Why it failed, or None; and the last answer."""
        retries = int(one.delivery.get("retry", 0)) + self.has("retries_once_more")
        number = 0
        while True:
            prefer = asks if number == 0 or not self.has("asks_once") else ""
            answer = await self._attempt(one, url, event, passed, prefer)
            if answer is not None and 200 <= answer.status < 300 and not _is_broken(answer):
                return None, answer
            final = answer is not None and answer.status < 600 and answer.status // 100 in {1, 3, 4}
            final = final and answer is not None and answer.status not in FINAL_4XX
            if self.has("follows_redirects") and answer is not None and answer.header("location"):
                url = str(answer.header("location"))
                continue
            if (final and not self.has("retries_everything")) or number >= retries or self.has("never_retries"):
                return "failed", answer
            await asyncio.sleep(self._wait(one, number, answer))
            number += 1

    def _wait(self, one: Resolved, number: int, answer: Answer | None) -> float:
        delay = parse_duration(one.delivery.get("backoffDelay", "PT0S"))
        exponential = one.delivery.get("backoffPolicy") == "exponential"
        if self.has("never_waits"):
            return 0
        if self.has("linear_grows"):
            return delay * (number + 1)
        wait: float = delay * 2**number if exponential else delay
        asked = answer.header("retry-after") if answer is not None and answer.status in {429, 503} else None
        return max(wait, float(asked)) if asked else wait

    async def _attempt(self, one: Resolved, url: str, event: Event, passed: Headers, prefer: str) -> Answer | None:
        headers, body = self._written(one, event)
        if prefer and not self.has("asks_for_no_replies"):
            headers.append(("Prefer", prefer))
        if not self.has("says_no_namespace"):
            headers.append(("Kn-Namespace", "default"))
        address = Address.of(url)
        made = [("Host", address.authority), *headers, *passed, ("Content-Length", str(len(body)))]
        if self.has("sends_two_hosts"):
            made.append(("Host", "other"))
        method = "PUT" if self.has("delivers_with_put") else "POST"
        timeout = parse_duration(one.delivery["timeout"]) if "timeout" in one.delivery else 10.0
        with suppress(WireError, TimeoutError, OSError, ValueError):
            async with asyncio.timeout(timeout):
                return await exchange(address, Request(method, address.target, made, body))
        return None

    def _written(self, one: Resolved, event: Event) -> tuple[Headers, bytes]:
        """The event in the mode that its delivery says."""
        if one.delivery.get("format") == "json" and not self.has("never_structured"):
            found, body = http.encode_structured(event)
            body = self._spoilt(event, body, found)
            return list(found.items()), body
        found, body = http.encode_binary(event)
        if self.has("sends_no_type"):
            found.pop("content-type", None)
        if self.has("sends_the_type_twice"):
            found["ce-datacontenttype"] = found.get("content-type", "")
        if self.has("sends_all_in_one_header"):
            found["ce-attributes"] = found.pop("ce-subject", "")
        if self.has("encodes_nothing"):
            plain = {f"ce-{n}": v.encode().decode("latin-1") for n, v in event.attributes.items()}
            found |= {name: value for name, value in plain.items() if name in found}
        if self.has("sends_batches"):
            found["content-type"] = "application/cloudevents-batch+json"
            body = b"[" + http.encode_structured(event)[1] + b"]"
        return list(found.items()), body

    def _spoilt(self, event: Event, body: bytes, headers: dict[str, str]) -> bytes:
        """A structured event that is not as it should be."""
        value = json.loads(body)
        if self.has("structured_as_another_type"):
            headers["content-type"] = "application/json"
        if self.has("json_as_text") and "data" in value:
            value["data"] = json.dumps(value["data"])
        elif self.has("bytes_as_text") and "data_base64" in value:
            value["data"] = base64.b64decode(value.pop("data_base64")).decode("latin-1")
        elif self.has("json_in_another_encoding"):
            return json.dumps(value, ensure_ascii=False).encode("latin-1", "replace")
        else:
            return body
        return json.dumps(value).encode()

    async def _reply(self, one: Resolved, answer: Answer) -> None:
        """Take an event in an answer."""
        takes = answer.status == 200 or self.has("takes_202_for_replies")
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
        if takes and http.is_event(answer.header("content-type"), headers):
            for event in http.decode(answer.header("content-type"), headers, answer.body):
                kept = event.with_attributes(subject=None) if self.has("replies_lose_attributes") else event
                if self.has("replies_are_upgraded"):
                    kept = kept.with_attributes(specversion="1.0")
                await self._take(kept, answer.headers, one.broker, one.name)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed is gone in the next turn


def _is_broken(answer: Answer) -> bool:
    """Whether a 200 claims to carry an event and does not."""
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    if answer.status != 200 or not http.is_event(answer.header("content-type"), headers):
        return False
    try:
        http.decode(answer.header("content-type"), headers, answer.body)
    except ScaupError:
        return True
    return False


def _again(body: bytes) -> bytes:
    """A JSON string in ``data`` read as JSON."""
    with suppress(ValueError):
        value = json.loads(body)
        if isinstance(value, dict) and isinstance(value.get("data"), str):
            value["data"] = json.loads(value["data"])
            return json.dumps(value).encode()
    return body


def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in answer.headers)]
    lines.append(f"Content-Length: {len(answer.body)}")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)


def kubeconfig(url: str) -> str:
    """The text of a file that says where the definitions are."""
    return f"""{{"apiVersion": "v1", "kind": "Config", "current-context": "t",
        "clusters": [{{"name": "t", "cluster": {{"server": "{url}"}}}}],
        "contexts": [{{"name": "t", "context": {{"cluster": "t", "user": "t"}}}}],
        "users": [{{"name": "t", "user": {{}}}}]}}"""


@asynccontextmanager
async def broken_broker(*faults: str) -> AsyncIterator[BrokenBroker]:
    """A broker with these faults, on a free port."""
    broker = BrokenBroker(frozenset(faults))
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0, backlog=1024, limit=8 << 20)
    broker.api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield broker
    finally:
        await stop_accepting(server)
        await broker.stop()
