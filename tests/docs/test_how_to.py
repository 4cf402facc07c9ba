"""The how-to pages, followed to the letter."""

from __future__ import annotations

import shutil
import urllib.request
from pathlib import Path

import orjson
import pytest

from tests.support.pages import follow
from tests.support.scaupup import free_offset, scaup_up
from tests.support.waiting import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"


def received(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return [event["id"] for event in orjson.loads(answer.read())]


@pytest.mark.timeout(400)
async def test_the_pages_that_use_the_examples_one_after_the_other(tmp_path: Path) -> None:
    data, offset = tmp_path / "data", free_offset()
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    with scaup_up(data, offset, "-f", str(tmp_path / "examples" / "hello")) as up:
        up.wait_until_up()

        def read(page: str) -> None:
            follow(f"how-to/{page}.md", tmp_path, data / "kubeconfig", offset)

        everything, by_type = up.url(8088, "/events"), up.url(8089, "/events")
        read("where-is-my-event")
        assert "order-1" in received(everything)
        before = len(received(everything))
        read("order")
        read("pausing")
        await eventually(lambda: received(everything)[before:] == ["while-paused", "never-seen"], "it is delivered")
        assert received(by_type) == ["while-paused"]
