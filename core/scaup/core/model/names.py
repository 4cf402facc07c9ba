"""Every name on the bus: streams, subjects, consumers, buckets and keys. Made here, taken apart here, nowhere else.

Names carry the uid of the Broker or Trigger, so a thing that is made anew under an old name never meets what its
predecessor left behind. Names are reversible and never collide: uids hold letters, digits and ``-`` only, and each
kind of name has a prefix (or a position) of its own. What a person wants to read (namespace and name) stands in the
description of the stream, not in its name.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import Final, NamedTuple, NewType

BrokerUid = NewType("BrokerUid", str)
TriggerUid = NewType("TriggerUid", str)

DEFINITIONS_BUCKET: Final = "definitions"
OBJECTS_BUCKET: Final = "objects"
REPLICAS_BUCKET: Final = "replicas"
REPLAYS_BUCKET: Final = "replays"
STARTS_BUCKET: Final = "starts"
DISPATCH_CONSUMER: Final = "dispatch"
COMPLETE_KEY: Final = "complete"
WRITER_KEY: Final = "writer"

LOG: Final = "log"
QUEUE: Final = "queue"
DEAD: Final = "dead"

SUBSCRIBER: Final = "subscriber"
DEAD_LETTER: Final = "deadletter"


class Lane(NamedTuple):
    """One way of a Trigger's events: to its subscriber, or to its dead letter sink. Each has a queue of its own."""

    broker: BrokerUid
    trigger: TriggerUid
    kind: str = SUBSCRIBER


_NOBODY: Final = "_"
"""Stands where a Trigger's uid would; it is none, so the two never collide."""
_UID = re.compile(r"[A-Za-z0-9-]{1,64}")
_STREAM = re.compile(rf"scaup-({LOG}|{QUEUE}|{DEAD})-([A-Za-z0-9-]{{1,64}})")


def checked_uid(uid: str) -> str:
    """``uid`` itself, if it can stand in a subject; raises ValueError otherwise."""
    if not _UID.fullmatch(uid):
        msg = f"{uid!r} cannot be a uid: letters, digits and '-' only, 1 to 64 characters"
        raise ValueError(msg)
    return uid


def log_stream(broker: BrokerUid) -> str:
    """The event log of a Broker."""
    return f"scaup-{LOG}-{checked_uid(broker)}"


def queue_stream(broker: BrokerUid) -> str:
    """The queues of a Broker's Triggers."""
    return f"scaup-{QUEUE}-{checked_uid(broker)}"


def dead_stream(broker: BrokerUid) -> str:
    """The dead letters of a Broker that are kept."""
    return f"scaup-{DEAD}-{checked_uid(broker)}"


def parse_stream(name: str) -> tuple[str, BrokerUid] | None:
    """``(LOG | QUEUE | DEAD, broker uid)`` of one of our streams; None for anybody else's."""
    found = _STREAM.fullmatch(name)
    return (found[1], BrokerUid(found[2])) if found else None


def log_subjects(broker: BrokerUid) -> str:
    """Everything in a Broker's event log."""
    return f"scaup.log.{checked_uid(broker)}.*"


def event_subject(broker: BrokerUid) -> str:
    """Where the ingress appends what producers sent."""
    return f"scaup.log.{checked_uid(broker)}.event"


def reply_subject(broker: BrokerUid) -> str:
    """Where the dispatcher appends what subscribers replied."""
    return f"scaup.log.{checked_uid(broker)}.reply"


def queue_subject(lane: Lane, events: int = 1) -> str:
    """Entries of a lane that can be worked now (or within a second), and how many events each of them holds."""
    return f"scaup.queue.{lane.broker}.{lane.trigger}.{lane.kind}.{events}"


def queue_subject_filter(lane: Lane) -> str:
    """The workable entries of one lane."""
    return f"scaup.queue.{lane.broker}.{lane.trigger}.{lane.kind}.*"


def mark_subject(lane: Lane) -> str:
    """A mark in a lane's queue: an entry that holds no event."""
    return queue_subject(lane, 0)


