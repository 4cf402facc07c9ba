"""What is wrong with a value, by its structural schema: all of it at once, in Kubernetes' own words. Pure.

The order is that of ``kube-openapi``: type, junctions (``anyOf`` …), text, numbers, lists, ``enum``, objects. What an
update leaves as it was is not looked at again, as far as new and old can be told to belong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from scaup.apiserver.answers import Problem
from scaup.apiserver.celengine import RuleError, matches
from scaup.apiserver.formats import is_of_format
from scaup.apiserver.shown import shown
from scaup.apiserver.structural import Node, old_item
from scaup.core.bus.kv import dumps

_INT64: Final = 1 << 63
_INT32: Final = 1 << 31
_SAFE: Final = (1 << 53) - 1
_EPSILON: Final = 1e-9
_BOUNDS: Final = {"multipleOf": "MultipleOf", "minimum": "Minimum boundary", "maximum": "Maximum boundary"}
_BLOCKING: Final = frozenset(
    {"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)
NOT_CHECKED: Final = Problem(
    "<nil>",
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)


def is_blocking(problems: Iterable[Problem]) -> bool:
    """Whether rules (CEL) are not looked at because of these."""
    return any(problem.reason in _BLOCKING for problem in problems)


def problems(node: Node, value: Any, path: str = "", old: Any = None) -> list[Problem]:
    """What is wrong with a value, in the place of ``old``."""
    if old is not None and is_equal(value, old):
        return []
    kind, form = _kind_of(value)
    found = _type_problems(node, value, path, (kind, form))
    if value is None:
        return [*found, *_enum_problems(node, value, path)]
    found += _junction_problems(node, value, path)
    if kind == "string":
        found += _text_problems(node, value, path)
    elif kind in {"integer", "number"}:
        found += _number_problems(node, value, path)
    elif kind == "array":
        found += _list_problems(node, value, path, old)
    found += _enum_problems(node, value, path)
    if kind == "object":
        found += _object_problems(node, value, path, old if isinstance(old, dict) else {})
    return found


def is_equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same. By bytes: in Python 1 equals True and 1.0."""
    return type(one) is type(other) and one == other and dumps(one) == dumps(other)


def _invalid(path: str, value: Any, detail: str) -> Problem:
    return Problem(path, "FieldValueInvalid", f"Invalid value: {shown(value)}: {path} in body {detail}")


def _nowhere(detail: str) -> Problem:
    """A complaint that Kubernetes gives no field to."""
    return Problem("<nil>", "FieldValueInvalid", f'Invalid value: "": {detail}')


def _kind_of(value: Any) -> tuple[str, str]:
    """The JSON type, and the format that a number has by itself."""
    match value:
        case None:
            return "null", ""
        case bool():
            return "boolean", ""
        case str():
            return "string", ""
        case int():
            return ("integer", "int64") if -_INT64 <= value < _INT64 else ("number", "float64")
        case float():
            return "number", "float64"
        case list():
            return "array", ""
    return "object", ""


def _type_problems(node: Node, value: Any, path: str, given: tuple[str, str]) -> list[Problem]:
    kind, form = given
    if value is None and node.is_nullable:
        return []
    types = node.types
    is_whole = kind == "number" and "integer" in types and float(value).is_integer() and abs(value) <= _SAFE
    if not types or kind in types or is_whole or (kind == "integer" and "number" in types):
        return []
    is_textual = kind in {"string", "array"}
    if node.format and is_textual and not {"number", "integer"} & set(types):
        return []
    said, got = (node.format, form) if node.format and not is_textual and value is not None else (",".join(types), kind)
    return [
        Problem(
            path, "FieldValueTypeInvalid", f'Invalid value: "{got}": {path} in body must be of type {said}: "{got}"'
        )
    ]


def _junction_problems(node: Node, value: Any, path: str) -> list[Problem]:
    if not node.junctions:
        return []
    found: list[Problem] = []
    name = shown(path)
    tried = {how: [problems(one, value, path) for one in nodes] for how, nodes in node.junctions.items()}
    if (any_of := tried.get("anyOf")) and all(any_of):
        found += [_nowhere(f"{name} must validate at least one schema (anyOf)"), *any_of[0]]
    if one_of := tried.get("oneOf"):
        valid = sum(1 for one in one_of if not one)
        if valid != 1:
            how_many = f"Found {valid} valid alternatives" if valid else "Found none valid"
            found.append(_nowhere(f"{name} must validate one and only one schema (oneOf). {how_many}"))
        if not valid:
            found += one_of[0]
    if (all_of := tried.get("allOf")) and any(all_of):
        found += [problem for one in all_of for problem in one]
        more = ". None validated" if all(all_of) else ""
        found.append(_nowhere(f"{name} must validate all the schemas (allOf){more}"))
    if (none_of := tried.get("not")) and not none_of[0]:
        found.append(_nowhere(f"{name} must not validate the schema (not)"))
    return found


def _text_problems(node: Node, value: str, path: str) -> Iterator[Problem]:
    raw = node.raw
    most, least, pattern = raw.get("maxLength"), raw.get("minLength"), raw.get("pattern")
    if most is not None and len(value) > most:
        yield Problem(path, "FieldValueTooLong", f"Too long: may not be more than {most} byte{'s'[: most != 1]}")
    elif least is not None and len(value) < least:
        yield _invalid(path, value, f"should be at least {least} chars long")
    elif pattern and not _is_found(pattern, value):
        yield _invalid(path, value, f"should match '{pattern}'")
    if node.format and not is_of_format(node.format, value):
        message = f"Invalid value: {shown(value)}: {path} in body must be of type {node.format}: {shown(value)}"
        yield Problem(path, "FieldValueTypeInvalid", message)


