"""The annotation ``scaup.dev/cel``: one more filter, for clusters whose schema drops ``cel`` (decision 0020)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from scaup.cli.__main__ import run
from scaup.cli.filters import verdicts
from scaup.cli.tail import wanted
from scaup.controller.checks import CheckedTrigger, check_trigger
from scaup.core.filters.compiled import evaluate
from scaup.core.filters.subject import Subject
from scaup.core.model.annotations import CEL
from tests.support.events import REQUIRED

METADATA = {"uid": "u", "namespace": "default", "name": "t"}
IS_BIG = "data.amount > 100.0"
PLACE = "metadata.annotations[scaup.dev/cel]"


def trigger(cel: Any, name: str = CEL.name, **spec: Any) -> CheckedTrigger:
    whole = {"broker": "b", "subscriber": {"uri": "http://sink.test/"}} | spec
    return check_trigger({"metadata": METADATA | {"annotations": {name: cel}}, "spec": whole})


@pytest.mark.parametrize(
    ("spec", "before"),
    [
        ({}, ()),
        ({"filters": []}, ()),
        ({"filter": {}}, ()),
        ({"filter": {"attributes": {"type": "a"}}}, ({"attributes": {"type": "a"}},)),
        ({"filters": [{"exact": {"type": "a"}}, {"cesql": "TRUE"}]}, ({"exact": {"type": "a"}}, {"cesql": "TRUE"})),
        ({"filters": [{"cel": IS_BIG}]}, ({"cel": IS_BIG},)),
    ],
)
def test_the_expression_has_to_be_true_beside_what_the_filters_say(
    spec: dict[str, Any], before: tuple[dict[str, Any], ...]
) -> None:
    checked = trigger(IS_BIG, **spec)
    assert checked.problem is None
    assert checked.filters == (*before, {"cel": IS_BIG})


@pytest.mark.parametrize(
    ("cel", "said"),
    [
        ("", f"{PLACE}: expected an expression, found ''"),
        ("  ", f"{PLACE}: expected an expression"),
        (5, f"{PLACE}: expected an expression, found 5"),
        ("ce.type ==", f"{PLACE}: ce.type ==: "),
        ("ce.type", f"{PLACE}: ce.type: "),
        ("x" * 20_000, f"{PLACE}: the expression has 20000 characters"),
    ],
)
@pytest.mark.parametrize(
    "spec", [{}, {"filter": {"attributes": {"type": "a"}}}, {"filters": [{"exact": {"type": "a"}}]}]
)
def test_what_is_no_expression_makes_the_trigger_not_ready_and_it_matches_nothing(
    spec: dict[str, Any], cel: Any, said: str
) -> None:
    checked = trigger(cel, **spec)
    assert checked.problem is not None
    assert (checked.problem.type, checked.problem.reason) == ("SubscriptionReady", "FilterInvalid")
    assert checked.problem.message.startswith(said)
    assert checked.filters == ()


def test_what_knatives_schema_leaves_of_a_cel_filter_matches_nothing_and_names_the_annotation() -> None:
    """Also beside the annotation: what stood there is not known, and need not have been the same."""
    for checked in (trigger("true", filters=[{}]), check_trigger({"metadata": METADATA, "spec": {"filters": [{}]}})):
        assert checked.problem is not None
        assert "spec.filters[0]: an empty filter says nothing" in checked.problem.message
        assert "where Knative's own kinds are, cel is given by the annotation scaup.dev/cel" in checked.problem.message
        assert checked.filters == ()


@pytest.mark.parametrize("name", ["scaup.dev/cell", "scaup.dev/CEL", "scaup.dev/c-el"])
def test_a_mistyped_name_is_no_filter_that_lets_everything_through(name: str) -> None:
    checked = trigger(IS_BIG, name)
    assert checked.problem is not None
    assert checked.problem.message == f"metadata.annotations[{name}]: not known; did you mean scaup.dev/cel?"


def test_other_mistyped_names_stop_nothing_still() -> None:
    assert trigger("true", "scaup.dev/pausd").problem is None
    assert trigger("true", "example.com/cell").problem is None


def test_as_many_filters_as_a_trigger_may_have_leave_no_room_for_it() -> None:
    checked = trigger("true", filters=[{"exact": {"type": "a"}}] * 1_024)
    assert checked.problem is not None
    assert checked.problem.message.startswith(f"{PLACE}: there are more than 1024 filters")


def test_files_are_linted_and_tailed_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written = {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "spec": {"broker": "b"}}
    for name, text in (("good", "ce.type == 'a'"), ("bad", "ce.type ==")):
        metadata = {"name": name, "annotations": {CEL.name: text}}
        Path(f"{name}.json").write_bytes(orjson.dumps(written | {"metadata": metadata}))
    assert run(["filter", "lint", "-f", "."]) == 1
    bad, good = capsys.readouterr().out.splitlines()
    assert bad.startswith(f"bad.json:bad: {PLACE}: ce.type ==: ")
    assert good == "good.json:good: ok"
    shown = wanted.read_filters(["good.json"])
    assert [evaluate(shown, Subject(REQUIRED | {"type": kind}, None)) for kind in ("a", "b")] == [True, False]


@pytest.mark.parametrize(("amount", "matches"), [(b"101", True), (b"99", False)])
def test_the_command_line_judges_by_it_too(amount: bytes, matches: bool) -> None:
    written = {"metadata": {"name": "t", "annotations": {CEL.name: IS_BIG}}, "spec": {"filters": []}}
    attributes = REQUIRED | {"id": "1", "datacontenttype": "application/json"}
    assert verdicts.judge(written, Subject(attributes, b'{"amount": %b.0}' % amount)).result is matches
