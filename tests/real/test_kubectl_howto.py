"""The how-to page about kubectl and kn, followed to the letter beside a real ``scaup up``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.kn import find_kn
from tests.support.pages import follow
from tests.support.realkube import find_kubectl
from tests.support.scaupup import free_offset, scaup_up

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


def test_every_command_of_the_page_says_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "kubectl").symlink_to(find_kubectl())
    (tools / "kn").symlink_to(find_kn())
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    data, offset = tmp_path / ".scaup", free_offset()
    with scaup_up(data, offset) as up:
        up.wait_until_up()
        follow("how-to/kubectl.md", tmp_path, data / "kubeconfig", offset)
