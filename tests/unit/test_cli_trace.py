"""From what was found of an event to its fate: the cases that seldom come about by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scaup.cli.plane import Snapshot
from scaup.cli.trace.fates import Fate, State, fates
from scaup.cli.trace.sources import Defined, Logged, Sources, Stage
from scaup.cli.trace.story import defined
from scaup.cli.trace.telling import as_object, description, not_known
from scaup.cli.trace.words import spoken_at, spoken_s, spoken_span
from scaup.core.bus.deadletters import DeadLetter
from scaup.core.bus.finding import Queued
from scaup.core.codec.kept import Facts
from scaup.core.model.definitions import Delivery, Destination
from scaup.core.model.names import DEAD_LETTER, SUBSCRIBER, Lane, TriggerUid
from scaup.core.model.trail import End, Ended, Failed, Told, Way
from tests.support.events import BROKER, a_broker, a_trigger, an_event

ACCEPTED = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
NOW = ACCEPTED + timedelta(minutes=1)
T = TriggerUid("t")


def at(seconds: float) -> float:
    """A moment so many seconds after the event was accepted."""
    return ACCEPTED.timestamp() + seconds


def ended(end: End, kind: str = SUBSCRIBER, seconds: float = 1.0) -> Ended:
    return Ended(Way(T, kind), end, at(seconds), 2, 202, 0.5)


def sources(*ends: Ended, failed: tuple[Failed, ...] = (), since: float | None = -60.0, **more: Any) -> Sources:
    """An event that one Trigger wants and the log is done with; one dispatcher remembers these ends of it."""
    told = Told("one", NOW.timestamp(), at(-60), None if since is None else at(since), at(-60))
    told.ended, told.failed = list(ends), list(failed)
    snapshot = Snapshot({BROKER: a_broker()}, {T: a_trigger("t")}, revision=3, created="c")
    logged = Logged(7, ACCEPTED, Stage.SETTLED)
    whole: dict[str, Any] = {"told": [told], "live": ["dispatcher.one"]} | more
    return Sources(a_broker(), an_event(), logged, NOW, snapshot, **whole)


def fate(found: Sources) -> Fate:
    (only,) = fates(found)
    return only


@pytest.mark.parametrize(
    ("ends", "state", "says"),
    [
        ([End.DELIVERED], State.DELIVERED, "202 after 500 ms at attempt 2"),
        ([End.REPLIED], State.DELIVERED, "with a reply"),
        ([End.TO_SINK], State.DEAD_LETTER_SINK, "what became of it there is not known any more"),
        ([End.KEPT], State.DEAD_LETTER, "is gone now: replayed with success, or purged"),
        ([End.TRIGGER_DELETED], State.DROPPED, "its Trigger was deleted"),
        ([End.DEAD_LETTERS_FULL], State.DROPPED, "they are full"),
        ([End.TOO_LARGE], State.DROPPED, "larger than the bus takes"),
        ([End.TO_SINK, End.DELIVERED], State.DEAD_LETTER_SINK, "given up; its dead letter sink has it"),
        ([End.TO_SINK, End.KEPT], State.DEAD_LETTER, "is gone now"),
    ],
)
def test_every_end_that_a_dispatcher_remembers_is_a_fate(ends: list[End], state: State, says: str) -> None:
    kinds = (SUBSCRIBER, DEAD_LETTER)
    found = fate(
        sources(*(ended(end, kind, index) for index, (end, kind) in enumerate(zip(ends, kinds, strict=False))))
    )
    assert (found.state, says in found.why) == (state, True), found


def test_an_end_of_an_entry_at_the_same_place_of_a_log_that_was_lost_is_none_of_this_event() -> None:
    found = fate(sources(ended(End.DELIVERED, seconds=-3600)))
    assert found.state is State.NOT_KNOWN


def test_a_clock_that_is_behind_does_not_make_an_end_look_like_one_of_another_event() -> None:
    found = sources(ended(End.DELIVERED, seconds=-3600))
    found.told[0].now = NOW.timestamp() - 3601
    assert fate(found).state is State.DELIVERED


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"since": 30.0}, "dispatchers remember what ended since 2026-05-04T10:00:30.000Z"),
        ({"since": None}, "SCAUP_TRAIL is off, so no dispatcher knows"),
        ({"told": [], "live": []}, "no dispatcher runs that would know"),
        ({"live": ["dispatcher.one", "dispatcher.two"]}, "two did not say which"),
        ({}, "no dispatcher that runs did it"),
    ],
)
def test_what_is_not_known_says_why_not(changes: dict[str, Any], says: str) -> None:
    found = fate(sources(**changes))
    assert (found.state, says in found.why) == (State.NOT_KNOWN, True), found
    assert "it was delivered, or dropped by a policy, or its dead letter was removed" in found.why


def test_a_trigger_with_a_dead_letter_sink_may_have_given_it_to_that() -> None:
    found = sources(since=30.0)
    sink = Delivery(dead_letter_sink=Destination(uri="http://127.0.0.1:9/"))
    found.definitions.triggers[T] = a_trigger("t", delivery=sink)
    assert "delivered, or sent on to its dead letter sink" in fate(found).why


def test_a_trigger_made_later_or_not_ready_did_not_get_it() -> None:
    items: list[dict[str, Any]] = [
        {"metadata": {"uid": "t", "name": "t", "creationTimestamp": "2026-05-04T10:00:30Z"}},
        {
            "metadata": {"uid": "u", "name": "broken", "creationTimestamp": "?"},
            "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Bad", "message": "no such"}]},
        },
    ]
    later, broken = fates(sources(defined=[defined(item) for item in items]))[::-1]
    assert (later.state, later.why) == (State.NOT_WANTED, "the Trigger was made later, at 2026-05-04T10:00:30.000Z")
    assert (broken.trigger, broken.state) == ("broken", State.NOT_WANTED)
    assert broken.why == "the data plane does not know the Trigger: not Ready: Bad: no such"


def test_attempts_that_are_not_remembered_leave_a_gap_that_is_said() -> None:
    failed = Failed(Way(T, SUBSCRIBER), 4, at(4), 0.25, "the sink answered 503", 503, at(8))
    facts = Facts(7, "", 4, 0.0, "2026-05-04T10:00:01Z", "2026-05-04T10:00:04Z", "the sink answered 503", 503)
    found = sources(failed=(failed,), queued=[Queued(Lane(BROKER, T), facts, an_event(), is_bundled=False)])
    told = fates(found)
    assert [(one.number, one.seconds) for one in told[0].attempts] == [(1, None), (4, 0.25)]
    lines = description(found, told).splitlines()
    first = next(index for index, line in enumerate(lines) if "ATTEMPT" in line)
    assert [line.split()[0] for line in lines[first + 1 : first + 4]] == ["1", "2-3", "4"]
    assert lines[first + 2].split(maxsplit=1)[1] == "not remembered"
    assert lines[first + 3].endswith("503      250 ms   the sink answered 503; again after 4.0 s")


def test_a_delivered_event_of_a_bundle_that_is_not_removed_yet_is_delivered() -> None:
    queued = Queued(Lane(BROKER, T), Facts(7), an_event(), is_bundled=True)
    assert fate(sources(ended(End.DELIVERED), queued=[queued])).state is State.DELIVERED
    assert fate(sources(queued=[queued])).state is State.WAITING


def test_what_was_set_aside_before_it_was_known_who_wants_it_is_nobodys() -> None:
    letter = DeadLetter(1, BROKER, None, "", spoken_at(NOW), Facts(7, reason="it ended two processes"), an_event())
    nobody = next(one for one in fates(sources(letters=[letter])) if one.trigger == "-")
    assert (nobody.state, nobody.why, nobody.letter) == (State.DEAD_LETTER, "it ended two processes", "broker-1-1")


def test_a_reply_whose_hops_were_used_up_is_no_dead_letter_of_the_event() -> None:
    facts = Facts(7, reason="the reply's hops (knativebrokerttl) are used up")
    letter = DeadLetter(1, BROKER, T, "default/t", spoken_at(NOW), facts, an_event(id="r"))
    found = sources(ended(End.REPLIED), letters=[letter])
    assert fate(found).state is State.DELIVERED
    assert "Replied:    t: the reply's hops (knativebrokerttl) are used up" in description(found, fates(found))


def test_everything_that_limits_a_trace_is_said() -> None:
    found = sources(ended(End.DELIVERED), has_api=False, is_whole_queue=False, is_whole_replies=False)
    found.told.append(replace(found.told[0], replica="full", since=at(10), started=at(-60)))
    found.told.append(replace(found.told[0], replica="busy", failed_since=at(10)))
    said = " | ".join(not_known(found, fates(found)))
    for part in (
        "what full did before 2026-05-04T10:00:10.000Z: it remembers no more than that",
        "attempts of busy that failed before 2026-05-04T10:00:10.000Z",
        "all that waits",
        "all replies",
        "the API was not asked",
    ):
        assert part in said
    assert as_object(found, fates(found))["notKnown"] == not_known(found, fates(found))


def test_of_very_many_triggers_that_did_not_want_it_some_are_shown_to_people_and_all_to_programs() -> None:
    found = sources(ended(End.DELIVERED))
    for number in range(30):
        uid = TriggerUid(f"u{number}")
        found.definitions.triggers[uid] = a_trigger(uid, {"type": "another"})
    text, told = description(found, fates(found)), as_object(found, fates(found))
    assert text.count("not wanted") == 20
    assert "and 10 more Triggers that did not want it" in text
    assert len(told["triggers"]) == 31


def test_times_are_spoken_shortly() -> None:
    assert [spoken_s(seconds) for seconds in (0.0004, 0.25, 1.5, 4000)] == ["0.4 ms", "250 ms", "1.5 s", "4,000.0 s"]
    assert [spoken_span(s) for s in (5, 100, 3600, 7200, 86_400, 90_000, 172_800)] == [
        "5s",
        "100s",
        "1h",
        "2h",
        "1d",
        "25h",
        "2d",
    ]
    assert Defined(T, "t", None).unready == ""
