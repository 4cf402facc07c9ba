"""Destinations: what is written, which object it means, and what address that object has. Pure.

Whether an object is there is asked of a ``Lookup``, which answers from what was observed. Names are checked strictly,
for they become keys on the bus: no author's text reaches a subject unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from scaup.controller.api import DestinationShape, Reference, read, shown
from scaup.core.model.definitions import Address, AddressBookEntry, Destination
from scaup.core.model.errors import DefinitionError
from scaup.core.model.names import address_key

CLUSTER_DOMAIN: Final = "cluster.local"
_SERVICE: Final = ("v1", "Service")
_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_API_VERSION = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*/)?[a-z][a-z0-9]{{0,31}}")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Ref:
    """The name of one object anywhere in the API."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def collection(self) -> tuple[str, str]:
        """``(apiVersion, kind)``: what has to be watched to know of it."""
        return self.api_version, self.kind

    @property
    def key(self) -> str:
        """Its key in the address book."""
        return address_key(self.api_version, self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.api_version} {self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Found:
    """The object, as far as it matters here: ``metadata`` and ``status``."""

    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such object, or we may not see it. ``code`` is ``NotFound``, ``KindNotFound`` or ``Forbidden``."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class NotKnownYet:
    """Its kind is not listed yet: neither there nor not there."""


Lookup = Callable[[Ref], Found | Absent | NotKnownYet]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What is known of a reference: its entry (None: not known yet), and a code where it has no address."""

    entry: AddressBookEntry | None
    code: str = ""


def check_reference(shape: Reference, path: str, namespace: str) -> Ref:
    """The object a reference names; ``namespace`` is that of who refers. Raises DefinitionError."""
    fields = {"apiVersion": shape.api_version, "kind": shape.kind, "name": shape.name}
    for name, value in fields.items():
        if not value:
            raise DefinitionError(f"{path}.{name}", "missing; a reference needs apiVersion, kind and name")
    where = shape.namespace or namespace
    for name, value, pattern in (
        ("apiVersion", shape.api_version, _API_VERSION),
        ("kind", shape.kind, _KIND),
        ("name", shape.name, _NAME),
        ("namespace", where, _NAME),
    ):
        if len(str(value)) > 253 or not pattern.fullmatch(str(value)):
            raise DefinitionError(f"{path}.{name}", f"{shown(value)} cannot be the {name} of an object")
    return Ref(str(shape.api_version), str(shape.kind), where, str(shape.name))


def check_destination(value: Any, path: str, namespace: str) -> tuple[Destination, Ref | None]:
    """A Destination as the data plane has it, and the object it refers to, if any.

    Control-plane spec, "Destination resolution"; raises DefinitionError for what can never be resolved.
    """
    shape = read(DestinationShape, value, path)
    if shape.ca_certs is not None and "-----BEGIN CERTIFICATE-----" not in shape.ca_certs:
        raise DefinitionError(f"{path}.CACerts", "expected certificates in PEM form")
    uri = _split(shape.uri, f"{path}.uri") if shape.uri else None
    if shape.ref is None:
        if uri is None:
            raise DefinitionError(path, "expected at least one of ref and uri, found none")
        if uri.scheme not in {"http", "https"} or not uri.hostname:
            raise DefinitionError(f"{path}.uri", f"expected an absolute http or https URL, found {shown(shape.uri)}")
        return Destination(uri=shape.uri, ca_certs=shape.ca_certs, audience=shape.audience), None
    if uri is not None and (uri.scheme or uri.netloc):
        raise DefinitionError(f"{path}.uri", f"beside ref only a relative URI is allowed, found {shown(shape.uri)}")
    ref = check_reference(shape.ref, f"{path}.ref", namespace)
    is_service = ref.collection == _SERVICE
    named = ("https" if shape.ca_certs else None) if is_service else shape.ref.address
    destination = Destination(
        address=ref.key,
        address_name=named,
        uri=shape.uri or None,
        ca_certs=shape.ca_certs,
        audience=shape.audience,
    )
    return destination, ref


def resolve_reference(ref: Ref, looked: Found | Absent | NotKnownYet) -> Resolved:
    """The address book's entry for what was found under a reference. Never raises, whatever the object looks like."""
    match looked:
        case NotKnownYet():
            return Resolved(None)
        case Absent(code, message):
            return Resolved(AddressBookEntry((), message), code)
        case Found() if ref.collection == _SERVICE:
            host = f"{ref.name}.{ref.namespace}.svc.{CLUSTER_DOMAIN}"
            return Resolved(AddressBookEntry((Address(f"http://{host}"), Address(f"https://{host}", "https"))))
        case Found(value):
            addresses, why = _addresses(value.get("status"))
            if addresses:
                return Resolved(AddressBookEntry(addresses))
            return Resolved(AddressBookEntry((), why), "HasNoAddress")


def _addresses(status: Any) -> tuple[tuple[Address, ...], str]:
    """The addresses in a status, the default first. ``addresses`` wins over ``address`` (addressable_types.go)."""
    status = status if isinstance(status, dict) else {}
    listed = status.get("addresses")
    listed = listed if isinstance(listed, list) and listed else [status.get("address")]
    found, why = [], "it has no status.address.url"
    for item in listed:
        if not isinstance(item, dict) or not isinstance(url := item.get("url"), str) or not url:
            continue
        try:
            parts = _split(url, "status.address.url")
        except DefinitionError as error:
            why = str(error)
            continue
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            why = f"its status.address.url is no absolute http or https URL: {shown(url)}"
            continue
        found.append(Address(url, *(_text(item.get(key)) for key in ("name", "CACerts", "audience"))))
    return tuple(found), why


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _split(text: str, path: str) -> SplitResult:
    if _UNPRINTABLE.search(text):
        raise DefinitionError(path, f"{shown(text)} is no URL: it holds spaces or control characters")
    try:
        parts = urlsplit(text)
        _ = parts.port  # checked only when it is asked for
    except ValueError as error:
        raise DefinitionError(path, f"{shown(text)} is no URL: {error}") from None
    return parts
