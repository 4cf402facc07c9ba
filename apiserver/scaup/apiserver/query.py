"""What a URL's query asks for, checked: Kubernetes' ListOptions, and the switches of writes. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

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
    """``revision`` None: whatever is now (unset), 0: the same, and for a watch the present state first."""

    is_wanted: Test
    is_selective: bool
    revision: int | None
    match: str
    limit: int
    after: Continuation | None
    bookmarks: bool
    initial_events: bool
    timeout_s: float | None


def list_options(query: Query, kind: Kind, target: Target) -> ListOptions:
    """Read ListOptions; raises ApiError 400 naming the parameter that is wrong. A name in the path selects it."""
    fields = query.get("fieldSelector", "")
    if target.name:
        fields = ",".join(part for part in (f"metadata.name={target.name}", fields) if part)
    labels = query.get("labelSelector", "")
    is_wanted = both(label_selector(labels), field_selector(fields, kind))
    if target.namespace:
        is_wanted = both(lambda whole: whole["metadata"].get("namespace") == target.namespace, is_wanted)
    text = query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    initial_events = flag(query, "sendInitialEvents")
    after = query.get("continue", "")
    if found := _problems(query, text, match):
        raise answers.invalid_options(found)
    timeout_s = _number(query, "timeoutSeconds")
    return ListOptions(
        is_wanted,
        bool(labels or fields),
        _revision(text),
        match,
        _number(query, "limit"),
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
    if "sendInitialEvents" in query:
        found.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if match and not revision:
        found.append(forbidden_field(path, f"{path} is forbidden unless resourceVersion is provided"))
    if match == "Exact" and revision == "0":
        found.append(forbidden_field(path, f'{path} "exact" is forbidden for resourceVersion "0"'))
    if match not in {"", "Exact", "NotOlderThan"}:
        found.append(unsupported(path, match, ("Exact", "NotOlderThan", "")))
    return found


def flag(query: Query, name: str) -> bool:
    """A switch as Kubernetes reads it: ``false`` and ``0`` are off, any other value is on."""
    return query[name].lower() not in {"false", "0"} if name in query else False


def is_dry_run(query: Query, body: object = None, *, options: str) -> bool:
    """Whether the request only asks what would be; raises ApiError 422 for a mode that is not ``All``.

    ``options`` is what Kubernetes calls the options of such a request: ``CreateOptions`` and the like.
    """
    asked = [query["dryRun"]] if "dryRun" in query else []
    if isinstance(body, dict) and isinstance(body.get("dryRun"), list):
        asked += body["dryRun"]
    if any(mode != "All" for mode in asked):
        why = f'Unsupported value: {shown(asked)}: supported values: "All"'
        raise answers.invalid_options([Problem("dryRun", "FieldValueNotSupported", why)], options)
    return bool(asked)


def _number(query: Query, name: str) -> int:
    return whole_number(query.get(name, "") or "0", name)


def whole_number(text: str, name: str) -> int:
    """The number in a parameter; raises ApiError 400 where there is none."""
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise answers.bad_request(f"{name}: strconv.ParseInt: parsing {_quoted(text)}: invalid syntax")
    return int(text)


def _revision(text: str) -> int | None:
    if text and not re.fullmatch(r"[0-9]{1,19}", text):
        why = f"Invalid value: {_quoted(text)}: strconv.ParseUint: parsing {_quoted(text)}: invalid syntax"
        raise answers.bad_request(f"invalid resource version: resourceVersion: {why}")
    return int(text) if text else None


def _quoted(text: str) -> str:
    return shown(text[:200])
