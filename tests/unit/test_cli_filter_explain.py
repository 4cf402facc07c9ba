"""Which part of a filter decided, and what is said of each Trigger of a Broker."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from scaup.cli.filters import explaining, verdicts
from scaup.core.filters.explain import Explained
from scaup.core.filters.subject import Subject

SUBJECT = Subject({"specversion": "1.0", "id": "1", "source": "/s", "type": "a"})
A, B = "exact type: 'a' (the event has 'a')", "exact type: 'b' (the event has 'a')"


@pytest.mark.parametrize(
    ("filters", "result", "why"),
    [
        ([{"exact": {"type": "b"}}], False, B),
        ([{"exact": {"type": "a"}}, {"exact": {"type": "b"}}], False, B),
        ([{"exact": {"source": "/s", "type": "b"}}], False, B),
        ([{"all": [{"exact": {"type": "a"}}, {"not": {"exact": {"type": "a"}}}]}], False, f"not: {A}"),
        (
            [{"any": [{"exact": {"type": "b"}}, {"not": {"exact": {"type": "a"}}}]}],
            False,
            f"none of any: {B}; not: {A}",
        ),
        ([{"any": [{"exact": {"type": "b"}}] * 5}], False, f"none of any: {B}; {B}; {B}; and 2 more"),
    ],
)
def test_the_part_that_decided_is_named(filters: list[Any], result: bool | None, why: str) -> None:
    verdict = verdicts.judge({"spec": {"filters": filters}}, SUBJECT)
    assert verdict.explained is not None
    assert (verdict.result, verdicts.why(verdict.explained)) == (result, why)


def test_an_error_is_named_wherever_it_arose() -> None:
    erring = Explained("cesql x\n  > 1", None, "missingAttribute: x")
    inner = Explained("any", None, "missingAttribute: x", (Explained("exact", False), erring))
    whole = Explained(
        "all", None, "missingAttribute: x", (Explained("exact", True), Explained("not", None, "", (inner,)))
    )
    assert verdicts.why(whole) == "cesql x > 1: missingAttribute: x"


def trigger(name: str, filters: list[Any], ready: tuple[str, ...] = ("True",), **status: Any) -> dict[str, Any]:
    condition = dict(zip(("status", "reason", "message"), ready, strict=False)) | {"type": "Ready"}
    return {
        "metadata": {"name": name, "generation": 2},
        "spec": {"broker": "default", "filters": filters},
        "status": {"observedGeneration": 2, "conditions": [condition], **status} if ready else None,
    }


def test_those_that_get_the_event_come_first_then_errors_then_the_unready() -> None:
    yes, no = [{"exact": {"type": "a"}}], [{"exact": {"type": "b"}}]
    items = [
        trigger("f", no),
        trigger("e", yes, ("False", "FilterInvalid", "gone\nwrong")),
        trigger("d", no, ()),
        trigger("c", yes, observedGeneration=1),
        trigger("b", [{"cesql": "size > 1"}]),
        trigger("a", yes),
        trigger(
            "g", [{}], ("False", "FilterInvalid", "spec.filters[0]: an empty filter says nothing; expected one of")
        ),
        trigger("h", [{}]),
    ]
    answers = {answer.trigger: (answer.gets, answer.why) for answer in explaining.judge(items, SUBJECT)}
    assert list(answers) == ["a", "b", "h", "c", "d", "e", "g", "f"]
    assert answers["a"] == ("yes", "")
    assert answers["b"][0] == "error"
    assert answers["b"][1].startswith("cesql size > 1: missingAttribute: ")
    assert answers["c"] == ("not ready", "not Ready: it was changed and is not in effect yet; its filter matches")
    assert answers["d"] == ("not ready", f"not Ready: nothing has looked at it yet; its filter does not match: {B}")
    assert answers["e"] == ("not ready", "not Ready: FilterInvalid: gone wrong; its filter matches")
    assert answers["f"] == ("no", B)
    assert answers["g"][1].startswith("not Ready: FilterInvalid: spec.filters[0]: an empty filter")
    assert answers["g"][1].count("spec.filters[0]") >= 1
    assert answers["h"][0] == "error"
    assert answers["h"][1].startswith("spec.filters[0]: an empty filter says nothing")


def test_other_commands_do_not_load_what_filters_need() -> None:
    code = (
        "import sys\nfrom scaup.cli.__main__ import run\nrun(['version'])\n"
        "print([m for m in sys.modules if m.startswith(('scaup.core.filters', 'scaup.controller', 'lark'))\n"
        " or (m.startswith('scaup.cli.filters.') and m != 'scaup.cli.filters.commands')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[1] == "[]"
