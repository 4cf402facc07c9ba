"""What the controller tells the data plane: Brokers, Triggers and addresses, checked and effective.

These are the values of the ``definitions`` bucket, one JSON object a key. They hold what is needed to run and nothing
of how it was written: defaults are filled in, the Broker's delivery is merged, references are keys of the address book.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urljoin

from scaup.core.model.names import BrokerUid, TriggerUid

DEFAULT_RETRY = 10
DEFAULT_BACKOFF_S = 0.2
DEFAULT_TIMEOUT_S = 30.0
MAX_BACKOFF_S = 3600.0
"""No wait between two attempts is longer than this, whatever ``backoffDelay`` and ``retry`` make of it."""

MIB = 1 << 20
DEFAULT_LOG_MAX_BYTES = 1 << 30
DEFAULT_HISTORY_MAX_AGE_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where events go: ``address`` is a key of the address book, ``uri`` absolute, or relative to that address."""

    address: str | None = None
    address_name: str | None = None
    uri: str | None = None
    ca_certs: str | None = None
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """One address of an Addressable."""

    url: str
    name: str | None = None
    ca_certs: str | None = None
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class AddressBookEntry:
    """The addresses of one referenced object, its default first; empty, with the reason, where it has none (yet)."""

    addresses: tuple[Address, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a Trigger's events are delivered: ``retry`` extra attempts, waits and timeouts in seconds."""

    retry: int = DEFAULT_RETRY
    backoff_policy: str = "exponential"
    backoff_delay_s: float = DEFAULT_BACKOFF_S
    timeout_s: float = DEFAULT_TIMEOUT_S
    retry_after_max_s: float | None = None
    format: str | None = None
    dead_letter_sink: Destination | None = None


@dataclass(frozen=True, slots=True)
class BrokerDefinition:
    """A Broker whose streams exist."""

    uid: BrokerUid
    namespace: str
    name: str
    generation: int = 1
    log_max_bytes: int = DEFAULT_LOG_MAX_BYTES
    history_max_age_s: float = DEFAULT_HISTORY_MAX_AGE_S
    replicas: int = 1
    dedupe_window_s: float = 0.0
    """For how long, at least, the same event is not stored again; 0: it is stored as often as it is sent."""


@dataclass(frozen=True, slots=True)
class TriggerDefinition:
    """A Trigger of a known Broker.

    ``filters`` are the checked filter objects, all of which have to match (none: every event matches). Where they did
    not pass the check, ``matching`` is False: no event is matched, what was matched before is still delivered.
    ``start`` is the history it gets, once: ``all`` of it, or that since a time (RFC 3339); None for none.

    While it is ``paused`` nothing is sent to the subscriber: what it would get waits in its queue. ``resumed_at`` (RFC
    3339, empty: never) is when the last pause ended. ``max_in_flight`` attempts at a time and ``rate`` attempts a
    second are the most that all dispatchers make together; None: no limit. What is ``ordered`` gets the events of each
    key (``partitionkey``; those without one together) one after the other, in the order of the log.
    """

    uid: TriggerUid
    namespace: str
    name: str
    broker: BrokerUid
    subscriber: Destination
    generation: int = 1
    filters: tuple[dict[str, Any], ...] = ()
    matching: bool = True
    delivery: Delivery = Delivery()
    start: str | None = None
    paused: bool = False
    resumed_at: str = ""
    max_in_flight: int | None = None
    rate: float | None = None
    ordered: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether what it gets at a time is limited: then one dispatcher delivers all of it."""
        return self.max_in_flight is not None or self.rate is not None


@dataclass(frozen=True, slots=True)
class Complete:
    """The mark that the bucket holds everything: how many of each, and the controller's epoch that says so."""

    epoch: int
    brokers: int
    triggers: int
    addresses: int


Definition = BrokerDefinition | TriggerDefinition | AddressBookEntry | Complete


class UnresolvedError(Exception):
    """A destination has no URL now; the text says why. A delivery failure, not an error of Scaup."""


def resolve(destination: Destination, address_book: dict[str, AddressBookEntry]) -> Address:
    """The address to send to, by Knative's rules (control-plane spec, "Destination resolution").

    Raises UnresolvedError where the referenced object is unknown, has no address, or none of the wanted name.
    """
    if destination.address is None:
        if not destination.uri:
            msg = "the destination has neither ref nor uri"
            raise UnresolvedError(msg)
        return Address(destination.uri, None, destination.ca_certs, destination.audience)
    entry = address_book.get(destination.address)
    where = destination.address.removeprefix("address/")
    if entry is None or not entry.addresses:
        reason = entry.reason if entry and entry.reason else "it has no address yet"
        msg = f"{where}: {reason}"
        raise UnresolvedError(msg)
    wanted = destination.address_name
    found = next((a for a in entry.addresses if wanted is None or a.name == wanted), None)
    if found is None:
        msg = f"{where} has no address named {wanted!r}"
        raise UnresolvedError(msg)
    url = urljoin(found.url, destination.uri) if destination.uri else found.url
    return Address(url, found.name, destination.ca_certs or found.ca_certs, destination.audience or found.audience)


def to_json(definition: Definition) -> dict[str, Any]:
    """The JSON object of a definition; what is unset is left out."""
    value: dict[str, Any] = _without_nones(asdict(definition))
    return value


def broker_from_json(value: dict[str, Any]) -> BrokerDefinition:
    """The Broker that ``to_json`` wrote; unknown members of a newer version are passed over."""
    return BrokerDefinition(**_known(BrokerDefinition, value))


def trigger_from_json(value: dict[str, Any]) -> TriggerDefinition:
    """The Trigger that ``to_json`` wrote."""
    known = _known(TriggerDefinition, value)
    delivery = _known(Delivery, known.pop("delivery", {}))
    dead = delivery.pop("dead_letter_sink", None)
    known["subscriber"] = Destination(**_known(Destination, known["subscriber"]))
    known["filters"] = tuple(known.get("filters", ()))
    known["delivery"] = Delivery(
        **delivery, dead_letter_sink=Destination(**_known(Destination, dead)) if dead is not None else None
    )
    return TriggerDefinition(**known)


def address_from_json(value: dict[str, Any]) -> AddressBookEntry:
    """The address book's entry that ``to_json`` wrote."""
    addresses = tuple(Address(**_known(Address, a)) for a in value.get("addresses", ()))
    return AddressBookEntry(addresses, value.get("reason", ""))


def complete_from_json(value: dict[str, Any]) -> Complete:
    """The mark that ``to_json`` wrote."""
    return Complete(**_known(Complete, value))


def _known(kind: type, value: dict[str, Any]) -> dict[str, Any]:
    names = kind.__dataclass_fields__.keys()  # type: ignore[attr-defined]
    return {name: value[name] for name in names if name in value}


def _without_nones(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nones(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_nones(v) for v in value]
    return value