def retry_subject(lane: Lane, key: str) -> str:
    """Where the entry for one event waits for its time: one subject for each key (Facts), so the newest wins."""
    return f"scaup.retry.{lane.broker}.{lane.trigger}.{lane.kind}.{key}"


def retry_subject_filter(lane: Lane) -> str:
    """The waiting entries of one lane."""
    return f"scaup.retry.{lane.broker}.{lane.trigger}.{lane.kind}.*"


def waiting_subjects(broker: BrokerUid, trigger: TriggerUid) -> str:
    """Everything that waits for one Trigger: in both of its lanes, workable or not yet."""
    return f"scaup.*.{checked_uid(broker)}.{checked_uid(trigger)}.*.*"


def queue_subjects(broker: BrokerUid) -> str:
    """The workable entries of all Triggers of a Broker."""
    return f"scaup.queue.{checked_uid(broker)}.*.*.*"


def retry_subjects(broker: BrokerUid) -> str:
    """The waiting entries of all Triggers of a Broker."""
    return f"scaup.retry.{checked_uid(broker)}.*.*.*"


def lane_consumer(lane: Lane) -> str:
    """The durable consumer of a lane. ``_`` is in no uid, so no two lanes share a name."""
    return f"{lane.trigger}_{lane.kind}"


def lane_of_consumer(broker: BrokerUid, consumer: str) -> Lane | None:
    """The lane that a durable consumer of a Broker's queues works; None for anybody else's."""
    trigger, _, kind = consumer.rpartition("_")
    return Lane(broker, TriggerUid(trigger), kind) if trigger and kind in {SUBSCRIBER, DEAD_LETTER} else None


def lane_of_subject(subject: str) -> Lane | None:
    """The lane whose queue or waiting entry a subject names; None where it names none."""
    parts = subject.split(".")
    if len(parts) == 6 and parts[0] == "scaup" and parts[1] in {"queue", "retry"}:
        return Lane(BrokerUid(parts[2]), TriggerUid(parts[3]), parts[4])
    return None


def events_of_subject(subject: str) -> int:
    """How many events an entry of a queue holds, by its subject; one that waits for its time holds one."""
    _, kind, *_, last = subject.split(".")
    return int(last) if kind == "queue" else 1


def dead_subject(broker: BrokerUid, trigger: TriggerUid | None) -> str:
    """A Trigger's kept dead letters; without a Trigger, what was given up before it was known who wants it."""
    return f"scaup.dead.{checked_uid(broker)}.{_NOBODY if trigger is None else checked_uid(trigger)}"


def dead_subjects(broker: BrokerUid) -> str:
    """All kept dead letters of a Broker."""
    return f"scaup.dead.{checked_uid(broker)}.*"


def trigger_of_dead_subject(subject: str) -> TriggerUid | None:
    """The Trigger whose dead letter a subject names; None where it names none."""
    parts = subject.split(".")
    is_one = len(parts) == 4 and parts[:2] == ["scaup", "dead"] and parts[3] != _NOBODY
    return TriggerUid(parts[3]) if is_one else None


def match_subject(broker: BrokerUid) -> str:
    """Where the filter answers "who wants these?" for a Broker."""
    return f"scaup.match.{checked_uid(broker)}"


def trail_subject(broker: BrokerUid) -> str:
    """Where every dispatcher says what it remembers of an event of a Broker."""
    return f"scaup.trail.{checked_uid(broker)}"


DEAD_SUBJECTS: Final = "scaup.dead.*.*"
MATCH_SUBJECTS: Final = "scaup.match.*"
TRAIL_SUBJECTS: Final = "scaup.trail.*"
PARKED_HINTS: Final = "scaup.hint.parked.*.*.*"
TRIM_HINTS: Final = "scaup.hint.trim.*"


def parked_hint(lane: Lane) -> str:
    """Says to the owner of a lane that it has work. A hint only: a sweep finds what it misses."""
    return f"scaup.hint.parked.{lane.broker}.{lane.trigger}.{lane.kind}"


def trim_hint(broker: BrokerUid) -> str:
    """Says to the dispatchers that a Broker's log needs room."""
    return f"scaup.hint.trim.{checked_uid(broker)}"


def hinted(subject: str) -> list[str]:
    """The uids a hint's subject names, the Broker's first."""
    return subject.split(".")[3:]


