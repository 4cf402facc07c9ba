"""Who may talk to an API without credentials: programs on this machine, and no web page in its browser. Pure.

A page can make the browser send requests to loopback, but not without ``Origin`` where they could change something, not
under a foreign name with a loopback ``Host`` (DNS rebinding), and not with a Kubernetes content type unasked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scaup.apiserver import answers
from scaup.apiserver.settings import is_loopback

JSON: Final = "application/json"
YAML: Final = "application/yaml"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
OBJECTS: Final = (JSON, YAML)
CORE_OBJECTS: Final = (JSON, YAML, PROTOBUF)
APPLY_PATCH: Final = "application/apply-patch+yaml"
PATCHES: Final = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
"""What every kind takes."""


def require_local(headers: Mapping[str, str]) -> None:
    """Raise ApiError 403 for a request that a web page may have made."""
    if "origin" in headers:
        raise answers.forbidden("requests with an Origin header are refused: the local API is not for web pages")
    host = headers.get("host", "")
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    if not is_loopback(name):
        raise answers.forbidden(f"the Host header {host!r} is not loopback: use localhost, 127.0.0.1 or [::1]")


def content_type(headers: Mapping[str, str], taken: tuple[str, ...]) -> str:
    """The type of a body; raises ApiError 415 where it is none of those taken.

    Where a client says none at all it is JSON, as for Kubernetes: the official Python client says none with what it
    makes. A page's write cannot come in by that: it has an ``Origin``.
    """
    if "content-type" not in headers and JSON in taken:
        return JSON
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in taken:
        raise answers.unsupported_media_type(given, taken)
    return given
