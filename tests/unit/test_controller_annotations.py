"""Annotations are checked like fields, and those that mean nothing are noted."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.controller.annotations import DEDUPE_WINDOW, HISTORY_MAX_AGE, check_storage
from scaup.controller.checks import CheckedBroker, CheckedTrigger, check_broker, check_trigger
from scaup.controller.conditions import Condition, differ, note, ready, true, unknown, written
from scaup.controller.readiness import PROVISIONING, is_waiting
from scaup.core.bus.topology import streams
from scaup.core.model.annotations import KNOWN, Annotation, strange
from tests.support.events import a_broker

METADATA = {"uid": "u", "namespace": "default", "name": "b"}


def checked(kind: str, annotations: Any) -> CheckedBroker | CheckedTrigger:
    value = {"metadata": METADATA | {"annotations": annotations}, "spec": {}}
    return check_broker(value) if kind == "Broker" else check_trigger(value)


@pytest.mark.parametrize(("text", "seconds"), [("PT1S", 1.0), ("PT2M", 120.0), ("PT24H", 86_400.0), ("P1D", 86_400.0)])
def test_a_window_is_a_duration(text: str, seconds: float) -> None:
    broker = check_broker({"metadata": METADATA | {"annotations": {DEDUPE_WINDOW: text}}})
    assert broker.definition is not None
    assert broker.definition.dedupe_window_s == seconds
    assert broker.problem is None


@pytest.mark.parametrize("text", ["", "2m", "PT0S", "PT0.5S", "PT24H1S", "P1Y", "-PT2M", "PT", "true", 120, {}, []])
def test_a_window_that_is_none_is_named_with_what_was_expected(text: Any) -> None:
    broker = check_broker({"metadata": METADATA | {"annotations": {DEDUPE_WINDOW: text}}})
    assert broker.definition is None
    assert broker.problem is not None
    assert (broker.problem.type, broker.problem.reason) == ("TriggerChannelReady", "AnnotationInvalid")
    assert broker.problem.message.startswith(f"metadata.annotations[{DEDUPE_WINDOW}]: expected an ISO 8601 duration")
    assert "at least PT1S, at most PT24H, found " in broker.problem.message


def test_without_the_annotation_nothing_is_deduplicated() -> None:
    assert check_storage({}).dedupe_window_s == 0.0


def test_the_log_keeps_what_is_settled_at_least_for_the_window() -> None:
    """Else a nats-server that starts anew would not know it again."""
    assert check_storage({HISTORY_MAX_AGE: "PT0S", DEDUPE_WINDOW: "PT1H"}).history_max_age_s == 3600.0
    assert check_storage({HISTORY_MAX_AGE: "PT2H", DEDUPE_WINDOW: "PT1H"}).history_max_age_s == 7200.0


@pytest.mark.parametrize(("asked", "log"), [(0.0, 300), (120.0, 300), (300.0, 300), (3600.0, 3600), (86_400.0, 86_400)])
def test_the_log_s_window_is_never_shorter_than_replies_need_and_the_other_streams_keep_theirs(
    asked: float, log: int
) -> None:
    assert [one["duplicate_window"] // 10**9 for one in streams(a_broker(dedupe_window_s=asked))] == [log, 300, 300]


@pytest.mark.parametrize(
    ("written_name", "meant"),
    [
        ("scaup.dev/history-maxage", "scaup.dev/history-max-age"),
        ("scaup.dev/History-Max-Age", "scaup.dev/history-max-age"),
        ("scaup.dev/logmaxbytes", "scaup.dev/log-max-bytes"),
        ("scaup.dev/log-max-byte", "scaup.dev/log-max-bytes"),
        ("scaup.dev/replica", "scaup.dev/replicas"),
        ("scaup.dev/dedup-window", "scaup.dev/dedupe-window"),
        ("scaup.dev/dedupe_window", "scaup.dev/dedupe-window"),
    ],
)
def test_a_mistyped_name_is_noted_with_the_one_that_was_meant(written_name: str, meant: str) -> None:
    broker = checked("Broker", {written_name: "1"})
    assert broker.problem is None
    assert broker.note == note(
        "AnnotationsKnown", "UnknownAnnotation", f"{written_name} is not known; did you mean {meant}?"
    )


@pytest.mark.parametrize("kind", ["Broker", "Trigger"])
def test_a_name_like_no_other_is_noted_and_those_of_others_are_not(kind: str) -> None:
    found = checked(kind, {"scaup.dev/zzz": "1", "scaup.dev/": "", "example.com/x": "1", "kubectl.kubernetes.io/y": ""})
    assert found.note is not None
    assert found.note.message == (
        "scaup.dev/ is not known; it has no effect; scaup.dev/zzz is not known; it has no effect"
    )
    assert checked(kind, {"eventing.knative.dev/broker.class": "Scaup"}).note is None


def test_a_brokers_annotation_on_a_trigger_is_noted() -> None:
    found = checked("Trigger", {"scaup.dev/replicas": "3"})
    assert found.note is not None
    assert found.note.message == "scaup.dev/replicas is for a Broker and has no effect on a Trigger"


@pytest.mark.parametrize("annotations", [None, [], "x", {1: "x"}, {"scaup.dev/" + "x" * 100_000: ""}])
def test_no_shape_of_annotations_raises(annotations: Any) -> None:
    for kind in ("Broker", "Trigger"):
        found = checked(kind, annotations).note
        assert found is None or len(found.message) < 300


def test_a_row_more_in_the_registry_is_all_that_a_new_annotation_needs_to_be_known() -> None:
    paused = Annotation("scaup.dev/paused", "Trigger", "false", "true or false", "")
    assert strange("Trigger", ["scaup.dev/paused"], (*KNOWN, paused)) == []
    assert strange("Trigger", ["scaup.dev/pause"], (*KNOWN, paused)) == [
        "scaup.dev/pause is not known; did you mean scaup.dev/paused?"
    ]


def test_every_row_of_the_registry_is_once_and_says_what_is_expected() -> None:
    assert len({(row.name, row.kind) for row in KNOWN}) == len(KNOWN)
    assert all(row.kind in {"Broker", "Trigger"} and row.expected and row.meaning for row in KNOWN)
    assert all(strange(row.kind, [row.name]) == [] for row in KNOWN)


def test_a_note_makes_nothing_not_ready_and_stands_in_the_status_as_a_warning() -> None:
    noted = note("AnnotationsKnown", "UnknownAnnotation", "m")
    conditions: list[Condition] = [true("A"), noted]
    assert ready(conditions).is_true
    assert ready([unknown("A", "Soon", "m"), noted]).status == "Unknown"
    lines = written(conditions, None, "2026-01-02T03:04:05Z")
    assert lines[1]["severity"] == "Warning"
    assert not differ(conditions, lines)
    assert differ([true("A")], lines)
    assert is_waiting([unknown("A", PROVISIONING, "m"), noted])
    assert not is_waiting(conditions)
