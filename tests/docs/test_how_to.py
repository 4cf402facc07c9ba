"""The how-to pages, followed to the letter."""

from __future__ import annotations

import shutil
import urllib.request
from pathlib import Path

import orjson

from tests.support.pages import follow
from tests.support.scaupup import free_offset, scaup_up
from tests.support.waiting import eventually

HELLO = Path(__file__).parents[2] / "examples" / "hello"


EXAMPLES = HELLO.parent


def received(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return [event["id"] for event in orjson.loads(answer.read())]


async def test_pausing(tmp_path: Path) -> None:
    data, offset = tmp_path / "data", free_offset()
    shutil.copytree(HELLO, tmp_path / "hello")
    with scaup_up(data, offset, "-f", str(tmp_path / "hello")) as up:
        up.wait_until_up()
        follow("how-to/pausing.md", tmp_path, data / "kubeconfig", offset)
        everything = up.url(8088, "/events")
        await eventually(lambda: received(everything) == ["while-paused", "never-seen"], "what waited is delivered")
        assert received(up.url(8089, "/events")) == ["while-paused"]


async def test_order(tmp_path: Path) -> None:
    data, offset = tmp_path / "data", free_offset()
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    with scaup_up(data, offset) as up:
        up.wait_until_up()
        follow("how-to/order.md", tmp_path, data / "kubeconfig", offset)


async def test_where_is_my_event(tmp_path: Path) -> None:
    data, offset = tmp_path / "data", free_offset()
    shutil.copytree(HELLO, tmp_path / "hello")
    with scaup_up(data, offset, "-f", str(tmp_path / "hello")) as up:
        up.wait_until_up()
        follow("how-to/where-is-my-event.md", tmp_path, data / "kubeconfig", offset)
        assert received(up.url(8088, "/events")).count("order-1") >= 1
