"""The plan: from what was observed to what is wanted. Everything that is judged, is judged here."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.controller import plan as plan_module
from scaup.controller.checks import check_trigger
from scaup.controller.plan import Plan, Planner, TriggerPlan
from scaup.controller.resolve import Absent, Found, NotKnownYet, Ref
from scaup.controller.wanted import Wanted
from scaup.core.model.definitions import Delivery, Destination, to_json, trigger_from_json

CLASS = {"eventing.knative.dev/broker.class": "Scaup"}
DUCK = {"apiVersion": "example.com/v1", "kind": "Duck", "name": "d"}
DUCK_KEY = "address/example.com/v1/Duck/default/d"
SINK = {"uri": "http://sink.test/"}
NOW = "2026-01-02T03:04:05+00:00"


def broker(name: str = "b", uid: str = "", spec: Any = None, annotations: Any = None) -> dict[str, Any]:
    metadata = {"uid": uid or f"broker-{name}", "namespace": "default", "name": name, "generation": 1}
    return {"metadata": metadata | {"annotations": CLASS | (annotations or {})}, "spec": spec or {}, "status": None}


def trigger(name: str = "t", spec: Any = None, annotations: Any = None) -> dict[str, Any]:
    metadata = {"uid": f"trigger-{name}", "namespace": "default", "name": name, "generation": 1}
    whole = {"broker": "b", "subscriber": SINK} | (spec or {})
    return {"metadata": metadata | {"annotations": annotations}, "spec": whole, "status": None}


class Api:
    """What can be looked up."""

    def __init__(self, **objects: Any) -> None:
        self.objects: dict[str, Any] = objects

    def look(self, ref: Ref) -> Found | Absent | NotKnownYet:
        found: Found | Absent | NotKnownYet = self.objects.get(ref.name, Absent("NotFound", "there is no such object"))
        return found


def duck(url: str) -> Found:
    return Found({"metadata": {}, "status": {"address": {"url": url}}})


def planned(brokers: list[Any], triggers: list[Any], **objects: Any) -> Plan:
    return Planner().plan(brokers, triggers, Api(**objects).look)


def one(plan: Plan) -> TriggerPlan:
    (found,) = plan.triggers.values()
    return found


def test_a_trigger_of_a_broker_has_a_definition_with_everything_filled_in() -> None:
    plan = planned([broker()], [trigger(spec={"filter": {"attributes": {"type": "a"}}})])
    found = one(plan)
    assert found.definition is not None
    assert found.definition.matching
    assert found.definition.broker == "broker-b"
    assert found.definition.filters == ({"attributes": {"type": "a"}},)
    assert found.definition.delivery == Delivery()
    assert found.problem is found.broker_problem is None
    assert found.subscriber.condition.is_true
    assert found.dependency.is_true


def test_a_broker_that_does_not_say_on_how_many_servers_is_kept_on_as_many_as_the_controller_is_told() -> None:
    said = broker("said", uid="said", annotations={"scaup.dev/replicas": "1"})
    plan = Planner(replicas=3).plan([broker("silent"), said], [], Api().look)
    definitions = {name: one.definition for (_, name), one in plan.brokers.items()}
    assert {name: one.replicas for name, one in definitions.items() if one} == {"silent": 3, "said": 1}


def test_brokers_of_other_classes_and_their_triggers_are_not_touched() -> None:
    for other in ("Kafka", None):
        plan = planned([broker(annotations={"eventing.knative.dev/broker.class": other})], [trigger()])
        assert not plan.brokers
        assert not plan.triggers


def test_a_trigger_without_a_broker_has_no_definition_and_says_which_is_missing() -> None:
    found = one(planned([broker("other")], [trigger()]))
    assert found.definition is None
    assert found.broker_problem is not None
    assert found.broker_problem.reason == "BrokerDoesNotExist"
    assert "'b'" in found.broker_problem.message


def test_a_broker_made_anew_under_its_name_is_another_one() -> None:
    planner, api = Planner(), Api()
    first = one(planner.plan([broker(uid="one")], [trigger()], api.look))
    second = one(planner.plan([broker(uid="two")], [trigger()], api.look))
    assert first.definition is not None
    assert second.definition is not None
    assert (first.definition.broker, second.definition.broker) == ("one", "two")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"filters": [{"exact": {"type": ""}}]}, "FilterInvalid"),
        ({"filter": {"attributes": {"Type": "a"}}}, "FilterInvalid"),
        ({"delivery": {"timeout": "5s"}}, "DeliveryInvalid"),
        ({"fliter": {}}, "SpecInvalid"),
        ({"subscriber": {"uri": "nowhere"}}, "NotSubscribed"),
        ({"delivery": {"retry": 1, "deadLetterSink": {}}}, "NotSubscribed"),
    ],
)
def test_what_does_not_check_matches_nothing_and_says_why(spec: Any, reason: str) -> None:
    found = one(planned([broker()], [trigger(spec=spec)]))
    assert found.definition is not None
    assert not found.definition.matching
    assert found.definition.filters == ()
    assert found.problem is not None
    assert (found.problem.status, found.problem.reason) == ("False", reason)


def test_a_brokers_invalid_delivery_stops_only_the_triggers_that_inherit_it() -> None:
    plan = planned(
        [broker(spec={"delivery": {"retry": -1}})], [trigger("a"), trigger("b", spec={"delivery": {"retry": 2}})]
    )
    inherits, owns = plan.triggers["trigger-a"].definition, plan.triggers["trigger-b"].definition
    assert inherits is not None
    assert owns is not None
    assert not inherits.matching
    assert owns.matching
    (plan_of_broker,) = plan.brokers.values()
    assert plan_of_broker.problem is not None
    assert plan_of_broker.problem.reason == "DeliveryInvalid"
    assert plan_of_broker.definition is not None


def test_a_trigger_with_any_delivery_field_ignores_the_brokers_as_a_whole() -> None:
    of_broker = {"retry": 3, "backoffPolicy": "linear", "deadLetterSink": {"uri": "http://dead.test/"}}
    plan = planned(
        [broker(spec={"delivery": of_broker})],
        [trigger("a"), trigger("b", spec={"delivery": {"timeout": "PT1S"}}), trigger("c", spec={"delivery": {}})],
    )
    deliveries = {uid: t.definition.delivery for uid, t in plan.triggers.items() if t.definition}
    inherited = Delivery(3, "linear", dead_letter_sink=Destination(uri="http://dead.test/"))
    assert deliveries["trigger-a"] == deliveries["trigger-c"] == inherited
    assert deliveries["trigger-b"] == Delivery(timeout_s=1.0)
    assert plan.triggers["trigger-b"].dead_letter.condition.reason == "DeadLetterSinkNotConfigured"
    address = plan.triggers["trigger-a"].dead_letter.address
    assert address is not None
    assert address.url == "http://dead.test/"


def test_a_reference_becomes_a_key_of_the_address_book_and_its_kind_is_watched() -> None:
    plan = planned([broker()], [trigger(spec={"subscriber": {"ref": DUCK, "uri": "/x"}})], d=duck("http://d.test/y"))
    found = one(plan)
    assert found.definition is not None
    assert found.definition.subscriber == Destination(address=DUCK_KEY, uri="/x")
    assert found.address_keys == (DUCK_KEY,)
    assert found.subscriber.address is not None
    assert found.subscriber.address.url == "http://d.test/x"
    assert plan.addresses.keys() == {DUCK_KEY}
    assert ("example.com/v1", "Duck") in plan.collections
    assert ("example.com/v1", "Duck") not in planned([broker()], [trigger()]).collections


@pytest.mark.parametrize(
    ("looked", "status", "reason"),
    [
        (Absent("NotFound", "there is no such object"), "False", "SubscriberNotFound"),
        (Absent("KindNotFound", "no kind"), "False", "SubscriberKindNotFound"),
        (Absent("Forbidden", "may not list"), "False", "SubscriberForbidden"),
        (Found({"metadata": {}, "status": {}}), "False", "SubscriberHasNoAddress"),
        (NotKnownYet(), "Unknown", "SubscriberNotKnownYet"),
    ],
)
def test_a_sink_without_address_is_named_and_its_events_wait_for_it(looked: Any, status: str, reason: str) -> None:
    plan = planned([broker()], [trigger(spec={"subscriber": {"ref": DUCK}})], d=looked)
    found = one(plan)
    assert found.definition is not None
    assert found.definition.matching
    condition = found.subscriber.condition
    assert (condition.type, condition.status, condition.reason) == ("SubscriberResolved", status, reason)
    assert "example.com/v1 Duck default/d" in condition.message
    assert found.subscriber.address is None
    assert (plan.addresses[DUCK_KEY] is None) == isinstance(looked, NotKnownYet)


def test_an_address_name_that_is_not_there_is_told() -> None:
    ref = {"ref": DUCK | {"address": "https"}}
    found = one(planned([broker()], [trigger(spec={"subscriber": ref})], d=duck("http://d.test")))
    assert found.subscriber.condition.reason == "SubscriberHasNoSuchAddress"
    assert "'https'" in found.subscriber.condition.message


def test_a_dead_letter_sink_is_resolved_like_a_subscriber() -> None:
    spec = {"delivery": {"deadLetterSink": {"ref": DUCK}}}
    found = one(planned([broker()], [trigger(spec=spec)]))
    assert found.dead_letter.condition.reason == "DeadLetterSinkNotFound"
    assert found.definition is not None
    assert found.definition.matching
    assert found.address_keys == (DUCK_KEY,)


@pytest.mark.parametrize(
    ("looked", "status", "reason"),
    [
        (Absent("NotFound", "no"), "False", "DependencyDoesNotExist"),
        (NotKnownYet(), "Unknown", "DependencyNotKnownYet"),
        (Found({"metadata": {}, "status": None}), "Unknown", "DependencyNotConfigured"),
        (Found({"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}), "True", ""),
        (
            Found({"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "No"}]}}),
            "False",
            "No",
        ),
        (
            Found(
                {
                    "metadata": {"generation": 2},
                    "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]},
                }
            ),
            "Unknown",
            "GenerationNotEqual",
        ),
    ],
)
def test_a_trigger_waits_for_its_dependency(looked: Any, status: str, reason: str) -> None:
    annotation = {"knative.dev/dependency": '{"apiVersion":"example.com/v1","kind":"Duck","name":"d"}'}
    plan = planned([broker()], [trigger(annotations=annotation)], d=looked)
    condition = one(plan).dependency
    assert (condition.status, condition.reason) == (status, reason)
    assert ("example.com/v1", "Duck") in plan.collections
    assert not plan.addresses


def test_an_object_that_cannot_be_told_from_others_is_left_out_and_named() -> None:
    bad = {"metadata": {"namespace": "default", "name": "x", "uid": "a.b>"}, "spec": {"broker": "b"}}
    plan = planned([broker()], [bad, {"metadata": None}, trigger()])
    assert plan.triggers.keys() == {"trigger-t"}
    assert len(plan.unusable) == 2
    assert "default/x" in plan.unusable[0]


def test_an_object_over_which_our_own_code_stumbles_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    right = check_trigger

    def stumbling(value: dict[str, Any]) -> Any:
        if value["metadata"]["name"] == "bad":
            raise ZeroDivisionError
        return right(value)

    monkeypatch.setattr(plan_module, "check_trigger", stumbling)
    plan = planned([broker()], [trigger("bad"), trigger("good")])
    bad, good = plan.triggers["trigger-bad"], plan.triggers["trigger-good"]
    assert bad.definition is None
    assert bad.keep
    assert bad.problem is not None
    assert bad.problem.reason == "InternalError"
    assert good.definition is not None
    assert good.problem is None


def test_what_did_not_change_is_the_very_same_plan() -> None:
    planner, api = Planner(), Api(d=duck("http://d.test"))
    brokers, first, second = [broker()], trigger("a"), trigger("b", spec={"subscriber": {"ref": DUCK}})
    before = planner.plan(brokers, [first, second], api.look)
    again = planner.plan(brokers, [first, second | {"status": {"x": 1}}], api.look)
    assert again.triggers["trigger-a"] is before.triggers["trigger-a"]
    assert again.triggers["trigger-b"] is before.triggers["trigger-b"]
    api.objects["d"] = duck("http://moved.test")
    moved = planner.plan(brokers, [first, second], api.look)
    assert moved.triggers["trigger-a"] is before.triggers["trigger-a"]
    address = moved.triggers["trigger-b"].subscriber.address
    assert address is not None
    assert address.url == "http://moved.test"
    changed = planner.plan([broker(spec={"delivery": {"retry": 1}})], [first, second], api.look)
    definition = changed.triggers["trigger-a"].definition
    assert definition is not None
    assert definition.delivery.retry == 1


def test_the_snapshot_holds_a_definition_once_its_ground_is_there() -> None:
    plan = planned([broker()], [trigger(spec={"subscriber": {"ref": DUCK}})], d=duck("http://d.test"))
    values, keep = Wanted().of(plan, lambda _: True, lambda _: None, NOW)
    assert values.keys() == {DUCK_KEY, "broker.broker-b", "trigger.trigger-t"}
    assert not keep
    read = trigger_from_json(orjson.loads(values["trigger.trigger-t"]))
    assert read == one(plan).definition
    values, keep = Wanted().of(plan, lambda _: False, lambda _: None, NOW)
    assert values.keys() == {DUCK_KEY}
    assert keep == {"broker.broker-b"}


def test_a_broker_that_is_stored_keeps_its_definition_and_triggers_while_it_is_mistaken() -> None:
    plan = planned([broker(annotations={"scaup.dev/replicas": "2"})], [trigger()])
    values, keep = Wanted().of(plan, lambda _: True, {"broker.broker-b": b"{}"}.get, NOW)
    assert keep == {"broker.broker-b"}
    assert values.keys() == {"trigger.trigger-t"}


def test_an_address_that_is_not_known_yet_stays_what_it_was() -> None:
    plan = planned([broker()], [trigger(spec={"subscriber": {"ref": DUCK}})], d=NotKnownYet())
    assert plan.addresses == {DUCK_KEY: None}
    values, keep = Wanted().of(plan, lambda _: True, lambda _: b"{}", NOW)
    assert DUCK_KEY in keep
    assert values.keys() == {"broker.broker-b", "trigger.trigger-t"}


def test_a_trigger_is_not_let_go_before_its_address_is_known_or_known_to_be_missing() -> None:
    spec = {"subscriber": {"ref": DUCK}}
    values, keep = Wanted().of(
        planned([broker()], [trigger(spec=spec)], d=NotKnownYet()), lambda _: True, lambda _: None, NOW
    )
    assert "trigger.trigger-t" in keep
    assert values.keys() == {"broker.broker-b"}
    values, _ = Wanted().of(planned([broker()], [trigger(spec=spec)]), lambda _: True, lambda _: None, NOW)
    assert "trigger.trigger-t" in values
    assert orjson.loads(values[DUCK_KEY]) == {"addresses": [], "reason": "there is no such object"}


ORDER = "kafka.eventing.knative.dev/delivery.order"
HELD = {"scaup.dev/paused": "true", "scaup.dev/max-in-flight": "7", "scaup.dev/rate": "0.5"}


def test_a_trigger_is_paused_and_limited_by_its_annotations() -> None:
    definition = one(planned([broker()], [trigger(annotations=HELD)])).definition
    assert definition is not None
    assert (definition.paused, definition.max_in_flight, definition.rate) == (True, 7, 0.5)


@pytest.mark.parametrize(("value", "is_ordered"), [("ordered", True), ("unordered", False)])
def test_a_trigger_is_ordered_by_its_annotation(value: str, *, is_ordered: bool) -> None:
    definition = one(planned([broker()], [trigger(annotations={ORDER: value})])).definition
    assert definition is not None
    assert definition.ordered is is_ordered


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("scaup.dev/paused", "yes", "expected 'true' or 'false', found 'yes'"),
        ("scaup.dev/paused", True, "expected 'true' or 'false', found True"),
        ("scaup.dev/max-in-flight", "0", "from 1 to 10,000, found '0'"),
        ("scaup.dev/max-in-flight", "10001", "from 1 to 10,000, found '10001'"),
        ("scaup.dev/max-in-flight", "\u0663", "from 1 to 10,000, found"),
        ("scaup.dev/max-in-flight", 5, "from 1 to 10,000, found 5"),
        ("scaup.dev/rate", "0", "from 0.001 to 1,000,000, found '0'"),
        ("scaup.dev/rate", "1e3", "from 0.001 to 1,000,000, found '1e3'"),
        ("scaup.dev/rate", "-1", "from 0.001 to 1,000,000, found '-1'"),
        ("scaup.dev/rate", "10/s", "such as 100 or 0.5"),
        (ORDER, "sorted", "expected ordered or unordered, found 'sorted'"),
    ],
)
def test_a_mistaken_annotation_is_named_and_what_runs_stays_as_it_is(name: str, value: Any, expected: str) -> None:
    plan = planned([broker()], [trigger(annotations={name: value})])
    found = one(plan)
    assert found.problem is not None
    assert found.problem.reason == "AnnotationInvalid"
    assert found.problem.message.startswith(f"metadata.annotations[{name}]: ")
    assert expected in found.problem.message
    values, keep = Wanted().of(plan, lambda _: True, lambda _: b"{}", NOW)
    assert "trigger.trigger-t" in keep
    assert "trigger.trigger-t" not in values


def test_the_end_of_a_pause_is_written_down_once_and_stays_whatever_changes_and_whoever_is_restarted() -> None:
    stored: dict[str, bytes] = {}

    def resumed_at(moment: str, wanted: Wanted, **changes: Any) -> str:
        values, _ = wanted.of(planned([broker()], [trigger(**changes)]), lambda _: True, stored.get, moment)
        stored.update(values)
        return trigger_from_json(orjson.loads(values["trigger.trigger-t"])).resumed_at

    first, pause = Wanted(), {"scaup.dev/paused": "true"}
    assert not resumed_at("t1", first)
    assert not resumed_at("t2", first, annotations=pause)
    assert resumed_at("t3", first) == "t3"
    assert resumed_at("t4", first) == "t3"
    assert resumed_at("t5", Wanted()) == "t3"
    assert resumed_at("t6", Wanted(), spec={"subscriber": {"uri": "http://other.test/"}}) == "t3"
    assert not resumed_at("t7", Wanted(), annotations=pause)
    assert resumed_at("t8", Wanted(), annotations={"scaup.dev/paused": "false"}) == "t8"


_WORDS = """broker brokerRef filter filters subscriber delivery attributes ref uri apiVersion kind name namespace
address addresses url deadLetterSink retry timeout conditions type x"""
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_WORDS.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(spec=_JSON, annotations=_JSON, status=_JSON)
def test_no_object_whatever_it_holds_touches_another(spec: Any, annotations: Any, status: Any) -> None:
    strange = {"metadata": {"uid": "x", "namespace": "default", "name": "x", "annotations": annotations}, "spec": spec}
    also = broker("x", spec=spec if isinstance(spec, dict) else {})
    neighbour = trigger(spec={"subscriber": {"ref": DUCK}})
    looked = Found({"metadata": {}, "status": status})
    plan = planned([broker(), also | {"spec": spec}], [strange, neighbour], d=looked)
    alone = planned([broker()], [neighbour], d=looked)
    assert plan.triggers["trigger-t"] == alone.triggers["trigger-t"]
    Wanted().of(plan, lambda _: True, lambda _: b"{}", NOW)
    if "x" in plan.triggers and (definition := plan.triggers["x"].definition):
        # What the bus holds of it is read back as it was meant, and its own text reached no subject.
        assert trigger_from_json(orjson.loads(orjson.dumps(to_json(definition)))) == definition
    assert all(not set(" *>\t\r\n") & set(key) and ".." not in key for key in plan.addresses)
