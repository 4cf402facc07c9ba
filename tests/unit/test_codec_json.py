"""The JSON event format, strictly (CloudEvents JSON format 1.0.2)."""

from __future__ import annotations

import base64
import json

import pytest

from scaup.core.codec import jsonformat
from scaup.core.model.errors import MalformedEventError
from scaup.core.model.event import Event
from tests.support.events import REQUIRED, an_event

HEAD = '"specversion":"1.0","id":"1","source":"/tests","type":"com.example.test"'


def decode(members: str = "") -> Event:
    return jsonformat.decode(f"{{{HEAD}{',' if members else ''}{members}}}".encode())


def test_an_event_is_read() -> None:
    assert decode() == an_event()


def test_white_space_around_everything_is_allowed() -> None:
    body = b' \r\n{ "specversion" : "1.0" ,\t"id":"1", "source":"/tests","type":"com.example.test" }\n '
    assert jsonformat.decode(body) == an_event()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"text"', "text"),
        ('""', ""),
        ('"Zo\\u00eb \\ud83d\\ude00"', "Zoë 😀"),
        ("true", "true"),
        ("false", "false"),
        ("0", "0"),
        ("-0", "0"),
        ("42", "42"),
        ("2147483647", "2147483647"),
        ("-2147483648", "-2147483648"),
        ('"2147483648"', "2147483648"),
        ("null", None),
    ],
)
def test_attribute_values_become_their_canonical_strings_and_null_is_unset(written: str, value: str | None) -> None:
    assert decode(f'"ext":{written}') == an_event(ext=value)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("2147483648", "beyond 32 bits"),
        ("-2147483649", "beyond 32 bits"),
        ("9" * 5000, "beyond 32 bits"),
        ("1.5", "a fraction"),
        ("1e2", "a fraction"),
        ("1.0", "a fraction"),
        ("{}", "an object"),
        ("[]", "an array"),
        ('"a\\u0000b"', "U\\+0000"),
        ('"\\ud800"', "U\\+D800"),
        ('"\\ufffe"', "U\\+FFFE"),
    ],
)
def test_values_that_no_attribute_type_holds_are_refused_and_named(written: str, why: str) -> None:
    with pytest.raises(MalformedEventError, match=f"'ext'.*{why}"):
        decode(f'"ext":{written}')


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion", "time", "subject", "datacontenttype"])
@pytest.mark.parametrize("written", ["1", "true"])
def test_attributes_of_the_specification_have_to_be_strings(name: str, written: str) -> None:
    body = json.dumps(REQUIRED | {name: json.loads(written)}).encode()
    with pytest.raises(MalformedEventError, match=f"'{name}' is {written}, but has to be a string"):
        jsonformat.decode(body)


def test_a_null_id_is_a_missing_id() -> None:
    with pytest.raises(MalformedEventError, match="'id' is missing"):
        jsonformat.decode(b'{"specversion":"1.0","id":null,"source":"s","type":"t"}')


@pytest.mark.parametrize("name", ["Ext", "my-ext", "my_ext", "", "é", "data_base65", "\\ud800"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(MalformedEventError, match="cannot name an attribute"):
        decode(f'"{name}":"x"')


@pytest.mark.parametrize(
    "members", ['"id":"2"', '"a":1,"a":1', '"data":1,"data":2', '"data_base64":"","data_base64":""']
)
def test_a_name_that_is_there_twice_is_refused(members: str) -> None:
    with pytest.raises(MalformedEventError, match="twice"):
        decode(members)


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"null", b"1", b'"x"', b"[]", b"{}x", b"not an event", b'{"a" "b"}', b'{"a":}', b'{"a":1,}',
        b"{,}", b"{1:2}", b'{"a":1 "b":2}', b"{'a':1}", b'{"a":"x\ny"}', b'{"a":"\\x"}', b"\xef\xbb\xbf{}", b"\xff{}",
        b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":tru}', b'{"a":01}', b'{"a":"\\ud8"}', b'{"a":.5}', b"{}{}",
    ],
)  # fmt: skip
def test_what_is_not_a_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedEventError):
        jsonformat.decode(body)


def test_a_mistake_is_told_with_its_line_and_column() -> None:
    with pytest.raises(MalformedEventError, match="line 2 column 7"):
        jsonformat.decode(b'{"specversion":"1.0",\n"id": ,}')


