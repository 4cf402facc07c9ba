"""When something is Ready, and what a status then says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.controller.api import TRIGGER_KIND
from scaup.controller.conditions import unknown
from scaup.controller.observe import Collection
from scaup.controller.plan import Plan, Planner
from scaup.controller.readiness import ROLES, Applied, Fleet, Role, is_waiting
from scaup.controller.reports import Report, is_said_by_another
from scaup.controller.resolve import Absent, Found, Ref
from scaup.controller.truth import Stored, Truth

NOW = "2026-01-02T03:04:05Z"
BROKER = {
    "metadata": {
        "uid": "b",
        "namespace": "ns",
        "name": "default",
        "generation": 2,
        "annotations": {"eventing.knative.dev/broker.class": "Scaup"},
    },
    "spec": {},
}
TRIGGER = {
    "metadata": {"uid": "t", "namespace": "ns", "name": "t", "generation": 3},
    "spec": {
        "broker": "default",
        "subscriber": {"uri": "http://sink.test/"},
        "delivery": {"deadLetterSink": {"uri": "http://dead.test/", "audience": "me"}},
    },
}


def plan(brokers: Any = None, triggers: Any = None) -> Plan:
    found = Planner().plan(
        [BROKER] if brokers is None else brokers,
        [TRIGGER] if triggers is None else triggers,
        lambda _: Absent("NotFound", "there is no such object"),
    )
    assert not found.unusable
    return found


def fleet(ingress: Any = 9, filters: Any = 9, dispatcher: Any = 9, *, lost: str = "", seen: bool = True) -> Fleet:
    """One replica a role at that revision; None for no replica."""
    roles = []
    for name, revision in zip(ROLES, (ingress, filters, dispatcher), strict=True):
        replicas = () if revision is None else (Applied(f"{name}.one", revision),)
        roles.append(Role(name, replicas, is_lost=lost == name, was_seen=seen))
    return Fleet(tuple(roles))


def stored(created: str = "c", problems: Any = None, found_at: int = 0, **revisions: Any) -> Stored:
    keys = {"broker.b": revisions.get("broker", 5), "trigger.t": revisions.get("trigger", 6)}
    return Stored(keys.get, lambda _: True, problems or {}, created, found_at)


def reports(truth: Truth, fleet: Fleet, stored: Stored, status: Any = None, p: Plan | None = None) -> dict[str, Report]:
    return truth.reports(p or plan(), stored, fleet, lambda _: status)


def condition(report: Report, name: str) -> tuple[str, str]:
    return next((c.status, c.reason) for c in report.conditions if c.type == name)


def test_everything_is_ready_when_every_replica_has_the_revision() -> None:
    found = reports(Truth("http://public.test/"), fleet(5, 6, 6), stored())
    assert found["b"].is_ready
    assert found["t"].is_ready
    status = found["b"].merge_patch(None, NOW)
    assert status["address"] == {"url": "http://public.test/ns/default"}
    assert status["observedGeneration"] == 2
    assert {c["type"] for c in status["conditions"]} == {
        "Ready",
        "IngressReady",
        "TriggerChannelReady",
        "FilterReady",
        "Addressable",
        "DeadLetterSinkResolved",
        "EventPoliciesReady",
    }
    status = found["t"].merge_patch(None, NOW)
    assert status["subscriberUri"] == "http://sink.test/"
    assert (status["deadLetterSinkUri"], status["deadLetterSinkAudience"]) == ("http://dead.test/", "me")
    assert {c["type"] for c in status["conditions"]} == {
        "Ready",
        "BrokerReady",
        "SubscriptionReady",
        "DependencyReady",
        "SubscriberResolved",
        "DeadLetterSinkResolved",
        "OIDCIdentityCreated",
    }


@pytest.mark.parametrize(
    ("at", "broker", "subscription"),
    [
        (fleet(4, 9, 9), "IngressReady", None),
        (fleet(9, 4, 9), "FilterReady", "filter.one has applied revision 4 of 6"),
        (fleet(9, 9, 5), None, "dispatcher.one has applied revision 5 of 6"),
        (fleet(9, 9, None), None, "no replica of dispatcher has reported yet"),
        (fleet(9, None, 9), "FilterReady", "no replica of filter has reported yet"),
    ],
)
def test_nothing_is_ready_before_and_it_says_who_is_behind(at: Fleet, broker: Any, subscription: Any) -> None:
    found = reports(Truth(""), at, stored())
    assert found["b"].is_ready == (broker is None)
    if broker:
        assert condition(found["b"], broker) == ("Unknown", "WaitingForDataPlane")
        assert condition(found["t"], "BrokerReady") == ("False", "WaitingForDataPlane")
    if subscription:
        waiting = next(c for c in found["t"].conditions if c.type == "SubscriptionReady")
        assert (waiting.status, waiting.message) == ("Unknown", subscription)
    assert not found["t"].is_ready
    assert is_waiting(found["t"].conditions)


def test_one_of_several_replicas_behind_is_enough() -> None:
    roles = (Role("ingress", (Applied("a", 9),)), Role("filter", (Applied("a", 9), Applied("b", 5))))
    found = reports(Truth(""), Fleet((*roles, Role("dispatcher", (Applied("a", 9),)))), stored())
    assert condition(found["t"], "SubscriptionReady")[0] == "Unknown"


def test_what_was_ready_stays_so_while_a_replica_restarts_but_not_when_the_role_is_lost() -> None:
    truth = Truth("")
    assert reports(truth, fleet(), stored())["t"].is_ready
    assert reports(truth, fleet(None, None, None), stored())["t"].is_ready
    assert reports(truth, fleet(2, 2, 2), stored())["t"].is_ready
    lost = reports(truth, fleet(None, 9, 9, lost="ingress"), stored())
    assert condition(lost["b"], "IngressReady") == ("False", "NoIngress")
    assert condition(lost["t"], "BrokerReady") == ("False", "NoIngress")
    lost = reports(truth, fleet(9, 9, None, lost="dispatcher"), stored())
    assert condition(lost["t"], "SubscriptionReady") == ("False", "NoDispatcher")
    assert reports(truth, fleet(), stored())["t"].is_ready


def test_a_new_revision_has_to_be_applied_anew() -> None:
    truth = Truth("")
    assert reports(truth, fleet(), stored())["t"].is_ready
    assert not reports(truth, fleet(), stored(trigger=10))["t"].is_ready
    assert reports(truth, fleet(10, 10, 10), stored(trigger=10))["t"].is_ready


def test_a_bucket_made_anew_settles_nothing() -> None:
    truth = Truth("")
    assert reports(truth, fleet(), stored())["t"].is_ready
    assert not reports(truth, fleet(0, 0, 0), stored(created="d"))["t"].is_ready


def test_a_controller_that_restarts_believes_the_status_of_what_it_has_not_written() -> None:
    said = {"observedGeneration": 3, "conditions": [{"type": "Ready", "status": "True"}]}
    behind = fleet(2, 2, 2)
    assert condition(reports(Truth(""), behind, stored(found_at=8), said)["t"], "SubscriptionReady")[0] == "True"
    assert condition(reports(Truth(""), behind, stored(found_at=5), said)["t"], "SubscriptionReady")[0] == "Unknown"
    said["observedGeneration"] = 2
    assert condition(reports(Truth(""), behind, stored(found_at=8), said)["t"], "SubscriptionReady")[0] == "Unknown"


def test_a_controller_that_restarts_with_nobody_there_does_not_believe_it() -> None:
    said = {"observedGeneration": 3, "conditions": [{"type": "Ready", "status": "True"}]}
    nobody = fleet(None, None, None, seen=False)
    assert not reports(Truth(""), nobody, stored(found_at=8), said)["t"].is_ready


def test_what_is_not_stored_is_not_ready() -> None:
    found = reports(Truth(""), fleet(), stored(trigger=None))
    assert condition(found["t"], "SubscriptionReady") == ("Unknown", "WaitingForDataPlane")
    found = reports(Truth(""), fleet(), stored(broker=None))
    assert condition(found["b"], "TriggerChannelReady") == ("Unknown", "Provisioning")
    assert found["b"].merge_patch({"address": {"url": "http://old"}}, NOW)["address"] is None


def test_what_the_bus_refuses_is_told_with_its_words() -> None:
    found = reports(Truth(""), fleet(), stored(problems={"b": "no room", "trigger.t": "too large"}))
    assert condition(found["b"], "TriggerChannelReady") == ("False", "ChannelFailure")
    assert condition(found["b"], "Addressable") == ("False", "ChannelFailure")
    subscription = next(c for c in found["t"].conditions if c.type == "SubscriptionReady")
    assert (subscription.reason, subscription.message) == ("DefinitionNotStored", "too large")
    assert not is_waiting(found["t"].conditions)


def test_an_unresolved_subscriber_has_an_empty_uri() -> None:
    value = TRIGGER | {
        "spec": {"broker": "default", "subscriber": {"ref": {"apiVersion": "v1", "kind": "Service", "name": "x"}}}
    }
    found = reports(Truth(""), fleet(), stored(), None, plan(triggers=[value]))["t"]
    assert condition(found, "Ready") == ("False", "SubscriberNotFound")
    status = found.merge_patch({"subscriberUri": "http://old", "subscriberAudience": "x"}, NOW)
    assert status["subscriberUri"] == ""
    assert status["subscriberAudience"] is None


def test_every_condition_that_is_not_true_has_a_reason_and_a_message() -> None:
    value = TRIGGER | {"spec": {}}
    for triggers in ([value], [TRIGGER]):
        for brokers in ([], [BROKER], [BROKER | {"spec": {"x": 1}}]):
            for at in (fleet(), fleet(None, None, None), fleet(None, None, None, lost="ingress"), fleet(1, 1, 1)):
                for report in reports(Truth(""), at, stored(), None, plan(brokers, triggers)).values():
                    for c in report.conditions:
                        assert c.is_true or (c.reason and c.message), c


def test_a_status_that_says_it_already_is_not_written() -> None:
    report = reports(Truth(""), fleet(), stored())["t"]
    status = {k: v for k, v in report.merge_patch(None, NOW).items() if v is not None}
    assert not report.differs(status)
    assert not report.differs(status | {"annotations": {"of": "others"}})
    assert report.differs(status | {"observedGeneration": 2})
    assert report.differs(status | {"subscriberUri": "http://other"})
    assert report.differs(status | {"conditions": status["conditions"][1:]})
    assert report.differs(status | {"deadLetterSinkCACerts": "old"})
    assert report.differs(None)
    assert report.differs("text")


def test_members_of_an_address_that_are_no_more_are_removed_by_the_patch() -> None:
    report = reports(Truth("http://p"), fleet(), stored())["b"]
    patch = report.merge_patch({"address": {"url": "http://old", "name": "http"}}, NOW)
    assert patch["address"] == {"url": "http://p/ns/default", "name": None}


def test_two_controllers_do_not_quarrel_about_a_trigger_without_broker() -> None:
    report = reports(Truth(""), fleet(), stored(), None, plan(brokers=[]))["t"]
    ours = report.merge_patch(None, NOW)
    assert not is_said_by_another(report, None)
    assert not is_said_by_another(report, ours)
    theirs = ours | {"conditions": [c for c in ours["conditions"] if c["type"] in {"Ready", "BrokerReady"}]}
    assert is_said_by_another(report, theirs)
    assert not is_said_by_another(report, theirs | {"observedGeneration": 1})
    assert not is_said_by_another(reports(Truth(""), fleet(), stored())["t"], theirs)


_WORDS = ["address", "addresses", "conditions", "type", "status", "reason", "observedGeneration", "url", "x"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_WORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(status=_JSON, metadata=st.dictionaries(st.sampled_from(["annotations", "generation", "uid"]), _JSON))
def test_no_status_whatever_it_holds_stops_a_report(status: Any, metadata: Any) -> None:
    for brokers in ([], [BROKER]):
        for report in reports(Truth(""), fleet(), stored(found_at=9), status, plan(brokers=brokers)).values():
            assert report.differs(status)
            is_said_by_another(report, status)
            assert report.merge_patch(status, NOW)["conditions"][0]["lastTransitionTime"]
    value = {"metadata": metadata | {"name": "x"}, "status": status}
    for kind in (TRIGGER_KIND, ("example.com/v1", "Duck")):
        collection = Collection(kind, lambda: None)
        collection._apply(False, value)
        assert isinstance(collection.look(Ref(*kind, "", "x")), Found)


def test_the_same_report_is_the_very_same_one() -> None:
    truth, p = Truth(""), plan()
    before, after = (reports(truth, fleet(), stored(), None, p) for _ in range(2))
    assert before["t"] is after["t"]
    assert before["b"] is after["b"]
    behind = reports(truth, fleet(9, 9, None, lost="dispatcher"), stored(), None, p)
    assert behind["t"] is not after["t"]
    assert behind["b"] is after["b"]


def test_only_what_waits_for_answers_is_worth_waiting_for() -> None:
    assert not is_waiting([])
    assert is_waiting([unknown("A", "SubscriberNotKnownYet", "m")])
    assert not is_waiting([unknown("A", "Provisioning", "m"), unknown("B", "Else", "m")])