def parking_id(lane: Lane, key: str, attempts: int) -> str:
    """``Nats-Msg-Id`` of a queue entry, by the key of its Facts: a redelivered log entry does not park twice."""
    return f"log:{key}:{lane.trigger}:{lane.kind}:{attempts}"


def split_id(lane: Lane, sequence: int, place: int) -> str:
    """``Nats-Msg-Id`` of an event that was in a bundle and is an entry of its own now: it is split off once."""
    return f"split:{sequence}:{lane.trigger}:{lane.kind}:{place}"


def kept_id(trigger: TriggerUid | None, key: str) -> str:
    """``Nats-Msg-Id`` of a kept dead letter."""
    return f"log:{key}:{_NOBODY if trigger is None else trigger}:kept"


def reply_id(trigger: TriggerUid, key: str) -> str:
    """``Nats-Msg-Id`` of a reply in the log: a retried delivery's reply is not stored twice."""
    return f"reply:{key}:{trigger}"


def parse_reply_id(text: str) -> tuple[str, TriggerUid] | None:
    """Key and Trigger of the delivery whose reply has this ``Nats-Msg-Id``; None for what is no reply's."""
    head, _, rest = text.partition(":")
    key, colon, trigger = rest.partition(":")
    return (key, TriggerUid(trigger)) if head == "reply" and colon else None


def event_id(source: str, event: str) -> str:
    """``Nats-Msg-Id`` of an event as a producer sent it, by its ``source`` and ``id`` (CloudEvents 1.0, "id").

    A hash, for the server keeps every id in memory for the whole window: short, and the same length whoever chose
    them. The length of the source stands before both, so no other pair reads the same.
    """
    pair = f"{len(source)}:{source}{event}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(pair, digest_size=16).digest()
    return "event:" + base64.urlsafe_b64encode(digest)[:22].decode()


@lru_cache(maxsize=1 << 15)  # the controller asks for all of them whenever it looks
def broker_key(uid: str) -> str:
    """Key of a Broker in the definitions bucket."""
    return f"broker.{checked_uid(uid)}"


@lru_cache(maxsize=1 << 15)
def trigger_key(uid: str) -> str:
    """Key of a Trigger in the definitions bucket."""
    return f"trigger.{checked_uid(uid)}"


def address_key(api_version: str, kind: str, namespace: str, name: str) -> str:
    """Key of an Addressable in the definitions bucket: ``address/v1/Service/default/web``."""
    return f"address/{api_version}/{kind}/{namespace}/{name}"


def parse_address_key(key: str) -> tuple[str, str, str, str] | None:
    """``(apiVersion, kind, namespace, name)`` of an address key; None for any other key."""
    head, _, rest = key.partition("/")
    parts = rest.rsplit("/", 3)
    return (parts[0], parts[1], parts[2], parts[3]) if head == "address" and len(parts) == 4 else None


def object_key(group: str, plural: str, namespace: str, name: str) -> str:
    """Key of an object of the local API in the objects bucket; ``-`` stands for the core group and no namespace."""
    return f"object/{group or '-'}/{plural}/{namespace or '-'}/{name}"


def parse_object_key(key: str) -> tuple[str, str, str, str] | None:
    """``(group, plural, namespace, name)`` of an object's key; None for any other key."""
    head, _, rest = key.partition("/")
    parts = rest.split("/")
    if head != "object" or len(parts) != 4:
        return None
    group, plural, namespace, name = parts
    return ("" if group == "-" else group, plural, "" if namespace == "-" else namespace, name)


def replay_key(replay: str) -> str:
    """Key of a replay of history in the replays bucket, by its id (letters and digits)."""
    return f"replay.{checked_uid(replay)}"


def start_key(trigger: TriggerUid) -> str:
    """Key in the starts bucket of the history that a Trigger started with."""
    return f"start.{checked_uid(trigger)}"


def replica_key(role: str, replica: str) -> str:
    """Key under which a replica reports the revision it has applied."""
    safe = re.sub(r"[^A-Za-z0-9-]", lambda found: f"={ord(found[0]):x}=", replica)
    return f"{role}.{safe}"
