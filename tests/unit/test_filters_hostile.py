"""Filters made to hurt: each is refused with a clear error or is harmless, and none takes the index with it."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.core.filters.compiled import check_text, compile_tree, evaluate
from scaup.core.filters.parse import MAX_DEPTH, MAX_NODES, MAX_TEXT, parse_filters
from scaup.core.filters.subject import EvaluationError, Subject
from scaup.core.model.definitions import Destination, TriggerDefinition
from scaup.core.model.errors import DefinitionError
from scaup.core.model.names import BrokerUid, TriggerUid
from scaup.filter.index import BrokerIndex

EVENT = Subject({"specversion": "1.0", "id": "1", "source": "/s", "type": "a" * 5_000, "subject": "x" * 5_000}, b"[1]")


def nested(depth: int, word: str = "not") -> dict[str, Any]:
    inner: dict[str, Any] = {"exact": {"type": "a"}}
    for _ in range(depth):
        inner = {word: inner} if word == "not" else {word: [inner]}
    return inner


HOSTILE: dict[str, Any] = {
    "not, a thousand deep": nested(1_000),
    "all, a thousand deep": nested(1_000, "all"),
    "any, one level too deep": nested(MAX_DEPTH + 1, "any"),
    "as deep as is allowed": nested(MAX_DEPTH - 1),
    "too many filters": {"any": [{"exact": {"type": str(n)}} for n in range(MAX_NODES + 1)]},
    "many values": {"any": [{"exact": {"type": str(n)}} for n in range(MAX_NODES - 2)]},
    "a map of thousands": {"exact": {f"a{n}": "x" for n in range(5_000)}},
    "a huge value": {"exact": {"type": "a" * 1_000_000}},
    "a huge name": {"exact": {"a" * 1_000_000: "x"}},
    "a huge dialect": {"x" * 1_000_000: {}},
    "a dialect that is no text": {1: {"type": "a"}},
    "None as a dialect": {None: {}},
    "a value that is a map": {"exact": {"type": {"type": "a"}}},
    "a value that is a list": {"prefix": {"type": ["a"]}},
    "a value that is true": {"exact": {"type": True}},
    "a value that is nothing": {"exact": {"type": None}},
    "a name with a NUL": {"exact": {"ty\0pe": "a"}},
    "a name that looks like one": {"exact": {"t\u0443pe": "a"}},
    "a value of odd Unicode": {"exact": {"type": "\u202e\u0000\ud800".encode("utf-16", "surrogatepass").hex()}},
    "a lone surrogate": {"exact": {"type": "\ud800"}},
    "class names": {"exact": {"__class__": "x"}},
    "an attribute named data": {"exact": {"data": "x"}},
    "cesql: a huge text": {"cesql": "TRUE AND " * 10_000 + "TRUE"},
    "cesql: as long as is allowed": {"cesql": "type = '" + "a" * (MAX_TEXT - 9) + "'"},
    "cesql: parentheses": {"cesql": "(" * 5_000 + "TRUE" + ")" * 5_000},
    "cesql: NOT NOT NOT": {"cesql": "NOT " * 3_000 + "TRUE"},
    "cesql: minus minus minus": {"cesql": "- " * 3_000 + "1 > 0"},
    "cesql: functions in functions": {"cesql": "UPPER(" * 500 + "type" + ")" * 500 + " = 'A'"},
    "cesql: a chain of AND": {"cesql": " AND ".join(["type = 'a'"] * 1_000)},
    "cesql: a long IN": {"cesql": f"type IN ({', '.join(repr(str(n)) for n in range(2_000))})"},
    "cesql: LIKE with many wildcards": {"cesql": "type LIKE '" + "%a" * 200 + "b'"},
    "cesql: LIKE of nothing but wildcards": {"cesql": "type LIKE '" + "%" * 1_000 + "b'"},
    "cesql: growing texts": {"cesql": "CONCAT(" + "type, " * 300 + "type) = 'x'"},
    "cesql: doubling texts": {"cesql": "LENGTH(" + "CONCAT(" * 20 + "type, type" + "), type" * 19 + ")) > 0"},
    "cesql: a number beyond all": {"cesql": "1" * 5_000 + " > 0"},
    "cesql: division by nothing": {"cesql": "1 / 0 = 1"},
    "cesql: the smallest by minus one": {"cesql": "-2147483648 / -1 = 1"},
    "cesql: half a text": {"cesql": "type = 'a"},
    "cesql: a NUL": {"cesql": "type = '\0'"},
    "cesql: emoji": {"cesql": "🦆 = '🦆'"},
    "cesql: an unknown function": {"cesql": "EVAL('1')"},
    "cesql: SUBSTRING beyond": {"cesql": "SUBSTRING(type, 2147483647, 2147483647) = ''"},
    "cesql: nothing": {"cesql": " \t\n"},
    "cel: parentheses": {"cel": "(" * 5_000 + "true" + ")" * 5_000},
    "cel: a chain of or": {"cel": " || ".join(['ce.type == "a"'] * 1_000)},
    "cel: catastrophic pattern": {"cel": 'ce.type.matches("(a+)+$")'},
    "cel: catastrophic alternatives": {"cel": 'ce.type.matches("^(a|aa)*b$")'},
    "cel: a pattern that counts": {"cel": 'ce.type.matches("((a{1,100}){1,100}){1,100}")'},
    "cel: lists over lists": {
        "cel": "[1,2,3,4,5,6,7,8,9,10]" + ".all(a, [1,2,3,4,5,6,7,8,9,10]" * 7 + ".all(z, true" + ")" * 8
    },
    "cel: a huge list": {"cel": f"ce.type in {[str(n) for n in range(1_500)]}".replace("'", '"')},
    "cel: growing texts": {"cel": "size(" + "+".join(["ce.type"] * 500) + ") > 0"},
    "cel: a number beyond all": {"cel": "9" * 4_000 + " > 1"},
    "cel: division by nothing": {"cel": "1 / 0 == 1"},
    "cel: half a text": {"cel": 'ce.type == "a'},
    "cel: a NUL": {"cel": 'ce.type == "\0"'},
    "cel: an unknown name": {"cel": "os.system == 1"},
    "cel: a type's name": {"cel": "type(ce) == map"},
    "cel: data of another shape": {"cel": "data.a.b.c == 1"},
}


def test_the_list_of_hostile_filters_is_long_enough() -> None:
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_filter_is_refused_or_harmless(name: str) -> None:
    filters = [HOSTILE[name]]
    refusal = ""
    result: bool | EvaluationError = False
    try:
        result = evaluate(compile_tree(parse_filters(filters, check=check_text)), EVENT)
    except DefinitionError as refused:
        refusal = str(refused)

    assert isinstance(result, bool | EvaluationError)
    assert refusal == "" or refusal.startswith("spec.filters[0]")
    assert len(refusal) < 2_000


def test_hostile_filters_leave_the_other_triggers_alone() -> None:
    index = BrokerIndex()
    sink = Destination(uri="http://s/")
    for number, one in enumerate(HOSTILE.values()):
        index.put(TriggerDefinition(TriggerUid(f"h{number}"), "ns", "h", BrokerUid("b"), sink, filters=(one,)))
    index.put(
        TriggerDefinition(TriggerUid("good"), "ns", "g", BrokerUid("b"), sink, filters=({"exact": {"source": "/s"}},))
    )
    failed: list[str] = []

    found = [uid for uid, _ in index.match(EVENT, lambda uid, _error: failed.append(uid))]

    assert "good" in found
    assert "good" not in failed
