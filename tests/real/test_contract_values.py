"""One contract, two servers: what is taken for a value, text by text and number by number, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract import Server
from tests.support.ponds import CRDS, definition, made, version
from tests.support.refusals import causes, invalid
from tests.support.waiting import wait_for

pytestmark = pytest.mark.real

NAME = "puddles.values.test"
TEXT = {"type": "string"}
FORMATS = ("uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac", "byte", "date", "date-time", "duration")
FIELDS: dict[str, Any] = {
    **{name: {"type": "string", "format": name} for name in FORMATS},
    "tenths": {"type": "number", "multipleOf": 0.1},
    "halves": {"type": "integer", "multipleOf": 0.5},
    "over": {"type": "integer", "minimum": 1.5},
    "count": {"type": "integer", "enum": [1, 2]},
    "whole": {"type": "integer"},
    "empty": {"type": "string", "default": None, "nullable": True},
    "anything": {"type": "object", "additionalProperties": True},
    "nothing": {"type": "object", "additionalProperties": False},
    "inner": {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {"spec": {"type": "object", "properties": {"a": TEXT}}},
    },
    "ruled": {
        "type": "object",
        "properties": {"e-f": {"type": "string", "nullable": True}, "b": {"type": "string"}},
        "x-kubernetes-validations": [
            {"rule": "has(self.e__dash__f) || !has(self.b)", "fieldPath": "['e-f']", "message": "e-f goes with b"}
        ],
    },
    "kept": {
        "type": "array",
        "x-kubernetes-preserve-unknown-fields": True,
        "items": {"type": "array", "items": {"type": "object", "properties": {"known": {"type": "object"}}}},
    },
}


@pytest.fixture
def path(server: Server, namespace: str) -> str:
    """Where the puddles of a fresh namespace are."""
    if server.request("GET", f"{CRDS}/{NAME}").status == 404:
        spec = {"type": "object", "properties": FIELDS}
        puddles = version({"type": "object", "properties": {"spec": spec}})
        made(server, CRDS, definition("values.test", "Puddle", "puddles", puddles))
    path = f"/apis/values.test/v1/namespaces/{namespace}/puddles"
    wait_for(lambda: server.request("POST", path, puddle({}), dryRun="All").status == 201, "the kind is served")
    return path


def puddle(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "values.test/v1", "kind": "Puddle", "metadata": {"name": "one"}, "spec": spec}


RIGHT: dict[str, list[str]] = {
    "uri": ["http://x/y z", "/abs", "//host/p", "urn:a:b", "http://[::1]/", "http://h:80", "http://h?q=%"],
    "email": ["A <a@b.c>", "a@b"],
    "hostname": ["a.bc", "1", "a-", "xn--a.test", "a.b.c.d.ee", "日本.jp"],
    "ipv4": ["1.2.3.4", "01.2.3.4", "::ffff:1.2.3.4"],
    "ipv6": ["::1", "::ffff:1.2.3.4"],
    "cidr": ["10.0.0.1/8", "::/0"],
    "mac": ["01:02:03:04:05:06", "0102.0304.0506", "01-02-03-04-05-06-07-08"],
    "byte": ["YWJj", "YWI="],
    "date": ["2024-02-29"],
    "date-time": ["2006-01-02t15:04:05.999999999z", "2006-01-02T15:04:05+01:00"],
    "duration": ["1h30m", "0", "1.5h", "1 day 2 hours", "1H", "1s ago", "5 weekends"],
}
WRONG: dict[str, list[str]] = {
    "uri": ["", "rel/x", "?q", "http://h:port/", "http://a/%zz", "http://a b/", "http://x\\y"],
    "email": ["", "a..b@c", "a@b..c", ".a@b", "a b@c"],
    "hostname": ["", "a..b", "a_b", "x.y1", "2006-01-02", "a" * 64, ".".join(["a" * 60] * 5)],
    "ipv4": ["", "1.2.3", "256.1.1.1", "::1"],
    "ipv6": ["", "fe80::1%eth0", "1::2::3"],
    "cidr": ["1.2.3.4", "1.2.3.4/33", "1.2.3.4/255.0.0.0"],
    "mac": ["01:02:03:04:05", "01:02:03:04:05:06:07"],
    "byte": ["", "YWJ", "YWJj=", "_-__"],
    "date": ["", "2006-13-02", "2006-W01-1", "2006-1-2"],
    "date-time": ["2006-01-02T15:04:05", "2006-01-02 15:04:05Z", "2006-01-02T15:04:05+0100", "2006-01-02T24:00:00Z"],
    "duration": ["", "soon", "h", "1x", "1 year"],
}


def _pairs(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(form, text) for form, texts in table.items() for text in texts]


@pytest.mark.parametrize(("form", "text"), _pairs(RIGHT))
def test_a_text_of_a_format_is_taken(server: Server, path: str, form: str, text: str) -> None:
    answer = server.request("POST", path, puddle({form: text}), dryRun="All")
    assert answer.status == 201, answer.body


@pytest.mark.parametrize(("form", "text"), _pairs(WRONG))
def test_a_text_that_only_looks_like_a_format_is_invalid(server: Server, path: str, form: str, text: str) -> None:
    field = f"spec.{form}"
    found = causes(server.request("POST", path, puddle({form: text}), dryRun="All"))
    said = [message for reason, where, message in found if where == field and reason == "FieldValueTypeInvalid"]
    assert len(said) == 1
    assert f"{field} in body must be of type {form}: " in said[0]


def test_numbers_are_multiples_as_they_are_written_not_by_their_bits(server: Server, path: str) -> None:
    for right in (0.3, 1.1, 0.7):
        assert server.request("POST", path, puddle({"tenths": right}), dryRun="All").status == 201, right
    wrong = server.request("POST", path, puddle({"tenths": 0.25}), dryRun="All")
    assert causes(wrong) == {invalid("spec.tenths", "0.25: spec.tenths in body should be a multiple of 0.1")}


@pytest.mark.parametrize(("field", "what"), [("halves", "MultipleOf"), ("over", "Minimum boundary")])
def test_a_bound_that_is_no_integer_lets_no_integer_through(server: Server, path: str, field: str, what: str) -> None:
    said = f'"": {what} value must be of type integer (default format) in spec.{field}'
    assert causes(server.request("POST", path, puddle({field: 2}), dryRun="All")) == {invalid("<nil>", said)}


def test_a_whole_number_is_an_integer_however_it_was_written(server: Server, path: str) -> None:
    with server.open("POST", path, b'{"spec": {"whole": 2.0, "count": 1e0}, "apiVersion": "values.test/v1", '
                     b'"kind": "Puddle", "metadata": {"name": "one"}}') as answer:  # fmt: skip
        data = answer.read()
    assert b'"whole":2' in data.replace(b" ", b"")
    assert b"2.0" not in data
    spec = server.request("GET", f"{path}/one").body["spec"]
    assert [(type(spec[name]), spec[name]) for name in ("whole", "count")] == [(int, 2), (int, 1)]


def test_a_default_that_is_null_is_none(server: Server, path: str) -> None:
    made = server.request("POST", path, puddle({"whole": 1}), dryRun="All")
    assert made.body["spec"] == {"whole": 1}
    assert server.request("POST", path, puddle({"empty": None}), dryRun="All").body["spec"] == {"empty": None}


def test_what_is_kept_of_fields_that_no_schema_describes(server: Server, path: str) -> None:
    spec = {"anything": {"a": 1, "b": {"c": 1}, "d": [{"e": 1}]}, "kept": [[{"x": {"y": 1}, "known": {"z": 1}}]]}
    made = server.request("POST", path, puddle(spec), dryRun="All")
    assert made.body["spec"] == {"anything": {"a": 1, "b": {}, "d": [{}]}, "kept": [[{"x": {"y": 1}, "known": {}}]]}


INNER = {"apiVersion": "v1", "kind": "Frog"}
META = "json: cannot unmarshal"


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ({"kind": 1}, "spec.inner.kind: Invalid value: 1: must be a string"),
        ({"metadata": {"labels": {"a": 1}}}, (f'spec.inner.metadata: Invalid value: {{"labels":{{"a":1}}}}: {META} '
         "number into Go struct field ObjectMeta.labels of type string")),
        ({"metadata": "x"}, (f'spec.inner.metadata: Invalid value: "x": {META} string into Go value of type '
         "v1.ObjectMeta")),
    ],
)  # fmt: skip
def test_an_object_in_a_field_has_to_be_one(server: Server, path: str, inner: Any, said: str) -> None:
    answer = server.request("POST", path, puddle({"inner": INNER | inner}), dryRun="All")
    assert answer.status == 400
    assert answer.body["message"] == f'Puddle in version "v1" cannot be handled as a Puddle: {said}'


@pytest.mark.parametrize(
    ("inner", "field", "said"),
    [
        ({"kind": ""}, "kind", '"": must not be empty'),
        ({"apiVersion": "a/b/c"}, "apiVersion", '"a/b/c": unexpected GroupVersion string: a/b/c'),
        ({"kind": "big frog"}, "kind", '"big frog": may have mixed case, but should otherwise match: a DNS-1035 label'),
        ({"metadata": {"name": "a/b"}}, "metadata.name", "\"a/b\": may not contain '/'"),
        ({"metadata": {"labels": {"a b": "c"}}}, "metadata.labels", '"a b": name part must consist of'),
    ],
)
def test_an_object_in_a_field_is_called_as_objects_are(
    server: Server, path: str, inner: Any, field: str, said: str
) -> None:
    found = causes(server.request("POST", path, puddle({"inner": INNER | inner}), dryRun="All"))
    assert [(reason, where) for reason, where, _ in found] == [("FieldValueInvalid", f"spec.inner.{field}")]
    assert next(iter(found))[2].startswith(f"Invalid value: {said}")


def test_of_the_metadata_in_a_field_is_kept_what_metadata_has(server: Server, path: str) -> None:
    inner = INNER | {"metadata": {"name": "f", "creationTimestamp": None, "labels": {}, "zz": 1}, "spec": {"a": "b"}}
    made = server.request("POST", path, puddle({"inner": inner}), dryRun="All")
    assert made.body["spec"]["inner"] == INNER | {"metadata": {"name": "f"}, "spec": {"a": "b"}}
    assert made.headers["warning"] == '299 - "unknown field \\"spec.inner.metadata.zz\\""'


def test_a_null_that_may_be_is_no_field_to_a_rule(server: Server, path: str) -> None:
    right = server.request("POST", path, puddle({"ruled": {"e-f": "x", "b": "y"}}), dryRun="All")
    assert right.status == 201
    wrong = server.request("POST", path, puddle({"ruled": {"e-f": None, "b": "y"}}), dryRun="All")
    assert causes(wrong) == {invalid("spec.ruled.e-f", "e-f goes with b")}
