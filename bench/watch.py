"""What the dispatcher says of itself: its counters, at one moment or once every so often while a load runs.

Responsible for: scraping, and arithmetic over the samples.
Must not: judge. Scraping costs both sides milliseconds: not where latencies are measured.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns

import aiohttp
from bench.stack import DISPATCHER_METRICS_PORT, Stack

ATTEMPTS = "scaup_delivery_attempts_total"
PARKED = "scaup_parked_events_total"
DEAD = "scaup_dead_lettered_events_total"
_WANTED = (ATTEMPTS, PARKED, DEAD)
_LINE = re.compile(rf"^({'|'.join(_WANTED)})\{{(.*)\}} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: the wanted counters, each with its labels."""

    at: int
    """Monotonic nanoseconds, the clock of the ledger."""
    counters: Sequence[tuple[str, Mapping[str, str], float]]

    def sum(self, metric: str, **labels: str) -> float:
        """All that carries these labels together."""
        return sum(
            value
            for name, carried, value in self.counters
            if name == metric and all(carried.get(label) == wanted for label, wanted in labels.items())
        )

    def by(self, metric: str, label: str, **labels: str) -> dict[str, float]:
        """The same, divided by one more label."""
        values = {carried[label] for name, carried, _ in self.counters if name == metric and label in carried}
        return {value: self.sum(metric, **labels, **{label: value}) for value in sorted(values)}


@dataclass(slots=True)
class Watch:
    """The samples of one scenario, oldest first."""

    stack: Stack
    samples: list[Sample] = field(default_factory=list)

    async def look(self) -> Sample:
        """One sample now; raises OSError where the dispatcher does not answer."""
        url = f"http://127.0.0.1:{DISPATCHER_METRICS_PORT + self.stack.port_offset}/metrics"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
                session.get(url) as answer,
            ):
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as why:
            raise OSError(f"the dispatcher's metrics cannot be read: {why}") from why
        found = [(name, dict(_LABEL.findall(labels)), float(value)) for name, labels, value in _LINE.findall(text)]
        sample = Sample(monotonic_ns(), found)
        self.samples.append(sample)
        return sample

    @contextlib.asynccontextmanager
    async def looking(self, every_seconds: float) -> AsyncIterator[None]:
        """Look again and again until the end of the block; what does not answer is looked at again later."""
        task = asyncio.create_task(self._look_on(every_seconds))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _look_on(self, every_seconds: float) -> None:
        while True:
            with contextlib.suppress(OSError):
                await self.look()
            await asyncio.sleep(every_seconds)

    def near(self, moment: int) -> Sample:
        """The sample nearest to a moment."""
        return min(self.samples, key=lambda sample: abs(sample.at - moment))

    def before(self, moment: int) -> Sample:
        """The last sample that cannot have seen what came after a moment."""
        return max(
            (sample for sample in self.samples if sample.at <= moment), key=lambda s: s.at, default=self.samples[0]
        )

    def last_growth(self, metric: str, since: int, **labels: str) -> int:
        """When a counter was last seen grown after `since`; `since` itself where it never was."""
        latest = since
        before = self.near(since).sum(metric, **labels)
        for sample in self.samples:
            if sample.at > since:
                now = sample.sum(metric, **labels)
                latest = sample.at if now > before else latest
                before = now
        return latest
