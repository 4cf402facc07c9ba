"""``scaup filter eval``: one line of JSON an expression. Run in this process."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from scaup.cli.__main__ import run
from scaup.cli.filters import evaluating
from scaup.cli.filters.evaluating import Dialect
from scaup.cli.problems import UsageError
from scaup.core.filters.cel import CelUnavailableError
from scaup.core.filters.subject import ABSENT, EvaluationError, FilterSyntaxError, Subject

EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "a", "n": 5}


def evaluated(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, int]:
    status = run(["filter", "eval", *arguments])
    out, err = capfd.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    return json.loads(out), status


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("TRUE", True),
        ("1 + 2", 3),
        ("'abc'", "abc"),
        ("-10", -10),
        ("--10", 10),
        ("-LENGTH('hhh')", -3),
        ("UPPER('é')", "É"),
        ("INT('-1')", -1),
    ],
)
def test_values_have_their_native_json_types(capfd: pytest.CaptureFixture[str], expression: str, value: object) -> None:
    answer, status = evaluated(capfd, "--cesql", expression)
    assert (answer, status) == ({"value": value, "error": None}, 0)
    assert type(answer["value"]) is type(value)


def test_the_flags_take_no_value_and_may_stand_anywhere(capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluated(capfd, "1 + 2", "--cesql")[0]["value"] == 3
    assert evaluated(capfd, "--attr", "a=4", "--cesql", "a * 2")[0]["value"] == 8


def test_a_cel_expression_sees_attributes_as_text_and_the_data(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "e.json"
    path.write_text(json.dumps({**EVENT, "data": {"n": 7}}))
    expression = "ce.n == '5' && data.n > 6"
    assert evaluated(capfd, "--cel", expression, "--event", str(path)) == ({"value": True, "error": None}, 0)


def test_cesql_has_the_types_of_the_events_json_and_cel_only_text(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    event = {**EVENT, "flag": True, "text": "5"}
    (tmp_path / "e.json").write_text(json.dumps(event))
    for attribute, cesql, cel in (("n", 5, "5"), ("flag", True, "true"), ("text", "5", "5"), ("type", "a", "a")):
        given = ["--event", str(tmp_path / "e.json")]
        value = evaluated(capfd, "--cesql", attribute, *given)[0]["value"]
        assert (value, type(value)) == (cesql, type(cesql))
        assert evaluated(capfd, "--cel", f"ce.{attribute}", *given)[0]["value"] == cel
        for flag, expression, expected in (("--cesql", attribute, cesql), ("--cel", f"ce.{attribute}", cel)):
            line = json.dumps({"expression": expression, "event": event}).encode()
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line)))
            assert evaluated(capfd, flag, "--lines")[0]["value"] == expected
    assert evaluated(capfd, "--cesql", "n", "--attr", "n=5")[0]["value"] == "5"


def test_the_value_that_the_specification_gives_stands_beside_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    answer, status = evaluated(capfd, "--cesql", "5 / 0")
    assert status == 1
    assert (answer["value"], answer["error"]["kind"]) == (0, "math")
    assert answer["error"]["message"]


def test_what_does_not_parse_has_no_value(capfd: pytest.CaptureFixture[str]) -> None:
    answer, status = evaluated(capfd, "--cesql", "ABC(")
    assert (status, answer["value"], answer["error"]["kind"]) == (1, None, "parse")


def test_an_attribute_of_the_command_line_goes_over_the_events(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "e.json"
    path.write_text(json.dumps(EVENT))
    given = ["--cesql", "type", "--event", str(path)]
    assert evaluated(capfd, *given)[0]["value"] == "a"
    assert evaluated(capfd, *given, "--attr", "type=b")[0]["value"] == "b"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["1"], "say which dialect"),
        (["--cesql", "--cel", "1"], "say which dialect"),
        (["--cesql"], "there is no expression"),
        (["--cesql", "1", "2"], "unexpected extra argument"),
        (["--cesql", "1", "--evnt", "e.json"], "unexpected extra argument"),
        (["--cesql", "\udcff"], "the expression is not UTF-8"),
        (["--cesql", "1", "--lines"], "goes without EXPR"),
        (["--cesql", "--lines", "--attr", "a=1"], "goes without --event and --attr"),
        (["--cesql", "1", "--event", "nix.json"], "--event nix.json cannot be read"),
    ],
)
def test_usage_exits_2_and_prints_no_answer(capfd: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert run(["filter", "eval", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err


def test_every_line_is_answered_in_order_whatever_it_holds(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        {"expression": "type", "event": EVENT},
        "no JSON",
        "",
        [],
        {"event": EVENT},
        {"expression": 1},
        '{"expression": "\\ud800"}',
        {"expression": "ABC("},
        {"expression": "5 / 0", "event": None},
        {"expression": "1", "event": {"type": "a"}},
        {"expression": "1", "event": 5},
        '{"expression": "1"} 2',
        ' { "expression" : "1 + 1" , "event" : null } ',
    ]
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode() + b'\n{"expression": "\xff"}')))
    assert run(["filter", "eval", "--cesql", "--lines"]) == 0
    answers = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    kinds = [answer["error"] and answer["error"]["kind"] for answer in answers]
    usage = ["usage"] * 6
    assert kinds == [None, *usage, "parse", "math", "usage", "usage", "usage", None, "usage"]
    assert [answer["value"] for answer in answers] == ["a", *[None] * 7, 0, *[None] * 3, 2, None]


def test_a_line_is_answered_before_the_next_is_read() -> None:
    read: list[int] = []

    def lines() -> Any:
        for number in range(3):
            read.append(number)
            yield b'{"expression": "1"}'

    answers = evaluating.answers(Dialect(lambda _text, _subject: 1, typed=False), lines())
    next(answers)
    assert read == [0]


def test_data_of_a_line_arrives_as_it_was_written() -> None:
    line = (
        b'{"event":{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1.0, "a":1e5}},"expression":""}'
    )
    expression, subject = evaluating.question(line, typed=True)
    assert (expression, subject.data) == ("", b'{"a":1.0, "a":1e5}')
    with pytest.raises(UsageError, match="the line is no JSON"):
        evaluating.question(b'{"expression":"1","event":' + b"[" * 100_000 + b"]" * 100_000 + b"}", typed=True)


@pytest.mark.parametrize("data", ["1e400", "9" * 5_000, '"\\ud800"', "[" * 200 + "]" * 200])
def test_strange_data_is_no_trouble_for_what_looks_at_attributes(data: str) -> None:
    line = f'{{"expression": "type", "event": {json.dumps(EVENT)[:-1]}, "data": {data}}}}}'
    for spoken in (evaluating.CESQL, evaluating.CEL):
        assert evaluating.question(line.encode(), typed=spoken.typed)[1].data == data.encode()
    (answer,) = evaluating.answers(evaluating.CESQL, [line.encode()])
    assert answer == {"value": "a", "error": None}


def test_without_an_event_there_is_nothing_to_see() -> None:
    subject = evaluating.question(b'{"expression": "1"}', typed=True)[1]
    assert (subject.attributes, subject.json()) == ({}, ABSENT)


@pytest.mark.parametrize(
    ("error", "value", "kind"),
    [
        (FilterSyntaxError("expected a name", 3), None, "parse"),
        (EvaluationError("cast", "no integer", 0), 0, "cast"),
        (EvaluationError("generic", "no such key"), False, "generic"),
        (CelUnavailableError("no engine"), None, "unavailable"),
    ],
)
def test_every_error_has_its_kind(error: Exception, value: object, kind: str) -> None:
    def evaluate(_text: str, _subject: Subject) -> Any:
        raise error

    expected = {"value": value, "error": {"kind": kind, "message": str(error)}}
    assert evaluating.answered(Dialect(evaluate, typed=False), "", Subject({})) == expected


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 1", 2),
        ("1.5", 1.5),
        ("null", None),
        ("[1, 'a', {'k': true}]", [1, "a", {"k": True}]),
        ("18446744073709551615u", 2**64 - 1),
        ("b'\\xff'", "/w=="),
        ("duration('90s')", "90s"),
        ("timestamp('2026-01-31T12:00:00Z')", "2026-01-31T12:00:00Z"),
    ],
)
def test_cel_is_evaluated_whatever_type_it_has(
    capfd: pytest.CaptureFixture[str], expression: str, value: object
) -> None:
    assert evaluated(capfd, "--cel", expression) == ({"value": value, "error": None}, 0)


def test_a_value_that_json_cannot_hold_is_an_error_and_no_abort() -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    out = io.BytesIO()
    evaluating._write(out, [{"value": deep, "error": None}, {"value": 1, "error": None}])
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["value"], first["error"]["kind"]) == (None, "generic")
    assert second == {"value": 1, "error": None}
