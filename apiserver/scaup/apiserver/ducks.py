"""Checks of the types that kinds share: Destination and DeliverySpec. Pure.

Knative's rules (``pkg/apis/duck/v1``), with durations read by the letter of ISO 8601.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from scaup.apiserver.answers import Problem, required, unsupported, wrong
from scaup.core.model.durations import parse_duration


def destination_problems(destination: Any, path: str) -> list[Problem]:
    """What is wrong with a Destination: ``ref``, ``uri``, or ``ref`` with a relative ``uri``."""
    if not isinstance(destination, dict):
        return [wrong(path, destination, "must be an object")]
    reference, uri = destination.get("ref"), destination.get("uri")
    if reference is None and not uri:
        return [required(path, "expected at least one of ref, uri, got none")]
    found = []
    if reference is not None and not isinstance(reference, dict):
        found.append(wrong(f"{path}.ref", reference, "must be an object"))
    elif reference is not None:
        found += [required(f"{path}.ref.{f}") for f in ("kind", "name", "apiVersion") if not reference.get(f)]
    if uri:
        found += _uri_problems(uri, path, is_relative_allowed=reference is not None)
    certificates = destination.get("CACerts")
    if certificates is not None and "-----BEGIN CERTIFICATE-----" not in str(certificates):
        found.append(wrong(f"{path}.CACerts", certificates, "must be a PEM certificate"))
    return found


def _uri_problems(uri: Any, path: str, *, is_relative_allowed: bool) -> list[Problem]:
    try:
        parts = urlsplit(uri) if isinstance(uri, str) else None
    except ValueError:
        parts = None
    if parts is None:
        return [wrong(f"{path}.uri", uri, "must be a URI")]
    if is_relative_allowed:
        return [wrong(f"{path}.uri", uri, "an absolute URI is not allowed where ref is set")] if parts.scheme else []
    if not parts.scheme or not parts.hostname:
        return [wrong(f"{path}.uri", uri, "a URI without ref must be absolute, with a host")]
    return []


def delivery_problems(delivery: Any, path: str) -> list[Problem]:
    """What is wrong with a DeliverySpec; None is one too."""
    if delivery is None:
        return []
    if not isinstance(delivery, dict):
        return [wrong(path, delivery, "must be an object")]
    found = []
    if delivery.get("deadLetterSink") is not None:
        found += destination_problems(delivery["deadLetterSink"], f"{path}.deadLetterSink")
    retry = delivery.get("retry")
    if retry is not None and (not isinstance(retry, int) or isinstance(retry, bool) or retry < 0):
        found.append(wrong(f"{path}.retry", retry, "must be an integer that is not negative"))
    for field, allowed in (("backoffPolicy", ("linear", "exponential")), ("format", ("json", "binary"))):
        if (value := delivery.get(field)) is not None and value not in allowed:
            found.append(unsupported(f"{path}.{field}", value, allowed))
    for field, may_be_zero in (("timeout", False), ("backoffDelay", True), ("retryAfterMax", True)):
        found += _duration_problems(delivery.get(field), f"{path}.{field}", may_be_zero=may_be_zero)
    return found


def _duration_problems(text: Any, path: str, *, may_be_zero: bool) -> list[Problem]:
    if text is None:
        return []
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        return [wrong(path, text, str(error))]
    return [] if seconds or may_be_zero else [wrong(path, text, "must be more than zero")]
