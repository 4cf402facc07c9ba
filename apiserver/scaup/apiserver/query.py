"""What a URL's query asks for, checked: Kubernetes' ListOptions, and the switches of writes. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

import orjson

from scaup.apiserver import answers
from scaup.apiserver.answers import Problem, forbidden_field, unsupported
from scaup.apiserver.kinds import Kind
from scaup.apiserver.paths import Target
from scaup.apiserver.selectors import Test, both, field_selector, label_selector
from scaup.apiserver.shown import shown
from scaup.apiserver.window import Name

Query = Mapping[str, str]

OPTIONS: Final = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
"""What Kubernetes calls the options of a write, by its verb; those of a deletion stand in its body too."""


_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a list goes on: after ``name``, in the state of ``revision``."""

    revision: int
    name: Name

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(orjson.dumps([self.revision, *self.name])).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Continuation:
        """The one that was handed out; raises ApiError 400 for anything else."""
        try:
            revision, namespace, name = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls(int(revision), (str(namespace), str(name)))
        except (binascii.Error, ValueError, TypeError):
            raise answers.bad_request("invalid continue token: continue key is not valid") from None


@dataclass(frozen=True, slots=True)
class ListOptions:
    """``revision`` None or 0: whatever is now. ``initial_events``: a watch begins with the present state."""

    is_wanted: Test
    is_selective: bool
    revision: int | None
    match: str
    limit: int
    after: Continuation | None
    bookmarks: bool
    initial_events: bool
    timeout_s: float | None


def parsed(text: bytes) -> Query:
    """A URL's query as Kubernetes reads it: of a key that stands twice the first, and nothing of what is malformed."""
    found: dict[str, str] = {}
    for part in text.decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        if part and ";" not in part and not _BAD_ESCAPE.search(part):
            name, value = unquote_plus(name), unquote_plus(value)
            if name == "dryRun" and name in found:  # a list: who asks twice for a dry run means one
                value = f"{found.pop(name)},{value}"
            found.setdefault(name, value)
    return found


def list_options(query: Query, kind: Kind, target: Target) -> ListOptions:
    """Read ListOptions; raises ApiError 400 naming the parameter that is wrong."""
    fields = query.get("fieldSelector", "")
    labels = query.get("labelSelector", "")
    is_wanted = both(label_selector(labels), field_selector(fields, kind))
    if target.namespace:
        is_wanted = both(lambda whole: whole["metadata"].get("namespace") == target.namespace, is_wanted)
    text = query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    is_of_now = text in {"", "0"}
    initial_events = flag(query, "sendInitialEvents") if "sendInitialEvents" in query else is_of_now
    after = query.get("continue", "")
    if found := _problems(query, text, match):
        raise answers.invalid_options(found)
    timeout_s, limit = _number(query, "timeoutSeconds"), _number(query, "limit")
    if limit > 0 and not match and not is_of_now:
        match = "Exact"  # what a limit has always meant
    return ListOptions(
        is_wanted,
        bool(labels or fields),
        _revision(text),
        match,
        limit,
        Continuation.parse(after) if after else None,
        flag(query, "allowWatchBookmarks"),
        initial_events,
        float(timeout_s) if timeout_s > 0 else None,
    )


def _problems(query: Query, revision: str, match: str) -> list[Problem]:
    """What does not go together (``ValidateListOptions`` of Kubernetes' apimachinery)."""
    path, is_watch = "resourceVersionMatch", flag(query, "watch")
    found = []
    if match and query.get("continue"):
        found.append(forbidden_field(path, f"{path} is forbidden when continue is provided"))
    if is_watch:
        if match and "sendInitialEvents" not in query:
            found.append(forbidden_field(path, f"{path} is forbidden for watch unless sendInitialEvents is provided"))
        if "sendInitialEvents" in query and match != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            found.append(forbidden_field(path, why))
        return found if match in {"", "NotOlderThan"} else [*found, unsupported(path, match, ("NotOlderThan",))]
    if match and not revision:
        found.append(forbidden_field(path, f"{path} is forbidden unless resourceVersion is provided"))
    if match == "Exact" and revision == "0":
        found.append(forbidden_field(path, f'{path} "exact" is forbidden for resourceVersion "0"'))
    if match not in {"", "Exact", "NotOlderThan"}:
        found.append(unsupported(path, match, ("Exact", "NotOlderThan", "")))
    if "sendInitialEvents" in query:
        found.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return found


def revision_of(query: Query) -> int:
    """The resourceVersion that a ``get`` must not be older than; 0 for any."""
    return _revision(query.get("resourceVersion", "")) or 0


def flag(query: Query, name: str) -> bool:
    """A switch as Kubernetes reads it: ``false`` and ``0`` are off, any other value is on."""
    return query[name].lower() not in {"false", "0"} if name in query else False


def deletion(query: Query) -> dict[str, Any]:
    """The DeleteOptions that a query says, as a body would have them; raises ApiError 400."""
    found: dict[str, Any] = {"preconditions": {key: query[key] for key in ("uid", "resourceVersion") if key in query}}
    if "propagationPolicy" in query:
        found["propagationPolicy"] = query["propagationPolicy"]
    if "orphanDependents" in query:
        found["orphanDependents"] = flag(query, "orphanDependents")
    if "gracePeriodSeconds" in query:
        found["gracePeriodSeconds"] = _number(query, "gracePeriodSeconds")
    return found


def is_dry_run(query: Query, body: object = None, *, options: str) -> bool:
    """Whether the request only asks what would be; raises ApiError 422 for a mode that is not ``All``.

    ``options`` is what Kubernetes calls the options of such a request: ``CreateOptions`` and the like.
    """
    asked = query["dryRun"].split(",") if "dryRun" in query else []
    if isinstance(body, dict) and isinstance(body.get("dryRun"), list):
        asked += body["dryRun"]
    if any(mode != "All" for mode in asked):
        why = f'Unsupported value: {shown(asked)}: supported values: "All"'
        raise answers.invalid_options([Problem("dryRun", "FieldValueNotSupported", why)], options)
    return bool(asked)


def _number(query: Query, name: str) -> int:
    text = query.get(name, "0")
    if why := _misfit(text, r"[+-]?[0-9]+", (1 << 63) - 1):
        raise answers.bad_request(f"{name}: strconv.ParseInt: {why}")
    return int(text)


def _revision(text: str) -> int | None:
    if text and (why := _misfit(text, r"[0-9]+", (1 << 64) - 1)):
        said = f"Invalid value: {shown(text)}: strconv.ParseUint: {why}"
        raise answers.bad_request(f"invalid resource version: resourceVersion: {said}")
    return int(text) if text else None


def _misfit(text: str, form: str, largest: int) -> str:
    """Why this is no number, in the words of Go; nothing where it is one."""
    if not re.fullmatch(form, text):
        return f"parsing {shown(text)}: invalid syntax"
    # a text of thousands of digits is not to be worked on: neither is it in range
    return f"parsing {shown(text)}: value out of range" if len(text) > 1000 or abs(int(text)) > largest else ""
