"""What a dispatcher remembers: bounded, found by place in the log, and honest about since when."""

from __future__ import annotations

import time

import pytest

from scaup.core.codec.kept import Facts, Replay
from scaup.core.model.names import DEAD_LETTER, BrokerUid, Lane, TriggerUid
from scaup.core.model.trail import End, Told, Unwell, Way
from scaup.core.runtime.definitions import Definitions
from scaup.dispatcher import trail as module
from scaup.dispatcher.judge import Accepted, GiveUp, Replied, Retry
from scaup.dispatcher.trail import Trail
from tests.support.events import a_trigger, an_event

BROKER = BrokerUid("broker-1")
LANE = Lane(BROKER, TriggerUid("t"))


def remembering(most: int = 64, most_failed: int = 64) -> Trail:
    definitions = Definitions()
    definitions.triggers[TriggerUid("t")] = a_trigger("t")
    return Trail(definitions, most, most_failed)


def told(trail: Trail, sequence: int, broker: BrokerUid = BROKER) -> Told:
    found = Told("one", 0.0, trail.started)
    trail.tell(found, broker, sequence)
    return found


def test_what_ended_is_told_by_its_place_in_the_log_with_status_attempts_and_time() -> None:
    trail = remembering()
    trail.delivered(LANE, Facts(7), Accepted(204), 0.25)
    trail.delivered(LANE, Facts(8, attempts=2), Replied(an_event(), {}), 1.5)
    trail.ended(LANE._replace(kind=DEAD_LETTER), Facts(8, attempts=4, status=503), End.KEPT)
    (first,) = told(trail, 7).ended
    assert (first.way, first.end, first.status) == (Way(TriggerUid("t"), "subscriber"), End.DELIVERED, 204)
    assert (first.attempts, first.seconds, first.at >= trail.started) == (1, 0.25, True)
    second, third = told(trail, 8).ended
    assert (second.end, second.attempts, second.status) == (End.REPLIED, 3, 200)
    assert (third.end, third.attempts, third.way.kind) == (End.KEPT, 4, DEAD_LETTER)
    assert told(trail, 7).names == {"t": "default/t"}
    assert told(trail, 9).ended == []


def test_the_same_place_in_the_log_of_another_broker_is_another_event() -> None:
    trail = remembering()
    trail.delivered(LANE, Facts(7), Accepted(202), 0.0)
    trail.failed(LANE, Facts(7, attempts=1), GiveUp("no"), 0.0)
    other = told(trail, 7, BrokerUid("broker-2"))
    assert (other.ended, other.failed) == ([], [])


def test_a_full_memory_forgets_the_oldest_and_says_since_when_it_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000, 2_000))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    trail = remembering(most=8, most_failed=3)
    for sequence in range(1, 21):
        trail.delivered(LANE, Facts(sequence), Accepted(202), 0.0)
    assert [bool(told(trail, sequence).ended) for sequence in range(1, 21)] == [False] * 12 + [True] * 8
    assert told(trail, 13).since == 1_012.0  # when the last one was that is forgotten
    for attempt in range(1, 6):
        trail.failed(LANE, Facts(1, attempts=attempt, reason="no"), Retry(1.0, "no"), 0.5)
    found = told(trail, 1)
    assert [one.attempt for one in found.failed] == [3, 4, 5]
    assert found.failed_since == 1_022.0
    assert (found.failed[0].reason, found.failed[0].next_at) == ("no", found.failed[0].at + 1.0)


def test_any_sequence_is_found_wherever_its_bytes_stand() -> None:
    trail = remembering(most=4096)
    sequences = [1, 256, 1 << 16, (1 << 40) + 1, 257, 0x0101010101010101, 1]
    for sequence in sequences:
        trail.delivered(LANE, Facts(sequence), Accepted(202), 0.0)
    assert {sequence: len(told(trail, sequence).ended) for sequence in sequences} == {
        sequence: sequences.count(sequence) for sequence in sequences
    }
    assert told(trail, 0).ended == []


def test_replays_are_told_apart_but_those_of_dead_letters_are_one() -> None:
    trail = remembering()
    for replay in (None, Replay("abcd", ""), Replay("d1", "", 1), Replay("d2", "", 2)):
        trail.delivered(LANE, Facts(1, replay=replay), Accepted(202), 0.0)
    assert [one.way.replay for one in told(trail, 1).ended] == ["", "abcd", "dead-letter", "dead-letter"]


def test_more_triggers_and_replays_than_have_numbers_begin_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAYS", 3)
    trail = remembering()
    for number in range(4):
        trail.delivered(LANE, Facts(number + 1, replay=Replay(f"r{number}", "")), Accepted(202), 0.0)
    assert [len(told(trail, number + 1).ended) for number in range(4)] == [0, 0, 0, 1]
    assert (told(trail, 1).since or 0.0) >= trail.started


def test_a_dispatcher_that_is_told_to_remember_nothing_does_not() -> None:
    trail = Trail()
    trail.delivered(LANE, Facts(1), Accepted(202), 0.0)
    trail.failed(LANE, Facts(1), GiveUp("no"), 0.0)
    trail.dropped(LANE, Facts(1), "too_large")
    found = told(trail, 1)
    assert (found.since, found.ended, found.failed) == (None, [], [])


def test_an_answer_is_the_same_after_its_travel() -> None:
    trail = remembering()
    trail.delivered(LANE, Facts(1), Accepted(202), 0.5)
    trail.failed(LANE, Facts(1, attempts=1, reason="no", status=500), Retry(2.0, "no"), 0.5)
    trail.dropped(LANE, Facts(1), "dead_letters_full")
    found = told(trail, 1)
    found.unwell.append(Unwell(Way(TriggerUid("t"), "subscriber"), 0.25))
    assert Told.from_bytes(found.to_bytes()) == found
