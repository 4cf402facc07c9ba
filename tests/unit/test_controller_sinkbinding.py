"""SinkBindings, the pure part: what is read, who binds what, and the patch that makes it so."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.controller.api import read
from scaup.controller.resolve import Absent, Found, Lookup, NotKnownYet, Ref
from scaup.controller.sinkbinding import (
    CRONJOB_KIND,
    JOB_KIND,
    Binding,
    Kind,
    claim,
    environment,
    find_sink,
    read_binding,
    reduced_binding,
)
from scaup.controller.sinkbindingpatch import MARK, Change, Mark, change, mark_of, reduced_subject
from scaup.controller.sinkbindingshapes import SelectorShape
from scaup.controller.sinkbindingwatch import Pace
from scaup.core.model.definitions import Address
from scaup.core.model.errors import DefinitionError

DEPLOYMENT: Kind = ("apps/v1", "Deployment")
WANTED = Mark("u1", "b", {"K_SINK": "http://sink.test", "K_CE_OVERRIDES": ""})


def binding(name: str = "b", created: str = "2026-01-01T00:00:00Z", **spec: Any) -> Binding:
    value = {
        "metadata": {"uid": f"uid-{name}", "namespace": "ns", "name": name, "creationTimestamp": created},
        "spec": {
            "subject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"},
            "sink": {"uri": "http://s.test"},
        }
        | spec,
    }
    return read_binding(reduced_binding(value))


def deployment(*containers: dict[str, Any], labels: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": "d1",
            "name": "w",
            "namespace": "ns",
            "resourceVersion": "7",
            "labels": labels or {},
            **metadata,
        },
        "spec": {"template": {"spec": {"containers": list(containers)}}},
    }


def applied(value: dict[str, Any], done: Change) -> dict[str, Any]:
    """What a JSON patch makes of an object (RFC 6902, as far as it is used)."""
    result = copy.deepcopy(value)
    for operation in done.operations:
        *steps, last = [part.replace("~1", "/") for part in operation["path"].split("/")[1:]]
        at: Any = result
        for step in steps:
            at = at[int(step)] if isinstance(at, list) else at[step]
        key: Any = int(last) if isinstance(at, list) and last != "-" else last
        match operation["op"]:
            case "test":
                assert at[key] == operation["value"]
            case "add" if isinstance(at, list):
                at.append(operation["value"]) if key == "-" else at.insert(key, operation["value"])
            case "add":
                at[key] = operation["value"]
            case "remove":
                del at[key]
    return result


def bound(value: dict[str, Any], wanted: Mark | None) -> dict[str, Any]:
    return applied(value, change(DEPLOYMENT, reduced_subject(DEPLOYMENT, value), wanted))


ENTRY = st.fixed_dictionaries(
    {"name": st.sampled_from(["A", "B", "K_SINK", "K_CE_OVERRIDES", "K_CA_CERTS"])},
    optional={"value": st.sampled_from(["", "x", "http://sink.test"]), "valueFrom": st.just({"fieldRef": {}})},
)
CONTAINER = st.fixed_dictionaries(
    {"image": st.just("i")},
    optional={"name": st.sampled_from(["a", "b"]), "env": st.lists(ENTRY, min_size=1, max_size=4)},
)
ENVIRONMENT = st.dictionaries(
    st.sampled_from(["K_SINK", "K_CE_OVERRIDES", "K_CA_CERTS"]),
    st.sampled_from(["", "http://sink.test", "http://b.test"]),
)


@given(st.lists(CONTAINER, min_size=1, max_size=3), ENVIRONMENT, ENVIRONMENT)
def test_binding_twice_is_binding_once_and_what_its_author_set_stays(
    containers: list[dict[str, Any]], first: dict[str, str], second: dict[str, str]
) -> None:
    value = deployment(*containers)
    for environ in (first, second):
        wanted = Mark("u1", "b", environ)
        value = bound(value, wanted)
        assert mark_of(reduced_subject(DEPLOYMENT, value)) == wanted
        assert change(DEPLOYMENT, reduced_subject(DEPLOYMENT, value), wanted).operations == ()
        for container in value["spec"]["template"]["spec"]["containers"]:
            assert environ.keys() <= {e["name"] for e in container.get("env", [])}
    after = bound(value, None)
    assert after["metadata"]["annotations"] == {}
    for container, before in zip(after["spec"]["template"]["spec"]["containers"], containers, strict=True):
        ours = {**first, **second}
        kept = [e for e in before.get("env", []) if e["name"] not in ours]
        left = [e for e in container.get("env", []) if e["name"] not in ours]
        assert left == kept
        assert container.get("env") != []


@given(st.lists(CONTAINER, min_size=1, max_size=3))
def test_what_had_nothing_of_ours_is_after_undoing_what_it_was(containers: list[dict[str, Any]]) -> None:
    for container in containers:
        container["env"] = [e for e in container.get("env", []) if not e["name"].startswith("K_")]
        if not container["env"]:
            del container["env"]
    value = deployment(*containers, annotations={"its": "own"})
    assert bound(bound(value, WANTED), None) == value


def test_an_annotation_that_came_meanwhile_is_not_lost() -> None:
    operations = change(DEPLOYMENT, reduced_subject(DEPLOYMENT, deployment({"name": "a"})), WANTED).operations
    assert {"op": "test", "path": "/metadata/resourceVersion", "value": "7"} in operations
    other = deployment({"name": "a"}, annotations={"its": "own"})
    paths = [o["path"] for o in change(DEPLOYMENT, reduced_subject(DEPLOYMENT, other), WANTED).operations]
    assert "/metadata/annotations" not in paths
    assert bound(other, WANTED)["metadata"]["annotations"].keys() == {"its", MARK}


def test_a_container_is_changed_only_while_it_is_the_one_that_was_seen() -> None:
    operations = change(DEPLOYMENT, reduced_subject(DEPLOYMENT, deployment({"name": "a"})), WANTED).operations
    tests = [(o["path"], o["value"]) for o in operations if o["op"] == "test"]
    assert tests[:2] == [("/metadata/uid", "d1"), ("/spec/template/spec/containers/0/name", "a")]


@pytest.mark.parametrize("mark", ["", "nonsense", "[]", '{"env": 3}', '{"env": ["a"]}'])
def test_a_mark_that_others_wrote_is_no_mark(mark: str) -> None:
    value = deployment({"name": "a", "env": [{"name": "K_SINK", "value": "x"}]}, annotations={MARK: mark})
    assert mark_of(reduced_subject(DEPLOYMENT, value)) == Mark()
    assert bound(value, None)["spec"] == value["spec"]


@pytest.mark.parametrize("template", [None, [], "x", {"spec": None}, {"spec": {"containers": {"a": 1}}}])
def test_an_object_without_containers_is_only_marked(template: Any) -> None:
    value = deployment(annotations={"its": "own"})
    value["spec"] = {"template": template}
    assert bound(value, WANTED)["spec"] == value["spec"]


@pytest.mark.parametrize(
    ("selector", "labels", "selects"),
    [
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, {"a": "1"}, False),
    ],
)
def test_a_selector_selects_as_kubernetes_selectors_do(
    selector: dict[str, Any], labels: dict[str, str], selects: bool
) -> None:
    assert read(SelectorShape, selector, "s").selects(labels) is selects


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"subject": {"apiVersion": "apps/v1", "kind": "Deployment"}}, "exactly one of name and selector"),
        ({"subject": {"apiVersion": "apps/v1", "name": "w"}}, "kind"),
        ({"subject": {"apiVersion": "../x", "kind": "A", "name": "w"}}, "apiVersion"),
        ({"subject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w", "namespace": "x"}}, "own namespace"),
        (
            {
                "subject": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]},
                }
            },
            "operator",
        ),
        ({"ceOverrides": {"extensions": {"a": 1}}}, "expected a string"),
        ({"sinks": 1}, "unknown field"),
    ],
)
def test_what_is_wrong_with_a_binding_is_said(spec: dict[str, Any], says: str) -> None:
    found = binding(**spec)
    assert says in found.subject_problem
    assert found.subject is None


def test_the_environment_is_knatives() -> None:
    found = binding(ceOverrides={"extensions": {"zone": "b", "area": "a"}})
    address = Address("http://s.test", ca_certs="PEM")
    assert environment(found, address) == {
        "K_SINK": "http://s.test",
        "K_CA_CERTS": "PEM",
        "K_CE_OVERRIDES": '{"extensions":{"area":"a","zone":"b"}}',
    }
    assert environment(binding(), Address("http://s.test")) == {"K_SINK": "http://s.test", "K_CE_OVERRIDES": ""}


def test_the_sink_is_what_its_reference_leads_to() -> None:
    ref = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "default"}
    found = binding(sink={"ref": ref, "uri": "sub"})
    asked: list[Ref] = []

    def look(answer: Found | Absent | NotKnownYet) -> Lookup:
        def answering(one: Ref) -> Found | Absent | NotKnownYet:
            asked.append(one)
            return answer

        return answering

    there = Found({"status": {"address": {"url": "http://broker.test/ns/"}}})
    assert find_sink(found, look(there)).address == Address("http://broker.test/ns/sub")
    assert asked == [Ref("eventing.knative.dev/v1", "Broker", "ns", "default")]
    assert find_sink(found, look(NotKnownYet())).code == "NotKnownYet"
    assert find_sink(found, look(Absent("Forbidden", "no right"))).code == "Forbidden"
    nowhere = find_sink(found, look(Found({"status": {}})))
    assert (nowhere.code, nowhere.address) == ("HasNoAddress", None)
    assert nowhere.message == "eventing.knative.dev/v1 Broker ns/default: it has no status.address.url"
    assert find_sink(binding(sink={}), look(there)).code == "Invalid"


def selecting(name: str, created: str, **labels: str) -> Binding:
    subject = {"apiVersion": "apps/v1", "kind": "Deployment", "selector": {"matchLabels": labels}}
    return binding(name, created, subject=subject)


def test_a_name_goes_before_a_selector_and_the_older_before_the_younger() -> None:
    value = reduced_subject(DEPLOYMENT, deployment({"name": "a"}, labels={"t": "x"}))
    key = (DEPLOYMENT, "ns", "w")
    many, late = selecting("many", "2026-01-01", t="x"), selecting("late", "2026-01-02", t="x")
    one, two = binding("one", "2026-01-03"), binding("two", "2026-01-04")

    def claims(*bindings: Binding) -> tuple[str, set[str]]:
        found = claim(bindings, lambda _: {("ns", "w"): value}, lambda _: False)
        return found.owners[key].identity.name, set(found.refused)

    assert claims(late, many) == ("many", {"uid-late"})
    assert claims(two, many, one) == ("one", {"uid-two"}), "a selector that selects less than it could is nothing wrong"


@pytest.mark.parametrize("holder", ["x", "y"])
def test_of_two_that_are_as_old_the_one_that_has_it_keeps_it(holder: str) -> None:
    value = deployment({"name": "a"}, annotations={MARK: Mark(f"uid-{holder}", holder, {}).text()})
    subject = reduced_subject(DEPLOYMENT, value)
    found = claim([binding("x"), binding("y")], lambda _: {("ns", "w"): subject}, lambda _: False)
    assert found.owners[DEPLOYMENT, "ns", "w"].identity.name == holder
    assert set(found.refused) == {"uid-x", "uid-y"} - {f"uid-{holder}"}


def test_what_another_object_makes_and_what_is_over_is_not_selected() -> None:
    job = {"metadata": {"uid": "j", "labels": {"t": "x"}}, "spec": {}}
    made = job | {"metadata": job["metadata"] | {"ownerReferences": [{"controller": True}]}}
    over = job | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    cron = {"metadata": {"uid": "c"}, "spec": {"jobTemplate": {"metadata": {"labels": {"t": "x"}}}}}
    jobs = {
        ("ns", name): reduced_subject(JOB_KIND, value) for name, value in (("made", made), ("over", over), ("j", job))
    }
    crons = {("ns", "c"): reduced_subject(CRONJOB_KIND, cron)}
    subject = {"apiVersion": "batch/v1", "kind": "Job", "selector": {"matchLabels": {"t": "x"}}}
    objects = {JOB_KIND: jobs, CRONJOB_KIND: crons}
    found = claim([binding(subject=subject)], lambda kind: objects[kind], lambda _: False)
    assert set(found.owners) == {(JOB_KIND, "ns", "j"), (CRONJOB_KIND, "ns", "c")}


def test_kinds_that_others_noted_are_kinds_or_nothing() -> None:
    value = {
        "metadata": {
            "uid": "u",
            "namespace": "ns",
            "name": "b",
            "annotations": {"scaup.dev/sinkbinding-kinds": "apps/v1/Deployment,v1/Pod,../../x/Y,nonsense,,a/b/c/D"},
        }
    }
    assert read_binding(reduced_binding(value)).kinds == {DEPLOYMENT, ("v1", "Pod")}


def test_a_binding_that_is_no_object_cannot_be_read() -> None:
    with pytest.raises(DefinitionError):
        read_binding(reduced_binding({"metadata": {"name": "b"}}))


def test_a_subject_is_written_to_ever_less_often_while_it_does_not_stay() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    key = (DEPLOYMENT, "ns", "w")
    waits = []
    for _ in range(6):
        assert pace.wait(key, WANTED) == 0
        waits.append(pace.wait(key, WANTED))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32]
    assert pace.is_contest(key)
    assert pace.wait(key, Mark("u1", "b", {"K_SINK": "http://new.test"})) == 0, "something new is written at once"
    assert not pace.is_contest(key)
    assert pace.rests(key) > 0
    now += 1000
    pace.rests(key)
    assert pace.wait(key, WANTED) == 0
