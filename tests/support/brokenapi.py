"""The definitions of a broker that can be told to be wrong: a Kubernetes API in memory, and a controller behind it.

Without faults it is right about all that the conformance suite asks of definitions. What each fault does stands where
it is asked for.
"""

from __future__ import annotations

import copy
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from scaup.core.filters.compiled import Compiled, check_text, compile_tree
from scaup.core.filters.parse import parse_filters
from scaup.core.model.durations import parse_duration
from scaup.core.model.errors import DefinitionError
from tests.support.brokencesql import misread

Object = dict[str, Any]
CLASS = "eventing.knative.dev/broker.class"
OWN = "Fake"
PATH = re.compile(r"/(?:api|apis/eventing\.knative\.dev)/v1/namespaces/default/(\w+)(?:/([\w.-]+))?")
KINDS = {"brokers": "Broker", "triggers": "Trigger", "services": "Service", "configmaps": "ConfigMap"}


@dataclass
class Resolved:
    """What the data plane knows of a Trigger."""

    name: str
    broker: str
    filters: Compiled | None
    url: str
    dead: str
    delivery: Object
    since: float


class BrokenApi:
    """Objects, and what is made of them. ``url`` is where the Brokers are."""

    def __init__(self, faults: frozenset[str], url: str) -> None:
        self.faults = faults
        self.url = url
        self.objects: dict[str, dict[str, Object]] = {kind: {} for kind in KINDS.values()}
        self.resolved: dict[str, Resolved] = {}

    def has(self, fault: str, name: str = "") -> bool:
        """Whether it is wrong in this way. What the suite itself stands on is always right."""
        return fault in self.faults and "-ground-" not in name

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        found = PATH.fullmatch(path)
        assert found is not None, path
        kind, name = KINDS[found[1]], found[2]
        there = self.objects[kind]
        match method:
            case "GET" if name is None:
                return 200, {"items": copy.deepcopy(list(there.values()))}
            case "GET":
                return (200, copy.deepcopy(there[name])) if name in there else (404, {})
            case "POST":
                return self._create(kind, body)
            case "PATCH":
                return self._patch(kind, there[name], body)
            case "DELETE":
                there.pop(name, None)
                self.resolved.pop(name, None)
                return 200, {}
        raise AssertionError(method)

    def _create(self, kind: str, body: Object) -> tuple[int, Any]:
        value = copy.deepcopy(body)
        name = value["metadata"]["name"]
        value["metadata"]["generation"] = 1
        if kind == "Broker" and not self.has("no_default_class"):
            value["metadata"]["annotations"].setdefault(CLASS, OWN)
        if kind == "Trigger" and not self.has("takes_malformed_definitions"):
            try:
                _check(value["spec"])
            except (DefinitionError, ValueError) as error:
                return 400, {"message": str(error)}
        if self.has("forgets_fields", name):
            value["spec"].pop("delivery", None)
        self.objects[kind][name] = value
        self._reconcile(kind, name)
        return 201, copy.deepcopy(value)

    def _patch(self, kind: str, value: Object, change: Object) -> tuple[int, Any]:
        frozen = {"broker"} if kind == "Trigger" else {"config"}
        is_frozen = frozen & set(change.get("spec") or {}) or CLASS in (
            (change.get("metadata") or {}).get("annotations") or {}
        )
        if is_frozen and not self.has("everything_changes"):
            return 400, {"message": "immutable"}
        _merge(value, change)
        value["metadata"]["generation"] += 1
        self._reconcile(kind, value["metadata"]["name"])
        return 200, copy.deepcopy(value)

    # -- the controller -----------------------------------------------------------------------------------------

    def _reconcile(self, kind: str, name: str) -> None:
        if kind == "Trigger":
            self._trigger(self.objects["Trigger"][name])
            return
        if kind == "Broker":
            self._broker(self.objects["Broker"][name])
        for value in self.objects["Trigger"].values():
            if not self.ready("Trigger", value["metadata"]["name"]):
                self._trigger(value)

    def ready(self, kind: str, name: str) -> bool:
        """Whether an object is there and Ready."""
        conditions = (self.objects[kind].get(name, {}).get("status") or {}).get("conditions") or []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _broker(self, value: Object) -> None:
        name = value["metadata"]["name"]
        if value["metadata"]["annotations"].get(CLASS, OWN) != OWN:
            return
        dead = self.resolve((value["spec"].get("delivery") or {}).get("deadLetterSink"))
        status: Object = {} if self.has("no_address", name) else {"address": {"url": f"{self.url}/default/{name}"}}
        if dead and not self.has("no_dead_letter_uri", name):
            status["deadLetterSinkUri"] = dead
        self._conclude(value, status, {"Addressable": None, "DeadLetterSinkResolved": _unless(dead is not None)})

    def _trigger(self, value: Object) -> None:
        name, spec = value["metadata"]["name"], value["spec"]
        broker = self.objects["Broker"].get(spec.get("broker", ""))
        own = spec.get("delivery")
        theirs = ((broker or {}).get("spec") or {}).get("delivery") or {}
        delivery = {**theirs, **own} if own and self.has("merges_deliveries") else own or theirs
        url, dead = self.resolve(spec.get("subscriber")), self.resolve(delivery.get("deadLetterSink"))
        filters, why = self._filters(spec)
        found = {
            "BrokerReady": _unless(self.ready("Broker", spec.get("broker", ""))),
            "SubscriberResolved": _unless(bool(url)),
            "DeadLetterSinkResolved": _unless(dead is not None),
            "FiltersValid": why or None,
        }
        status: Object = {"subscriberUri": "" if self.has("no_subscriber_uri") else url or ""}
        if dead and not self.has("no_dead_letter_uri", name):
            status["deadLetterSinkUri"] = dead
        before = self.resolved.pop(name, None)
        self._conclude(value, status, found)
        if self.ready("Trigger", name):
            if before is not None and self.has("goes_where_it_was"):
                url = before.url
            self.resolved[name] = Resolved(
                name, spec["broker"], filters, url or "", dead or "", delivery, time.monotonic()
            )

    def _filters(self, spec: Object) -> tuple[Compiled | None, str]:
        """What is filtered by, and what is wrong with it."""
        parts = [self._misread(part) for part in spec.get("filters") or []]
        attributes = (spec.get("filter") or {}).get("attributes")
        if not parts and attributes:
            parts = [{"attributes": attributes}]
        try:
            return compile_tree(parse_filters(parts, check=check_text)), ""
        except DefinitionError as error:
            return None, "" if self.has("takes_nonsense_filters") else str(error)

    def _misread(self, part: Any) -> Any:
        if "cesql" in part:
            return part | {"cesql": misread(part["cesql"], self.faults)}
        return part

    def resolve(self, destination: Any) -> str | None:
        """The address; None where there is none, nothing where none was asked for."""
        if not destination:
            return ""
        uri, ref = destination.get("uri", ""), destination.get("ref")
        if ref is None:
            return str(uri)
        if ref["kind"] == "Service" and ref["name"] in self.objects["Service"] and not self.has("no_services"):
            base = f"http://{ref['name']}.default.svc.cluster.local"
        else:
            status = self.objects.get(ref["kind"], {}).get(ref["name"], {}).get("status") or {}
            base = (status.get("address") or {}).get("url") or ""
        if not base:
            return "http://nobody.example/" if self.has("resolves_everything") else None
        return base if self.has("forgets_relative_uris") else urljoin(base, uri)

    def _conclude(self, value: Object, status: Object, found: dict[str, str | None]) -> None:
        """Conditions, and Ready over them. None is True; a text is why it is False."""
        name = value["metadata"]["name"]
        conditions = [_condition(kind, why) for kind, why in found.items()]
        first = next((why for why in found.values() if why is not None), None)
        ready = _condition("Ready", None if self.has("always_ready", name) else first)
        if self.has("no_reasons", name):
            conditions = [{k: v for k, v in one.items() if k != "reason"} for one in conditions]
            ready.pop("reason", None)
        if self.has("ready_is_alone", name):
            conditions = []
        if self.has("conditions_twice", name):
            conditions = conditions * 2
        if self.has("ready_is_severe", name):
            ready["severity"] = "Warning"
        generation = value["metadata"]["generation"] - self.has("stale_generation", name)
        value["status"] = status | {"observedGeneration": generation, "conditions": [ready, *conditions]}


def _unless(holds: bool) -> str | None:
    return None if holds else "what is referred to is not there"


def _condition(kind: str, why: str | None) -> Object:
    time = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    if why is None:
        return {"type": kind, "status": "True", **time}
    return {"type": kind, "status": "False", "reason": f"Not{kind}", "message": why, **time}


def _check(spec: Object) -> None:
    if not spec.get("subscriber"):
        raise ValueError("no subscriber")
    delivery = spec.get("delivery") or {}
    if delivery.get("retry", 0) < 0 or delivery.get("backoffPolicy", "linear") not in {"linear", "exponential"}:
        raise ValueError("delivery")
    for name in ("backoffDelay", "timeout", "retryAfterMax"):
        if name in delivery:
            parse_duration(delivery[name])


def _merge(value: Object, change: Object) -> None:
    for name, item in change.items():
        if isinstance(item, dict) and isinstance(value.get(name), dict) and name not in {"subscriber", "attributes"}:
            _merge(value[name], item)
        else:
            value[name] = item
