"""Who wants what: the Triggers of a run, the sinks they lead to, and which events each of them has to get. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from scaup.core.model.definitions import Delivery, Destination, TriggerDefinition
from tests.chaos import traffic
from tests.chaos.moods import INCURABLE
from tests.support.events import a_trigger

QUICK: Final = Delivery(retry=3, backoff_policy="linear", backoff_delay_s=0.2, timeout_s=3.0)
PATIENT: Final = replace(QUICK, retry=8, backoff_policy="exponential", backoff_delay_s=0.1)
_AUDIT, _ORDER, _PAYMENT, _RARE = ("chaos.audit",), ("chaos.order",), ("chaos.payment",), ("chaos.rare",)


@dataclass(frozen=True, slots=True)
class Plan:
    """One Trigger: its name, the kind of its sink, the types it wants (none: everything, replies too)."""

    name: str
    kind: str = "well"
    types: tuple[str, ...] = ()
    filters: tuple[dict[str, Any], ...] = ()
    delivery: Delivery = QUICK
    dead_letters: str = ""
    """The kind of its dead letter sink; empty: they are kept."""
    is_leaving: bool = False
    """Deleted at the end: what waits for it then is dropped, and counted."""

    @property
    def is_cured(self) -> bool:
        """Whether its queue can run empty."""
        return self.kind not in INCURABLE

    def wants(self, index: int) -> bool:
        """Whether the event or reply with this index matches."""
        return not self.types or traffic.type_of(index) in self.types

    @property
    def dead_letter_place(self) -> str:
        """The name of the place its dead letters go to; empty where there is none."""
        return f"{self.name}-dead" if self.dead_letters else ""

    def definition(self, url: str, dead_letter_url: str) -> TriggerDefinition:
        """The Trigger itself; its uid is its name."""
        dead = Destination(uri=dead_letter_url) if self.dead_letters else None
        return a_trigger(
            self.name,
            subscriber=Destination(uri=url),
            delivery=replace(self.delivery, dead_letter_sink=dead),
            filters=self.filters or _filters(self.types),
        )


def _filters(types: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    if not types:
        return ()
    exact = [{"exact": {"type": name}} for name in types]
    return (exact[0],) if len(exact) == 1 else ({"any": exact},)


REPLYING: Final = Plan("replying", "replying", _PAYMENT, delivery=PATIENT)

HOSTILE: Final = (
    Plan("hanging", "hanging", delivery=replace(QUICK, timeout_s=2.0)),
    Plan("dead", "dead", _ORDER),
    Plan("refusing", "refusing", _AUDIT, dead_letters="well"),
    Plan("slow", "slow", _AUDIT),
    Plan("busy", "busy", _PAYMENT, delivery=PATIENT),
    Plan("poison", "poison", _ORDER, dead_letters="well"),
    Plan("final", "final", _AUDIT, dead_letters="fickle"),
    Plan("dripping", "dripping", _RARE),
    Plan("flooding", "flooding", _RARE),
    Plan("resetting", "resetting", _AUDIT, delivery=PATIENT),
    Plan("garbage", "garbage", _AUDIT),
    REPLYING,
    Plan("forgetful", "forgetful", _AUDIT),
    Plan("flapping", "flapping", _ORDER, delivery=PATIENT),
    Plan("leaving", "hanging", _RARE, is_leaving=True),
)


def healthy(count: int) -> tuple[Plan, ...]:
    """So many Triggers whose sinks are well: a few are choosy, each in another dialect, the rest take everything."""
    choosy = (
        Plan("well-replies", types=(traffic.REPLY_TYPE,)),
        Plan("well-structured", types=("chaos.order", "chaos.payment"), delivery=replace(QUICK, format="json")),
        Plan(
            "well-sql",
            types=("chaos.audit", "chaos.rare"),
            filters=({"cesql": "type IN ('chaos.audit', 'chaos.rare')"},),
        ),
        Plan(
            "well-orders", types=_ORDER, filters=({"prefix": {"type": "chaos.or"}}, {"not": {"exact": {"type": "x"}}})
        ),
    )
    return (*choosy, *(Plan(f"well-{number}") for number in range(count - len(choosy))))[:count]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run: the load, the Triggers, how long."""

    rate: float = 80.0
    """Events a second."""
    seconds: float = 600.0
    """How long load and faults last; 0: until the faults are used up."""
    plans: tuple[Plan, ...] = field(default_factory=lambda: (*healthy(12), *HOSTILE))
    seed: int = 0

    @property
    def log_rate(self) -> float:
        """Entries of the log a second: events and replies."""
        replied = sum(traffic.SENT_TYPES[name] for name in REPLYING.types) if REPLYING in self.plans else 0.0
        return self.rate * (1 + replied)

    @property
    def well(self) -> list[Plan]:
        """The Triggers whose sinks are well."""
        return [plan for plan in self.plans if plan.kind == "well"]
