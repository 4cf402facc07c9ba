"""The house rules that no linter knows: sizes, namespaces, descriptions."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOMES = ("core", "ingress", "filter", "dispatcher", "controller", "apiserver", "cli", "conformance")
MODULES = [path for home in HOMES for path in sorted((ROOT / home / "scaup").rglob("*.py"))]
MAX_FILE_LINES = 500
MAX_MEDIAN_LINES = 150
MAX_FUNCTION_LINES = 80


def test_scaup_is_a_namespace_without_an_init_of_its_own() -> None:
    assert [home for home in HOMES if (ROOT / home / "scaup" / "__init__.py").exists()] == []


def test_every_home_has_a_readme() -> None:
    assert [home for home in (*HOMES, "deploy", "bench") if not (ROOT / home / "README.md").exists()] == []


def test_files_are_small() -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}

    assert {str(path) for path, size in sizes.items() if size > MAX_FILE_LINES} == set()
    assert statistics.median(sizes.values()) <= MAX_MEDIAN_LINES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_for_and_has_short_functions(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES]

    assert ast.get_docstring(tree)
    assert long == []
