"""``scaup replay``: history is sent to one Trigger again, through its filter and into its queue."""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from scaup.cli import replaytimes, showing
from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.bus import open_bus
from scaup.cli.kinds import TRIGGER
from scaup.cli.kube import open_api
from scaup.cli.longwork import stopped_by_signals
from scaup.cli.problems import DONE, FAILED, FailedError, NotReachableError, UsageError
from scaup.cli.replaywork import Work
from scaup.core.bus import outcomes
from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import Bucket
from scaup.core.bus.replaying import Progress, Replay, ReplayError, Wanted, look_up
from scaup.core.bus.resuming import Record, Records
from scaup.core.model import names
from scaup.core.model.definitions import TriggerDefinition, broker_from_json
from scaup.core.model.errors import BusError
from scaup.core.model.names import Lane, TriggerUid

INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    trigger: str
    namespace: str
    since: str | None = None
    until: str | None = None
    everything: bool = False
    event_id: str | None = None
    source: str | None = None
    limit: int | None = None
    rate: float | None = None
    dry: bool = False
    wait: bool = False
    resume: str | None = None

    def check(self) -> None:
        """UsageError where options contradict each other, or do not say what to replay."""
        chosen = [self.since, self.until, self.event_id, self.source, self.limit, self.everything or None]
        if self.resume is not None:
            if any(option is not None for option in chosen):
                raise UsageError("--resume goes on with what was asked for then: no --since, --id and so on beside it")
        elif self.since is None and self.event_id is None and not self.everything:
            raise UsageError("say what to replay: --since, --id, or --all for all of the history")
        elif self.since is not None and self.everything:
            raise UsageError("--all and --since exclude each other")
        if self.dry and (self.wait or self.resume is not None):
            raise UsageError("--dry-run queues nothing: no --wait or --resume beside it")


@dataclass(frozen=True, slots=True)
class Told:
    """How a replay ended, with the names that a person knows. ``given_up`` is None where it was not waited for."""

    asked: Asked
    broker: str
    record: Record
    note: str = ""
    has_sink: bool = False
    given_up: int | None = None

    @property
    def trigger(self) -> str:
        """The Trigger as people write it."""
        return f"{self.asked.namespace}/{self.asked.trigger}"

    @property
    def go_on(self) -> str:
        """The command that goes on with it."""
        return f"scaup replay {self.asked.trigger} -n {self.asked.namespace} --resume {self.record.wanted.id}"


def run(access: ApiAccess, nats: NatsAccess, asked: Asked, output: str) -> int:
    """Do it and say how it ended; the exit code."""
    asked.check()
    told, is_whole = asyncio.run(_replay(access, nats, asked))
    progress = told.record.progress
    if output != "table":
        shown = showing.as_json if output == "json" else showing.as_yaml
        sys.stdout.write(shown(as_object(told, is_whole=is_whole)) + "\n")
    elif is_whole:
        sys.stdout.write(sentence(told) + "\n")
    if not is_whole:
        left = "it is all queued" if told.record.is_done else f"go on with `{told.go_on}`"
        sys.stderr.write(f"stopped: {progress.queued:,} events are queued; {left}\n")
        return INTERRUPTED
    if progress.missing:
        sys.stderr.write(f"{progress.missing:,} events were trimmed from the history before they could be read\n")
    if progress.too_large:
        sys.stderr.write(f"{progress.too_large:,} events are too large to be queued with the facts of a delivery\n")
    return FAILED if told.given_up or progress.too_large else DONE


async def _replay(access: ApiAccess, nats: NatsAccess, asked: Asked) -> tuple[Told, bool]:
    """How it ended, and whether it was not stopped before."""
    uid = await _uid(access, asked)
    async with open_bus(nats) as bus:
        try:
            trigger = (await look_up(bus, uid)).trigger
        except ReplayError as error:
            msg = f"Trigger {asked.namespace}/{asked.trigger} cannot be sent anything: {error}"
            raise FailedError(msg, hint=f"look at `scaup describe trigger {asked.trigger}`") from error
        records = Records(bus)
        told = await (_again(bus, records, trigger, asked) if asked.resume else _new(bus, trigger, asked))
        if told.note:
            sys.stderr.write(told.note + "\n")
        wanted = told.record.wanted
        replay = Replay(bus, wanted, replace(told.record.progress), rate=asked.rate or 0.0, dry=asked.dry)
        with stopped_by_signals(replay.stop):
            if not asked.dry:
                await records.ensure()
                told = replace(told, record=await records.write(told.record, names.replay_key(wanted.id)))
                where = f"events {wanted.first:,} to {wanted.upto:,} of Broker {told.broker}"
                sys.stderr.write(f"replay {wanted.id} for Trigger {told.trigger}: {where}\n")
            work = Work(replay, told.record, None if asked.dry else records)
            try:
                if not replay.is_done:
                    await work.queue()
                is_whole = replay.is_done
                told = replace(told, record=replace(work.record, progress=replay.progress, is_done=is_whole))
                if asked.wait and is_whole:
                    lane = Lane(wanted.broker, wanted.trigger)
                    is_whole = await work.wait(lane)
                    told = replace(told, given_up=await outcomes.given_up(bus, lane, wanted.id, told.record.dead))
            except (BusError, ReplayError) as error:
                kind = NotReachableError if isinstance(error, BusError) else FailedError
                msg = f"replay {wanted.id} stopped after {replay.progress.queued:,} events: {error}"
                raise kind(msg, hint="" if asked.dry else f"go on with `{told.go_on}`") from error
            finally:
                work.shown.end()
    return told, is_whole


