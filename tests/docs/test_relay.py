"""The page about relaying, followed to the letter, with two installations."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support.pages import follow
from tests.support.scaupup import free_offset, scaup_up

EXAMPLES = Path(__file__).parents[2] / "examples"
APART = 100
"""How far the second installation's ports are from the first one's, on the page."""


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_page_about_relaying_does_what_it_says(tmp_path: Path) -> None:
    offset = free_offset()
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    for file in (tmp_path / "examples" / "relay").glob("*.yaml"):
        moved = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(int(port[0]) + offset), file.read_text())
        file.write_text(moved)
    hello = ("-f", str(tmp_path / "examples" / "hello"))
    with (
        scaup_up(tmp_path / "first", offset, *hello) as first,
        scaup_up(tmp_path / "second", offset + APART, *hello) as second,
    ):
        first.wait_until_up(90)
        second.wait_until_up(90)
        follow("how-to/relay.md", tmp_path, tmp_path / "first" / "kubeconfig", offset)
