"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.pages import assert_fresh

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")]


def test_the_reference_pages_are_those_of_the_code() -> None:
    assert_fresh("reference")


def test_every_metric_says_what_to_do_when_it_is_bad() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]

    assert len(rows) > 30
    for name, kind, _labels, meaning, advice in rows:
        assert kind in {"counter", "gauge", "histogram"}, name
        assert min(len(meaning), len(advice)) > 10, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_leads_with_the_first_minute() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)

    assert commands[0] == "make up\n"
    assert "make test" in readme


def test_every_command_of_the_readme_exists_with_its_options() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    reference = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    used = re.findall(r"^scaup (.+?)(?:\s+#.*)?$", readme, re.MULTILINE)

    assert used
    for line in used:
        command = next(words for words in (line.split()[:2], line.split()[:1]) if _section(reference, words))
        section = _section(reference, command)
        for option in re.findall(r"(?<!\S)(--[a-z-]+)", line):
            assert option in section, line


def _section(reference: str, words: list[str]) -> str:
    found = re.search(rf"^## scaup {' '.join(words)}\b.*?(?=^## |\Z)", reference, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""
