"""Attribute values in headers (CloudEvents HTTP binding 3.1.3.2)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.core.codec import percent

DECODED = [
    (b"plain", "plain"),
    (b"a%20b", "a b"),
    (b"Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
    (b"%e2%82%ac", "€"),
    (b"%61%62", "ab"),
    (b"raw space", "raw space"),
    ("raw é".encode(), "raw é"),
    (b"100%", "100%"),
    (b"50%-off", "50%-off"),
    (b"%zz%4", "%zz%4"),
    (b"%2520", "%20"),
    (b"a+b/c:d,e", "a+b/c:d,e"),
    (b"", ""),
    (b'"quoted"', "quoted"),
    (b'"a \\"b\\" \\\\ c"', 'a "b" \\ c'),
    (b'"a%20b"', "a b"),
    (b'""', ""),
    (b'"open', '"open'),
    (b'"a" b', '"a" b'),
    (b'in "the" middle', 'in "the" middle'),
    (b"%22not%22", '"not"'),
    (b"(comment) x", "(comment) x"),
]


@pytest.mark.parametrize(("raw", "value"), DECODED)
def test_a_header_value_is_unquoted_and_then_decoded_once(raw: bytes, value: str) -> None:
    assert percent.decode(raw) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"%C0%A0",  # overlong
        b"%E0%80%80",  # overlong
        b"%ED%A0%80",  # a surrogate
        b"%E2%82",  # cut off
        b"%F4%90%80%80",  # above U+10FFFF
        b"%FF",
        b"a%80b",
        b"\xff",
        b'"\xe9"',
        b"%E2x%82%AC",
    ],
)
def test_what_is_not_utf8_after_decoding_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="utf-8"):
        percent.decode(raw)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a b", "a%20b"),
        ('"', "%22"),
        ("%", "%25"),
        ("a%20b", "a%2520b"),
        ("é€😀", "%C3%A9%E2%82%AC%F0%9F%98%80"),
        ("!#$&'()*+,-./:;<=>?@[\\]^_`{|}~", "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"),
        ("\x7f", "%7F"),
        ("", ""),
    ],
)
def test_only_space_quote_percent_and_what_is_not_printable_ascii_is_encoded(value: str, encoded: str) -> None:
    assert percent.encode(value) == encoded


@given(st.text(st.characters(codec="utf-8")))
def test_every_text_comes_back_and_is_safe_in_a_header(value: str) -> None:
    encoded = percent.encode(value)
    assert percent.decode(encoded.encode("ascii")) == value
    assert all("!" <= character <= "~" for character in encoded)


@given(st.binary(max_size=30))
def test_no_bytes_make_decoding_fail_otherwise_than_by_value_error(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        percent.decode(raw)
