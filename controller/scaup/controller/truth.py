"""What can be said of every object now: the plan, the revisions stored and the replicas' reports, taken together.

Remembers for which revision something was found to be Ready, so that one replica's restart does not take it back.
Touches nothing: the snapshot is asked by a function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from scaup.controller.conditions import Condition, by_type, false, true, unknown
from scaup.controller.plan import BrokerPlan, Plan, TriggerPlan
from scaup.controller.readiness import PROVISIONING, Fleet, Judge
from scaup.controller.reports import Report, broker_report, trigger_report


@dataclass(frozen=True, slots=True)
class Stored:
    """What the bus holds. ``revision`` answers for a key, None where it has no value.

    ``problems`` are the keys of definitions, and the uids of Brokers, that the bus refused; ``written_since`` is the
    revision after which this process has written; ``created`` tells one bucket from the next.
    """

    revision: Callable[[str], int | None]
    is_provisioned: Callable[[BrokerPlan], bool]
    problems: dict[str, str]
    created: str
    written_since: int


Token = tuple[str, tuple[int | None, ...]]
_Made = tuple[tuple[Any, ...], Report]


class Truth:
    """Makes the reports."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url.rstrip("/")
        self._settled: dict[str, Token] = {}
        self._reports: dict[str, _Made] = {}
        self._now_settled: dict[str, Token] = {}
        self._now_made: dict[str, _Made] = {}

    def reports(self, plan: Plan, stored: Stored, fleet: Fleet, statuses: Callable[[str], Any]) -> dict[str, Report]:
        """The report of every Broker and Trigger, by uid. ``statuses`` gives what an object says now, by uid."""
        self._now_settled, self._now_made = {}, {}
        self._brokers(plan, stored, fleet, statuses)
        self._triggers(plan, stored, fleet, statuses)
        self._settled, self._reports = self._now_settled, self._now_made
        return {uid: report for uid, (_, report) in self._reports.items()}

    def _brokers(self, plan: Plan, stored: Stored, fleet: Fleet, statuses: Callable[[str], Any]) -> None:
        ingress = Judge.of("IngressReady", fleet, ("ingress",))
        matching = Judge.of("FilterReady", fleet, ("filter",))
        for broker in plan.brokers.values():
            uid, revision = broker.identity.uid, stored.revision(broker.key)
            token: Token = (stored.created, (revision,))
            is_settled = self._is_settled(uid, token, broker.identity.generation, stored, statuses)
            live = (
                ingress.judge(revision, is_settled=is_settled),
                matching.judge(revision, is_settled=is_settled),
            )
            if all(condition.is_true for condition in live):
                self._now_settled[uid] = token
            inputs = (broker, channel_condition(broker, stored), live)
            self._make(uid, inputs, lambda b, channel, live: broker_report(b, channel, live, self.url(b)))

    def _triggers(self, plan: Plan, stored: Stored, fleet: Fleet, statuses: Callable[[str], Any]) -> None:
        delivering = Judge.of("SubscriptionReady", fleet, ("filter", "dispatcher"))
        failing, histories = dict(fleet.failing), dict(fleet.histories)
        for trigger in plan.triggers.values():
            uid = trigger.identity.uid
            token: Token = (stored.created, tuple(map(stored.revision, (trigger.key, *trigger.address_keys))))
            is_settled = self._is_settled(uid, token, trigger.identity.generation, stored, statuses)
            subscription = _subscription(trigger, stored, delivering, token, is_settled=is_settled)
            if subscription.is_true:
                self._now_settled[uid] = token
                if why := failing.get(uid):
                    text = f"for some events the filter cannot be evaluated, and they do not match: {why}"
                    subscription = true("SubscriptionReady", "FilterErrors", text)
            owner = self._now_made.get(trigger.broker_uid or "")
            inputs = (trigger, subscription, owner[1] if owner else None, histories.get(uid, ""))
            self._make(uid, inputs, trigger_report)

    def url(self, broker: BrokerPlan) -> str:
        """Where producers send to a Broker."""
        return f"{self._public_url}/{quote(broker.identity.namespace)}/{quote(broker.identity.name)}"

    def _is_settled(
        self, uid: str, token: Token, generation: int, stored: Stored, statuses: Callable[[str], Any]
    ) -> bool:
        """Whether it was Ready for just these revisions: by our memory, or, after a restart, by its own status."""
        if uid in self._settled:
            return self._settled[uid] == token
        if uid in self._reports or any(r is None or r > stored.written_since for r in token[1]):
            return False
        return said_ready(statuses(uid), generation)

    def _make(self, uid: str, inputs: tuple[Any, ...], make: Callable[..., Report]) -> None:
        """The same report as before, where it is made of the same: whoever has it can tell that nothing changed."""
        before = self._reports.get(uid)
        is_same = before is not None and _same(before[0], inputs)
        self._now_made[uid] = before if before is not None and is_same else (inputs, make(*inputs))


def channel_condition(broker: BrokerPlan, stored: Stored) -> Condition:
    """``TriggerChannelReady``: the Broker's streams are there as its definition says, and the definition is stored."""
    name = "TriggerChannelReady"
    if broker.problem is not None:
        return broker.problem
    if problem := stored.problems.get(broker.identity.uid) or stored.problems.get(broker.key):
        return false(name, "ChannelFailure", problem)
    if not stored.is_provisioned(broker) or stored.revision(broker.key) is None:
        return unknown(name, PROVISIONING, "its streams are being made")
    return true(name)


def said_ready(status: Any, generation: int) -> bool:
    """Whether a status says that its object is Ready in this generation."""
    if not isinstance(status, dict) or status.get("observedGeneration") != generation:
        return False
    return by_type(status.get("conditions")).get("Ready", {}).get("status") == "True"


def _subscription(trigger: TriggerPlan, stored: Stored, judge: Judge, token: Token, *, is_settled: bool) -> Condition:
    """``SubscriptionReady``: filters and dispatchers have the Trigger, and the addresses it needs (CP-16)."""
    if trigger.problem is not None:
        return trigger.problem
    for key in (trigger.key, *trigger.address_keys):
        if key in stored.problems:
            return false("SubscriptionReady", "DefinitionNotStored", stored.problems[key])
    revisions = token[1]
    # An address that is not known yet has no key; what is missing there is said by SubscriberResolved.
    newest = None if revisions[0] is None else max(revision or 0 for revision in revisions)
    return judge.judge(newest, is_settled=is_settled)


def _same(old: tuple[Any, ...], new: tuple[Any, ...]) -> bool:
    is_same = old[0] is new[0] and old[1] == new[1] and old[3:] == new[3:]
    return is_same and (old[2] is new[2] or _conditions(old[2], new[2]))


def _conditions(old: Any, new: Any) -> bool:
    return isinstance(old, tuple) and old == new
