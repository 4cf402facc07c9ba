"""Settings that contradict each other: of dispatchers among themselves, and with what Triggers ask for. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from scaup.cli.doctor.findings import Finding, warning
from scaup.cli.doctor.work import about_trigger
from scaup.cli.plane import Snapshot
from scaup.core.model.definitions import MAX_BACKOFF_S, Delivery, TriggerDefinition
from scaup.core.model.trail import Told

MAX_WAIT: Final = "SCAUP_DISPATCHER_MAX_WAIT_SECONDS"
QUOTA: Final = "SCAUP_DISPATCHER_QUEUE_QUOTA"
_OF_ONE: Final = frozenset({"SCAUP_METRICS_LISTEN"})
"""May differ from dispatcher to dispatcher."""


def of_dispatchers(told: Sequence[Told]) -> Iterator[Finding]:
    """Settings that are not the same everywhere: what happens to an event then depends on who works it."""
    for variable in sorted({name for one in told for name in one.settings} - _OF_ONE):
        by_value: dict[str, list[str]] = {}
        for one in told:
            by_value.setdefault(one.settings.get(variable, "not set"), []).append(one.replica)
        if len(by_value) > 1:
            said = "; ".join(f"{value} at {', '.join(names)}" for value, names in by_value.items())
            do = "give all dispatchers the same settings"
            yield warning("settings.differ", "dispatchers", f"{variable} is {said}", do)


def of_triggers(snapshot: Snapshot, told: Sequence[Told]) -> Iterator[Finding]:
    """Triggers that ask for what the dispatchers' settings do not let them have."""
    if not told:
        return
    longest_s = min((float(one.settings[MAX_WAIT]) for one in told if MAX_WAIT in one.settings), default=0.0)
    quota = min((int(one.settings[QUOTA]) for one in told if QUOTA in one.settings), default=0)
    for trigger in snapshot.triggers.values():
        yield from _waits(trigger, longest_s)
        yield from _pace(trigger, longest_s, quota)


def _waits(trigger: TriggerDefinition, longest_s: float) -> Iterator[Finding]:
    total_s = retries_take_s(trigger.delivery)
    if longest_s and total_s > longest_s:
        says = (
            f"its retries take {total_s:,.0f} s in all, but what waits for {longest_s:,.0f} s ({MAX_WAIT}) is given up"
        )
        do = "ask for fewer retries or a shorter backoffDelay, or raise the setting of all dispatchers"
        yield warning("settings.retries", about_trigger(trigger), says, do)


def _pace(trigger: TriggerDefinition, longest_s: float, quota: int) -> Iterator[Finding]:
    if trigger.rate is None or not longest_s or trigger.rate * longest_s >= quota:
        return
    says = (
        f"at {trigger.rate:g} events a second (scaup.dev/rate) a full queue of {quota:,} events ({QUOTA}) takes "
        f"{quota / trigger.rate:,.0f} s, but what waits for {longest_s:,.0f} s ({MAX_WAIT}) is given up"
    )
    do = "raise the rate, or the longest wait; or let the queue be shorter, so that senders' excess is given up at once"
    yield warning("settings.rate", about_trigger(trigger), says, do)


def retries_take_s(delivery: Delivery) -> float:
    """The waits between all attempts together."""
    if delivery.backoff_policy == "linear":
        return delivery.retry * min(delivery.backoff_delay_s, MAX_BACKOFF_S)
    total_s = wait_s = 0.0
    for number in range(delivery.retry):
        wait_s = min(delivery.backoff_delay_s * 2.0 ** min(number, 62), MAX_BACKOFF_S)
        if wait_s == MAX_BACKOFF_S:
            return total_s + (delivery.retry - number) * wait_s
        total_s += wait_s
    return total_s


def of_here(environ: Mapping[str, str], noted: str | None) -> Iterator[Finding]:
    """What this shell says against what ``scaup up`` noted: commands would look at another NATS than the services."""
    named = environ.get("SCAUP_NATS_URL")
    if named and noted and named.rstrip("/") != noted.rstrip("/"):
        says = f"SCAUP_NATS_URL is {named}, but `scaup up` here works with {noted}"
        do = "unset SCAUP_NATS_URL, or name the data directory of the other one"
        yield warning("settings.nats_url", "this shell", says, do)
