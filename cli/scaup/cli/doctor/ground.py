"""The ground under everything: the limits of NATS, and the streams of every Broker.

Looks only. What keeps a NATS from carrying Scaup at all is found by ``core.bus.check``.
"""

from __future__ import annotations

from typing import Any, Final

from scaup.cli.doctor.findings import Finding, error, note, warning
from scaup.cli.plane import Snapshot
from scaup.core.bus import topology
from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import STREAM_NOT_FOUND
from scaup.core.bus.topology import DEAD_LETTERS_PER_TRIGGER
from scaup.core.model import names
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusRequestError

_NEARLY: Final = 0.8
_FULL: Final = 0.9
_CONTROLLER: Final = "the controller puts it right when it runs: is it there, and what does its log say?"
_USEFUL_PAYLOAD: Final = (1 << 20) + (64 << 10)
"""What the usual limit of the ingress, 1 MiB, needs."""


async def account(bus: Bus, snapshot: Snapshot) -> list[Finding]:
    """What the account may use, and has used. Raises BusError."""
    info = await bus.api("INFO")
    limits = info.get("limits", {})
    used, most = info.get("storage", 0), limits.get("max_storage", -1)
    found: list[Finding] = []
    do = "raise the account's limit in NATS, or let Brokers keep less (scaup.dev/log-max-bytes)"
    if most > 0 and used >= _NEARLY * most:
        says = f"{_mib(used)} of the {_mib(most)} that the account may store are used"
        found.append((error if used >= _FULL * most else warning)("nats.storage", "NATS", says, do))
    logs = sum(broker.log_max_bytes * broker.replicas for broker in snapshot.brokers.values())
    if most > 0 and logs > _FULL * most:
        left = f"leaves {_mib(max(most - logs, 0))} for queues and dead letters"
        says = f"the logs of the Brokers may grow to {_mib(logs)} together, which of the account's {_mib(most)} {left}"
        found.append(warning("settings.storage", "NATS", says, do))
    streams, most_streams = info.get("streams", 0), limits.get("max_streams", -1)
    if most_streams > 0 and streams + 3 > most_streams:
        says = f"{streams} of {most_streams} streams are there, and a Broker needs three"
        found.append(warning("nats.streams", "NATS", says, "raise the account's limit of streams in NATS"))
    if bus.max_payload < _USEFUL_PAYLOAD:
        says = (
            f"max_payload is {bus.max_payload:,} bytes, so events of {bus.max_payload - (64 << 10):,} are the largest"
        )
        do = f"set max_payload to {_USEFUL_PAYLOAD:,} or more, or let it be where events are small"
        found.append(note("nats.payload", "NATS", says, do))
    return found


async def streams(bus: Bus, broker: BrokerDefinition) -> list[Finding]:
    """The three streams of a Broker: whether they are there, as they should be, led, and not full."""
    about = f"Broker {broker.namespace}/{broker.name}"
    found: list[Finding] = []
    for wanted in topology.streams(broker):
        name = str(wanted["name"])
        info = await info_of(bus, name)
        if info is None:
            found.append(error("stream.missing", about, f"its stream {name} is not there", _CONTROLLER))
            continue
        changed = [
            f"{key} is {info['config'].get(key)!r} and should be {value!r}"
            for key, value in wanted.items()
            if key != "metadata" and info["config"].get(key) != value
        ]
        if changed:
            found.append(error("stream.changed", about, f"its stream {name}: {'; '.join(changed)}", _CONTROLLER))
        found += cluster(about, name, info)
        if name == names.log_stream(broker.uid):
            found += _log(about, broker, info["state"])
        if name == names.dead_stream(broker.uid):
            found += await _dead_letters(bus, about, broker, info["state"])
    return found


def cluster(about: str, name: str, info: dict[str, Any]) -> list[Finding]:
    """What is wrong with the copies of a stream, by what JetStream says of it. Pure."""
    cluster = info.get("cluster") or {}
    if not cluster.get("name"):
        return []
    do = "look at the NATS servers: `nats server list`, `nats stream cluster`"
    if not cluster.get("leader"):
        return [error("stream.no_leader", about, f"its stream {name} has no leader", do)]
    ill = [peer["name"] for peer in cluster.get("replicas") or [] if peer.get("offline") or not peer.get("current")]
    says = f"copies of its stream {name} are not up to date at {', '.join(ill)}"
    return [warning("stream.replicas", about, says, do)] if ill else []


def _log(about: str, broker: BrokerDefinition, state: dict[str, Any]) -> list[Finding]:
    if state["bytes"] < _FULL * broker.log_max_bytes:
        return []
    says = f"its log is full ({_mib(state['bytes'])} of {_mib(broker.log_max_bytes)}): new events are refused"
    do = "see why events are not settled (`scaup trace`, other findings here), or raise scaup.dev/log-max-bytes"
    return [error("log.full", about, says, do)]


async def _dead_letters(bus: Bus, about: str, broker: BrokerDefinition, state: dict[str, Any]) -> list[Finding]:
    if not state["messages"]:
        return []
    option = "" if broker.namespace == "default" else f" -n {broker.namespace}"
    do = f"`scaup deadletters list --broker {broker.name}{option}` says why; `replay` them when their sink is well"
    says = f"{state['messages']:,} dead letters are kept"
    found = [note("deadletters.kept", about, says, do)]
    if state["messages"] >= _NEARLY * DEAD_LETTERS_PER_TRIGGER:
        request = {"subjects_filter": names.dead_subjects(broker.uid)}
        counts = (await bus.api(f"STREAM.INFO.{names.dead_stream(broker.uid)}", request))["state"].get("subjects") or {}
        if max(counts.values(), default=0) >= _NEARLY * DEAD_LETTERS_PER_TRIGGER:
            says = f"a Trigger has {max(counts.values()):,} dead letters; over {DEAD_LETTERS_PER_TRIGGER:,} are dropped"
            found.append(error("deadletters.full", about, says, do))
    return found


async def strangers(bus: Bus, snapshot: Snapshot) -> list[Finding]:
    """Logs and queues of Brokers that nobody knows."""
    found: list[Finding] = []
    offset, total = 0, 1
    while offset < total:
        page = await bus.api("STREAM.NAMES", {"offset": offset})
        listed = page.get("streams") or []
        for name in listed:
            ours = names.parse_stream(name)
            if ours is not None and ours[0] != names.DEAD and ours[1] not in snapshot.brokers:
                says = f"the stream {name} is of no Broker that is there"
                do = f"the controller removes it when it runs; for good by hand: `nats stream rm {name}`"
                found.append(warning("stream.stranger", "NATS", says, do))
        offset, total = offset + max(len(listed), 1), page.get("total", 0)
    return found


async def info_of(bus: Bus, stream: str) -> dict[str, Any] | None:
    """What JetStream says of a stream; None where it is not there."""
    try:
        return await bus.api(f"STREAM.INFO.{stream}")
    except BusRequestError as refusal:
        if refusal.err_code != STREAM_NOT_FOUND:
            raise
        return None


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
