"""Writes docs/control-plane.md: every row of the control-plane specification, and the tests that show it.

A test shows a row by saying so: ``CP-12`` in its docstring (or ``CP-38 to CP-42``), or ``test_cp_12_…`` as its name.
``--check`` only says whether the page is stale, or a MUST has no test over an API (exit 1).
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pages import settle

from scaup.conformance.rows import ROWS, Row

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "control-plane.md"
NOTES = Path(__file__).with_name("conformance.toml")
KINDS: Final = ("genuine API server", "local API", "data plane", "unit")
OVER_AN_API: Final = frozenset(KINDS[:2])
"""A MUST is shown by at least one test of these kinds: the whole of Scaup, told what to do through an API."""
_APIS: Final = {("tests.support.controlplane", "world"), ("tests.support.spec", "cluster")}
_ROW: Final = re.compile(r"CP-(\d+)(?: to CP-(\d+))?")
INTRODUCTION = """\
<!-- Made by tools/controlplane.py from the tests. Do not edit. -->

# The control plane, row by row

What `specs/eventing/control-plane.md` and `specs/common/error-signalling.md` of
[knative/specs](https://github.com/knative/specs) demand of Brokers and Triggers, and the tests that show it. The rows
are those of [the conformance page](conformance.md), which has the checks of `scaup conformance` beside them and, for
the data plane, further tests. A test stands here because it says which rows it shows; this page is made from them, and
`tests/docs/test_control_plane.py` fails when it is stale, or when a MUST has no test over an API. The kinds:

| kind | what runs |
|---|---|
| genuine API server | Kubernetes' own API server over etcd, kubectl, and each service as a process (`make test-real`) |
| local API | the Kubernetes-compatible API of `scaup up`, the controller and a data plane (`make test`) |
| data plane | ingress, filter and dispatcher over a real nats-server, with definitions that the test writes |
| unit | one pure module |

"""


@dataclass(frozen=True)
class Shown:
    """A test, of a kind, and the rows it says it shows."""

    kind: str
    name: str
    rows: frozenset[str]


def tests() -> list[Shown]:
    """Every test that names a row, by kind and name."""
    found = [one for file in sorted(TESTS.glob("*/test_*.py")) for one in _tests_of(file)]
    return sorted(found, key=lambda one: (KINDS.index(one.kind), one.name))


def _tests_of(file: Path) -> Iterator[Shown]:
    module = ast.parse(file.read_text(encoding="utf-8"))
    functions = {one.name: one for one in module.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    apis = {
        alias.asname or alias.name
        for one in module.body
        if isinstance(one, ast.ImportFrom)
        for alias in one.names
        if (one.module, alias.name) in _APIS
    }
    for name, function in functions.items():
        rows = rows_of(name, ast.get_docstring(function) or "")
        if name.startswith("test_") and rows:
            yield Shown(
                _kind(file.parent.name, function, functions, apis), f"{file.parent.name}/{file.name}::{name}", rows
            )


def rows_of(name: str, docstring: str) -> frozenset[str]:
    """The rows that a test's name and docstring speak of."""
    spans = [(int(first), int(last or first)) for first, last in _ROW.findall(docstring)]
    if named := re.match(r"test_cp_(\d+)_", name):
        spans.append((int(named[1]), int(named[1])))
    return frozenset(f"CP-{number}" for first, last in spans for number in range(first, last + 1))


def _kind(
    directory: str,
    function: ast.AST,
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef],
    apis: set[str],
) -> str:
    if directory == "real":
        return KINDS[0]
    if directory == "unit":
        return KINDS[3]
    reached: set[str] = set()
    open_ones: list[ast.AST] = [function]
    while open_ones:
        used = {node.id for node in ast.walk(open_ones.pop()) if isinstance(node, ast.Name)} - reached
        reached |= used
        open_ones += [functions[name] for name in used if name in functions]
    return KINDS[1] if reached & apis else KINDS[2]


def rows() -> list[Row]:
    """The rows of the control plane, in order."""
    return [row for row in ROWS.values() if row.id.startswith("CP-")]


def unshown(found: list[Shown]) -> list[str]:
    """The MUSTs that no test over an API shows."""
    over = {row for one in found if one.kind in OVER_AN_API for row in one.rows}
    return [row.id for row in rows() if row.level.binds and row.id not in over]


def page(found: list[Shown]) -> str:
    """The whole page."""
    strange = {row for one in found for row in one.rows} - {row.id for row in rows()}
    if strange:
        msg = f"tests speak of rows that are not there: {', '.join(sorted(strange))}"
        raise ValueError(msg)
    notes = tomllib.loads(NOTES.read_text(encoding="utf-8"))
    lines = ["| id | level | asks | Scaup | shown by, under `tests/` |", "|---|---|---|---|---|"]
    for row in rows():
        remark = notes.get(row.id, {}).get("scaup", "")
        lines.append(f"| {row.id} | {row.level} | {row.asks} | {remark} | {_shown(row.id, found)} |")
    binding = [row for row in rows() if row.level.binds]
    sums = f"{len(rows())} rows, {len(binding)} of them MUST or MUST NOT, shown by {len(found)} tests.\n\n"
    return INTRODUCTION + sums + "\n".join(lines) + "\n"


def _shown(row: str, found: list[Shown]) -> str:
    parts = []
    for kind in KINDS:
        names = [f"`{one.name}`" for one in found if one.kind == kind and row in one.rows]
        if names:
            parts.append(f"{kind}: {'<br>'.join(names)}")
    return "<br>".join(parts) or "a permission, or a wish that needs nothing"


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    found = tests()
    if missing := unshown(found):
        print(f"no test over an API shows {', '.join(missing)}")
        return 1
    return settle({PAGE: page(found)})


if __name__ == "__main__":
    sys.exit(main())
