"""Definitions as values: JSON and back, and which address a destination means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.core.model import definitions as d
from scaup.core.model.definitions import Address, AddressBookEntry, Destination, UnresolvedError, resolve
from scaup.core.model.names import BrokerUid, TriggerUid
from tests.support.events import a_broker, a_trigger

TEXT = st.text(max_size=8)
MAYBE = st.none() | TEXT
SECONDS = st.floats(0, 1e6)
DESTINATIONS = st.builds(Destination, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE)
DELIVERIES = st.builds(
    d.Delivery, st.integers(0, 99), TEXT, SECONDS, SECONDS, st.none() | SECONDS, MAYBE, st.none() | DESTINATIONS
)
TRIGGERS = st.builds(
    d.TriggerDefinition, TEXT.map(TriggerUid), TEXT, TEXT, TEXT.map(BrokerUid), DESTINATIONS, st.integers(1),
    st.lists(st.fixed_dictionaries({"attributes": st.dictionaries(TEXT, TEXT)}), max_size=2).map(tuple),
    st.booleans(), DELIVERIES,
)  # fmt: skip
BROKERS = st.builds(
    d.BrokerDefinition, TEXT.map(BrokerUid), TEXT, TEXT, st.integers(1), st.integers(0), SECONDS, st.integers(1)
)
ENTRIES = st.builds(
    AddressBookEntry, st.lists(st.builds(Address, TEXT, MAYBE, MAYBE, MAYBE), max_size=3).map(tuple), TEXT
)


def through_json(definition: d.Definition) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(d.to_json(definition)))
    return value


@given(TRIGGERS)
def test_a_trigger_comes_back_from_json(trigger: d.TriggerDefinition) -> None:
    assert d.trigger_from_json(through_json(trigger)) == trigger


@given(BROKERS)
def test_a_broker_comes_back_from_json(broker: d.BrokerDefinition) -> None:
    assert d.broker_from_json(through_json(broker)) == broker


@given(ENTRIES)
def test_an_address_book_entry_comes_back_from_json(entry: AddressBookEntry) -> None:
    assert d.address_from_json(through_json(entry)) == entry


def test_the_mark_of_completeness_comes_back_from_json() -> None:
    mark = d.Complete(1, 2, 3, 4)
    assert d.complete_from_json(through_json(mark)) == mark


def test_what_is_unset_is_left_out_and_what_a_newer_version_adds_is_passed_over() -> None:
    value = through_json(a_trigger())
    assert value["subscriber"] == {"uri": "http://127.0.0.1:9/"}
    assert "dead_letter_sink" not in value["delivery"]
    value |= {
        "newer": 1,
        "subscriber": value["subscriber"] | {"newer": 1},
        "delivery": value["delivery"] | {"newer": 1},
    }
    assert d.trigger_from_json(value) == a_trigger()
    assert d.broker_from_json(through_json(a_broker()) | {"newer": 1}) == a_broker()


def test_what_an_older_version_did_not_write_has_its_default() -> None:
    value = {"uid": "u", "namespace": "n", "name": "t", "broker": "b", "subscriber": {"uri": "http://x/"}}
    trigger = d.trigger_from_json(value)
    assert (trigger.delivery, trigger.matching, trigger.filters) == (d.Delivery(), True, ())


BOOK = {
    "address/v1/Service/default/web": AddressBookEntry(
        (Address("http://web/base/x", None, "CA", "aud"), Address("https://web/", "secure"))
    ),
    "address/v1/Service/default/new": AddressBookEntry((), "the Service does not exist"),
    "address/v1/Service/default/mute": AddressBookEntry(()),
}
WEB = "address/v1/Service/default/web"


@pytest.mark.parametrize(
    ("destination", "url"),
    [
        (Destination(uri="http://x/y"), "http://x/y"),
        (Destination(address=WEB), "http://web/base/x"),
        (Destination(address=WEB, address_name="secure"), "https://web/"),
        (Destination(address=WEB, uri="y"), "http://web/base/y"),
        (Destination(address=WEB, uri="/y?q=1"), "http://web/y?q=1"),
        (Destination(address=WEB, uri="../y"), "http://web/y"),
        (Destination(address=WEB, uri="http://elsewhere/"), "http://elsewhere/"),
    ],
)
def test_a_destination_is_resolved_against_the_address_book(destination: Destination, url: str) -> None:
    assert resolve(destination, BOOK).url == url


def test_certificates_and_audience_are_the_destinations_own_or_the_addresss() -> None:
    assert resolve(Destination(address=WEB), BOOK) == Address("http://web/base/x", None, "CA", "aud")
    own = resolve(Destination(address=WEB, ca_certs="mine", audience="me"), BOOK)
    assert (own.ca_certs, own.audience) == ("mine", "me")


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        (Destination(), "neither ref nor uri"),
        (Destination(address="address/v1/Service/default/none"), "v1/Service/default/none: it has no address yet"),
        (Destination(address="address/v1/Service/default/new"), "the Service does not exist"),
        (Destination(address="address/v1/Service/default/mute", uri="/x"), "it has no address yet"),
        (Destination(address=WEB, address_name="other"), "no address named 'other'"),
    ],
)
def test_a_destination_without_an_address_says_why(destination: Destination, why: str) -> None:
    with pytest.raises(UnresolvedError, match=why):
        resolve(destination, BOOK)
