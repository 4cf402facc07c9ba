"""``scaup filter try``: match or not, why, and what cannot be tried. Run in this process."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from scaup.cli.__main__ import run
from scaup.cli.filters import trying, verdicts

HEAD = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\n"
GOOD = (
    HEAD + "metadata: {name: good}\nspec:\n  broker: default\n  filters:\n"
    "  - exact: {type: a, source: /s}\n"
    "  - any: [{prefix: {subject: x}}, {not: {suffix: {type: b}}}, {cesql: 'size > 5'}]\n"
)
LEGACY = HEAD + "metadata: {name: legacy, namespace: shop}\nspec: {broker: b, filter: {attributes: {type: b}}}\n"
EVERYTHING = HEAD + "metadata: {name: everything}\nspec: {broker: b}\n"
ERRING = HEAD + "metadata: {name: erring}\nspec: {filters: [{cesql: 'size > 5'}]}\n"
BAD = HEAD + "metadata: {name: bad}\nspec: {filters: [{exact: {type: a}}, {exakt: {type: a}}]}\n"
STRANGE = HEAD + "metadata: {name: strange}\nspec: {broker: b, filterz: [{exact: {type: a}}]}\n"
OTHERS = "apiVersion: events.openfunction.io/v1alpha1\nkind: Trigger\nmetadata: {name: other}\n"
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "a", "data": {"n": 1}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    return tmp_path


def tried(here: Path, text: str, *arguments: str) -> int:
    (here / "t.yaml").write_text(text)
    return run(["filter", "try", "-f", "t.yaml", *arguments])


def test_a_match_exits_0_and_shows_every_part_with_its_own_result(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(here, GOOD, "--event", "event.json", "--attr", "size=9") == 0
    assert capsys.readouterr().out.splitlines() == [
        "✓ Trigger default/good: match",
        "  ✓ all",
        "    ✓ exact",
        "      ✓ exact type: 'a' (the event has 'a')",
        "      ✓ exact source: '/s' (the event has '/s')",
        "    ✓ any",
        "      ✗ prefix subject: 'x' (the event has no such attribute)",
        "      ✓ not",
        "        ✗ suffix type: 'b' (the event has 'a')",
        "      ✓ cesql size > 5",
    ]


def test_no_match_exits_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tried(here, LEGACY, "--event", "event.json") == 1
    shown = "✗ Trigger shop/legacy: no match\n  ✗ attributes type: 'b' (the event has 'a')\n"
    assert capsys.readouterr() == (shown, "")


def test_an_error_of_the_evaluation_exits_2_and_stands_where_it_arose(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(here, ERRING, "--event", "event.json") == 2
    out, err = capsys.readouterr()
    assert out.startswith("! Trigger default/erring: error\n  ! cesql size > 5: missingAttribute: ")
    assert err == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BAD, "t.yaml:1: Trigger default/bad: spec.filters[1]: unknown dialect 'exakt'; did you mean exact?"),
        (STRANGE, "t.yaml:1: Trigger default/strange: spec.filterz: unknown field; known are "),
        (HEAD + "metadata: {name: t}\nspec: []\n", "Trigger default/t: spec: expected an object, found []"),
        (HEAD + "metadata: {name: t}\nspec: {filters: [{}]}\n", "spec.filters[0]: an empty filter says nothing"),
        (HEAD + "metadata: {name: t}\nspec: {filters: {}}\n", "spec.filters: expected a list, found {}"),
        (HEAD + "metadata: {name: t}\nspec: {filter: {attributes: {Type: a}}}\n", "'Type' is not the name of an"),
        (HEAD + "metadata: {name: t}\nspec: {filters: [{cesql: 'a ='}]}\n", "spec.filters[0].cesql: a =: "),
    ],
)
def test_a_filter_that_does_not_check_exits_2_with_the_words_of_the_status(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert tried(here, text, "--event", "event.json") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("scaup filter: t.yaml:1: ")
    assert said in err
    assert err.count("\n") == 1


def test_no_filter_matches_everything(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tried(here, EVERYTHING, "--attr", "type=x") == 0
    assert capsys.readouterr().out == "✓ Trigger default/everything: match\n  ✓ no filter: every event\n"


def test_attributes_alone_are_an_event_of_only_these_and_its_version(here: Path) -> None:
    some = HEAD + "metadata: {name: t}\nspec: {filters: [{exact: {%s}}]}\n"
    assert tried(here, some % "type: x, specversion: '1.0'", "--attr", "type=x") == 0
    assert tried(here, some % "source: /s", "--attr", "type=x") == 1


def test_attributes_go_over_those_of_the_event(here: Path) -> None:
    assert tried(here, LEGACY, "--event", "event.json", "--attr", "type=b") == 0


@pytest.mark.parametrize(
    ("names", "status"), [((GOOD, LEGACY), 0), ((LEGACY, LEGACY), 1), ((GOOD, ERRING), 2), ((LEGACY, BAD), 2)]
)
def test_of_several_triggers_one_match_is_a_match_and_one_error_an_error(
    here: Path, names: tuple[str, ...], status: int
) -> None:
    assert tried(here, "---\n".join(names), "--event", "event.json") == status


@pytest.mark.parametrize(("name", "status"), [("legacy", 1), ("shop/legacy", 1), ("good", 0), ("default/legacy", 2)])
def test_one_trigger_can_be_picked(here: Path, name: str, status: int) -> None:
    text = f"{GOOD}---\n{LEGACY}---\n{BAD}---\n{OTHERS}"
    assert tried(here, text, "--event", "event.json", "--trigger", name) == status


def test_json_is_an_object_for_one_trigger_and_a_list_for_several(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(here, f"{LEGACY}---\n{BAD}---\n{ERRING}", "--event", "event.json", "-o", "json") == 2
    no, bad, error = json.loads(capsys.readouterr().out)
    explanation = {"filter": "attributes type: 'b' (the event has 'a')", "result": False}
    assert no == {
        "trigger": {"namespace": "shop", "name": "legacy"},
        "matches": False,
        "error": None,
        "explanation": explanation,
    }
    assert (bad["matches"], bad["explanation"]) == (None, None)
    assert bad["error"].startswith("spec.filters[1]: unknown dialect")
    assert error["matches"] is None
    assert error["error"].startswith("missingAttribute: ")
    assert error["explanation"]["result"] is None
    assert tried(here, LEGACY, "--attr", "type=b", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["matches"] is True


def test_marks_are_coloured_on_a_terminal_only_and_not_under_no_color(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert tried(here, LEGACY, "--attr", "type=b") == 0
    assert "\x1b[32m✓\x1b[0m Trigger" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert tried(here, LEGACY, "--attr", "type=b") == 0
    assert "\x1b" not in capsys.readouterr().out


def test_an_output_that_lacks_the_marks_does_not_turn_a_match_into_an_error(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    assert tried(here, LEGACY, "--attr", "type=b") == 0
    assert raw.getvalue().startswith(b"? Trigger shop/legacy: match\n")


def test_what_a_file_says_cannot_control_the_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = HEAD + 'metadata: {name: t}\nspec: {filters: [{exact: {type: "\\e[2J"}}, {"\\e[2J": 1}]}\n'
    assert tried(here, text, "--attr", "type=b") == 2
    assert tried(here, text.replace(', {"\\e[2J": 1}', ""), "--attr", "type=b") == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err


def test_event_and_triggers_can_come_from_standard_input_but_not_both(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(EVENT).encode())))
    assert tried(here, LEGACY, "--event", "-") == 1
    monkeypatch.setattr("sys.stdin", io.StringIO(LEGACY))
    assert run(["filter", "try", "-f", "-", "--attr", "type=b"]) == 0
    assert run(["filter", "try", "-f", "-", "--event", "-"]) == 2
    assert "there is one standard input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is no event; name its file with --event"),
        (["--event", "nix.json"], "--event nix.json cannot be read: No such file or directory"),
        (["--event", "t.yaml"], "--event t.yaml: the event is not a JSON object"),
        (["--event", "batch.json"], "--event batch.json: the event is not a JSON object"),
        (["--attr", "type"], "--attr 'type': expected name=value"),
        (["--attr", "Type=a"], "--attr 'Type=a': expected name=value"),
        (["--attr", "=a"], "--attr '=a': expected name=value"),
        (["--attr", "data=a"], "--attr 'data=a': expected name=value"),
        (["--attr", "type=\udcff"], "--attr type: the value is not UTF-8"),
        (["--attr", "type=a", "--trigger", "nix"], "there is no Trigger nix in t.yaml; there are good"),
        (["--attr", "type=a", "--id", "1"], "--from-broker and --id go together"),
        (["--attr", "type=a", "--from-broker", "b"], "--from-broker and --id go together"),
        (["--attr", "type=a", "--source", "/s"], "--source goes with --from-broker"),
        (["--attr", "type=a", "-f", "nix.yaml"], "nix.yaml does not exist"),
        (["--attr", "type=a", "-f", "broken.yaml"], "broken.yaml:2: this is not YAML"),
        (["--attr", "type=a", "-o", "yaml"], "Invalid value for '-o'"),
    ],
)
def test_what_cannot_be_tried_exits_2_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (here / "broken.yaml").write_text("a: [")
    (here / "batch.json").write_text("[]")
    assert tried(here, GOOD, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_a_file_without_triggers_exits_2(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tried(here, OTHERS, "--attr", "type=a") == 2
    assert capsys.readouterr().err == "scaup filter: there is no Trigger in t.yaml\n"


def test_even_a_bug_of_ours_is_not_taken_for_no_match(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: Any) -> Any:
        raise KeyError("x")

    monkeypatch.setattr(verdicts, "judge", stumble)
    assert tried(here, GOOD, "--attr", "type=a") == 2
    assert capsys.readouterr().err == "scaup filter: unexpected KeyError: 'x'\n"
    assert trying.NO_MATCH == 1
