"""The tables of delivery: which outcomes are tried again, how often, and when."""

from __future__ import annotations

import pytest

from scaup.core.model.definitions import MAX_BACKOFF_S, Delivery
from scaup.core.model.event import Event
from scaup.dispatcher.judge import (
    Accepted,
    BadReply,
    Done,
    GiveUp,
    NoAnswer,
    Outcome,
    Refused,
    Replied,
    ReplyNotStored,
    Retry,
    backoff_s,
    describe,
    is_retried,
    judge,
)

_EVENT = Event({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"})
_POLICY = Delivery(retry=3, backoff_policy="linear", backoff_delay_s=2.0)

# Knative, retries_test.go (RT1): of the statuses that are no success.
_RETRIED = [-1, 0, 99, 404, 408, 409, 429, 500, 501, 502, 503, 504, 599, 600, 999]
_FINAL = [100, 101, 102, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 405, 406, 410, 413, 415, 418, 422, 499]


@pytest.mark.parametrize("status", _RETRIED)
def test_status_is_tried_again(status: int) -> None:
    assert is_retried(status)
    assert isinstance(judge(Refused(status), _POLICY, 1), Retry)


@pytest.mark.parametrize("status", _FINAL)
def test_status_is_final(status: int) -> None:
    assert not is_retried(status)
    assert judge(Refused(status), _POLICY, 1) == GiveUp(f"the sink answered {status}, which is final")


@pytest.mark.parametrize("outcome", [Accepted(200), Accepted(202), Accepted(204), Replied(_EVENT, {})])
def test_taken_is_done(outcome: Outcome) -> None:
    assert judge(outcome, _POLICY, 1) == Done()
    assert judge(outcome, Delivery(retry=0), 9) == Done()


@pytest.mark.parametrize(
    "outcome", [NoAnswer("gone"), NoAnswer("late", timed_out=True), BadReply("no id"), ReplyNotStored("full")]
)
def test_what_is_no_proper_answer_is_tried_again(outcome: Outcome) -> None:
    assert judge(outcome, _POLICY, 1) == Retry(2.0, describe(outcome)[0])


@pytest.mark.parametrize("retry", [0, 1, 3, 10])
def test_a_retry_of_n_makes_n_plus_one_attempts(retry: int) -> None:
    policy = Delivery(retry=retry)
    verdicts = [judge(Refused(500), policy, attempts) for attempts in range(1, retry + 2)]
    assert all(isinstance(verdict, Retry) for verdict in verdicts[:-1])
    assert verdicts[-1] == GiveUp(f"the sink answered 500; {retry + 1} attempts were made")


@pytest.mark.parametrize("delay", [0.0, 0.2, 2.5])
def test_linear_backoff_is_the_same_each_time(delay: float) -> None:
    policy = Delivery(backoff_policy="linear", backoff_delay_s=delay)
    assert [backoff_s(policy, retries) for retries in range(5)] == [delay] * 5


@pytest.mark.parametrize("delay", [0.0, 0.2, 1.5])
def test_exponential_backoff_doubles(delay: float) -> None:
    policy = Delivery(backoff_policy="exponential", backoff_delay_s=delay)
    assert [backoff_s(policy, retries) for retries in range(5)] == [delay * factor for factor in (1, 2, 4, 8, 16)]


def test_default_delivery_waits_from_a_fifth_of_a_second_to_less_than_two_minutes() -> None:
    waits = []
    for attempts in range(1, 11):
        verdict = judge(NoAnswer("gone"), Delivery(), attempts)
        assert isinstance(verdict, Retry)
        waits.append(round(verdict.delay_s, 6))
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4]
    assert isinstance(judge(NoAnswer("gone"), Delivery(), 11), GiveUp)


@pytest.mark.parametrize(("stretch", "waited_s"), [(1.0, 2.0), (1.2, 2.4)])
def test_jitter_lengthens_a_backoff_and_nothing_else(stretch: float, waited_s: float) -> None:
    policy = Delivery(backoff_delay_s=2.0, retry_after_max_s=90.0)
    assert judge(Refused(500), policy, 1, stretch) == Retry(waited_s, "the sink answered 500")
    assert judge(Refused(503, b"", 30.0), policy, 1, stretch) == Retry(30.0, "the sink answered 503")
    longest = judge(Refused(500), Delivery(backoff_delay_s=MAX_BACKOFF_S), 1, stretch)
    assert longest == Retry(MAX_BACKOFF_S, "the sink answered 500")


@pytest.mark.parametrize("policy", ["linear", "exponential"])
@pytest.mark.parametrize("retries", [20, 63, 10_000])
def test_no_backoff_is_longer_than_the_cap(policy: str, retries: int) -> None:
    assert backoff_s(Delivery(backoff_policy=policy, backoff_delay_s=10_000.0), retries) == MAX_BACKOFF_S
    assert backoff_s(Delivery(backoff_policy="exponential", backoff_delay_s=0.2), retries) == MAX_BACKOFF_S


@pytest.mark.parametrize(
    ("status", "asked_s", "ceiling_s", "waited_s"),
    [
        (429, 30.0, 90.0, 30.0),  # RT6
        (503, 30.0, 90.0, 30.0),
        (429, 30.0, 10.0, 10.0),  # RT7
        (503, 30.0, 10.0, 10.0),
        (429, None, 90.0, 2.0),  # RT8
        (500, 30.0, 90.0, 2.0),
        (404, 30.0, 90.0, 2.0),
        (429, 30.0, 0.0, 2.0),  # PT0S switches it off
        (429, 1.0, 90.0, 2.0),  # never sooner than the back-off
        (429, 0.0, 90.0, 2.0),
        (429, 30.0, None, 30.0),  # unset: on, up to five minutes, as Knative plans it for its stable version
        (503, 1e9, None, 300.0),
        (429, float("inf"), None, 300.0),
    ],
)
def test_retry_after_is_honoured_within_its_ceiling(
    status: int, asked_s: float | None, ceiling_s: float | None, waited_s: float
) -> None:
    policy = Delivery(backoff_policy="linear", backoff_delay_s=2.0, retry_after_max_s=ceiling_s)
    verdict = judge(Refused(status, b"", asked_s), policy, 1)
    assert isinstance(verdict, Retry)
    assert verdict.delay_s == waited_s


def test_retry_after_does_not_add_attempts() -> None:
    assert isinstance(judge(Refused(429, b"", 30.0), _POLICY, 4), GiveUp)


@pytest.mark.parametrize(
    ("outcome", "described"),
    [
        (Accepted(202), ("status 202", 202, b"")),
        (Replied(_EVENT, {}), ("replied", 200, b"")),
        (Refused(422, b"body"), ("the sink answered 422", 422, b"body")),
        (NoAnswer("no route"), ("no route", None, b"")),
        (BadReply("no id"), ("malformed reply: no id", 200, b"")),
        (ReplyNotStored("full"), ("the reply could not be stored: full", 200, b"")),
    ],
)
def test_outcomes_are_described_for_people(outcome: Outcome, described: tuple[str, int | None, bytes]) -> None:
    assert describe(outcome) == described
