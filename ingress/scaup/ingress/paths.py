"""Paths of the ingress: ``/{namespace}/{broker}``, as Knative's broker addresses are."""

from __future__ import annotations

from scaup.core.model.errors import BadPathError
from scaup.ingress.answers import RootPathError

_HINT = "POST to /{namespace}/{broker}; a Broker's status.address.url is that address"


def broker_of(path: str) -> tuple[str, str]:
    """``(namespace, name)`` of a path; one trailing slash is ignored. Else BadPathError, RootPathError for ``/``."""
    parts = path.split("/")
    if len(parts) == 4 and not parts[3]:
        parts.pop()
    if len(parts) == 3 and not parts[0] and parts[1] and parts[2]:
        return parts[1], parts[2]
    if path in {"/", ""}:
        msg = "there is nothing at /"
        raise RootPathError(msg, hint=_HINT)
    msg = f"the path {path[:200]!r} names no broker"
    raise BadPathError(msg, hint=_HINT)
