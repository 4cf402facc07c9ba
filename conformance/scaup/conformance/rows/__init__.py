"""The table of rows: every sentence the suite knows, in the order of the documents. Pure."""

from __future__ import annotations

from typing import Final

from scaup.conformance.rows.cloudevents import CORE, HTTP, JSON
from scaup.conformance.rows.controlplane import CONTROL_PLANE
from scaup.conformance.rows.dataplane import DATA_PLANE, DELIVERY
from scaup.conformance.rows.neighbours import CESQL, FILTERS, NATS, WEBHOOK
from scaup.conformance.rows.row import Chapter, Level, Row

CHAPTERS: Final[tuple[Chapter, ...]] = (
    DATA_PLANE,
    CONTROL_PLANE,
    DELIVERY,
    CORE,
    HTTP,
    JSON,
    WEBHOOK,
    NATS,
    FILTERS,
    CESQL,
)
ROWS: Final[dict[str, Row]] = {row.id: row for chapter in CHAPTERS for row in chapter.rows}

__all__ = ["CHAPTERS", "ROWS", "Chapter", "Level", "Row"]
