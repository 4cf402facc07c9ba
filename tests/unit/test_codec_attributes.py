"""The rules for attributes (CloudEvents 1.0, "Context Attributes")."""

from __future__ import annotations

import time

import pytest

from scaup.core.codec import attributes as rules
from scaup.core.model.errors import MalformedEventError
from scaup.core.model.event import is_json
from tests.support.events import REQUIRED, an_event


@pytest.mark.parametrize("name", ["id", "source", "type"])
@pytest.mark.parametrize("value", [None, "", " ", "\u2003"])
def test_a_required_attribute_that_is_missing_empty_or_blank_is_named(name: str, value: str | None) -> None:
    with pytest.raises(MalformedEventError, match=f"'{name}' is (missing|empty)"):
        rules.check(an_event().with_attributes(**{name: value}).attributes)


@pytest.mark.parametrize("version", ["0.2", "1.1", "19.0", "1", "", "1.0 ", "1.0.2"])
def test_every_version_but_two_is_refused(version: str) -> None:
    with pytest.raises(MalformedEventError, match="is not supported"):
        rules.check(an_event(specversion=version).attributes)


def test_without_a_version_it_is_no_event_and_the_hint_says_what_one_is() -> None:
    with pytest.raises(MalformedEventError, match="no CloudEvent") as found:
        rules.check({})
    assert "ce-specversion" in found.value.hint


@pytest.mark.parametrize(
    "character", ["\x00", "\n", "\x1f", "\x7f", "\x9f", "\ud800", "\ufdd0", "\ufffe", "\U0001ffff"]
)
def test_a_forbidden_character_is_refused_and_named(character: str) -> None:
    with pytest.raises(MalformedEventError, match=f"U\\+{ord(character):04X}"):
        rules.check(an_event(ext=f"a{character}b").attributes)


@pytest.mark.parametrize("text", ["\u00a0", "\u2028", "\u200b", "\ue000", "é", "😀", "~", "\U000e0001"])
def test_unusual_characters_that_are_allowed_pass(text: str) -> None:
    rules.check(an_event(ext=text, id=f"x{text}").attributes)


@pytest.mark.parametrize(
    "time_text",
    [
        "2026-11-22T10:00:00Z",
        "2026-11-22t10:00:00z",
        "2026-11-22T10:00:00.123456789+05:30",
        "2016-12-31T23:59:60Z",
        "2024-02-29T00:00:00-00:00",
        "2000-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-31T23:59:59Z",
    ],
)
def test_rfc_3339_times_are_taken(time_text: str) -> None:
    rules.check(an_event(time=time_text).attributes)


@pytest.mark.parametrize(
    "time_text",
    [
        "",
        "now",
        "2026-11-22",
        "2026-11-22 10:00:00Z",
        "2026-11-22T10:00:00",
        "2026-11-22T10:00:00+0530",
        "2026-11-22T24:00:00Z",
        "2026-13-01T10:00:00Z",
        "2026-02-29T10:00:00Z",
        "1900-02-29T10:00:00Z",
        "2026-02-30T10:00:00Z",
        "2026-04-31T10:00:00Z",
        "20261122T100000Z",
        "2026-11-22T10:00:00.Z",
        "٢٠٢٦-11-22T10:00:00Z",
        "2026-11-22T10:00:61Z",
    ],
)
def test_other_times_are_refused(time_text: str) -> None:
    with pytest.raises(MalformedEventError, match="RFC 3339"):
        rules.check(an_event(time=time_text).attributes)


@pytest.mark.parametrize(
    "media",
    ["a/b", "application/json; charset=utf-8", 'TEXT/Plain ;a=b;c="d; e\\""', "x/y+json;", "application/vnd.x.y-z+xml"],
)
def test_media_types_are_taken(media: str) -> None:
    rules.check(an_event(datacontenttype=media).attributes)


@pytest.mark.parametrize(
    "media", ["", "json", "a/", "/b", "a/b c", "a/b; c", "a b/c", "a/b;c=", 'a/b;c="d', "a/b\u00a0"]
)
def test_what_is_no_media_type_is_refused(media: str) -> None:
    with pytest.raises(MalformedEventError, match="no media type"):
        rules.check(an_event(datacontenttype=media).attributes)


def test_a_hostile_media_type_costs_no_time() -> None:
    begun = time.process_time()
    for hostile in ("a/b" + "; " * 50_000 + "@", "a/b" + ";" + " " * 50_000 + "@", 'a/b;c="' + "\\" * 50_001):
        assert not rules.is_media_type(hostile)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("schema", ["", "schema.json", "//host/x", "1a:b", "http:"])
def test_a_dataschema_that_is_no_absolute_uri_is_refused(schema: str) -> None:
    with pytest.raises(MalformedEventError, match="no absolute URI"):
        rules.check(an_event(dataschema=schema).attributes)


def test_an_empty_subject_is_the_same_as_none() -> None:
    attributes = {**REQUIRED, "subject": ""}
    rules.check(attributes)
    assert attributes == REQUIRED


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("a", True), ("1a", True), ("a" * 40, True), ("data", False), ("", False), ("a-b", False), ("a_b", False),
     ("A", False), ("é", False), ("a\n", False), ("٣", False)],
)  # fmt: skip
def test_names_are_lower_case_letters_and_digits(name: str, allowed: bool) -> None:
    assert rules.is_name(name) is allowed


@pytest.mark.parametrize(
    ("media", "json"),
    [("application/json", True), ("text/JSON; charset=utf-8", True), ("a/b+json", True), ("a/jsonx", False),
     ("json", False), ("+json", False), ("application/json-seq", False), ("text/plain", False)],
)  # fmt: skip
def test_json_is_known_by_its_media_type(media: str, json: bool) -> None:
    assert is_json(media) is json
