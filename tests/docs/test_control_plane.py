"""The page of the control plane names every row, and every MUST has a test over an API."""

from __future__ import annotations

from pathlib import Path

from tests.support.pages import assert_fresh

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_made_from_the_tests_and_every_must_has_one_over_an_api() -> None:
    assert_fresh("controlplane")


def test_every_row_is_there_once_and_in_order() -> None:
    lines = (ROOT / "docs" / "control-plane.md").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ")[1] for line in lines if line.startswith("| CP-")] == [f"CP-{n}" for n in range(1, 45)]
