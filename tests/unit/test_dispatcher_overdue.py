"""When an entry is brought whose time the server has lost: by its own clock, and only where its time is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from scaup.core.bus.entries import StoredEntry
from scaup.core.codec import kept
from scaup.dispatcher.overdue import due_again
from scaup.dispatcher.queues import due_in_s

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = 3600


def _entry(stored_s: float, due: str) -> StoredEntry:
    """Stored so many seconds after now."""
    stored_at = (NOW + timedelta(seconds=stored_s)).isoformat(timespec="microseconds").replace("+00:00", "123Z")
    return StoredEntry(1, "s", {kept.NOT_BEFORE: due} if due else {}, b"", stored_at)


@pytest.mark.parametrize(
    ("stored_s", "due_s", "again_s"),
    [
        (-60, 60, None),
        (-60, -1, None),  # it may be on its way
        (-60, -11, -11),  # it was not brought
        (-HOUR, -HOUR + 1, -HOUR + 1),
        (-1, HOUR, None),
        (5, 8, None),  # clocks of several servers differ a little
        (HOUR, HOUR + 2, 2),  # stored before the clock jumped back: its wait begins anew
        (HOUR, 2 * HOUR, HOUR),
        (HOUR, HOUR - 1, 0),
        (HOUR, -HOUR, 0),
    ],
)
def test_entry_is_brought_again_where_its_time_is_lost(stored_s: float, due_s: float, again_s: float | None) -> None:
    due = f"{(NOW + timedelta(seconds=due_s)).timestamp():.3f}"
    expected = None if again_s is None else NOW + timedelta(seconds=again_s)
    found = due_again(_entry(stored_s, due), NOW)
    assert found == expected or (found and expected and abs(found - expected) < timedelta(milliseconds=2))


@pytest.mark.parametrize("due", ["", "soon", "1e400", "nan", "inf"])
def test_entry_that_does_not_say_when_it_is_due_is_left_alone(due: str) -> None:
    assert due_again(_entry(-HOUR, due), NOW) is None


@pytest.mark.parametrize(
    ("not_before", "stored_at", "now", "wait_s"),
    [
        (0.0, 1000.0, 1000.0, 0.0),
        (1000.8, 1000.0, 1000.1, 0.7),
        (1000.8, 1000.0, 1002.0, 0.0),
        (1000.8, 1000.0, 1000.0 - HOUR, 0.8),  # the clock jumped back
        (1000.8, 1000.0, 1000.0 + HOUR, 0.0),
        (1000.0, 1000.3, 1000.0 - HOUR, 0.0),  # the server waited for it: its storing is its time
    ],
)
def test_wait_in_the_dispatcher_is_never_longer_than_the_wait_it_was_stored_for(
    not_before: float, stored_at: float, now: float, wait_s: float
) -> None:
    assert due_in_s(not_before, stored_at, now) == pytest.approx(wait_s)
