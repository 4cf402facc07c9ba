"""R, replay: history is sent to one Trigger again, at which rate, beside the rate at which it came the first time.

Responsible for the load, the command `scaup replay`, and counting what comes of it at the sink.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from bench.definitions import Definitions, Wire, Wired, trigger_name
from bench.findings import Fact, Found
from bench.generator import MAX_RATE
from bench.ground import Ground, doubts, responses
from bench.load import observe
from bench.sinkclient import SinkClient

EVENTS, QUICK_EVENTS = 100_000, 10_000
BROKER, PATH = "again", "/s/again"
_LONGEST = 120.0
_SECOND = 1_000_000_000


class History:
    """One Broker with one Trigger: everything it has got is sent to it once more."""

    key = "R"

    async def wire(self, _sink: SinkClient) -> Sequence[Definitions]:
        """One Broker, one Trigger."""
        return (Wired(BROKER, (Wire("one", PATH),)),)

    async def measure(self, ground: Ground) -> Found:
        """As fast as answered; then again from the history, as fast as it goes."""
        await ground.warm_up(BROKER, (PATH,))
        events = QUICK_EVENTS if ground.is_quick else EVENTS
        ground.say(f"{events:,} events, as fast as answered")
        first = (await ground.streams.log(BROKER)).messages
        load = replace(ground.load(BROKER, (PATH,), _LONGEST, MAX_RATE), count=events)
        observed = await observe(load, ground.sink, ground.stack.pids())
        direct = observed.result((PATH,))
        ground.say("the same from the history")
        begun = monotonic()
        status = await _replay(ground)
        took = monotonic() - begun
        arrived = sorted(time for time in await ground.sink.arrivals(observed.run, PATH) if time)
        counts = (await ground.sink.progress(observed.run)).get(PATH, {})
        seconds = (arrived[-1] - arrived[0]) / _SECOND if len(arrived) > 1 else 0.0
        rate = (len(arrived) - 1) / seconds if seconds else 0.0
        ratio = rate / direct.end_to_end_per_second if direct.end_to_end_per_second else None
        return Found(
            "R",
            f"{direct.accepted:,} events of history, and {first:,} of warming up, are sent to their Trigger again",
            [
                Fact("events/s end to end, the first time", direct.end_to_end_per_second),
                Fact("events/s from the history", rate),
                Fact("from the history / the first time", ratio, 2, at_least=0.8),
                Fact("s of the command, its start and its wait for the end included", took, 1),
                Fact.none("exit code of the command", status),
                Fact.none("accepted and not sent again", direct.accepted - len(arrived)),
                Fact("sent again more than once", counts.get("duplicates", 0), at_most=0),
                Fact.none("5xx answers to the producer", responses([observed])[0]),
            ],
            remarks=doubts([observed]),
        )


async def _replay(ground: Ground) -> int:
    """The exit code of `scaup replay … --all --wait`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scaup.cli", "replay", trigger_name(BROKER, "one"), "--all", "--wait"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "SCAUP_KUBECONFIG": str(ground.stack.data / "kubeconfig")},
    )
    return await process.wait()
