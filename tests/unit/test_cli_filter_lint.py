"""``scaup filter lint``: files checked without an API. Run in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaup.cli.__main__ import run
from scaup.controller.checks import check_trigger
from scaup.core.filters import compiled
from scaup.core.filters.cel import CelUnavailableError

HEAD = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\n"
GOOD = HEAD + "metadata: {name: good}\nspec: {filters: [{exact: {type: a}}, {cesql: \"subject LIKE 'x%'\"}]}\n"
BAD = HEAD + "metadata: {name: bad, namespace: shop}\nspec: {filters: [{any: [{prefix: {type: ''}}]}], filterz: 1}\n"
SPEC = {"filters": [{"any": [{"prefix": {"type": ""}}]}], "filterz": 1}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_fine_exits_0(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "t.yaml").write_text(f"{GOOD}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n")
    assert run(["filter", "lint", "-f", "t.yaml"]) == 0
    assert capsys.readouterr() == ("t.yaml:good: ok\n", "")


def test_a_problem_exits_1_with_the_words_of_the_status(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "t.yaml").write_text(f"{GOOD}---\n{BAD}")
    assert run(["filter", "lint", "-f", "t.yaml"]) == 1
    good, bad = capsys.readouterr().out.splitlines()
    status = check_trigger({"metadata": {"uid": "u", "namespace": "shop", "name": "bad"}, "spec": SPEC}).problem
    assert status is not None
    assert good == "t.yaml:good: ok"
    assert bad == f"t.yaml:shop/bad: {status.message}"
    assert "spec.filters[0].any[0].prefix.type: expected a value" in bad
    assert "spec.filterz: unknown field" in bad


def test_a_directory_is_checked_whole_and_a_file_that_cannot_be_read_is_a_problem(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "d").mkdir()
    (here / "d" / "a.yaml").write_text("a: [\n")
    (here / "d" / "b.yaml").write_text(GOOD)
    assert run(["filter", "lint", "-f", "d"]) == 1
    broken, good = capsys.readouterr().out.splitlines()
    assert broken.startswith("d/a.yaml:2: this is not YAML: ")
    assert good == "d/b.yaml:good: ok"


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", ["-f", "nix.yaml"], "nix.yaml does not exist"),
        ("", ["-f", "t.yaml"], "there are no Triggers in t.yaml"),
        ("", [], "Missing option '-f'"),
    ],
)
def test_nothing_to_check_exits_2(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, arguments: list[str], said: str
) -> None:
    (here / "t.yaml").write_text(text)
    assert run(["filter", "lint", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_without_the_engine_a_cel_filter_is_a_problem(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_text: str, **_: object) -> None:
        raise CelUnavailableError("there is no engine")

    monkeypatch.setattr(compiled, "compile_cel", missing)
    (here / "t.yaml").write_text(GOOD.replace("exact: {type: a}", "cel: 'true'"))
    assert run(["filter", "lint", "-f", "t.yaml"]) == 1
    assert capsys.readouterr().out == "t.yaml:good: there is no engine\n"
