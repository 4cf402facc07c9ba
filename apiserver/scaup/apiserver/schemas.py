"""What the schema of a kind makes of an object: read once for each version of a kind, then asked on every write.

The order of the checks is a cluster's: structure, objects in objects, lists that are sets or maps, and rules (CEL) only
where those found nothing that would mislead them. Pure, but for the schemas it remembers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from scaup.apiserver import checks, embedded
from scaup.apiserver.answers import Problem
from scaup.apiserver.celrules import Ruled, broken, rules_of
from scaup.apiserver.kinds import Kind
from scaup.apiserver.structural import Node, defaulted, pruned, read

log = structlog.get_logger()

_MOST: Final = 500
"""Schemas that are kept read."""
_read: OrderedDict[int, Known] = OrderedDict()


@dataclass(frozen=True, slots=True)
class Known:
    """A schema that was read. ``schema`` is kept so that its identity stays its own."""

    schema: Mapping[str, Any]
    node: Node
    rules: Ruled | None


def of(kind: Kind) -> Known | None:
    """The schema of a kind; None where it has none."""
    schema = kind.schema
    if schema is None:
        return None
    known = _read.get(id(schema))
    if known is None:
        left_out: list[str] = []
        node = read(schema)
        known = _read[id(schema)] = Known(schema, node, rules_of(node, left_out))
        if left_out:
            log.warning("schema.rules_left_out", kind=kind.resource_name, version=kind.version, rules=left_out)
        if len(_read) > _MOST:
            _read.popitem(last=False)
    return known


def taken(kind: Kind, made: dict[str, Any], unknown: list[str]) -> dict[str, Any]:
    """The object as its schema takes it: unknown fields dropped (and said), defaults filled in."""
    known = of(kind)
    return made if known is None else defaulted(known.node, pruned(known.node, made, unknown))


def with_defaults(kind: Kind, stored: dict[str, Any]) -> dict[str, Any]:
    """A stored object with the defaults that its schema got after it was made."""
    known = of(kind)
    return defaulted(known.node, stored) if known is not None and known.node.has_defaults_below else stored


def problems(
    kind: Kind, made: dict[str, Any], present: dict[str, Any] | None, before: list[Problem] | None = None
) -> list[Problem]:
    """What is wrong with an object in the place of ``present``, besides what was found ``before``."""
    known = of(kind)
    if known is None:
        return []
    node = known.node
    found = [
        *checks.problems(node, made, "", present),
        *embedded.problems(node, made),
        *_duplicates(node, made, present),
    ]
    return _with_rules(known, made, present, found, before or [])


def status_problems(kind: Kind, made: dict[str, Any], present: dict[str, Any]) -> list[Problem]:
    """What is wrong with an object of which only the status was written."""
    known = of(kind)
    if known is None:
        return []
    found: list[Problem] = []
    below = known.node.properties.get("status")
    if below is not None and "status" in made:
        # a cluster looks at the status alone: its messages leave out where it stands, its fields do not
        said = checks.problems(below, made["status"], "", present.get("status"))
        found = [
            Problem(p.path if p.path == "<nil>" else f"status.{p.path}".rstrip("."), p.reason, p.message) for p in said
        ]
    found += _duplicates(known.node, made, present)
    return _with_rules(known, made, present, found, [])


def _duplicates(node: Node, made: dict[str, Any], present: dict[str, Any] | None) -> list[Problem]:
    """Entries that stand twice, unless some did so before."""
    if present is not None and next(checks.duplicates(node, present), None) is not None:
        return []
    return list(checks.duplicates(node, made))


def _with_rules(
    known: Known,
    made: dict[str, Any],
    present: dict[str, Any] | None,
    found: list[Problem],
    before: list[Problem],
) -> list[Problem]:
    if known.rules is None:
        return found
    if checks.is_blocking([*before, *found]):
        return [*found, checks.NOT_CHECKED]
    return [*found, *broken(known.rules, made, present)]
