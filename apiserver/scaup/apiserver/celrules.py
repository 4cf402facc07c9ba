"""The rules of a schema (``x-kubernetes-validations``, CEL), compiled once for a kind and asked on every write. Pure.

Follows ``apiextensions.k8s.io/v1``: a rule that names ``oldSelf`` is asked only where there is an old value to compare
with (or ``optionalOldSelf`` is set), others only about what changed. A rule that needs a function which only Kubernetes
has (``quantity()``, ``url()`` …) is left out: ``left_out`` says which. Times and durations are text here, for the
engine takes no others from Python; a rule that needs them to be more holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from scaup.apiserver.answers import Problem
from scaup.apiserver.celengine import RuleError, compiled, given
from scaup.apiserver.checks import is_equal
from scaup.apiserver.shown import shown
from scaup.apiserver.structural import Node, old_item

_OLD: Final = re.compile(r"\boldSelf\b")
_TEXTS: Final = re.compile(r"""r?'(?:\\.|[^'\\])*'|r?"(?:\\.|[^"\\])*\"""")
_STEPS: Final = re.compile(r"\.([^.\[]+)|\['((?:\\.|[^'\\])*)'\]")
_PATH: Final = re.compile(f"(?:{_STEPS.pattern})+")
_NO_OVERLOAD: Final = "No matching overloads"
_TIMES: Final = frozenset({"date-time", "datetime", "date", "duration", "byte"})
_SHORT: Final = 256
_MOST_SAID: Final = 5 * 1024
_RESERVED: Final = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}

