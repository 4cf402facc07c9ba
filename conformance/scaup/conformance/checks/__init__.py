"""All checks, by name. Importing this registers them."""

from __future__ import annotations

from scaup.conformance.checks import (
    attributes,
    binding,
    cesql,
    definitions,
    delivery,
    filters,
    jsonformat,
    older,
    replies,
    requests,
)
from scaup.conformance.checks.registry import CHECKS

__all__ = [
    "CHECKS",
    "attributes",
    "binding",
    "cesql",
    "definitions",
    "delivery",
    "filters",
    "jsonformat",
    "older",
    "replies",
    "requests",
]
