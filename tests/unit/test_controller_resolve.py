"""Destinations, by the control-plane spec's rules, from what was observed."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.controller.observe import plural
from scaup.controller.resolve import Absent, Found, NotKnownYet, Ref, check_destination, resolve_reference
from scaup.core.model.definitions import Address, AddressBookEntry, Destination, resolve
from scaup.core.model.errors import DefinitionError

REF = {"apiVersion": "example.com/v1", "kind": "Duck", "name": "d"}
DUCK = Ref("example.com/v1", "Duck", "default", "d")


def test_a_uri_stands_for_itself() -> None:
    destination, ref = check_destination({"uri": "https://s.test/a?b", "audience": "me"}, "p", "default")
    assert ref is None
    assert resolve(destination, {}) == Address("https://s.test/a?b", None, None, "me")


def test_a_ref_is_of_the_namespace_of_who_refers_unless_it_says_another() -> None:
    assert check_destination({"ref": REF}, "p", "default")[1] == DUCK
    other = check_destination({"ref": REF | {"namespace": "x"}}, "p", "default")[1]
    assert other == Ref("example.com/v1", "Duck", "x", "d")


@pytest.mark.parametrize(
    ("uri", "url"), [("/update", "http://d.test/update"), ("update", "http://d.test/base/update"), ("?q=1", None)]
)
def test_a_relative_uri_is_resolved_against_the_refs_address(uri: str, url: str | None) -> None:
    destination, _ = check_destination({"ref": REF, "uri": uri}, "p", "default")
    book = {DUCK.key: AddressBookEntry((Address("http://d.test/base/x"),))}
    assert resolve(destination, book).url == (url or "http://d.test/base/x?q=1")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, "p"),
        ({}, "p"),
        ({"uri": ""}, "p"),
        ("http://s.test", "p"),
        ({"uri": "/relative"}, "p.uri"),
        ({"uri": "s.test"}, "p.uri"),
        ({"uri": "ftp://s.test/"}, "p.uri"),
        ({"uri": "http://"}, "p.uri"),
        ({"uri": "http://[::1/"}, "p.uri"),
        ({"uri": "http://s.test:port/"}, "p.uri"),
        ({"uri": "http://s.test/a b"}, "p.uri"),
        ({"uri": "http://s.test/\n"}, "p.uri"),
        ({"uri": 7}, "p.uri"),
        ({"ref": REF, "uri": "http://s.test/"}, "p.uri"),
        ({"ref": REF, "uri": "//evil.test/"}, "p.uri"),
        ({"ref": {}}, "p.ref.apiVersion"),
        ({"ref": REF | {"name": ""}}, "p.ref.name"),
        ({"ref": REF | {"name": "a.>"}}, "p.ref.name"),
        ({"ref": REF | {"name": "a b"}}, "p.ref.name"),
        ({"ref": REF | {"name": "a..b"}}, "p.ref.name"),
        ({"ref": REF | {"name": "a" * 254}}, "p.ref.name"),
        ({"ref": REF | {"namespace": "*"}}, "p.ref.namespace"),
        ({"ref": REF | {"kind": "Du/ck"}}, "p.ref.kind"),
        ({"ref": REF | {"apiVersion": "../v1"}}, "p.ref.apiVersion"),
        ({"ref": REF | {"apiVersion": "example.com/v1/x"}}, "p.ref.apiVersion"),
        ({"ref": REF | {"fieldPath": "x"}}, "p.ref.fieldPath"),
        ({"uri": "http://s.test/", "CACerts": "x"}, "p.CACerts"),
        ({"uri": "http://s.test/", "caCerts": "x"}, "p.caCerts"),
    ],
)
def test_what_can_never_be_resolved_is_refused_by_path(value: Any, path: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        check_destination(value, "p", "default")
    assert caught.value.path == path


def entry(status: Any) -> AddressBookEntry:
    found = resolve_reference(DUCK, Found({"metadata": {}, "status": status})).entry
    assert found is not None
    return found


def test_addresses_win_over_address_and_the_first_is_the_default() -> None:
    status = {
        "address": {"url": "http://old.test"},
        "addresses": [
            {"name": "https", "url": "https://a.test", "CACerts": "ca", "audience": "me"},
            {"name": "http", "url": "http://a.test"},
        ],
    }
    book = {DUCK.key: entry(status)}
    first = resolve(check_destination({"ref": REF}, "p", "default")[0], book)
    assert first == Address("https://a.test", "https", "ca", "me")
    named = resolve(check_destination({"ref": REF | {"address": "http"}}, "p", "default")[0], book)
    assert named.url == "http://a.test"


def test_what_the_destination_says_itself_overrides_what_was_resolved() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"
    destination, _ = check_destination({"ref": REF, "CACerts": pem, "audience": "mine"}, "p", "default")
    book = {DUCK.key: AddressBookEntry((Address("https://a.test", None, "ca", "theirs"),))}
    assert resolve(destination, book) == Address("https://a.test", None, pem, "mine")


@pytest.mark.parametrize(
    "status",
    [
        None,
        "x",
        {},
        {"address": None},
        {"address": "http://x"},
        {"address": {"url": 7}},
        {"address": {"url": ""}},
        {"addresses": [None, {}]},
        {"addresses": "x"},
    ],
)
def test_an_object_without_an_address_has_an_entry_that_says_so(status: Any) -> None:
    resolved = resolve_reference(DUCK, Found({"metadata": {}, "status": status}))
    assert resolved.code == "HasNoAddress"
    assert resolved.entry == AddressBookEntry((), "it has no status.address.url")


@pytest.mark.parametrize("url", ["d.test", "/x", "ftp://d.test", "http://", "http://[", "http://a b"])
def test_an_address_that_is_no_http_url_is_named(url: str) -> None:
    assert url in entry({"address": {"url": url}}).reason


def test_a_service_has_an_address_by_its_name() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "name": "web"}
    destination, ref = check_destination({"ref": service, "uri": "/in"}, "p", "ns")
    assert ref is not None
    resolved = resolve_reference(ref, Found({}))
    assert resolved.entry is not None
    assert resolve(destination, {ref.key: resolved.entry}).url == "http://web.ns.svc.cluster.local/in"
    pem = "-----BEGIN CERTIFICATE-----"
    secure, _ = check_destination({"ref": service, "CACerts": pem}, "p", "ns")
    assert resolve(secure, {ref.key: resolved.entry}).url == "https://web.ns.svc.cluster.local"


def test_a_service_that_is_not_there_has_none() -> None:
    service = Ref("v1", "Service", "ns", "web")
    assert resolve_reference(service, Absent("NotFound", "gone")).entry == AddressBookEntry((), "gone")


def test_what_is_not_looked_up_yet_is_neither_there_nor_not() -> None:
    assert resolve_reference(DUCK, NotKnownYet()).entry is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("LocalSink", "localsinks"),
        ("Ingress", "ingresses"),
        ("Proxy", "proxies"),
        ("Gateway", "gateways"),
        ("Box", "boxes"),
        ("Batch", "batches"),
    ],
)
def test_the_plural_is_kubernetes_guess(kind: str, expected: str) -> None:
    assert plural(kind) == expected


def test_a_key_holds_a_destinations_reference() -> None:
    destination, _ = check_destination({"ref": REF}, "p", "default")
    assert destination == Destination(address="address/example.com/v1/Duck/default/d")
