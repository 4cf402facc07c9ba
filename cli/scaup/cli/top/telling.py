"""The figures for a person and for a program. Pure.

What comes from outside is never printed raw: control characters would reach the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from scaup.cli import showing
from scaup.cli.lines import clean
from scaup.cli.top.figures import BrokerRow, Figures, Latency, TriggerRow
from scaup.cli.trace.words import spoken_s

_WIDTH: Final = 60
_WHY: Final = 300
_BROKER: Final = (
    "BROKER",
    "STATE",
    "ACCEPTED/S",
    "DELIVERED/S",
    "LAG",
    "QUEUE",
    "RETRIES",
    "DEAD LETTERS",
    "ACCEPTING",
    "DELIVERING",
)
_TRIGGER: Final = ("TRIGGER", "BROKER", "STATE", "DELIVERED/S", "FAILED/S", "QUEUE", "RETRIES", "DEAD LETTERS")


def description(found: Figures, most: int | None = None) -> str:
    """Tables, of at most ``most`` lines: then the Triggers where most happens or waits come first."""
    over = f"Namespace {found.namespace}, over {spoken_s(found.seconds)}"
    lines = [f"{over}; p50/p99 of accepting {_latency(found.accepting)}, of delivering {_latency(found.delivering)}"]
    tail = [f"Not known: {clean(text, _WHY)}" for text in found.not_known]
    lines += ["", *showing.rows(_BROKER, [_broker(row) for row in found.brokers]).splitlines(), ""]
    triggers = list(found.triggers)
    room = None if most is None else max(most - len(lines) - len(tail) - 2, 3)
    left_out = 0 if room is None else max(len(triggers) - room, 0)
    if left_out:
        triggers = sorted(triggers, key=_busyness)[: len(triggers) - left_out]
    lines += showing.rows(_TRIGGER, [_trigger(row) for row in triggers]).splitlines()
    if left_out:
        lines.append(f"and {left_out:,} more Triggers with less to do")
    return "\n".join([*lines, *tail])


def _busyness(row: TriggerRow) -> tuple[Any, ...]:
    ready = row.state in {"Ready", "-"}
    return (ready, -(row.failed or 0.0), -(row.queue or 0), -(row.delivered or 0.0), row.broker, row.name)


def _broker(row: BrokerRow) -> Sequence[str]:
    rates = [_rate(row.accepted), _rate(row.delivered)]
    return [
        clean(row.name, _WIDTH),
        clean(row.state, _WIDTH),
        *rates,
        *_counts(row.lag, row.queue, row.retries, row.dead),
        _latency(row.accepting),
        _latency(row.delivering),
    ]


def _trigger(row: TriggerRow) -> Sequence[str]:
    texts = [clean(text, _WIDTH) for text in (row.name, row.broker, row.state)]
    return [*texts, _rate(row.delivered), _rate(row.failed), *_counts(row.queue, row.retries, row.dead)]


def _rate(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or not value else f"{value:.1f}"


def _counts(*values: int | None) -> list[str]:
    return ["-" if value is None else f"{value:,}" for value in values]


def _latency(value: Latency | None) -> str:
    return "-" if value is None else f"{spoken_s(value.p50)} / {spoken_s(value.p99)}"


def as_object(found: Figures) -> dict[str, Any]:
    """The same for a program; what is null is not known."""
    return {
        "apiVersion": "scaup.dev/v1",
        "kind": "Top",
        "namespace": found.namespace,
        "seconds": round(found.seconds, 3),
        "acceptSeconds": _seconds(found.accepting),
        "deliverySeconds": _seconds(found.delivering),
        "brokers": [
            {
                "name": row.name,
                "state": row.state,
                "acceptedPerSecond": _rounded(row.accepted),
                "deliveredPerSecond": _rounded(row.delivered),
                "lag": row.lag,
                "queue": row.queue,
                "retries": row.retries,
                "deadLetters": row.dead,
                "acceptSeconds": _seconds(row.accepting),
                "deliverySeconds": _seconds(row.delivering),
            }
            for row in found.brokers
        ],
        "triggers": [
            {
                "name": row.name,
                "broker": row.broker,
                "state": row.state,
                "deliveredPerSecond": _rounded(row.delivered),
                "failedPerSecond": _rounded(row.failed),
                "queue": row.queue,
                "retries": row.retries,
                "deadLetters": row.dead,
            }
            for row in found.triggers
        ],
        "notKnown": found.not_known,
    }


def _seconds(value: Latency | None) -> dict[str, float] | None:
    return None if value is None else {"p50": round(value.p50, 6), "p99": round(value.p99, 6)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
