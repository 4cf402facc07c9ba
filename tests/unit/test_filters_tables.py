"""The filter tables of the reference (its section 3), row by row, and the routing cases of its end-to-end suite."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.core.filters.compiled import check_text, compile_tree, evaluate
from scaup.core.filters.parse import parse_filters
from scaup.core.filters.subject import EvaluationError, Subject
from scaup.core.model.errors import DefinitionError

EVENT = {"specversion": "1.0", "id": "1", "source": "S", "type": "T"}
WITH = {**EVENT, "ext": "V"}
P: dict[str, Any] = {"exact": {"type": "T"}}
F: dict[str, Any] = {"exact": {"type": "other"}}


def result_of(filters: list[Any], attributes: dict[str, str]) -> bool | str:
    """True, False, ``error``, or ``refused`` where the filters do not pass the check."""
    try:
        tree = parse_filters(filters, check=check_text)
    except DefinitionError:
        return "refused"
    result = evaluate(compile_tree(tree), Subject(attributes))
    return "error" if isinstance(result, EvaluationError) else result


def legacy(**attributes: str) -> list[Any]:
    return [{"attributes": attributes}]


ATTRIBUTES = [
    ("A1", legacy(type="other", source=""), EVENT, False),
    ("A2", legacy(type="", source="other"), EVENT, False),
    ("A3", legacy(type="", source=""), EVENT, True),
    ("A4", legacy(type="T", source="S"), EVENT, True),
    ("A5", legacy(type="T", source="S", ext="V"), WITH, True),
    ("A6", legacy(type="T", source="S", ext=""), EVENT, False),
    ("A7", legacy(type="T", source="S", ext=""), WITH, True),
    ("A8", legacy(type="T", subject="X"), {**EVENT, "subject": "X"}, True),
    ("A9", legacy(type="T", subject=""), EVENT, False),
    ("A10", legacy(type="T", subject=""), {**EVENT, "subject": "X"}, True),
    ("A11", legacy(type="", source=""), {**EVENT, "knativearrivaltime": "2026-01-01T00:00:00Z"}, True),
    ("A12", legacy(type="T", ext="other"), WITH, False),
    (
        "A13",
        legacy(
            type="T",
            source="S",
            id="1",
            specversion="1.0",
            subject="X",
            time="2026-01-01T00:00:00Z",
            schemaurl="http://s/",
            dataschema="http://s/",
            datacontenttype="cheers;mate",
            datamediatype="cheers",
        ),
        {
            **EVENT,
            "subject": "X",
            "time": "2026-01-01T00:00:00Z",
            "dataschema": "http://s/",
            "datacontenttype": "cheers;mate",
        },
        True,
    ),
    ("time is never made up", legacy(time="0001-01-01T00:00:00Z"), EVENT, False),
    ("no attributes", legacy(), EVENT, True),
    ("nothing at all", [], EVENT, True),
]


def shapes(dialect: str, good: tuple[str, str, str], bad: str) -> list[tuple[str, list[Any], dict[str, str], Any]]:
    """The six shapes that the tables repeat for exact, prefix and suffix."""
    kind, source, ext = good
    letter = dialect[0].upper()
    return [
        (f"{letter}1a", [{dialect: {"type": bad}}], EVENT, False),
        (f"{letter}1b", [{dialect: {"source": bad}}], EVENT, False),
        (f"{letter}1c", [{dialect: {"ext": bad}}], EVENT, False),
        (f"{letter}2a", [{dialect: {"type": kind}}], EVENT, True),
        (f"{letter}2b", [{dialect: {"ext": ext}}], WITH, True),
        (f"{letter}3", [{dialect: {"missingattribute": "x"}}], EVENT, False),
        (f"{letter}4", [{dialect: {"type": kind, "source": bad}}], EVENT, False),
        (f"{letter}5", [{dialect: {"type": kind, "source": source}}], EVENT, True),
        (f"{letter}6a", [{dialect: {"type": kind, "ext": ext}}], EVENT, False),
        (f"{letter}6b", [{dialect: {"type": kind, "ext": ext}}], WITH, True),
    ]


def every(*parts: Any) -> dict[str, Any]:
    return {"all": list(parts)}


def some(*parts: Any) -> dict[str, Any]:
    return {"any": list(parts)}


COMBINED = [
    ("L1", every(), "refused"),
    ("L2a", every(P), True),
    ("L2b", every(F), False),
    ("L2c", every(P, F), False),
    ("L2d", every(P, P), True),
    ("L2e", every(F, F), False),
    ("L3a", every(every(P)), True),
    ("L3b", every(every(F)), False),
    ("L3c", every(P, every(F)), False),
    ("L3d", every(P, every(P)), True),
    ("L3e", every(F, every(P)), False),
    ("L3f", every(P, every(P, F)), False),
    ("L3g", every(P, every(P, P)), True),
    ("N1", some(), "refused"),
    ("N2a", some(P), True),
    ("N2b", some(F), False),
    ("N2c", some(P, F), True),
    ("N2d", some(P, P), True),
    ("N2e", some(F, F), False),
    ("N3a", some(some(P)), True),
    ("N3b", some(some(F)), False),
    ("N3c", some(P, some(F)), True),
    ("N3d", some(F, some(P)), True),
    ("N3e", some(F, some(F)), False),
    ("N3f", some(F, some(P, F)), True),
    ("N3g", some(F, some(F, F)), False),
    ("T1a", {"not": {}}, "refused"),
    ("T1b", {"not": P}, False),
    ("T1c", {"not": F}, True),
    ("Q1", {"cesql": ""}, "refused"),
    ("Q2a", {"cesql": "type = 'wrong'"}, False),
    ("Q2b", {"cesql": "ext = 'wrong'"}, "error"),
    ("Q3a", {"cesql": "type = 'T'"}, True),
    ("Q4", {"cesql": "id < 30"}, True),
    ("Q5", {"cesql": "(type = 'T') OR (source = 'other')"}, True),
    ("Q6a", {"cesql": "missingattribute < 5"}, "error"),
    ("Q6b", {"cesql": "missingattribute = 'missinsvalue'"}, "error"),
]


@pytest.mark.parametrize(("row", "filters", "attributes", "expected"), ATTRIBUTES, ids=[r[0] for r in ATTRIBUTES])
def test_the_legacy_attributes_behave_as_the_table_says(
    row: str, filters: list[Any], attributes: dict[str, str], expected: Any
) -> None:
    assert result_of(filters, attributes) == expected, row


DIALECTS = [
    *shapes("exact", ("T", "S", "V"), "other"),
    *shapes("prefix", ("T", "S", "V"), "x"),
    *shapes("suffix", ("T", "S", "V"), "x"),
]


@pytest.mark.parametrize(("row", "filters", "attributes", "expected"), DIALECTS, ids=[r[0] for r in DIALECTS])
def test_exact_prefix_and_suffix_behave_as_the_table_says(
    row: str, filters: list[Any], attributes: dict[str, str], expected: Any
) -> None:
    assert result_of(filters, attributes) == expected, row


@pytest.mark.parametrize(("row", "one", "expected"), COMBINED, ids=[r[0] for r in COMBINED])
def test_combined_filters_and_cesql_behave_as_the_table_says(row: str, one: dict[str, Any], expected: Any) -> None:
    assert result_of([one], EVENT) == expected, row


# The routing cases of the reference's end-to-end suite: filters, types that are delivered, types that are not.
ROUTED: list[tuple[str, list[Any], list[str], list[str]]] = [
    (
        "any, mixed",
        [
            some(
                {"exact": {"type": "exact.event.type"}},
                {"prefix": {"type": "prefix"}},
                {"suffix": {"type": "suffix"}},
                {"not": {"cesql": "type LIKE '%event.type%'"}},
                {"cesql": "type = 'cesql.event.type'"},
            )
        ],
        ["exact.event.type", "prefix.event.type", "event.type.suffix", "not.type.event", "cesql.event.type"],
        ["not.event.type"],
    ),
    (
        "any of three exacts",
        [some(*({"exact": {"type": f"resource.{verb}"}} for verb in ("update", "add", "delete")))],
        ["resource.update", "resource.add", "resource.delete"],
        ["prefix.event.type"],
    ),
    (
        "all of four dialects",
        [
            every(
                {"exact": {"type": "exact.prefix.suffix.event.type"}},
                {"prefix": {"type": "exact.prefix"}},
                {"suffix": {"type": "suffix.event.type"}},
                {"cesql": "type LIKE '%.event.type'"},
            )
        ],
        ["exact.prefix.suffix.event.type"],
        ["not.event.type", "exact.prefix.suffix.event", "exact.prefix.suffix.event.suffix.event.type"],
    ),
    (
        "four filters at the top",
        [
            {"exact": {"type": "exact.prefix.suffix.event.type"}},
            {"prefix": {"type": "exact.prefix"}},
            {"suffix": {"type": "suffix.event.type"}},
            {"cesql": "type LIKE '%.event.type'"},
        ],
        ["exact.prefix.suffix.event.type"],
        ["not.event.type", "exact.prefix.suffix.event"],
    ),
    (
        "first of two Triggers",
        [some({"exact": {"type": "type1"}}, {"prefix": {"type": "both"}})],
        ["type1", "both.should.match"],
        ["type2", "type3"],
    ),
]


@pytest.mark.parametrize(("row", "filters", "delivered", "not_delivered"), ROUTED, ids=[r[0] for r in ROUTED])
def test_events_are_routed_as_in_the_end_to_end_suite(
    row: str, filters: list[Any], delivered: list[str], not_delivered: list[str]
) -> None:
    found = {kind: result_of(filters, {**EVENT, "type": kind}) for kind in delivered + not_delivered}

    assert found == dict.fromkeys(delivered, True) | dict.fromkeys(not_delivered, False), row


def test_an_error_under_not_is_no_match() -> None:
    assert result_of([{"not": {"cesql": "missing = 'x'"}}], EVENT) == "error"


def test_a_part_that_decides_alone_hides_an_error_beside_it() -> None:
    broken = {"cesql": "missing = 'x'"}

    assert result_of([some(broken, P)], EVENT) is True
    assert result_of([every(broken, F)], EVENT) is False
    assert result_of([some(broken, F)], EVENT) == "error"
    assert result_of([every(broken, P)], EVENT) == "error"


REFUSED: list[tuple[Any, str]] = [
    ([{}], "spec.filters[0]: an empty filter says nothing"),
    ([{"exact": {"type": "a"}, "prefix": {"type": "b"}}], "spec.filters[0]: multiple dialects found"),
    ([{"exakt": {"type": "a"}}], "did you mean exact?"),
    ([{"exact": {"type": ""}}], "spec.filters[0].exact.type: expected a value"),
    ([{"exact": {"": "a"}}], "is not the name of an attribute"),
    ([{"exact": {"Type": "a"}}], "is not the name of an attribute"),
    ([{"exact": {}}], "expected a map of attributes"),
    ([{"prefix": {"type": 5}}], "spec.filters[0].prefix.type: expected a string"),
    (
        [{"any": [{"exact": {"type": "a"}}, {"all": [{"suffix": {"type": ""}}]}]}],
        "spec.filters[0].any[1].all[0].suffix.type",
    ),
    ([{"cesql": "type ="}], "spec.filters[0].cesql"),
    ([{"cesql": "source"}], "spec.filters[0].cesql"),
    ([{"cesql": "NOPE(type)"}], "spec.filters[0].cesql"),
    ([{"cel": "ce.type =="}], "spec.filters[0].cel"),
    ([{"cel": "ce.type"}], "spec.filters[0].cel"),
    (["exact"], "expected a filter"),
    ({"exact": {"type": "a"}}, "expected a list of filters"),
    ([{"all": "x"}], "expected a list of at least one filter"),
    ([{"not": [P]}], "expected a filter"),
]


@pytest.mark.parametrize(("filters", "expected"), REFUSED, ids=[expected for _, expected in REFUSED])
def test_what_is_not_understood_is_refused_with_its_path(filters: Any, expected: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        parse_filters(filters, check=check_text)

    assert expected in str(refused.value)
