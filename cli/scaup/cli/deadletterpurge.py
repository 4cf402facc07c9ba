"""``scaup deadletters purge``: dead letters removed for good: those selected, and none that came later."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from scaup.cli import deadletterselect as selecting
from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.bus import open_bus
from scaup.cli.deadletterselect import Scope, Wanted
from scaup.cli.longwork import Progress, stoppable
from scaup.cli.problems import FailedError, UsageError
from scaup.core.bus import deadletters
from scaup.core.model.errors import BusError


@dataclass(slots=True)
class Plan:
    """What is to be removed: how many by (Broker, Trigger), and the Brokers, each through the last one selected."""

    numbers: Counter[tuple[str, str]] = field(default_factory=Counter)
    scopes: list[Scope] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many in all."""
        return sum(self.numbers.values())


@dataclass(slots=True)
class Done:
    """What was removed, of how many."""

    plan: Plan
    purged: int = 0
    is_dry: bool = False
    is_stopped: bool = False


def run(access: ApiAccess, nats: NatsAccess, wanted: Wanted, *, is_dry: bool, is_sure: bool) -> Done | None:
    """Count, ask, remove; None where the answer was no."""
    plan = asyncio.run(count(access, nats, wanted))
    if is_dry or not plan.total:
        return Done(plan, is_dry=is_dry)
    if not is_sure:
        if not sys.stdin.isatty():
            msg = f"{plan.total} dead letters would be removed for good, and there is no terminal to ask on"
            raise UsageError(msg, hint="say --yes to remove them, --dry-run to see which")
        sys.stderr.write(f"{by_trigger(plan)}\nRemove these {plan.total} dead letters for good? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            return None
    return asyncio.run(remove(nats, wanted, plan))


async def count(access: ApiAccess, nats: NatsAccess, wanted: Wanted) -> Plan:
    """What the command is about, as it is now."""
    plan = Plan()
    async with open_bus(nats) as bus:
        every = await selecting.scopes(access, bus, wanted)
        selecting.check_names(wanted.names, every)
        for scope in every:
            last = 0
            async for some in selecting.select(bus, scope, wanted):
                left = len(some) if wanted.limit is None else wanted.limit - plan.total
                for letter in some[: max(left, 0)]:
                    plan.numbers[scope.name, scope.trigger_of(letter)] += 1
                    last = letter.sequence
                if left <= 0:
                    break
            if last:
                plan.scopes.append(replace(scope, through=last))
    return plan


async def remove(nats: NatsAccess, wanted: Wanted, plan: Plan) -> Done:
    """Remove what the plan counted. What it did not count has a higher sequence, so it is not touched."""
    done = Done(plan)
    progress = Progress()
    async with open_bus(nats) as bus, stoppable() as stop:
        try:
            for scope in plan.scopes:
                async for some in selecting.select(bus, scope, wanted):
                    if stop:
                        break
                    done.purged += await deadletters.remove(bus, scope.uid, [letter.sequence for letter in some])
                    progress.show(f"{done.purged} of {plan.total} purged; Ctrl-C stops safely")
        except BusError as error:
            msg = f"{error}; until then {done.purged} of {plan.total} were purged"
            raise FailedError(msg, hint="the same command goes on from there") from error
        finally:
            progress.end()
        done.is_stopped = bool(stop)
    return done


def by_trigger(plan: Plan) -> str:
    """How many of which Triggers, a line each."""
    return "\n".join(
        f"{number} of Trigger {trigger} (Broker {broker})"
        if trigger != "-"
        else f"{number} of Broker {broker}, no Trigger"
        for (broker, trigger), number in sorted(plan.numbers.items())
    )


def as_object(done: Done) -> dict[str, Any]:
    """What was done, for a program."""
    return {
        "apiVersion": "scaup.dev/v1",
        "kind": "DeadLetterPurge",
        "dryRun": done.is_dry,
        "selected": done.plan.total,
        "purged": done.purged,
        "stopped": done.is_stopped,
        "byTrigger": [
            {"broker": broker, "trigger": trigger, "selected": number}
            for (broker, trigger), number in sorted(done.plan.numbers.items())
        ],
    }


def in_words(done: Done, namespace: str) -> str:
    """What was done, for a person."""
    if not done.plan.total:
        return f"No such dead letters in namespace {namespace}."
    if done.is_dry:
        return f"{by_trigger(done.plan)}\n{done.plan.total} would be purged"
    text = f"{by_trigger(done.plan)}\n{done.purged} of {done.plan.total} purged"
    return text + ("\nStopped. The same command goes on with the rest." if done.is_stopped else "")
