"""The CloudEvents SQL test kit (tests/data/cesql_tck), case by case; what we decided otherwise stands in one table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from scaup.core.filters.cesql import compile_cesql
from scaup.core.filters.subject import EvaluationError, FilterSyntaxError, Subject

KIT = Path(__file__).resolve().parents[1] / "data" / "cesql_tck"
CASES_IN_KIT = 167

EVENT: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "http://localhost/source", "type": "com.example.x"}

OTHERWISE: dict[tuple[str, str], tuple[Any, str | None]] = {
    # The kit wants true and a cast error; CESQL 1.0, 3.7 casts an integer other than 0 to true, without error.
    ("not_operator", "Invalid int cast"): (False, None),
}
"""(file, case) to the value and error kind that we give instead (decision 0008)."""


class _Loader(yaml.SafeLoader):
    """Timestamps stay text, as the kit expects them."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Case:
    file: str
    name: str
    expression: str
    result: Any
    error: str | None
    event: dict[str, Any] = field(default_factory=dict)


def _cases() -> list[Case]:
    found = []
    for path in sorted(KIT.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        loaded = yaml.load(text, Loader=_Loader)["tests"]
        for case, node in zip(loaded, _nodes(text), strict=True):
            # YAML makes booleans and integers of some expressions and names: their text is in the nodes.
            event = case.get("event") or {**EVENT, **case.get("eventOverrides", {})}
            found.append(
                Case(path.stem, node["name"], node["expression"], case.get("result"), case.get("error"), event)
            )
    return found


def _nodes(text: str) -> list[dict[str, str]]:
    root: Any = yaml.compose(text, Loader=_Loader)
    tests = next(value for key, value in root.value if key.value == "tests")
    return [{key.value: value.value for key, value in test.value} for test in tests.value]


CASES = _cases()


def _outcome(case: Case) -> tuple[Any, str | None]:
    try:
        return compile_cesql(case.expression).evaluate(Subject(case.event)), None
    except FilterSyntaxError:
        return None, "parse"
    except EvaluationError as error:
        return error.value, error.kind


def test_every_case_of_the_kit_that_we_have_is_run() -> None:
    assert len(CASES) == CASES_IN_KIT
    assert {(case.file, case.name) for case in CASES} >= set(OTHERWISE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}: {case.name}")
def test_a_case_of_the_kit_gives_its_value_type_and_error(case: Case) -> None:
    wanted = OTHERWISE.get((case.file, case.name), (case.result, case.error))

    value, error = _outcome(case)

    assert (value, type(value), error) == (wanted[0], type(wanted[0]), wanted[1])
