"""What the command prints: event lines, tables, descriptions, last words, exit codes, plurals."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from scaup.cli import problems, showing
from scaup.cli.kinds import BROKER, TRIGGER, Kind, definition, plural
from scaup.cli.lines import clean, data_text, event_line
from scaup.cli.up.logtail import last_lines
from scaup.core.model.errors import BusUnavailableError, DefinitionError, ScaupError, SettingsError
from scaup.core.model.event import Event

NOW = datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC)
ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/me", "type": "com.example.hello"}


def test_an_event_is_one_readable_line() -> None:
    line = event_line(Event(ATTRIBUTES, b'{"hello":\n  "world"}'), "everything", NOW)
    assert line == '12:00:01  everything  com.example.hello  /me  #1  {"hello": "world"}'


def test_what_comes_from_outside_cannot_control_the_terminal() -> None:
    line = event_line(Event({**ATTRIBUTES, "id": "\x1b[2J"}, "\x9b31m".encode()), "s", NOW)
    assert "\x1b" not in line
    assert "\x9b" not in line


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\xff\x00" * 400, "(800 bytes)"),
        (b"a" * 81, "a" * 79 + "…"),
        ("ü".encode() * 1000, "ü" * 79 + "…"),
        (b"short", "short"),
    ],
)
def test_data_is_shortened_and_binary_data_counted(data: bytes, shown: str) -> None:
    assert data_text(data) == shown


def test_text_that_fits_is_not_shortened() -> None:
    assert clean("abc", 3) == "abc"


def item(kind: str, name: str, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "creationTimestamp": "2026-01-31T11:58:01Z", "uid": "u"}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": kind, "metadata": metadata, **more}


READY = {"conditions": [{"type": "Ready", "status": "True"}], "address": {"url": "http://x/"}}
UNREADY = {"conditions": [{"type": "Ready", "status": "False", "reason": "BrokerDoesNotExist", "message": "no"}]}


def test_brokers_and_triggers_have_knatives_columns() -> None:
    brokers = showing.table(BROKER, [item("Broker", "a", status=READY)], namespaces=True, now=NOW)
    assert brokers == ("NAMESPACE   NAME   URL         AGE   READY   REASON\ndefault     a      http://x/   2m    True")
    trigger = item("Trigger", "t", spec={"broker": "a"}, status={**UNREADY, "subscriberUri": "http://y/"})
    assert showing.table(TRIGGER, [trigger], namespaces=False, now=NOW).splitlines() == [
        "NAME   BROKER   SUBSCRIBER_URI   AGE   READY   REASON",
        "t      a        http://y/        2m    False   BrokerDoesNotExist",
    ]


def test_another_kind_has_the_columns_it_fills() -> None:
    other = Kind("", "v1", "ConfigMap", "configmaps")
    assert showing.table(other, [item("ConfigMap", "c")], namespaces=False, now=NOW) == "NAME   AGE\nc      2m"


def test_a_list_is_a_kubernetes_list_in_json_and_yaml() -> None:
    listed = showing.as_list([item("Broker", "a")])
    assert json.loads(showing.as_json(listed))["kind"] == "List"
    assert yaml.safe_load(showing.as_yaml(listed)) == listed


def test_a_description_has_conditions_spec_and_triggers() -> None:
    text = showing.description(
        BROKER, item("Broker", "a", spec={"delivery": {"retry": 3}}, status=UNREADY), [item("Trigger", "t", spec={})]
    )
    for part in ("Name:        a", "    retry: 3", "Ready   False    BrokerDoesNotExist   no", "Triggers:\n  NAME"):
        assert part in text


@pytest.mark.parametrize(("seconds", "shown"), [(1, "1s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172800, "2d")])
def test_ages_are_short(seconds: int, shown: str) -> None:
    created = datetime.fromtimestamp(NOW.timestamp() - seconds, UTC).isoformat()
    assert showing.age({"metadata": {"creationTimestamp": created}}, NOW) == shown


def test_an_age_that_nobody_knows_is_empty() -> None:
    assert showing.age({"metadata": {}}, NOW) == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (problems.FailedError("x"), 1),
        (DefinitionError("a", "x"), 1),
        (problems.RefusedError("x", status=422), 1),
        (problems.UsageError("x"), 2),
        (SettingsError("x"), 2),
        (problems.NotReachableError("x"), 3),
        (BusUnavailableError("x"), 3),
    ],
)
def test_every_error_has_its_exit_code_and_is_one_line(error: ScaupError, code: int) -> None:
    assert problems.exit_code(error) == code
    error.hint = "do\nthis"
    assert problems.one_line(error).endswith("x; do this")


@pytest.mark.parametrize(
    ("kind", "word"),
    [("Broker", "brokers"), ("Policy", "policies"), ("Gateway", "gateways"), ("Bus", "buses"), ("Box", "boxes")],
)
def test_kinds_are_registered_under_their_english_plural(kind: str, word: str) -> None:
    assert plural(kind) == word
    made = definition(Kind("example.com", "v1", kind, word))
    assert made["metadata"]["name"] == f"{word}.example.com"
    assert "subresources" not in made["spec"]["versions"][0]


def test_the_last_words_of_a_service_are_put_into_words(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(
        'before\n{"event": "lifecycle.failed", "level": "error", "error": "no NATS", "hint": ""}\n\nplain\t1\n{x\n'
    )
    assert last_lines(log, 7) == ["lifecycle.failed error=no NATS", "plain 1", "{x"]
    assert last_lines(tmp_path / "none") == []
