"""Many events in one entry of a queue: each comes out as it went in, and nothing half is taken for whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.core.bus.client import header_lines
from scaup.core.codec import bundle
from scaup.core.model.names import BrokerUid, Lane, TriggerUid, queue_subject, retry_subject

LANE = Lane(BrokerUid("b"), TriggerUid("t"))
_VALUES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), max_size=20)
HEADERS = st.dictionaries(st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True), _VALUES, max_size=5)
EVENTS = st.lists(st.tuples(HEADERS, st.binary(max_size=50)), min_size=2, max_size=10)


def whole(events: list[tuple[dict[str, str], bytes]]) -> bytes:
    return b"".join(bundle.frame(header_lines(headers), data) for headers, data in events)


@given(EVENTS)
def test_events_of_a_bundle_come_out_as_they_went_in(events: list[tuple[dict[str, str], bytes]]) -> None:
    assert bundle.events(queue_subject(LANE, len(events)), {}, whole(events)) == events


@given(HEADERS, st.binary(max_size=50))
def test_an_entry_of_one_event_is_that_event(headers: dict[str, str], data: bytes) -> None:
    for subject in (queue_subject(LANE), retry_subject(LANE, "7")):
        assert bundle.events(subject, headers, data) == [(headers, data)]


@given(EVENTS, st.data())
def test_what_is_cut_or_miscounted_is_no_bundle(
    events: list[tuple[dict[str, str], bytes]], choice: st.DataObject
) -> None:
    data = whole(events)
    cut = choice.draw(st.integers(0, len(data) - 1))
    for number, some in ((len(events), data[:cut]), (len(events) + 1, data), (len(events), data + b"\0")):
        with pytest.raises(ValueError, match="holds"):
            bundle.events(queue_subject(LANE, number), {}, some)


@given(st.lists(st.integers(0, 3 * bundle.MAX_BYTES // 2), max_size=200))
def test_chunks_keep_the_order_and_stay_within_what_one_entry_may_hold(sizes: list[int]) -> None:
    frames = [(number, b"x" * size) for number, size in enumerate(sizes)]
    chunks = [list(chunk) for chunk in bundle.chunks(frames)]
    assert [each for chunk in chunks for each in chunk] == frames
    for chunk in chunks:
        assert 1 <= len(chunk) <= bundle.MAX_EVENTS
        assert len(chunk) == 1 or sum(len(frame) for _, frame in chunk) <= bundle.MAX_BYTES