def _number_problems(node: Node, value: float, path: str) -> Iterator[Problem]:
    bounds, raw = node.bounds, node.raw
    if node.types == ("integer",):
        yield from _range_problems(node, value, path)
    if (step := bounds.get("multipleOf")) and not _is_multiple(value, step):
        yield _invalid(path, value, f"should be a multiple of {shown(step)}")
    least, most = bounds.get("minimum"), bounds.get("maximum")
    if least is not None:
        if raw.get("exclusiveMinimum") and value <= least:
            yield _invalid(path, value, f"should be greater than {shown(least)}")
        elif value < least:
            yield _invalid(path, value, f"should be greater than or equal to {shown(least)}")
    if most is not None:
        if raw.get("exclusiveMaximum") and value >= most:
            yield _invalid(path, value, f"should be less than {shown(most)}")
        elif value > most:
            yield _invalid(path, value, f"should be less than or equal to {shown(most)}")


def _range_problems(node: Node, value: float, path: str) -> Iterator[Problem]:
    """What is no integer, of the value and of its bounds."""
    limit = _INT32 if node.format == "int32" else _INT64
    form = f"with format {node.format}" if node.format else "(default format)"
    for what, one in (("Checked", value), *((_BOUNDS[name], bound) for name, bound in node.bounds.items())):
        if not float(one).is_integer() or not -limit <= one < limit:
            yield _nowhere(f"{what} value must be of type integer {form} in {path}")


def _is_multiple(value: float, step: float) -> bool:
    """As clusters reckon: 0.3 is a multiple of 0.1, though not by the bits."""
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    times = 1 / step * value if abs(step) < 1 else value / step
    if abs(times) > _SAFE:
        return False
    whole = int(times)
    return times == whole or (whole != 0 and abs(times - whole) / (abs(times) + abs(whole)) < _EPSILON)


def _list_problems(node: Node, value: list[Any], path: str, old: Any) -> Iterator[Problem]:
    if node.items is not None:
        for number, item in enumerate(value):
            yield from problems(node.items, item, f"{path}[{number}]", old_item(node, item, old))
    least, most = node.raw.get("minItems"), node.raw.get("maxItems")
    if least is not None and len(value) < least:
        yield _invalid(path, len(value), f"should have at least {least} items")
    if most is not None and len(value) > most:
        yield _too_many(path, len(value), most)


def _too_many(path: str, size: int, most: int) -> Problem:
    return Problem(path, "FieldValueTooMany", f"Too many: {size}: must have at most {most} item{'s'[: most != 1]}")


def _enum_problems(node: Node, value: Any, path: str) -> list[Problem]:
    known = node.raw.get("enum")
    if not known or any(_is_one(one, value) for one in known):
        return []
    names = ", ".join(shown(one if isinstance(one, str) else dumps(one).decode()) for one in known)
    message = f"Unsupported value: {shown(value)}: supported values: {names}"
    return [Problem(path, "FieldValueNotSupported", message)]


def _is_one(known: Any, value: Any) -> bool:
    """Whether a value is this one of those that may be: 2.0 is 2 too."""
    is_number = not isinstance(known, bool) and isinstance(known, int | float) and isinstance(value, int | float)
    return known == value and not isinstance(value, bool) if is_number else is_equal(known, value)


def _object_problems(node: Node, value: dict[str, Any], path: str, old: dict[str, Any]) -> Iterator[Problem]:
    least, most = node.raw.get("minProperties"), node.raw.get("maxProperties")
    if least is not None and len(value) < least:
        yield _invalid(path, len(value), f"should have at least {least} properties")
    if most is not None and len(value) > most:
        yield _too_many(path, len(value), most)
    for key, one in value.items():
        below = node.below(key)
        if below is not None:
            yield from problems(below, one, f"{path}.{key}" if path else key, old.get(key))
    for key in node.raw.get("required") or ():
        if key not in value:
            yield Problem(f"{path}.{key}" if path else key, "FieldValueRequired", "Required value")


def _is_found(pattern: str, text: str) -> bool:
    try:
        return matches(pattern, text)
    except RuleError:  # no pattern at all was refused with the definition
        return True


# --- lists that are sets or maps --------------------------------------------------------------------------------


def duplicates(node: Node, value: Any, path: str = "") -> Iterator[Problem]:
    """Entries that stand twice in a list that is a set or a map (``x-kubernetes-list-type``)."""
    if isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, dict | list):
                if (below := node.properties.get(key)) is not None:
                    yield from duplicates(below, one, f"{path}.{key}" if path else key)
                elif node.additional is not None:
                    yield from duplicates(node.additional, one, f"{path}[{key}]")
    elif isinstance(value, list):
        yield from _twice(node, value, path)
        if node.items is not None:
            for number, one in enumerate(value):
                yield from duplicates(node.items, one, f"{path}[{number}]")


def _twice(node: Node, value: list[Any], path: str) -> Iterator[Problem]:
    entries: list[Any] = value
    if node.list_type == "map":
        for number, one in enumerate(value):
            if one is not None and not isinstance(one, dict):
                detail = "must be an object for an array of list-type map"
                message = f"Invalid value: {shown(one)}: {detail}"
                yield Problem(f"{path}[{number}]", "FieldValueInvalid", message)
                return
        entries = [{k: one[k] for k in node.list_keys if k in one} if one else {} for one in value]
    elif node.list_type != "set":
        return
    seen: dict[bytes, int] = {}
    for number, one in enumerate(entries):
        key = dumps(one)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 2:
            yield Problem(f"{path}[{number}]", "FieldValueDuplicate", f"Duplicate value: {shown(one)}")
