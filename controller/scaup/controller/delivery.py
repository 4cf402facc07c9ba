"""Checks ``spec.delivery`` and fills in its defaults. Pure. The dead letter sink is a Destination: see ``resolve``."""

from __future__ import annotations

from typing import Final

from scaup.controller.api import DeliveryShape, shown
from scaup.core.model.definitions import DEFAULT_BACKOFF_S, DEFAULT_RETRY, DEFAULT_TIMEOUT_S, Delivery
from scaup.core.model.durations import EXPECTED, parse_duration
from scaup.core.model.errors import DefinitionError

POLICIES: Final = ("linear", "exponential")
FORMATS: Final = ("json", "binary")
_LONGEST_S = 366 * 86_400.0


def check_delivery(shape: DeliveryShape, path: str) -> Delivery:
    """The effective delivery, without dead letter sink; what is unset has its default.

    Raises DefinitionError naming path, text and what is expected (DeliverySpec, knative.dev/eventing).
    """
    timeout = _duration(shape.timeout, f"{path}.timeout", DEFAULT_TIMEOUT_S)
    if not timeout:
        raise DefinitionError(f"{path}.timeout", f"{shown(shape.timeout)} is no time at all; leave it out, or say more")
    return Delivery(
        retry=DEFAULT_RETRY if shape.retry is None else shape.retry,
        backoff_policy=_one_of(shape.backoff_policy, f"{path}.backoffPolicy", POLICIES) or "exponential",
        backoff_delay_s=_duration(shape.backoff_delay, f"{path}.backoffDelay", DEFAULT_BACKOFF_S),
        timeout_s=timeout,
        retry_after_max_s=(
            None if shape.retry_after_max is None else _duration(shape.retry_after_max, f"{path}.retryAfterMax", 0.0)
        ),
        format=_one_of(shape.format, f"{path}.format", FORMATS),
    )


def _duration(text: str | None, path: str, default: float) -> float:
    if text is None:
        return default
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise DefinitionError(path, f"{shown(text)} is not {EXPECTED}") from None
    if seconds > _LONGEST_S:
        raise DefinitionError(path, f"{shown(text)} is longer than the longest that is allowed, P1Y")
    return seconds


def _one_of(text: str | None, path: str, allowed: tuple[str, ...]) -> str | None:
    if text is None or text in allowed:
        return text
    raise DefinitionError(path, f"{shown(text)} is not {' or '.join(allowed)}")
