"""``scaup filter explain``: which of a Broker's Triggers would get an event, and why the others would not.

Triggers come from the API; the filters are evaluated here, by the code that the filter service runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from scaup.cli import showing
from scaup.cli.access import ApiAccess
from scaup.cli.filters import verdicts
from scaup.cli.filters.event import Given, read
from scaup.cli.filters.verdicts import Verdict
from scaup.cli.kinds import BROKER, TRIGGER
from scaup.cli.kube import open_api
from scaup.cli.lines import clean
from scaup.cli.problems import FailedError
from scaup.core.filters.subject import Subject

_WIDTH: Final = 400
_ORDER: Final = ("yes", "error", "not ready", "no")


@dataclass(frozen=True, slots=True)
class Answer:
    """One Trigger. ``unready`` says why it is not Ready, empty where it is."""

    trigger: str
    verdict: Verdict
    unready: str = ""

    @property
    def gets(self) -> str:
        """``yes``, ``no``, ``error``, or ``not ready``."""
        if self.unready:
            return "not ready"
        return {True: "yes", False: "no", None: "error"}[self.verdict.result]

    @property
    def why(self) -> str:
        """What decided; empty for what it gets."""
        verdict = self.verdict
        decided = verdicts.why(verdict.explained) if verdict.explained else verdict.error
        if not self.unready:
            return "" if verdict.result else decided
        if verdict.explained is None and decided in self.unready:
            return self.unready  # the Ready condition says it already
        return f"{self.unready}; its filter {'matches' if verdict.result else f'does not match: {decided}'}"

    def to_json(self) -> dict[str, Any]:
        """``gets`` (``yes``, ``no``, ``error``, ``not ready``), ``why``, and the verdict."""
        return {"trigger": self.trigger, "gets": self.gets, "why": self.why} | self.verdict.to_json()


async def run(access: ApiAccess, namespace: str, broker: str, given: Given, output: str) -> str:
    """The text to print.

    Raises UsageError where there is no event, FailedError where there is no such Broker, NotReachableError where the
    API does not answer.
    """
    subject = read(given)
    async with open_api(access) as api:
        if await api.find(BROKER.path(namespace, broker)) is None:
            msg = f"there is no Broker {namespace}/{broker}"
            raise FailedError(msg, hint="`scaup get brokers -A` lists those there are")
        items = (await api.get(TRIGGER.path(namespace))).get("items") or []
    answers = judge([item for item in items if showing.broker_of(item) == broker], subject)
    if output == "json":
        return showing.as_json({"broker": f"{namespace}/{broker}", "triggers": [a.to_json() for a in answers]})
    if not answers:
        return f"No triggers of Broker {namespace}/{broker}."
    lines = [[answer.trigger, answer.gets, clean(answer.why, _WIDTH)] for answer in answers]
    return showing.rows(["TRIGGER", "GETS IT", "WHY"], lines)


def judge(items: list[dict[str, Any]], subject: Subject) -> list[Answer]:
    """An answer for each Trigger: those that get the event first, then by name."""
    answers = [Answer(item["metadata"]["name"], verdicts.judge(item, subject), _unready(item)) for item in items]
    return sorted(answers, key=lambda answer: (_ORDER.index(answer.gets), answer.trigger))


def _unready(item: dict[str, Any]) -> str:
    """Why a Trigger is not Ready; empty where it is, in the generation that is there now."""
    status, reason, message = showing.ready(item)
    said = ": ".join(filter(None, (reason, " ".join(message.split()))))
    if status != "True":
        return f"not Ready: {said}" if said else "not Ready: nothing has looked at it yet"
    generation = item["metadata"].get("generation")
    observed = (item.get("status") or {}).get("observedGeneration", generation)
    return "" if observed == generation else "not Ready: it was changed and is not in effect yet"
