"""Which dead letters are meant by what was typed, and what a replay makes of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scaup.cli.deadletterplans import WhyNot, as_accepted, replay_facts, why_not
from scaup.cli.deadletterselect import Scope, Wanted, is_wanted, moment, name_of, parse_name
from scaup.cli.problems import UsageError
from scaup.core.bus.deadletters import DeadLetter
from scaup.core.codec import stored
from scaup.core.codec.kept import Facts, to_headers
from scaup.core.model.event import Event
from scaup.core.model.names import BrokerUid, TriggerUid
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.settle import with_error

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
EVENT = Event({"specversion": "1.0", "id": "1", "source": "/me", "type": "t", "name": "Zoë"}, b"data")
FACTS = Facts(7, "2026-01-02T03:00:00Z", 3, first_failure="2026-01-02T03:04:05.678Z", reason="Status 500", status=500)
LETTER = DeadLetter(
    9,
    BrokerUid("a-b-1"),
    TriggerUid("u"),
    "default/t",
    "2026-01-02T10:00:00.123456789Z",
    FACTS,
    EVENT,
    stored.to_headers(EVENT, {"x-request-id": "r"}) | to_headers(FACTS),
)
SCOPE = Scope(BrokerUid("a-b-1"), "one", 9, {"u": "t"})


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("2h", timedelta(hours=2)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("PT2H", timedelta(hours=2)),
        ("P1D", timedelta(days=1)),
        ("2026-01-02T11:00:00Z", timedelta(hours=1)),
        ("2026-01-02T12:00:00.5+01:00", timedelta(hours=1, seconds=-0.5)),
    ],
)
def test_a_time_is_rfc_3339_or_how_long_ago(text: str, ago: timedelta) -> None:
    assert moment(text, NOW, "--since") == NOW - ago


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2 h", "yesterday", "2026-01-02", "2026-01-02T11:00:00", "-2h", "9" * 30 + "d"]
)
def test_anything_else_is_no_time_and_the_option_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"--until .* is no time"):
        moment(text, NOW, "--until")


def test_a_name_leads_back_to_the_broker_and_the_sequence() -> None:
    assert name_of(LETTER) == "a-b-1-9"
    assert parse_name("a-b-1-9") == ("a-b-1", 9)
    for wrong in ("", "9", "-9", "a-", "a-x", "a.b-1", "a-²"):
        with pytest.raises(UsageError, match="is no name"):
            parse_name(wrong)


@pytest.mark.parametrize(
    ("changes", "is_one"),
    [
        ({}, True),
        ({"since": datetime(2026, 1, 2, 10, tzinfo=UTC)}, True),
        ({"since": datetime(2026, 1, 2, 10, 1, tzinfo=UTC)}, False),
        ({"until": datetime(2026, 1, 2, 10, tzinfo=UTC)}, False),
        ({"until": datetime(2026, 1, 2, 10, 1, tzinfo=UTC)}, True),
        ({"reason": "status 5"}, True),
        ({"reason": "refused"}, False),
        ({"event_id": "1", "source": "/me"}, True),
        ({"event_id": "2"}, False),
        ({"event_id": "1", "source": "/you"}, False),
    ],
)
def test_a_dead_letter_is_meant_when_everything_that_was_said_fits(changes: dict[str, object], is_one: bool) -> None:
    wanted = replace(Wanted("default"), **changes)  # type: ignore[arg-type]
    assert is_wanted(LETTER, wanted) == is_one
    assert wanted.is_everything == (not changes)


def test_only_what_a_trigger_that_is_there_failed_to_get_can_be_replayed() -> None:
    assert why_not(LETTER, SCOPE) is None
    assert why_not(replace(LETTER, trigger=None), SCOPE) is WhyNot.NO_TRIGGER
    assert why_not(LETTER, replace(SCOPE, triggers={})) is WhyNot.TRIGGER_DELETED
    assert why_not(LETTER, replace(SCOPE, name="one (deleted)")) is WhyNot.BROKER_DELETED
    reply = replace(LETTER, facts=replace(FACTS, reason="the reply's hops (knativebrokerttl) are used up"))
    assert why_not(reply, SCOPE) is WhyNot.REPLY


def test_two_replays_of_a_dead_letter_have_one_key_and_begin_anew() -> None:
    one, other = replay_facts(LETTER, "2026-01-02T12:00:00Z"), replay_facts(LETTER, "2026-01-02T13:00:00Z")
    assert one.key == other.key == "7-d9"
    assert (one.attempts, one.accepted, one.first_failure) == (0, FACTS.accepted, "")


def test_what_its_death_added_is_taken_away_and_everything_else_stays() -> None:
    accepted = stored.to_headers(EVENT, {"x-request-id": "r"})
    assert as_accepted(LETTER) == accepted
    for facts in (FACTS, replace(FACTS, first_failure="")):
        for_sink = with_error(Outgoing(accepted, b"data"), facts, "default/t")
        letter = replace(LETTER, facts=replace(FACTS, reason="404"), headers=for_sink.headers | to_headers(FACTS))
        assert as_accepted(letter) == accepted


def test_what_the_event_brought_with_it_from_another_death_stays() -> None:
    earlier = replace(FACTS, first_failure="2025-01-01T00:00:00Z")
    for facts, trigger in ((FACTS, "default/other"), (earlier, "default/t")):
        came = with_error(Outgoing(stored.to_headers(EVENT), b"data"), facts, trigger)
        assert as_accepted(replace(LETTER, headers=came.headers | to_headers(FACTS))) == came.headers
