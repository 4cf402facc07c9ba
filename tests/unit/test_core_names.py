"""Names on the bus are reversible, never collide, and hold nothing that a subject cannot."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.core.model import names
from scaup.core.model.names import BrokerUid, Lane, TriggerUid

UIDS = st.from_regex(r"[A-Za-z0-9-]{1,64}", fullmatch=True)
BROKERS = UIDS.map(BrokerUid)
TRIGGERS = UIDS.map(TriggerUid)
LANES = st.builds(Lane, BROKERS, TRIGGERS, st.sampled_from([names.SUBSCRIBER, names.DEAD_LETTER]))
KEYS = st.from_regex(r"[1-9][0-9]{0,18}(-[0-9a-f]{8})?", fullmatch=True)
SEGMENTS = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True)
STREAMS = {names.LOG: names.log_stream, names.QUEUE: names.queue_stream, names.DEAD: names.dead_stream}
KV_KEY = re.compile(r"[-/_=.a-zA-Z0-9]+")


@given(st.sampled_from(list(STREAMS)), BROKERS)
def test_a_stream_says_its_kind_and_broker(kind: str, uid: BrokerUid) -> None:
    assert names.parse_stream(STREAMS[kind](uid)) == (kind, uid)


@given(st.lists(BROKERS, min_size=1, max_size=6, unique=True))
def test_no_two_brokers_and_kinds_share_a_stream(uids: list[BrokerUid]) -> None:
    made = [make(uid) for uid in uids for make in STREAMS.values()]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(
    "name", ["", "KV_definitions", "scaup-log-", "scaup-other-x", "scaup-log-a.b", "xscaup-log-a", "scaup-log-a\n"]
)
def test_other_peoples_streams_are_not_ours(name: str) -> None:
    assert names.parse_stream(name) is None


@given(LANES, KEYS, st.integers(1))
def test_a_lane_is_found_again_in_all_its_subjects(lane: Lane, key: str, events: int) -> None:
    queue, retry = names.queue_subject(lane, events), names.retry_subject(lane, key)
    assert names.lane_of_subject(queue) == names.lane_of_subject(retry) == lane
    assert (names.events_of_subject(queue), names.events_of_subject(retry)) == (events, 1)
    assert names.hinted(names.parked_hint(lane)) == list(lane)
    assert names.hinted(names.trim_hint(lane.broker)) == [lane.broker]
    assert names.trigger_of_dead_subject(names.dead_subject(lane.broker, lane.trigger)) == lane.trigger


@given(LANES, LANES, KEYS, KEYS, st.integers(0, 99))
def test_lanes_share_no_subject_consumer_or_id(one: Lane, other: Lane, first: str, second: str, attempts: int) -> None:
    same = one == other
    assert (names.queue_subject(one) == names.queue_subject(other)) is same
    assert (names.retry_subject(one, first) == names.retry_subject(other, second)) is (same and first == second)
    if one.broker == other.broker:  # consumers and ids live in a stream of one Broker
        assert (names.lane_consumer(one) == names.lane_consumer(other)) is same
        equal_ids = names.parking_id(one, first, attempts) == names.parking_id(other, second, attempts)
        assert equal_ids is (same and first == second)


@pytest.mark.parametrize("subject", ["", "scaup.log.b.event", "scaup.queue.b", "other.queue.b.t.k.1", "scaup.dead.b.t"])
def test_subjects_of_other_things_name_no_lane(subject: str) -> None:
    assert names.lane_of_subject(subject) is None
    assert names.trigger_of_dead_subject("scaup.log.b.event") is None


@pytest.mark.parametrize("uid", ["", "a.b", "a b", "a*", "a>", "ä", "a_b", "x" * 65, "a\n", "a/b"])
def test_what_cannot_stand_in_a_subject_is_no_uid(uid: str) -> None:
    with pytest.raises(ValueError, match="cannot be a uid"):
        names.log_stream(BrokerUid(uid))


@given(st.sampled_from(["v1", "eventing.knative.dev/v1", "a/b"]), SEGMENTS, SEGMENTS, SEGMENTS)
def test_an_address_key_is_taken_apart_again(version: str, kind: str, namespace: str, name: str) -> None:
    key = names.address_key(version, kind, namespace, name)
    assert names.parse_address_key(key) == (version, kind, namespace, name)
    assert KV_KEY.fullmatch(key)


@given(st.just("") | SEGMENTS, SEGMENTS, st.just("") | SEGMENTS, SEGMENTS)
def test_an_object_key_is_taken_apart_again(group: str, plural: str, namespace: str, name: str) -> None:
    key = names.object_key(group, plural, namespace, name)
    assert names.parse_object_key(key) == (group, plural, namespace, name)
    assert names.parse_address_key(key) is None


@pytest.mark.parametrize("key", ["", "complete", "broker.x", "address/a/b/c", "object/a/b/c", "object/a/b/c/d/e"])
def test_other_keys_are_neither_addresses_nor_objects(key: str) -> None:
    assert names.parse_address_key(key) is None
    assert names.parse_object_key(key) is None


@given(st.text(max_size=20), st.text(max_size=20))
def test_replicas_of_any_name_have_keys_of_their_own(one: str, other: str) -> None:
    first, second = names.replica_key("filter", one), names.replica_key("filter", other)
    assert (first == second) is (one == other)
    assert KV_KEY.fullmatch(first)
    assert first.partition(".")[0] == "filter"
    assert first.count(".") == 1


def test_a_dead_letter_without_a_trigger_has_a_subject_and_an_id_that_no_trigger_has() -> None:
    subject = names.dead_subject(BrokerUid("b"), None)
    assert names.trigger_of_dead_subject(subject) is None
    with pytest.raises(ValueError, match="cannot be a uid"):
        names.checked_uid(subject.rpartition(".")[2])
    assert names.kept_id(None, "7") != names.kept_id(TriggerUid("u"), "7")


TEXTS = st.text(max_size=12)


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_two_events_have_one_id_only_where_source_and_id_are_the_same(a: str, b: str, c: str, d: str) -> None:
    assert (names.event_id(a, b) == names.event_id(c, d)) is ((a, b) == (c, d))


@given(TEXTS, TEXTS)
def test_the_same_characters_parted_elsewhere_are_another_event(one: str, other: str) -> None:
    ids = {names.event_id((one + other)[:at], (one + other)[at:]) for at in range(len(one + other) + 1)}
    assert len(ids) == len(one + other) + 1


@given(TEXTS, TEXTS, TRIGGERS, KEYS)
def test_no_event_a_producer_sends_has_the_id_of_a_reply(
    source: str, event: str, trigger: TriggerUid, key: str
) -> None:
    found = names.event_id(source, event)
    assert re.fullmatch(r"event:[A-Za-z0-9_-]{22}", found)
    assert not names.reply_id(trigger, key).startswith("event:")


def test_the_delivery_that_a_reply_answers_is_read_from_its_id_and_from_no_other() -> None:
    for key in ("7", "7-abcd"):
        assert names.parse_reply_id(names.reply_id(names.TriggerUid("t"), key)) == (key, "t")
    for other in ("", "reply:7", names.event_id("/a", "1"), names.kept_id(names.TriggerUid("t"), "7")):
        assert names.parse_reply_id(other) is None
