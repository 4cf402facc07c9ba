"""The streams and consumers of a Broker, as values, and making them so.

Settings that lose events when they are wrong are set here and said why:

- the event log discards *new*: a full log refuses, it never drops what is not settled; it has no age and no limit
  per subject, for the server would apply them to events that are not settled yet;
- the queues discard *old* and have no limit, which never discards: JetStream (2.15.1) takes scheduled messages only
  in such streams. Their quota is kept by the dispatchers (decision 0003);
- the dead letters discard new, per Trigger, so that one Trigger's cannot push out another's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import STREAM_NOT_FOUND
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusRequestError
from scaup.core.model.names import (
    DISPATCH_CONSUMER,
    BrokerUid,
    Lane,
    dead_stream,
    dead_subjects,
    lane_consumer,
    log_stream,
    log_subjects,
    queue_stream,
    queue_subject_filter,
    queue_subjects,
    retry_subjects,
)

_NS: Final = 1_000_000_000
ACK_WAIT_S: Final = 15.0
"""A dispatcher that has not settled an entry of the log in this time is taken for dead. Usual is 1 s at most."""
QUEUE_ACK_WAIT_S: Final = 30.0
"""The same for an entry of a queue; the owner says "in progress" while an attempt runs."""
DUPLICATE_WINDOW_S: Final = 300.0
"""What replies, entries of queues and dead letters need; a log's is longer where its Broker asks for more."""
DEAD_LETTERS_PER_TRIGGER: Final = 100_000
CONSUMER_NOT_FOUND: Final = 10014
DELETED_AT: Final = "scaup.dev/deleted"
"""In the metadata of a stream of dead letters: since when its Broker is no more, RFC 3339; with ``.UID``, a Trigger."""


def streams(broker: BrokerDefinition) -> list[dict[str, Any]]:
    """The configurations of a Broker's three streams."""
    label = {"scaup.dev/namespace": broker.namespace, "scaup.dev/broker": broker.name}
    common = {
        "storage": "file",
        "num_replicas": broker.replicas,
        "duplicate_window": int(DUPLICATE_WINDOW_S * _NS),
        "allow_direct": True,
        "max_msgs": -1,
        "max_age": 0,
        "metadata": label,
    }
    where = f"Broker {broker.namespace}/{broker.name}"
    return [
        common
        | {
            "name": log_stream(broker.uid),
            "description": f"Event log of {where}",
            "subjects": [log_subjects(broker.uid)],
            "retention": "limits",
            "discard": "new",
            "duplicate_window": int(max(DUPLICATE_WINDOW_S, broker.dedupe_window_s) * _NS),
            "max_bytes": broker.log_max_bytes,
            "max_msgs_per_subject": -1,
        },
        common
        | {
            "name": queue_stream(broker.uid),
            "description": f"Queues of the Triggers of {where}",
            "subjects": [queue_subjects(broker.uid), retry_subjects(broker.uid)],
            "retention": "workqueue",
            "discard": "old",
            "max_bytes": -1,
            "max_msgs_per_subject": -1,
            "allow_msg_schedules": True,
            "allow_rollup_hdrs": True,
        },
        common
        | {
            "name": dead_stream(broker.uid),
            "description": f"Dead letters of {where}",
            "subjects": [dead_subjects(broker.uid)],
            "retention": "limits",
            "discard": "new",
            "discard_new_per_subject": True,
            "max_bytes": -1,
            "max_msgs_per_subject": DEAD_LETTERS_PER_TRIGGER,
        },
    ]


def dispatch_consumer(broker: BrokerUid) -> dict[str, Any]:
    """The one consumer of a log, shared by all dispatchers."""
    return {
        "durable_name": DISPATCH_CONSUMER,
        "description": "what the dispatchers have settled",
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(ACK_WAIT_S * _NS),
        "max_deliver": -1,
        "max_ack_pending": 20_000,
        "max_waiting": 512,
        "replay_policy": "instant",
        "filter_subject": log_subjects(broker),
    }