@pytest.mark.parametrize("written", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_deep_nesting_is_an_answer_and_no_crash(written: str) -> None:
    with pytest.raises(MalformedEventError, match="nested too deeply"):
        decode(f'"data":{written}')


@pytest.mark.parametrize(
    "data",
    [
        "1.0", "1e400", "-0", "9" * 5000, "null", "true", '"text"', '"\\ud800"', '"\\/ \\u0041"', "{}", "[ 1 , 2 ]",
        '{"a":1, "a":2}', '{ "b" : 0.10000000000000000000001 }', '"é"', "[[[[[]]]]]", '""',
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [None, "application/json", "Application/CloudEvent+JSON; x=y"])
def test_json_data_is_the_very_characters_that_stood_there(data: str, kind: str | None) -> None:
    members = f'"data": {data} ' + (f',"datacontenttype":"{kind}"' if kind else "")
    assert decode(members) == an_event(data.encode(), datacontenttype=kind or "application/json")


@pytest.mark.parametrize("data", ["NaN", "[Infinity]", "[1,]", "{'a':1}", "[1 2]"])
def test_data_that_is_not_json_is_refused(data: str) -> None:
    with pytest.raises(MalformedEventError):
        decode(f'"data":{data}')


def test_text_data_is_the_string_itself() -> None:
    event = decode('"datacontenttype":"text/xml","data":"<a b=\\"é\\"/>\\n"')
    assert event.data == '<a b="é"/>\n'.encode()


@pytest.mark.parametrize("data", ["1", "{}", "null", "true", '"\\udc00"'])
def test_text_data_has_to_be_a_text(data: str) -> None:
    with pytest.raises(MalformedEventError, match="data"):
        decode(f'"datacontenttype":"text/plain","data":{data}')


def test_base64_data_is_decoded_and_gets_no_content_type() -> None:
    assert decode('"data_base64":"AAH/"') == an_event(b"\x00\x01\xff")


@pytest.mark.parametrize("members", ['"data_base64":""', '"data_base64":null', '"datacontenttype":"a/b","data":""'])
def test_empty_data_is_no_data(members: str) -> None:
    assert decode(members).data is None


@pytest.mark.parametrize("written", ['"AAH"', '"A A="', '"AAH_"', "1", "{}", "true", '"é"', '"AAA=\\n"'])
def test_what_is_not_base64_is_refused(written: str) -> None:
    with pytest.raises(MalformedEventError, match="not base64"):
        decode(f'"data_base64":{written}')


def test_data_and_data_base64_exclude_each_other() -> None:
    with pytest.raises(MalformedEventError, match="both"):
        decode('"data":1,"data_base64":"AAAA"')
    assert decode('"data":1,"data_base64":null').data == b"1"


def test_an_empty_batch_is_a_batch() -> None:
    assert jsonformat.decode_batch(b" [ ] ") == []


def test_a_batch_is_read_in_order() -> None:
    events = [an_event(id=str(i), data=b"%d" % i, datacontenttype="application/json") for i in range(3)]
    assert jsonformat.decode_batch(jsonformat.encode_batch(events)) == events


def test_every_bad_event_of_a_batch_is_named_by_its_index_and_none_is_given() -> None:
    good = f"{{{HEAD}}}"
    body = f'[{good},{{"specversion":"1.0"}},{good},7,{{{HEAD},"Bad":"]"}}]'.encode()
    with pytest.raises(MalformedEventError, match="3 of 5") as found:
        jsonformat.decode_batch(body)
    assert "[1] the required attribute 'id'" in str(found.value)
    assert "[3] event 3 is not a JSON object" in str(found.value)
    assert "[4] 'Bad' cannot name" in str(found.value)


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"[1", b"[{}", b"[,]", b"[]]", b"[] x", b'[{"a":1},]', b"[1 2]"])
def test_what_is_no_array_is_no_batch(body: bytes) -> None:
    with pytest.raises(MalformedEventError):
        jsonformat.decode_batch(body)


@pytest.mark.parametrize(
    ("kind", "data", "member"),
    [
        ("application/json", b' {"a": 1.0}\n', '"data":{"a": 1.0}'),
        ("application/json", b"1e400", '"data":1e400'),
        ("application/json", b"{broken", '"data_base64":"' + base64.b64encode(b"{broken").decode() + '"'),
        ("application/json", b"\xff", '"data_base64":"/w=="'),
        ("text/plain", "é\n".encode(), '"data":"é\\n"'),
        ("text/plain", b"\xff", '"data_base64":"/w=="'),
        ("image/png", b"PNG", '"data_base64":"UE5H"'),
        (None, b"{}", '"data_base64":"e30="'),
    ],
)
def test_data_is_written_as_json_text_or_base64(kind: str | None, data: bytes, member: str) -> None:
    written = jsonformat.encode(an_event(data, datacontenttype=kind)).decode()
    assert written.endswith(f",{member}}}")
    assert json.loads(written)


def test_an_event_is_written_compactly() -> None:
    """Go's SDK fails on white space after a colon."""
    assert b" " not in jsonformat.encode(an_event(b"{}", ext="x"))
