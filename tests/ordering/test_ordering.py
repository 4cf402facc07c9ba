"""Order under fire, in short; `make ordering` is the same with 100,000 events and faults by chance."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ordering.run import Fault, Plan, run
from tests.support.natsserver import NatsServer

FAULTS = (
    Fault("kill", "dispatcher-a", at=0.1, seconds=0.2),
    Fault("pause", "dispatcher-b", at=0.3, seconds=4.0),
    Fault("stop", "dispatcher-a", at=0.5, seconds=0.2),
    Fault("kill", "dispatcher-b", at=0.7, seconds=0.2),
)


@pytest.mark.timeout(180)
async def test_nothing_comes_out_of_order_whatever_happens_to_the_dispatchers(nats: NatsServer, tmp_path: Path) -> None:
    plan = Plan(4_000, FAULTS, backlog=800, bad_every=50)
    report = await run(plan, nats.url, tmp_path)
    assert report.complaints(plan) == []
    assert len(report.faults) == len(FAULTS)