async def _uid(access: ApiAccess, asked: Asked) -> TriggerUid:
    async with open_api(access) as api:
        item = await api.find(TRIGGER.path(asked.namespace, asked.trigger))
    if item is None:
        msg = f"there is no Trigger {asked.namespace}/{asked.trigger}"
        raise FailedError(msg, hint="`scaup get triggers -A` lists those there are")
    return TriggerUid(item["metadata"]["uid"])


async def _new(bus: Bus, trigger: TriggerDefinition, asked: Asked) -> Told:
    """A replay of what is asked for. Nothing that is accepted from now on is in it."""
    span = await replaytimes.span(bus, trigger.broker, asked.since, asked.until)
    dead = (await bus.api(f"STREAM.INFO.{names.dead_stream(trigger.broker)}"))["state"]["last_seq"]
    wanted = Wanted(
        id=secrets.token_hex(4),
        broker=trigger.broker,
        trigger=trigger.uid,
        first=span.first,
        upto=span.upto,
        event_id=asked.event_id or "",
        source=asked.source or "",
        limit=asked.limit or 0,
    )
    record = Record(wanted, Progress(span.first), datetime.now(UTC).isoformat(timespec="seconds"), dead)
    return Told(asked, await _broker_name(bus, trigger), record, span.note, _has_sink(trigger))


async def _again(bus: Bus, records: Records, trigger: TriggerDefinition, asked: Asked) -> Told:
    """A replay that was begun before."""
    try:
        record = await records.read(names.replay_key(asked.resume or ""))
    except ValueError:
        record = None
    if record is None:
        msg = f"there is no replay {asked.resume}"
        raise FailedError(msg, hint="how far a replay is, is kept for a week")
    if record.wanted.trigger != trigger.uid:
        msg = f"replay {asked.resume} is not of Trigger {asked.namespace}/{asked.trigger}, or of one deleted since"
        raise FailedError(msg)
    return Told(asked, await _broker_name(bus, trigger), record, has_sink=_has_sink(trigger))


async def _broker_name(bus: Bus, trigger: TriggerDefinition) -> str:
    found = await Bucket(bus, names.DEFINITIONS_BUCKET).get(names.broker_key(trigger.broker))
    if found is None or found.value is None:
        return trigger.broker
    broker = broker_from_json(orjson.loads(found.value))
    return f"{broker.namespace}/{broker.name}"


def _has_sink(trigger: TriggerDefinition) -> bool:
    return trigger.delivery.dead_letter_sink is not None


def sentence(told: Told) -> str:
    """How it ended, for a person."""
    progress, wanted = told.record.progress, told.record.wanted
    of = f"{progress.queued:,} of {progress.looked_at:,} events of Broker {told.broker}"
    if told.asked.dry:
        return f"{of} would be sent to Trigger {told.trigger} again"
    if told.given_up is None:
        return f"{of} are queued for Trigger {told.trigger} again (replay {wanted.id})"
    where = "delivered, or at its dead letter sink" if told.has_sink else "delivered"
    text = f"{of} were sent to Trigger {told.trigger} again (replay {wanted.id}): "
    text += f"{progress.queued - progress.too_large - told.given_up:,} {where}"
    if told.given_up:
        text += f", {told.given_up:,} given up: see `scaup deadletters list --trigger {told.asked.trigger}`"
    return text


def as_object(told: Told, *, is_whole: bool) -> dict[str, Any]:
    """The same for a program."""
    progress, wanted = told.record.progress, told.record.wanted
    state = "DryRun" if told.asked.dry else "Done" if is_whole else "Stopped"
    made: dict[str, Any] = {
        "apiVersion": "scaup.dev/v1",
        "kind": "Replay",
        "metadata": {"name": wanted.id, "namespace": told.asked.namespace},
        "trigger": told.asked.trigger,
        "broker": told.broker.rpartition("/")[2],
        "state": state,
        "firstSequence": wanted.first,
        "lastSequence": wanted.upto,
        "nextSequence": progress.following,
        "lookedAt": progress.looked_at,
        "wanted": progress.queued,
        "queued": 0 if told.asked.dry else progress.queued - progress.too_large,
        "missing": progress.missing,
        "tooLarge": progress.too_large,
    }
    if told.note:
        made["note"] = told.note
    if told.given_up is not None:
        made["givenUp"] = told.given_up
    return made
