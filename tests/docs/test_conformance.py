"""The page of the specification's rows names the tests that exist, and every row has its own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.support.pages import assert_fresh

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "conformance.md").read_text(encoding="utf-8")
IDS = [*(f"DP-{number}" for number in range(1, 25)), *(f"CP-{number}" for number in range(1, 45))]
ROWS = {
    cells[0]: (cells[1], cells[4])
    for line in PAGE.splitlines()
    if len(cells := [cell.strip() for cell in line.strip("|").split(" | ")]) == 5 and re.match(r"[DC]P-\d+$", cells[0])
}


def named(text: str) -> list[str]:
    """The tests that are named there, ``file::name``."""
    return re.findall(r"`(\w+/\w+\.py::\w+)`", text)


def names_in(file: Path) -> set[str]:
    """The names of the functions in a file."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_page_is_that_of_the_suite() -> None:
    assert_fresh("conformance")


def test_every_row_of_the_specification_is_there_once_and_in_order() -> None:
    assert list(ROWS) == IDS
    assert len(re.findall(r"^\| [DC]P-", PAGE, re.MULTILINE)) == len(IDS)


def test_every_must_has_a_test() -> None:
    assert [row for row, (level, tests) in ROWS.items() if level.startswith("MUST") and not named(tests)] == []


def test_every_test_that_is_named_exists() -> None:
    for test in named(PAGE):
        file, _, name = test.partition("::")
        assert name in names_in(TESTS / file), test


def test_every_test_that_bears_a_rows_name_stands_in_that_row() -> None:
    for file in sorted((TESTS / "component").glob("test_spec_*.py")):
        for name in names_in(file):
            if found := re.match(r"test_(dp|cp)_(\d+)_", name):
                row = f"{found[1].upper()}-{found[2]}"
                assert f"component/{file.name}::{name}" in named(ROWS[row][1]), (row, name)
            elif name.startswith("test_"):
                assert f"component/{file.name}::{name}" in named(PAGE), name