def queue_consumer(lane: Lane, *, is_ordered: bool = False) -> dict[str, Any]:
    """The consumer of a lane's queue: kept until its owner removes it (no inactivity threshold).

    Who works an ordered one has to know all that waits behind the events that are tried again.
    """
    return {
        "durable_name": lane_consumer(lane),
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(QUEUE_ACK_WAIT_S * _NS),
        "max_deliver": -1,
        "max_ack_pending": -1 if is_ordered else 2_000,
        "replay_policy": "instant",
        "filter_subject": queue_subject_filter(lane),
    }


async def ensure_stream(bus: Bus, config: dict[str, Any]) -> None:
    """Make the stream, or change the one that is there where it differs in what we set."""
    name = config["name"]
    try:
        present = (await bus.api(f"STREAM.INFO.{name}"))["config"]
    except BusRequestError as error:
        if error.err_code != STREAM_NOT_FOUND:
            raise
        await bus.api(f"STREAM.CREATE.{name}", config)
        return
    wanted = {key: value for key, value in config.items() if key != "metadata"}
    metadata = present.get("metadata") or {}
    if DELETED_AT in metadata:  # its Broker is there after all
        wanted["metadata"] = {key: value for key, value in metadata.items() if key != DELETED_AT}
    if any(present.get(key) != value for key, value in wanted.items()):
        await bus.api(f"STREAM.UPDATE.{name}", present | wanted)


async def ensure_consumer(bus: Bus, stream: str, config: dict[str, Any]) -> dict[str, Any]:
    """Make the durable consumer, or find the same one there; its info."""
    name = config["durable_name"]
    request = {"stream_name": stream, "config": config, "action": ""}
    return await bus.api(f"CONSUMER.DURABLE.CREATE.{stream}.{name}", request)


async def ensure_broker(bus: Bus, broker: BrokerDefinition) -> None:
    """Everything a Broker needs on the bus, the consumer last: a Broker is usable when this returns."""
    for config in streams(broker):
        await ensure_stream(bus, config)
    await ensure_consumer(bus, log_stream(broker.uid), dispatch_consumer(broker.uid))


async def remove_broker(bus: Bus, broker: BrokerUid) -> None:
    """Remove a deleted Broker's log and queues with all they hold.

    Its dead letters stay, marked with the time; without any their stream goes too.
    """
    for name in (log_stream(broker), queue_stream(broker)):
        await remove_stream(bus, name)
    await retire_dead_letters(bus, broker)


async def retire_dead_letters(bus: Bus, broker: BrokerUid) -> None:
    """Mark a deleted Broker's dead letters with the time, once; without any their stream goes."""
    try:
        info = await bus.api(f"STREAM.INFO.{dead_stream(broker)}")
    except BusRequestError as error:
        if error.err_code != STREAM_NOT_FOUND:
            raise
        return
    if not info["state"]["messages"]:
        await remove_stream(bus, dead_stream(broker))
    elif DELETED_AT not in (metadata := info["config"].get("metadata") or {}):
        await set_metadata(bus, info["config"], metadata | {DELETED_AT: now_text()})


def now_text() -> str:
    """This moment as it is written into metadata: RFC 3339, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


async def remove_stream(bus: Bus, name: str) -> None:
    """Remove a stream with all it holds; nothing happens where it is gone already."""
    try:
        await bus.api(f"STREAM.DELETE.{name}")
    except BusRequestError as error:
        if error.err_code != STREAM_NOT_FOUND:
            raise


async def set_metadata(bus: Bus, config: dict[str, Any], metadata: dict[str, str]) -> None:
    """Change nothing of a stream but its metadata. The server's own entries stay."""
    await bus.api(f"STREAM.UPDATE.{config['name']}", config | {"metadata": metadata})


async def remove_consumer(bus: Bus, stream: str, consumer: str) -> None:
    """Remove a consumer; nothing happens where it is gone already."""
    try:
        await bus.api(f"CONSUMER.DELETE.{stream}.{consumer}")
    except BusRequestError as error:
        if error.err_code not in {CONSUMER_NOT_FOUND, STREAM_NOT_FOUND}:
            raise
