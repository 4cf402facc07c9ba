"""From the outcome of one attempt to the verdict on the delivery: the specification's tables, and nothing else.

Pure: no clock, no network. Knative eventing data plane, "Event Acknowledgement and Delivery Retry"; control plane,
"Delivery spec".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from scaup.core.model.definitions import MAX_BACKOFF_S, Delivery
from scaup.core.model.event import Event


@dataclass(frozen=True, slots=True)
class Accepted:
    """The sink took the event and has nothing to say."""

    status: int


@dataclass(frozen=True, slots=True)
class Replied:
    """The sink took the event and answered 200 with another."""

    reply: Event
    passed: dict[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """The sink answered, but not with 2xx."""

    status: int
    body: bytes = b""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No connection, no answer in time, no address: nothing was heard."""

    why: str
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class BadReply:
    """The sink answered 200 with something that claims to be an event and is none."""

    why: str


@dataclass(frozen=True, slots=True)
class ReplyNotStored:
    """The sink replied, but the reply could not be stored: the whole delivery counts as failed (CP-27)."""

    why: str


Outcome = Accepted | Replied | Refused | NoAnswer | BadReply | ReplyNotStored


@dataclass(frozen=True, slots=True)
class Done:
    """Delivered."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after ``delay_s``."""

    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Not deliverable: to the dead letters."""

    reason: str


Verdict = Done | Retry | GiveUp

# Knative eventing data plane, table of response codes: what a sender tries again. 5xx as well; anything that is in no
# row ("other") SHOULD be retriable, which leaves 600 and above and below 100; 1xx, 3xx and all other 4xx are final.
RETRIED_STATUS: Final = frozenset({404, 408, 409, 429})
RETRY_AFTER_STATUS: Final = frozenset({429, 503})
DEFAULT_RETRY_AFTER_MAX_S: Final = 300.0


def is_retried(status: int) -> bool:
    """Whether an answer of this status is worth another attempt."""
    return status in RETRIED_STATUS or status >= 500 or status < 100


def backoff_s(delivery: Delivery, retries: int) -> float:
    """The wait before the next attempt, after ``retries`` of them: linear d, d, d …; exponential d, 2d, 4d ….

    Control plane, "BackoffPolicy": linear is the same delay each time, exponential is delay * 2^(number of retries).
    Never above ``MAX_BACKOFF_S``.
    """
    if delivery.backoff_policy == "linear":
        return min(delivery.backoff_delay_s, MAX_BACKOFF_S)
    return min(delivery.backoff_delay_s * 2.0 ** min(retries, 62), MAX_BACKOFF_S)


def describe(outcome: Outcome) -> tuple[str, int | None, bytes]:
    """``(reason, status, error data)`` of an outcome, for people and for dead letters."""
    match outcome:
        case Accepted(status=status):
            return f"status {status}", status, b""
        case Replied():
            return "replied", 200, b""
        case Refused(status=status, body=body):
            return f"the sink answered {status}", status, body
        case NoAnswer(why=why):
            return why, None, b""
        case BadReply(why=why):
            return f"malformed reply: {why}", 200, b""
        case ReplyNotStored(why=why):
            return f"the reply could not be stored: {why}", 200, b""
        case _ as never:
            assert_never(never)


def judge(outcome: Outcome, delivery: Delivery, attempts: int, stretch: float = 1.0) -> Verdict:
    """What becomes of the delivery after ``attempts`` attempts, the one of ``outcome`` included.

    ``stretch`` (1 or a little more) lengthens the back-off, so that retries of many events do not all come at once.
    """
    match outcome:
        case Accepted() | Replied():
            return Done()
        case Refused(status=status) if not is_retried(status):
            return GiveUp(f"the sink answered {status}, which is final")
        case _:
            pass
    reason = describe(outcome)[0]
    if attempts > delivery.retry:
        return GiveUp(f"{reason}; {attempts} attempts were made")
    delay = min(backoff_s(delivery, attempts - 1) * stretch, MAX_BACKOFF_S)
    if isinstance(outcome, Refused) and outcome.retry_after_s and outcome.status in RETRY_AFTER_STATUS:
        ceiling = delivery.retry_after_max_s
        delay = max(delay, min(outcome.retry_after_s, DEFAULT_RETRY_AFTER_MAX_S if ceiling is None else ceiling))
    return Retry(delay, reason)
