"""All checks, by name. Importing this registers them."""

from __future__ import annotations

from scaup.conformance.checks import attributes, binding, jsonformat, requests
from scaup.conformance.checks.registry import CHECKS

__all__ = ["CHECKS", "attributes", "binding", "jsonformat", "requests"]
