"""The annotations that Scaup reads: one registry, from which checks, suggestions and the reference page are made. Pure.

To add one, add a row; its name is then known, and what is expected of it is said in one place. What a value means is
worked out where it is used (``scaup.controller.annotations``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scaup.core.model.durations import EXPECTED as A_DURATION

PREFIX: Final = "scaup.dev/"
"""Names that begin so are ours: one that is not known is a mistake. All others may be anybody's."""

BROKER: Final = "Broker"
TRIGGER: Final = "Trigger"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation: for which kind it is, the value when it is not written, and what is expected of one that is."""

    name: str
    kind: str
    default: str
    expected: str
    meaning: str

    @property
    def path(self) -> str:
        """Where it stands in an object, as error messages name it."""
        return f"metadata.annotations[{self.name}]"


LOG_MAX_BYTES: Final = Annotation(
    "scaup.dev/log-max-bytes",
    BROKER,
    "1Gi",
    "a number of bytes such as 1Gi or 10Mi, not below 1Mi",
    "size of the event log",
)
HISTORY_MAX_AGE: Final = Annotation(
    "scaup.dev/history-max-age",
    BROKER,
    "PT24H",
    f"{A_DURATION}, at most P100Y",
    "how long settled events stay in the event log",
)
REPLICAS: Final = Annotation(
    "scaup.dev/replicas",
    BROKER,
    "1",
    "1, 3 or 5",
    "copies of the Broker's streams in a JetStream cluster",
)
DEDUPE_WINDOW: Final = Annotation(
    "scaup.dev/dedupe-window",
    BROKER,
    "",
    f"{A_DURATION}, at least PT1S, at most PT24H",
    "for how long, at least, an event that is sent again (the same `source` and `id`) is answered 202 and not stored "
    "again; settled events stay in the event log at least as long",
)

START: Final = Annotation(
    "scaup.dev/start",
    TRIGGER,
    "new",
    "new, all, or a time such as 2026-05-04T10:00:00Z",
    "the history that it gets, once: `all` that is kept, or what was accepted since a time (RFC 3339)",
)
PAUSED: Final = Annotation(
    "scaup.dev/paused",
    TRIGGER,
    "false",
    "'true' or 'false'",
    "while it is `true` nothing is sent to the subscriber: what it would get waits in its queue",
)
MAX_IN_FLIGHT: Final = Annotation(
    "scaup.dev/max-in-flight",
    TRIGGER,
    "",
    "a number of attempts at a time, from 1 to 10,000",
    "the most attempts at a time, of all dispatchers together; what is held back waits in the queue",
)
RATE: Final = Annotation(
    "scaup.dev/rate",
    TRIGGER,
    "",
    "events a second, such as 100 or 0.5, from 0.001 to 1,000,000",
    "the most attempts a second, of all dispatchers together; what is held back waits in the queue",
)
ORDER: Final = Annotation(
    "kafka.eventing.knative.dev/delivery.order",
    TRIGGER,
    "unordered",
    "ordered or unordered",
    "`ordered`: the events of each key (attribute `partitionkey`; those without one together) one after the other, in "
    "the order in which the Broker accepted them",
)
CEL: Final = Annotation(
    "scaup.dev/cel",
    TRIGGER,
    "",
    "a CEL expression over ce (the attributes) and data",
    "a filter beside `spec.filter` or `spec.filters`: all of them have to match. For clusters with Knative's own "
    "kinds, whose schema drops `cel` from `spec.filters`. A mistake in it, or in its name, makes the Trigger match "
    "nothing",
)

KNOWN: Final[tuple[Annotation, ...]] = (
    LOG_MAX_BYTES,
    HISTORY_MAX_AGE,
    REPLICAS,
    DEDUPE_WINDOW,
    START,
    PAUSED,
    MAX_IN_FLIGHT,
    RATE,
    ORDER,
    CEL,
)


def strange(kind: str, names: Iterable[object], known: Iterable[Annotation] = KNOWN) -> list[str]:
    """A sentence for every annotation with our prefix that means nothing on an object of ``kind``, in order."""
    registry = list(known)
    ours = [name for name in names if isinstance(name, str) and name.startswith(PREFIX)]
    return [sentence for name in sorted(ours) if (sentence := _strange(kind, name, registry))]


def _strange(kind: str, name: str, known: list[Annotation]) -> str:
    kinds = [annotation.kind for annotation in known if annotation.name == name]
    if kind in kinds:
        return ""
    if kinds:
        return f"{name} is for a {kinds[0]} and has no effect on a {kind}"
    suggested = nearest(name, (annotation.name for annotation in known if annotation.kind == kind))
    hint = f"did you mean {suggested}?" if suggested else "it has no effect"
    return f"{name[:100]} is not known; {hint}"


def nearest(name: str, names: Iterable[str]) -> str:
    """The one of ``names`` that was probably meant; empty where none is near."""
    spelt = {candidate.removeprefix(PREFIX).replace("-", ""): candidate for candidate in names}
    wanted = name[:100].removeprefix(PREFIX).lower().replace("-", "").replace("_", "").replace(".", "")
    found = difflib.get_close_matches(wanted, spelt, n=1, cutoff=0.7)
    return spelt[found[0]] if found else ""
