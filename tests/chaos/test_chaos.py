"""Nothing that was accepted gets lost: filters, dispatchers, ingress and NATS, each killed with -9 under load.

Every kind of hostile sink takes part. `make chaos` is the same for ten minutes, with faults by chance.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.crowd import HOSTILE, Scenario, healthy
from tests.chaos.faults import NATS, Fault
from tests.chaos.report import show
from tests.chaos.run import run

# The dispatchers early: what they held of a queue comes back after 30 s.
FAULTS = (
    Fault("kill", NATS),
    Fault("kill", "dispatcher-1"),
    Fault("kill", "dispatcher-2"),
    Fault("kill", "ingress"),
    Fault("kill", "filter-1"),
    Fault("kill", "filter-2"),
    Fault("pause", "dispatcher-1", seconds=10.0),
)


@pytest.mark.timeout(300)
async def test_no_accepted_event_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    scenario = Scenario(rate=100.0, seconds=0, plans=(*healthy(6), *HOSTILE))

    report = await run(scenario, FAULTS, tmp_path)

    show(report)
    assert report.complaints == []
    assert len(report.faults) == len(FAULTS)
    assert report.accepted > 0.5 * report.sent
    rows = {row.trigger: row for row in report.ledger.rows}
    assert all(row.delivered == row.matched for row in rows.values() if row.kind == "well")
    assert rows["poison"].dead_lettered
    assert rows["final"].kept
    assert rows["hanging"].waiting
    assert rows["leaving"].dropped
