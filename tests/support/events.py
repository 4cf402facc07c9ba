"""Events, Brokers and Triggers for tests: complete ones, of which a test says only what it is about."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from scaup.core.model.definitions import BrokerDefinition, Destination, TriggerDefinition
from scaup.core.model.event import Event
from scaup.core.model.names import BrokerUid, TriggerUid

REQUIRED = {"specversion": "1.0", "id": "1", "source": "/tests", "type": "com.example.test"}
BROKER = BrokerUid("broker-1")


def an_event(data: bytes | None = None, **changes: str | None) -> Event:
    """An event with the required attributes; None takes one away."""
    return Event(dict(REQUIRED), data).with_attributes(**changes)


def a_broker(uid: str = BROKER, **changes: Any) -> BrokerDefinition:
    """The Broker ``default/one``."""
    return BrokerDefinition(**({"uid": BrokerUid(uid), "namespace": "default", "name": "one"} | changes))


def a_trigger(uid: str = "trigger-1", attributes: dict[str, str] | None = None, **changes: Any) -> TriggerDefinition:
    """A Trigger of that Broker, named as its uid, with a filter on ``attributes`` where they are given."""
    values: dict[str, Any] = {
        "uid": TriggerUid(uid),
        "namespace": "default",
        "name": uid,
        "broker": BROKER,
        "subscriber": Destination(uri="http://127.0.0.1:9/"),
        "filters": () if attributes is None else ({"attributes": attributes},),
    }
    return TriggerDefinition(**(values | changes))


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), max_size=20)
"""What an attribute may hold ("Type System", String)."""
WORDS = TEXTS.filter(lambda text: bool(text.strip()))
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True).filter(
    lambda name: name not in {*REQUIRED, "data", "time", "subject", "dataschema", "datacontenttype"}
)
MEDIA_TYPES = st.sampled_from(
    [
        "application/json",
        "text/plain",
        "Text/XML; charset=utf-8",
        "application/octet-stream",
        "x/y+json",
        'a/b; c="d e"',
    ]
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event that the specification allows."""
    attributes = draw(st.dictionaries(NAMES, TEXTS, max_size=4))
    attributes |= {name: draw(WORDS) for name in ("id", "source", "type")} | {"specversion": "1.0"}
    if draw(st.booleans()):
        attributes["subject"] = draw(WORDS)
    if draw(st.booleans()):
        attributes["time"] = draw(st.sampled_from(["2026-11-22T10:00:00Z", "1985-04-12t23:20:50.123456789+01:30"]))
    if draw(st.booleans()):
        attributes["datacontenttype"] = draw(MEDIA_TYPES)
    return Event(attributes, draw(st.binary(max_size=60)) or None)