Ask = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: how it is asked, and what is said where it does not hold.

    ``holds`` remembers the answers about texts: the same durations and URLs come again and again.
    """

    ask: Ask
    holds: Callable[[str], bool]
    say: Ask | None
    message: str
    text: str
    field: str
    reason: str
    uses_old: bool
    is_old_optional: bool


@dataclass(slots=True)
class Ruled:
    """A node of a schema that has rules, or has some below it."""

    node: Node
    rules: list[Rule] = field(default_factory=list)
    properties: dict[str, Ruled] = field(default_factory=dict)
    additional: Ruled | None = None
    items: Ruled | None = None
    all_of: list[Ruled] = field(default_factory=list)
    is_root: bool = False

    def is_needed(self) -> bool:
        """Whether there is anything to ask."""
        return bool(self.rules or self.properties or self.additional or self.items or self.all_of)


def rules_of(node: Node, left_out: list[str], *, is_root: bool = True) -> Ruled | None:
    """The rules of a schema; what does not compile is added to ``left_out`` with its reason."""
    found = Ruled(node, is_root=is_root)
    for number, raw in enumerate(node.raw.get("x-kubernetes-validations") or ()):
        try:
            found.rules.append(compiled_rule(raw))
        except RuleError as error:
            left_out.append(f"{node.path}.x-kubernetes-validations[{number}].rule: {error}")
    for key, below in node.properties.items():
        if (ruled := rules_of(below, left_out, is_root=False)) is not None:
            found.properties[key] = ruled
    if node.additional is not None:
        found.additional = rules_of(node.additional, left_out, is_root=False)
    if node.items is not None:
        found.items = rules_of(node.items, left_out, is_root=False)
    parts = (rules_of(one, left_out, is_root=is_root) for one in node.junctions.get("allOf", ()))
    found.all_of = [one for one in parts if one is not None]
    return found if found.is_needed() else None


def compiled_rule(raw: Any) -> Rule:
    """A rule as it stands in a schema. Raises RuleError where it is none."""
    text, say = raw["rule"].strip(), raw.get("messageExpression")
    is_optional = bool(raw.get("optionalOldSelf"))
    ask = compiled(_with_old(text, is_optional=is_optional))
    return Rule(
        ask=ask,
        holds=lru_cache(maxsize=256)(lambda text: ask(given({"self": text, "oldSelf": None})) is True),
        say=compiled(_with_old(say, is_optional=is_optional)) if say else None,
        message=(raw.get("message") or "").strip(),
        text=text,
        field=raw.get("fieldPath") or "",
        reason=raw.get("reason") or "FieldValueInvalid",
        uses_old=uses_old(text),
        is_old_optional=is_optional,
    )


def uses_old(text: str) -> bool:
    """Whether a rule asks for the old value."""
    return bool(_OLD.search(_TEXTS.sub("", text)))


def _with_old(text: str, *, is_optional: bool) -> str:
    """Optional values cannot be handed to the engine: ``before`` holds the old one, or is empty."""
    return f"cel.bind(oldSelf, before.?self, ({text}\n))" if is_optional else text


def broken(ruled: Ruled | None, value: Any, old: Any, path: str = "") -> Iterator[Problem]:
    """The rules that a value breaks in the place of ``old`` (None: it is new)."""
    if ruled is None or value is None:
        return
    if ruled.rules:
        yield from _own(ruled, value, old, path)
    for part in ruled.all_of:
        yield from broken(part, value, old, path)
    for below, one, before, where in _below(ruled, value, old, path):
        yield from broken(below, one, before, where)


def _below(ruled: Ruled, value: Any, old: Any, path: str) -> Iterator[tuple[Ruled | None, Any, Any, str]]:
    """What is in a value: its rules, itself, what it was, and where."""
    if isinstance(value, dict):
        was = old if isinstance(old, dict) else {}
        for key, below in ruled.properties.items():
            if key in value:
                yield below, value[key], was.get(key), f"{path}.{key}" if path else key
        more = value.keys() - ruled.node.properties.keys() if ruled.additional is not None else ()
        for key in (key for key in value if key in more):
            yield ruled.additional, value[key], was.get(key), f"{path}[{key}]"
    elif isinstance(value, list) and ruled.items is not None:
        for number, one in enumerate(value):
            yield ruled.items, one, old_item(ruled.node, one, old), f"{path}[{number}]"


def _own(ruled: Ruled, value: Any, old: Any, path: str) -> Iterator[Problem]:
    is_same = old is not None and is_equal(value, old)
    plain: Any = None
    for rule in ruled.rules:
        if (is_same and not rule.uses_old) or (rule.uses_old and old is None and not rule.is_old_optional):
            continue
        if not rule.uses_old and isinstance(value, str) and len(value) <= _SHORT and _is_known(rule, value):
            continue
        if plain is None:
            one, before = seen(ruled, value), None if old is None else seen(ruled, old)
            plain = given({"self": one, "oldSelf": before})
        values = given({"self": one, "before": _before(before)}) if rule.is_old_optional else plain
        if (problem := _asked(rule, ruled.node, value, values, path)) is not None:
            yield problem


def _is_known(rule: Rule, text: str) -> bool:
    """Whether the rule surely holds for a text."""
    try:
        return rule.holds(text)
    except RuleError:
        return False


def _before(old: Any) -> dict[str, Any]:
    return {} if old is None else {"self": old}


def _asked(rule: Rule, node: Node, value: Any, values: Any, path: str) -> Problem | None:
    kind = node.raw.get("type") or ""
    try:
        if rule.ask(values) is True:
            return None
    except RuleError as error:
        if _NO_OVERLOAD in str(error) and has_times(node):
            return None
        detail = f"{error} evaluating rule: {rule.message or rule.text}"
        return Problem(path or "<nil>", "FieldValueInvalid", f"Invalid value: {shown(kind)}: {detail}")
    where = _place(node, path, rule.field)
    said = _said(rule, values)
    is_whole = kind in {"object", "array"}
    match rule.reason:
        case "FieldValueForbidden":
            message = f"Forbidden: {said}"
        case "FieldValueRequired":
            message = f"Required value: {said}"
        case "FieldValueDuplicate":
            message = "Duplicate value" if is_whole else f"Duplicate value: {shown(value)}"
        case _:
            message = f"Invalid value: {said}" if is_whole else f"Invalid value: {shown(value)}: {said}"
    return Problem(where or "<nil>", rule.reason, message)


def steps(field: str) -> list[str]:
    """The names in a ``fieldPath`` such as ``.spec['a.b']``; none where it is none."""
    if not _PATH.fullmatch(field):
        return []
    return [plain or re.sub(r"\\(.)", r"\1", quoted) for plain, quoted in _STEPS.findall(field)]


def _place(node: Node | None, path: str, field: str) -> str:
    """Where a rule says that the mistake is (``fieldPath``), below the value."""
    for name in steps(field):
        path = node.place(path, name) if node is not None else f"{path}.{name}"
        node = node.below(name) if node is not None else None
    return path


def _said(rule: Rule, values: Any) -> str:
    if rule.say is not None:
        try:
            said = rule.say(values)
        except RuleError:
            said = ""
        said = said.strip() if isinstance(said, str) else ""
        if said and "\n" not in said and len(said.encode()) <= _MOST_SAID:
            return said
    return rule.message or f"failed rule: {rule.text}"


# --- values as rules see them -----------------------------------------------------------------------------------


def seen(ruled: Ruled, value: Any) -> Any:
    """A value for the engine: names that CEL could not write are escaped."""
    found = _seen(ruled.node, value)
    if ruled.is_root and isinstance(value, dict):
        metadata = value.get("metadata") or {}
        about = {name: metadata[name] for name in ("name", "generateName") if name in metadata}
        found = {**found, "apiVersion": value.get("apiVersion"), "kind": value.get("kind"), "metadata": about}
    return found


def _seen(node: Node | None, value: Any) -> Any:
    if node is None:
        return value
    if isinstance(value, dict):
        if not node.properties:
            return {key: _seen(node.additional, one) for key, one in value.items()} if node.additional else value
        found = ((k, node.properties.get(k), v) for k, v in value.items())
        return {escaped(k): _seen(below, v) for k, below, v in found if v is not None or below is None}
    if isinstance(value, list):
        return [_seen(node.items, one) for one in value] if node.items is not None else value
    if node.types == ("number",) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def has_times(node: Node) -> bool:
    """Whether a text in here is more to a cluster's rules."""
    return node.format in _TIMES or any(has_times(below) for below in node.children())


def escaped(name: str) -> str:
    """The name of a field as rules write it (``__namespace__``)."""
    if name in _RESERVED:
        return f"__{name}__"
    if any(part in name for part in _ESCAPES):
        return re.sub(r"__|[.\-/]", lambda found: _ESCAPES[found[0]], name)
    return name
