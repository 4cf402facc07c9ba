"""The table of conformance names tests that there are, and leaves out no row."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/conformance.md").read_text()
ROWS: dict[str, str] = dict(re.findall(r"^\| ((?:DP|CP)-\d+) \|.*\| ([^|]*) \|$", PAGE, re.MULTILINE))
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)


def test_every_row_of_the_data_plane_and_of_delivery_is_there_and_says_something() -> None:
    wanted = {f"DP-{number}" for number in range(1, 25)}
    wanted |= {f"CP-{number}" for number in (3, 18, 19, *range(21, 34), 35, 36, 37, 44)}
    assert ROWS.keys() == wanted
    assert all(ROWS.values())


def test_every_test_that_is_named_is_there() -> None:
    for file, name in NAMED:
        assert f"def {name}(" in (ROOT / "tests/component" / file).read_text(), name


def test_every_test_of_a_row_is_named() -> None:
    written = {
        (path.name, name)
        for path in (ROOT / "tests/component").glob("test_spec_*.py")
        for name in re.findall(r"def (test_(?:dp|cp)_\w+)\(", path.read_text())
    }
    assert written == set(NAMED)
