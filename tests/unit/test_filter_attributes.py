"""The legacy dialect ``spec.filter.attributes`` (Knative's table, A1-A13)."""

from __future__ import annotations

import pytest

from scaup.core.filters.attributes import compile_attributes
from scaup.core.model.event import ARRIVAL_TIME
from tests.support.events import REQUIRED

ANY = {"type": "", "source": ""}
OWN = {"type": "com.example.test", "source": "/tests"}
FULL = {
    "specversion": "1.0",
    "type": "com.example.test",
    "source": "/tests",
    "subject": "s",
    "id": "1",
    "time": "2026-11-22T10:00:00Z",
    "dataschema": "http://x/y",
    "schemaurl": "http://x/y",
    "datacontenttype": "cheers/mate;a=b",
    "datamediatype": "cheers/mate",
}
OLDER = {"specversion": "0.3"}
KNOWN = {name: value for name, value in FULL.items() if name not in {"schemaurl", "datamediatype"}}


@pytest.mark.parametrize(
    ("row", "wanted", "event", "matches"),
    [
        ("A1", {"type": "other", "source": ""}, {}, False),
        ("A2", {"type": "", "source": "other"}, {}, False),
        ("A3", ANY, {}, True),
        ("A4", OWN, {}, True),
        ("A5", OWN | {"ext": "V"}, {"ext": "V"}, True),
        ("A6", OWN | {"ext": ""}, {}, False),
        ("A7", OWN | {"ext": ""}, {"ext": "V"}, True),
        ("A8", OWN | {"subject": "X"}, {"subject": "X"}, True),
        ("A9", OWN | {"subject": ""}, {}, False),
        ("A10", OWN | {"subject": ""}, {"subject": "X"}, True),
        ("A11", ANY, {ARRIVAL_TIME: "2026-11-22T10:00:00Z"}, True),
        ("A12", OWN | {"ext": "other"}, {"ext": "V"}, False),
        ("A13", FULL, KNOWN, True),
        ("empty is not present", {"ext": ""}, {"ext": ""}, False),
        ("case counts", {"ext": "v"}, {"ext": "V"}, False),
        ("no trimming", {"ext": "V"}, {"ext": "V "}, False),
        ("numbers are texts", {"ext": "1"}, {"ext": "1"}, True),
        ("no time is made up", {"time": "0001-01-01T00:00:00Z"}, {}, False),
        ("no time is there", {"time": ""}, {}, False),
        ("media type without parameters", {"datamediatype": "a/b"}, {"datacontenttype": "A/B; c=d"}, True),
        ("any media type", {"datamediatype": ""}, {"datacontenttype": "a/b"}, True),
        ("no media type", {"datamediatype": ""}, {}, False),
        ("another media type", {"datamediatype": "a/c"}, {"datacontenttype": "a/b"}, False),
        ("A14", {"datacontentencoding": "base64"}, OLDER | {"datacontentencoding": "base64"}, True),
        ("0.3: by its own name", {"schemaurl": "/s"}, OLDER | {"schemaurl": "/s"}, True),
        ("0.3: by the newer name", {"dataschema": "/s"}, OLDER | {"schemaurl": "/s"}, True),
        ("0.3: by both", {"dataschema": "", "schemaurl": "/s"}, OLDER | {"schemaurl": "/s"}, True),
        ("0.3: another schema", {"schemaurl": "/t"}, OLDER | {"schemaurl": "/s"}, False),
        ("0.3: no schema", {"schemaurl": ""}, OLDER, False),
        ("0.3: an extension is no schema", {"dataschema": "/s"}, OLDER | {"dataschema": "/s"}, False),
        ("1.0: an extension is no schema", {"schemaurl": "/s"}, {"schemaurl": "/s"}, False),
        ("the version", {"specversion": "0.3"}, OLDER, True),
        ("another version", {"specversion": "0.3"}, {}, False),
        ("both names of one attribute", {"schemaurl": "u:1", "dataschema": "u:2"}, {"dataschema": "u:2"}, False),
    ],
)
def test_all_wanted_attributes_have_to_be_there_and_equal(
    row: str, wanted: dict[str, str], event: dict[str, str], matches: bool
) -> None:
    predicate = compile_attributes(wanted)
    assert predicate is not None
    assert predicate(REQUIRED | event) is matches, row


def test_nothing_wanted_is_no_predicate() -> None:
    assert compile_attributes({}) is None
