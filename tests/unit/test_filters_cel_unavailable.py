"""Where CEL cannot be evaluated: its Triggers are refused with a reason of their own, and nothing else is harmed.

Each program runs in a process of its own, in which one of the two libraries cannot be imported.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

ENGINE = ("cel_expr_python", "cel-expr-python, which evaluates CEL, has no wheel for this platform")
GRAMMAR = ("celpy", "cel-python, whose grammar is needed, is not installed")
WITHOUT = pytest.mark.parametrize(("library", "said"), [ENGINE, GRAMMAR], ids=["engine", "grammar"])


def run(library: str, program: str) -> list[str]:
    """The lines that a program prints where ``library`` is missing."""
    missing = f"import sys\nsys.modules[{library!r}] = None\n"
    command = [sys.executable, "-c", missing + program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@WITHOUT
def test_a_trigger_with_cel_is_refused_with_its_own_reason_and_one_without_is_taken(library: str, said: str) -> None:
    lines = run(
        library,
        """
from scaup.controller.checks import check_trigger

def check(*filters):
    metadata = {"uid": "u1", "namespace": "default", "name": "t", "generation": 1}
    spec = {"broker": "b", "subscriber": {"uri": "http://sink.test/"}, "filters": list(filters)}
    found = check_trigger({"metadata": metadata, "spec": spec})
    problem = found.problem
    print(len(found.filters), *(problem.type, problem.status, problem.reason, problem.message) if problem else "")

check({"cel": "true"})
check({"exact": {"type": "a"}}, {"any": [{"cesql": "TRUE"}, {"not": {"cel": "ce.type == 'a'"}}]})
check({"cel": "no bound '"})
check({"exact": {"type": "a"}}, {"cesql": "type = 'a'"})
""",
    )
    refused = f"0 SubscriptionReady False CELUnavailable {said}"
    assert lines[:2] == [refused, refused]
    assert lines[2].startswith("0 SubscriptionReady False FilterInvalid ")
    assert lines[3] == "2"


@WITHOUT
def test_a_trigger_with_cel_matches_nothing_and_leaves_the_others_alone(library: str, said: str) -> None:
    """As where a replica of the filter runs on another platform than the controller that took the Trigger."""
    lines = run(
        library,
        """
from scaup.core.filters.subject import Subject
from scaup.core.model.definitions import Destination, TriggerDefinition
from scaup.core.model.names import BrokerUid, TriggerUid
from scaup.filter.index import BrokerIndex

index = BrokerIndex()
wanted = {"cel": {"cel": "true"}, "not": {"not": {"cel": "false"}}, "exact": {"exact": {"type": "a"}}}
for uid, one in wanted.items():
    sink = Destination(uri="http://s/")
    print(index.put(TriggerDefinition(TriggerUid(uid), "ns", uid, BrokerUid("b"), sink, filters=(one,))))
print(*(uid for uid, _ in index.match(Subject({"type": "a"}, b"{}"))))
""",
    )
    assert lines == [said, said, "None", "exact"]


@WITHOUT
def test_the_command_line_says_that_cel_is_unavailable(library: str, said: str) -> None:
    lines = run(
        library,
        """
from scaup.cli.__main__ import main
for argument in ("--cel", "--cesql"):
    sys.argv = ["scaup", "filter", "eval", argument, "TRUE" if argument == "--cesql" else "true"]
    try:
        main()
    except SystemExit as ended:
        print(ended.code, flush=True)  # the command writes past this buffer
""",
    )
    unavailable = f'{{"value":null,"error":{{"kind":"unavailable","message":"{said}"}}}}'
    assert lines[:2] == [unavailable, "1"]
    assert lines[2].startswith('{"value":true,')


def test_the_dialects_without_cel_load_neither_library() -> None:
    """They are slow to load, and the engine is not there on every platform."""
    lines = run(
        "nothing_of_this_name",
        """
import scaup.core.filters.compiled, scaup.filter.index, scaup.controller.checks
from scaup.core.filters.parse import parse_filters
tree = parse_filters([{"exact": {"type": "a"}}, {"cesql": "TRUE"}], check=scaup.core.filters.compiled.check_text)
scaup.core.filters.compiled.compile_tree(tree)
print("cel_expr_python" in sys.modules, "celpy" in sys.modules)
scaup.core.filters.compiled.check_text("here", "cel", "true")
print("cel_expr_python" in sys.modules, "celpy" in sys.modules)
""",
    )
    assert lines == ["False False", "True False"]
