"""The Brokers and Triggers the scenarios need, as files for `scaup up -f`.

Responsible for: which Triggers exist, what they match, and which sink path each delivers to.
Must not: start or measure anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import yaml

MATCHING_TYPE = "dev.scaup.bench"
WRONG_PATH = "/s/wrong"
"""Where the Triggers that match nothing would deliver: an arrival there is a mistake of the broker."""


class Definitions(Protocol):
    """One Broker with its Triggers."""

    @property
    def broker(self) -> str:
        """Its name."""

    @property
    def triggers(self) -> int:
        """How many Triggers in all."""

    def objects(self, sink: str) -> Iterator[dict[str, object]]:
        """The objects, delivering to the sink at this address."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One Broker and its Triggers: `matching` of them match every event, each with a path of its own."""

    broker: str
    matching: int
    others: int = 0

    @property
    def triggers(self) -> int:
        """How many Triggers in all."""
        return self.matching + self.others

    @property
    def paths(self) -> tuple[str, ...]:
        """The sink paths that should get every accepted event."""
        return tuple(f"/s/{number}" for number in range(self.matching))

    def objects(self, sink: str) -> Iterator[dict[str, object]]:
        """The objects, delivering to the sink at this address."""
        yield _broker(self.broker)
        # The matching ones stand in the middle, so that neither first nor last is a lucky place.
        for number in range(self.others // 2):
            yield self._trigger(f"other-{number:04d}", f"{MATCHING_TYPE}.other.{number}", sink + WRONG_PATH)
        for number, path in enumerate(self.paths):
            yield self._trigger(f"match-{number:04d}", MATCHING_TYPE, sink + path)
        for number in range(self.others // 2, self.others):
            yield self._trigger(f"other-{number:04d}", f"{MATCHING_TYPE}.other.{number}", sink + WRONG_PATH)

    def _trigger(self, name: str, event_type: str, uri: str) -> dict[str, object]:
        return _trigger(self.broker, name, uri, event_type)


@dataclass(frozen=True, slots=True)
class Wire:
    """One Trigger that takes every event."""

    name: str
    to: str
    """A path of the sink, or a whole URL."""
    delivery: Mapping[str, object] = field(default_factory=dict)
    """Its `spec.delivery`."""


@dataclass(frozen=True, slots=True)
class Wired:
    """One Broker whose Triggers are given one by one."""

    broker: str
    wires: tuple[Wire, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def triggers(self) -> int:
        """How many Triggers in all."""
        return len(self.wires)

    def objects(self, sink: str) -> Iterator[dict[str, object]]:
        """The objects, delivering to the sink at this address."""
        yield _broker(self.broker, self.annotations)
        for wire in self.wires:
            uri = sink + wire.to if wire.to.startswith("/") else wire.to
            yield _trigger(self.broker, wire.name, uri, MATCHING_TYPE, wire.delivery)


def trigger_name(broker: str, name: str) -> str:
    """The name that a Trigger goes by in the API and in metrics."""
    return f"{broker}-{name}"


def _broker(name: str, annotations: Mapping[str, str] | None = None) -> dict[str, object]:
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Broker",
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {"eventing.knative.dev/broker.class": "Scaup", **(annotations or {})},
        },
    }


def _trigger(
    broker: str, name: str, uri: str, event_type: str, delivery: Mapping[str, object] | None = None
) -> dict[str, object]:
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": trigger_name(broker, name), "namespace": "default"},
        "spec": {
            "broker": broker,
            "filter": {"attributes": {"type": event_type}},
            "subscriber": {"uri": uri},
            **({"delivery": dict(delivery)} if delivery else {}),
        },
    }


ONE = Setup("one", matching=1)
FAN_10 = Setup("fan10", matching=10)


def many(triggers: int) -> Setup:
    """So many Triggers of which one matches."""
    return Setup("many", matching=1, others=triggers - 1)


def write(folder: Path, setups: Sequence[Definitions], sink: str) -> None:
    """One file for each Broker with all its Triggers."""
    folder.mkdir(parents=True, exist_ok=True)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    for setup in setups:
        text = yaml.dump_all(setup.objects(sink), Dumper=dumper, sort_keys=False)
        (folder / f"{setup.broker}.yaml").write_text(text)
