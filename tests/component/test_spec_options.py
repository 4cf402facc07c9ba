"""The options of a delivery (knative.dev/eventing, DeliverySpec): durations as written, and ``Retry-After``."""

from __future__ import annotations

import time
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path

import pytest

from scaup.controller.kube import ApiRefusedError
from scaup.core.codec import kept
from scaup.core.model.definitions import Delivery
from tests.support import controlplane
from tests.support.controlplane import condition_of, data_plane
from tests.support.dataplane import delivery
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, Reaction, Request, answer, sink
from tests.support.spec import until_quiet, whole_broker
from tests.support.waiting import eventually

YEAR = 365.2425 * 86_400
TAKEN = {
    "PT0.2S": 0.2,
    "PT0.25S": 0.25,
    "PT0.05S": 0.05,
    "PT0,5S": 0.5,
    "PT1.000001S": 1.000001,
    "PT1M30S": 90.0,
    "PT1.5H": 5400.0,
    "P1DT1H": 90_000.0,
    "P1W": 604_800.0,
    "P1M": YEAR / 12,
    "P1Y": YEAR,
}
REFUSED = ("P2Y", "P1Y2M", "-PT1S", "PT1H1D", "1s", "PT", "P", "PT1.S", "")
FIELDS = {"timeout": "timeout_s", "backoffDelay": "backoff_delay_s", "retryAfterMax": "retry_after_max_s"}
THERE = {"uri": "http://sink.test/"}


async def test_durations_are_taken_to_their_last_digit(nats: NatsServer, tmp_path: Path) -> None:
    """``timeout``, ``backoffDelay``, ``retryAfterMax``: ISO 8601, exactly, up to a year.

    Weeks, months and years count as in the reference: a year is 365.2425 days, a month its twelfth. From a Trigger, and
    from a Broker.
    """
    async with controlplane.world(tmp_path, nats.url) as here, data_plane(here.bus) as plane:
        here.start_controller()
        for number, text in enumerate(TAKEN):
            await here.broker(f"b-{number}", delivery=dict.fromkeys(FIELDS, text))
            await here.trigger(f"inherits-{number}", THERE, broker=f"b-{number}")
            await here.trigger(f"own-{number}", THERE, broker=f"b-{number}", delivery=dict.fromkeys(FIELDS, text))
        await eventually(lambda: len(plane.triggers) == 2 * len(TAKEN), "the data plane has them")
        found = {trigger.name: trigger.delivery for trigger in plane.triggers.values()}
    for number, seconds in enumerate(TAKEN.values()):
        expected = Delivery(timeout_s=seconds, backoff_delay_s=seconds, retry_after_max_s=seconds)
        assert found[f"own-{number}"] == found[f"inherits-{number}"] == expected


@pytest.mark.parametrize("field", FIELDS)
async def test_what_is_no_duration_is_refused_by_name(nats: NatsServer, tmp_path: Path, field: str) -> None:
    """The API refuses it; a duration beyond a year makes the Trigger not Ready. Both name the field and the text."""
    is_timeout = field == "timeout"  # no time at all is a delay, but no time-out
    async with controlplane.world(tmp_path, nats.url) as here, data_plane(here.bus):
        here.start_controller()
        await here.broker()
        for number, text in enumerate((*REFUSED, "PT0S") if is_timeout else REFUSED):
            try:
                trigger = await here.trigger(f"t-{number}", THERE, delivery={field: text})
            except ApiRefusedError as error:
                said = str(error)
            else:
                value = await here.until(trigger, "Ready", "False", "DeliveryInvalid")
                said = condition_of(value, "Ready")["message"]
            assert f"spec.delivery.{field}" in said
            assert text in said
        for text in ("PT1S",) if is_timeout else ("PT0S", "PT1S"):
            trigger = await here.trigger(f"fine-{text.lower()}", THERE, delivery={field: text})
            await here.until(trigger, "Ready", "True")


