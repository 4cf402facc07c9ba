"""``scaup trace`` in this process, against a test's world: the same sources, told for programs and for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.trace import story, telling
from scaup.cli.trace.fates import fates as fates_of
from scaup.cli.trace.story import Asked
from tests.support.dataplane import World
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Traced:
    """What the command says of one event in one Broker, for programs and for people."""

    value: dict[str, Any]
    text: str = ""

    def of(self, trigger: str, replay: str | None = None) -> dict[str, Any]:
        """The fate for one Trigger; ``replay`` may be any with ``*``."""
        found = [one for one in self.value["triggers"] if one["trigger"] == trigger]
        chosen = [one for one in found if one["replay"] == replay or (replay == "*" and one["replay"])]
        assert len(chosen) == 1, self.value["triggers"]
        one: dict[str, Any] = chosen[0]
        return one

    @property
    def states(self) -> dict[str, str]:
        """By Trigger, without replays."""
        return {one["trigger"]: one["state"] for one in self.value["triggers"] if one["replay"] is None}


async def trace(here: World, event_id: str, access: ApiAccess | None = None, **asked: Any) -> Traced:
    """Trace an event that is known in one Broker."""
    (found,) = await story.find(access, NatsAccess(here.url), Asked(event_id, "default", **asked))
    fates = fates_of(found)
    return Traced(telling.as_object(found, fates), telling.description(found, fates))


async def traced_as(here: World, event_id: str, state: str, trigger: str = "t", **asked: Any) -> Traced:
    """The trace, once it says that of a Trigger."""

    async def says() -> Traced | None:
        found = await trace(here, event_id, **asked)
        return found if found.states.get(trigger) == state else None

    return await eventually(says, f"{event_id} is {state} for {trigger}") or Traced({})
