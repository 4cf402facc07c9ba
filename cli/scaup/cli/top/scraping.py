"""What the services count, read from their metrics endpoints: all at once, each with a deadline and a bound.

Knows which series it wants and nothing of what they mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_S: Final = 2.0
_MOST_BYTES: Final = 32 << 20
_WANTED: Final = {
    "scaup_ingress_accept_seconds",
    "scaup_delivery_seconds",
    "scaup_delivery_attempts",
    "scaup_trigger_queue_events",
}
_ROLES: Final = {"scaup_ingress_accept_seconds": "ingress", "scaup_delivery_seconds": "dispatcher"}

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A series: its name and its labels, in order."""


@dataclass(slots=True)
class Scrape:
    """The series of one process, and which roles it has by them; or in ``problem`` why there are none."""

    url: str
    series: dict[Key, float] = field(default_factory=dict)
    roles: set[str] = field(default_factory=set)
    problem: str = ""


async def scrape(urls: Sequence[str]) -> list[Scrape]:
    """Each of them now."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return list(await asyncio.gather(*(_scrape(session, url) for url in urls)))


async def _scrape(session: aiohttp.ClientSession, url: str) -> Scrape:
    found = Scrape(url)
    try:
        async with session.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                found.problem = f"{url} answers {answer.status}"
                return found
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > _MOST_BYTES:
                    found.problem = f"{url} answers with more than {_MOST_BYTES >> 20} MiB"
                    return found
        _parse(body.decode(), found)
    except (aiohttp.ClientError, TimeoutError, OSError):
        found.problem = f"{url} does not answer"
    except ValueError:
        found = Scrape(url, problem=f"{url} answers with what are no metrics")
    return found


def _parse(text: str, found: Scrape) -> None:
    for family in text_string_to_metric_families(text):
        if family.name not in _WANTED:
            continue
        if family.name in _ROLES:
            found.roles.add(_ROLES[family.name])
        for sample in family.samples:
            found.series[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