async def test_a_timeout_is_for_each_attempt(nats: NatsServer) -> None:
    """``delivery.timeout``, DP-10: an answer that comes later is none; the next attempt has the same time again."""
    late = answer(202, delay_s=5.0)
    async with whole_broker(nats.url) as here, sink(late, late, OK) as there:
        await here.world.trigger("t", there.url, delivery=delivery(retry=10, timeout_s=0.4))
        await here.producer.post()
        await eventually(lambda: len(there.requests) >= 3, "the next one is in time")
        await until_quiet(here.world)
        assert not await here.world.dead_letters()
    assert all(later.at - earlier.at >= 0.39 for earlier, later in pairwise(there.requests[:3]))


def asking(seconds: float, status: int = 429, *, as_date: bool = False) -> Reaction:
    """An answer with ``Retry-After``: whole seconds, or an HTTP date that is never earlier than asked for."""
    value = formatdate(time.time() + seconds + 1, usegmt=True) if as_date else str(seconds)
    return answer(status, b"", {"retry-after": value})


WAITS: dict[str, tuple[Delivery, int, float, bool, float]] = {
    # delivery, status, Retry-After, as a date: the least that passes before the next attempt
    "seconds with 429": (delivery(retry_after_max_s=90.0), 429, 1, False, 1.0),
    "seconds with 503": (delivery(retry_after_max_s=90.0), 503, 1, False, 1.0),
    "a date with 429": (delivery(retry_after_max_s=90.0), 429, 1, True, 1.0),
    "a date with 503": (delivery(retry_after_max_s=90.0), 503, 1, True, 1.0),
    "a date that is over": (delivery(retry_after_max_s=90.0), 503, -60, True, 0.0),
    "without a maximum of its own": (delivery(), 429, 1, False, 1.0),
    "never above the maximum": (delivery(retry_after_max_s=1.2), 429, 3600, False, 1.2),
    "a date never above it either": (delivery(retry_after_max_s=1.2), 503, 3600, True, 1.2),
    "a maximum of nothing": (delivery(retry_after_max_s=0.0), 503, 3600, False, 0.0),
    "never below the back-off": (delivery(retry_after_max_s=90.0, backoff_delay_s=1.5), 429, 1, False, 1.5),
    "404 has none": (delivery(retry_after_max_s=90.0), 404, 3600, False, 0.0),
    "408 has none": (delivery(retry_after_max_s=90.0), 408, 3600, False, 0.0),
    "500 has none": (delivery(retry_after_max_s=90.0), 500, 3600, False, 0.0),
    "500 has no date": (delivery(retry_after_max_s=90.0), 500, 3600, True, 0.0),
}
LATE_S = 8.0
"""How much later an attempt may come: what would be too much is an hour."""


async def test_retry_after_is_heeded_with_429_and_503_within_its_maximum(nats: NatsServer) -> None:
    """knative.dev/eventing, ``retryAfterMax``: the longer of back-off and header, the header cut at the maximum.

    Where the reference heeds the header only with a maximum set, Scaup always does (decision 0007); ``PT0S`` says no.
    """
    async with whole_broker(nats.url) as here, sink() as there:
        rows = list(WAITS.values())

        def script(request: Request) -> Reaction:
            _, status, seconds, as_date, _ = rows[int(request.path[1:])]
            is_first = sum(one.path == request.path for one in there.requests) == 1
            return asking(seconds, status, as_date=as_date) if is_first else OK

        there.script = script
        for number, row in enumerate(rows):
            await here.world.trigger(f"t{number}", f"{there.url}{number}", delivery=row[0])
        await here.producer.post()
        await eventually(lambda: len(there.requests) == 2 * len(rows), "each is tried once more")
        await until_quiet(here.world)
    for number, (name, (*_, least)) in enumerate(WAITS.items()):
        first, second = (request.at for request in there.requests if request.path == f"/{number}")
        assert least - 0.01 <= second - first < least + LATE_S, (name, second - first)


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
async def test_without_a_maximum_no_sink_can_ask_for_more_than_five_minutes(nats: NatsServer, as_date: bool) -> None:
    """Decision 0007: 300 s, where ``retryAfterMax`` is not set."""
    async with whole_broker(nats.url) as here, sink(asking(86_400, as_date=as_date)) as there:
        await here.world.trigger("t", there.url)
        await here.producer.post()
        await here.world.until_settled()
        [entry] = await here.world.queued()
        facts = kept.from_headers(dict(entry.headers or {}))
        assert 240 < facts.not_before - time.time() <= 300
    assert len(there.requests) == 1
