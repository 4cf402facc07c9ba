"""One contract, two servers: objects are checked by the schema and the rules of their kind, in the same words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract import MERGE, Answer, Server
from tests.support.refusals import UNCHECKED, Cause, causes, invalid, missing, mistyped
from tests.support.waiting import wait_for

pytestmark = pytest.mark.real

YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
def path(lakes: Server, namespace: str) -> str:
    """Where the lakes of a fresh namespace are."""
    return f"/apis/pond.test/v1/namespaces/{namespace}/lakes"


def lake(spec: Any = None, name: str = "one", **more: Any) -> dict[str, Any]:
    """A lake that is right, but for what is given."""
    whole = {"name": "loch"} | spec if isinstance(spec, dict) else {"name": "loch"} if spec is None else spec
    return {"apiVersion": "pond.test/v1", "kind": "Lake", "metadata": {"name": name}, "spec": whole, **more}


def warnings(server: Server, path: str, body: Any, headers: dict[str, str] | None = None, **query: str) -> list[str]:
    """The warnings that a write is answered with."""
    with server.open("POST", path, body, headers, dryRun="All", **query) as answer:
        assert answer.status == 201, answer.read()
        return answer.headers.get_all("Warning") or []


TYPES: list[tuple[dict[str, Any], set[Cause]]] = [
    ({"low": "x"}, {mistyped("spec.low", "integer", "string")}),
    ({"low": 1.5}, {
        mistyped("spec.low", "integer", "number"),
        invalid("<nil>", '"": Checked value must be of type integer (default format) in spec.low'),
    }),
    ({"depth": 1.5}, {
        mistyped("spec.depth", "int32", "float64"),
        invalid("<nil>", '"": Checked value must be of type integer with format int32 in spec.depth'),
    }),
    ({"salt": "0.5"}, {mistyped("spec.salt", "number", "string")}),
    ({"isDeep": "yes"}, {mistyped("spec.isDeep", "boolean", "string")}),
    ({"fish": "trout"}, {mistyped("spec.fish", "array", "string")}),
    ({"labels": []}, {mistyped("spec.labels", "object", "array")}),
    ({"labels": {"a.b": 1}}, {mistyped("spec.labels.a.b", "string", "integer")}),
    ({"port": True}, {mistyped("spec.port", "integer,string", "boolean")}),
    ({"fish": [None]}, {mistyped("spec.fish[0]", "string", "null")}),
    ({"map": [{}]}, {missing("spec.map[0].id")}),
    ({"template": {"spec": 1}}, {missing("spec.template.apiVersion"), missing("spec.template.kind")}),
    ({"colour": "red"}, {
        ("FieldValueNotSupported", "spec.colour", 'Unsupported value: "red": supported values: "blue", "green"')
    }),
    ({"count": 3}, {("FieldValueNotSupported", "spec.count", 'Unsupported value: 3: supported values: "1", "2"')}),
    ({"name": "lochnessie"}, {("FieldValueTooLong", "spec.name", "Too long: may not be more than 8 bytes")}),
    ({"fish": ["a", "b", "c"]}, {("FieldValueTooMany", "spec.fish", "Too many: 3: must have at most 2 items")}),
    ({"labels": {"a": "1", "b": "2", "c": "3"}}, {
        ("FieldValueTooMany", "spec.labels", "Too many: 3: must have at most 2 items")
    }),
    ({"one": {}}, {
        invalid("<nil>", '"": "spec.one" must validate one and only one schema (oneOf). Found none valid'),
        missing("spec.one.a"),
    }),
    ({"any": {}}, {
        invalid("<nil>", '"": "spec.any" must validate at least one schema (anyOf)'), missing("spec.any.a")
    }),
    ({"low": 2, "high": 1, "colour": 3}, {
        mistyped("spec.colour", "string", "integer"),
        ("FieldValueNotSupported", "spec.colour", 'Unsupported value: 3: supported values: "blue", "green"'),
    }),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "wanted"), TYPES, ids=[str(spec) for spec, _ in TYPES])
def test_what_is_of_the_wrong_shape_is_invalid_and_keeps_rules_from_being_asked(
    lakes: Server, path: str, spec: dict[str, Any], wanted: set[Cause]
) -> None:
    assert causes(lakes.request("POST", path, lake(spec))) == wanted | {UNCHECKED}


VALUES: list[tuple[dict[str, Any], set[Cause]]] = [
    ({"name": "LOCH"}, {invalid("spec.name", '"LOCH": spec.name in body should match \'^[a-z]+$\'')}),
    ({"name": "a"}, {invalid("spec.name", '"a": spec.name in body should be at least 2 chars long')}),
    ({"depth": 0}, {invalid("spec.depth", "0: spec.depth in body should be greater than or equal to 1")}),
    ({"depth": 101}, {invalid("spec.depth", "101: spec.depth in body should be less than or equal to 100")}),
    ({"depth": 3_000_000_000}, {
        invalid("<nil>", '"": Checked value must be of type integer with format int32 in spec.depth'),
        invalid("spec.depth", "3000000000: spec.depth in body should be less than or equal to 100"),
    }),
    ({"salt": 0}, {invalid("spec.salt", "0: spec.salt in body should be greater than 0")}),
    ({"salt": 1.5}, {invalid("spec.salt", "1.5: spec.salt in body should be less than 1")}),
    ({"step": 7}, {invalid("spec.step", "7: spec.step in body should be a multiple of 5")}),
    ({"half": 0.75}, {invalid("spec.half", "0.75: spec.half in body should be a multiple of 0.5")}),
    ({"fish": []}, {invalid("spec.fish", "0: spec.fish in body should have at least 1 items")}),
    ({"labels": {}}, {invalid("spec.labels", "0: spec.labels in body should have at least 1 properties")}),
    ({"set": ["a", "b", "a"]}, {("FieldValueDuplicate", "spec.set[2]", 'Duplicate value: "a"')}),
    ({"map": [{"id": "a"}, {"id": "a"}]}, {("FieldValueDuplicate", "spec.map[1]", 'Duplicate value: {"id":"a"}')}),
    ({"pairs": [{"a": "x", "b": 1}, {"a": "x", "b": 1}]}, {
        ("FieldValueDuplicate", "spec.pairs[1]", 'Duplicate value: {"a":"x","b":1}')
    }),
    ({"one": {"a": "x", "b": "y"}}, {
        invalid("<nil>", '"": "spec.one" must validate one and only one schema (oneOf). Found 2 valid alternatives')
    }),
    ({"all": 1}, {
        invalid("<nil>", '"": "spec.all" must validate all the schemas (allOf)'),
        invalid("spec.all", "1: spec.all in body should be greater than or equal to 2"),
    }),
    ({"neither": "forbidden"}, {invalid("<nil>", '"": "spec.neither" must not validate the schema (not)')}),
    ({"low": 2, "high": 1}, {invalid("spec", "low is over high")}),
    ({"low": 2, "high": 1, "depth": 0}, {
        invalid("spec", "low is over high"),
        invalid("spec.depth", "0: spec.depth in body should be greater than or equal to 1"),
    }),
    ({"first": "bad"}, {("FieldValueForbidden", "spec.first", "Forbidden: not bad")}),
    ({"second": "abcdef"}, {invalid("spec", "second is abcdef")}),
    ({"name": "unsaid"}, {invalid("spec", "failed rule: self.name != 'unsaid'")}),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "wanted"), VALUES, ids=[str(spec) for spec, _ in VALUES])
def test_a_value_that_may_not_be_is_invalid(lakes: Server, path: str, spec: dict[str, Any], wanted: set[Cause]) -> None:
    assert causes(lakes.request("POST", path, lake(spec))) == wanted


@pytest.mark.parametrize(
    ("field", "form", "text"),
    [
        ("since", "date-time", "yesterday"),
        ("day", "date", "2020-13-01"),
        ("mail", "email", "nobody"),
        ("link", "uri", "::"),
        ("four", "ipv4", "1.2.3"),
        ("six", "ipv6", "1.2.3.4"),
        ("net", "cidr", "1.2.3.4"),
        ("host", "hostname", "a_b"),
        ("id", "uuid", "x"),
        ("raw", "byte", "%%"),
        ("wait", "duration", "soon"),
    ],
)
def test_a_text_that_is_not_of_its_format_is_invalid(
    lakes: Server, path: str, field: str, form: str, text: str
) -> None:
    said = causes(lakes.request("POST", path, lake({field: text})))
    assert said == {mistyped(f"spec.{field}", form, text), UNCHECKED}


@pytest.mark.parametrize(
    "spec",
    [
        {
            "since": "2026-01-02T03:04:05Z",
            "day": "2026-01-02",
            "mail": "a@b.test",
            "link": "http://x/",
            "host": "lake.test",
        },
        {"four": "1.2.3.4", "six": "::1", "net": "10.0.0.0/8", "id": "8e1d7a4c-3b1f-4f5e-9c55-000000000001"},
        {"raw": "YWJj", "wait": "5m", "strange": "anything"},
        {"depth": 2.0, "salt": 0.5, "port": "http", "maybe": None, "fish": ["a"], "labels": {"a": "b"}},
    ],
)
def test_what_is_right_is_kept_as_it_was_sent(lakes: Server, path: str, spec: dict[str, Any]) -> None:
    made = lakes.request("POST", path, lake(spec))
    assert made.status == 201, made.body
    assert made.body["spec"].items() >= spec.items()


def test_all_that_is_wrong_with_an_object_is_said_at_once(lakes: Server, path: str) -> None:
    answer = lakes.request("POST", path, lake({"depth": 0, "step": 7, "set": ["a", "a"], "name": "X"}))
    fields = {field for _, field, _ in causes(answer)}
    assert fields == {"spec.depth", "spec.step", "spec.set[1]", "spec.name"}
    assert answer.body["message"].startswith('Lake.pond.test "one" is invalid: [spec.')


def test_one_problem_is_said_without_brackets(lakes: Server, path: str) -> None:
    answer = lakes.request("POST", path, lake({"depth": 0}))
    said = "Invalid value: 0: spec.depth in body should be greater than or equal to 1"
    assert answer.body["message"] == f'Lake.pond.test "one" is invalid: spec.depth: {said}'
    assert answer.body["details"] == {
        "name": "one",
        "group": "pond.test",
        "kind": "Lake",
        "causes": [{"reason": "FieldValueInvalid", "message": said, "field": "spec.depth"}],
    }


@pytest.mark.parametrize("spec", [None, "text"])
def test_an_object_without_its_spec_is_invalid(lakes: Server, path: str, spec: Any) -> None:
    answer = lakes.request("POST", path, lake() | {"spec": spec})
    wanted = missing("spec") if spec is None else mistyped("spec", "object", "string")
    assert causes(answer) == {wanted, UNCHECKED}


def test_defaults_are_filled_in_on_every_level(lakes: Server, path: str) -> None:
    made = lakes.request("POST", path, lake({"map": [{"id": "a"}, {"id": "b", "size": 1}]})).body["spec"]
    assert made["mode"] == "still"
    assert made["inner"] == {"level": 3}
    assert made["map"] == [{"id": "a", "size": 7}, {"id": "b", "size": 1}]


def test_a_null_that_may_not_be_is_taken_for_a_field_left_out(lakes: Server, path: str) -> None:
    made = lakes.request("POST", path, lake({"colour": None, "mode": None, "maybe": None})).body["spec"]
    assert made == {"name": "loch", "inner": {"level": 3}, "mode": "still", "maybe": None}


def test_unknown_fields_are_dropped_but_where_the_schema_keeps_them(lakes: Server, path: str) -> None:
    spec = {"extra": 1, "open": {"x": 1, "known": {"a": "1", "b": 2}}, "free": {"q": [1]}, "inner": {"q": 1}}
    made = lakes.request("POST", path, lake(spec, top=1)).body
    assert "top" not in made
    assert made["spec"] == {
        "name": "loch",
        "mode": "still",
        "open": {"x": 1, "known": {"a": "1"}},
        "free": {"q": [1]},
        "inner": {"level": 3},
    }


# --- updates ----------------------------------------------------------------------------------------------------


def test_a_rule_about_the_old_value_holds_on_updates_only(lakes: Server, path: str) -> None:
    assert lakes.request("POST", path, lake({"kept": "a"})).status == 201
    refused = lakes.request("PATCH", f"{path}/one", {"spec": {"kept": "b"}}, MERGE)
    assert causes(refused) == {invalid("spec.kept", '"b": kept is immutable')}
    assert lakes.request("PATCH", f"{path}/one", {"spec": {"kept": None}}, MERGE).status == 200


def test_an_optional_old_value_is_asked_about_from_the_start(lakes: Server, path: str) -> None:
    assert lakes.request("POST", path, lake({"grows": 2})).status == 201
    assert lakes.request("PATCH", f"{path}/one", {"spec": {"grows": 3}}, MERGE).status == 200
    refused = lakes.request("PATCH", f"{path}/one", {"spec": {"grows": 1}}, MERGE)
    assert causes(refused) == {invalid("spec.grows", "1: it only grows")}


def test_a_patch_and_a_replacement_are_checked_as_a_creation_is(lakes: Server, path: str) -> None:
    made = lakes.request("POST", path, lake()).body
    wanted = {invalid("spec", "low is over high")}
    assert causes(lakes.request("PATCH", f"{path}/one", {"spec": {"low": 2, "high": 1}}, MERGE)) == wanted
    body = made | {"spec": {"name": "loch", "low": 2, "high": 1}}
    assert causes(lakes.request("PUT", f"{path}/one", body)) == wanted
    operations = [{"op": "add", "path": "/spec/depth", "value": 0}]
    refused = lakes.request("PATCH", f"{path}/one", operations, {"Content-Type": "application/json-patch+json"})
    assert {field for _, field, _ in causes(refused)} == {"spec.depth"}


def test_the_status_is_checked_by_its_own_schema(lakes: Server, path: str) -> None:
    assert lakes.request("POST", path, lake()).status == 201
    refused = lakes.request("PATCH", f"{path}/one/status", {"status": {"level": -1}}, MERGE)
    assert causes(refused) == {invalid("status.level", "-1: level in body should be greater than or equal to 0")}
    kept = lakes.request("PATCH", f"{path}/one/status", {"status": {"level": 1, "unknown": 1}}, MERGE)
    assert kept.status == 200
    assert kept.body["status"] == {"level": 1}


def test_a_status_that_is_no_object_is_invalid(lakes: Server, path: str) -> None:
    assert lakes.request("POST", path, lake()).status == 201
    refused = lakes.request("PATCH", f"{path}/one/status", {"status": "x"}, MERGE)
    said = 'Invalid value: "string":  in body must be of type object: "string"'
    assert causes(refused) == {("FieldValueTypeInvalid", "status", said), UNCHECKED}


# --- fieldValidation --------------------------------------------------------------------------------------------

UNKNOWN = {
    "apiVersion": "pond.test/v1",
    "kind": "Lake",
    "metadata": {"name": "one", "oops": 1},
    "spec": {"name": "loch", "zz": 1, "inner": {"q": 1}, "map": [{"id": "a", "zz": 1}]},
    "top": 1,
}
TWICE = (
    b'{"apiVersion":"pond.test/v1","kind":"Lake","metadata":{"name":"one","name":"one"},'
    b'"spec":{"name":"loch","low":1,"low":2,"map":[{"id":"a","id":"b"}]}}'
)
TWICE_YAML = b"apiVersion: pond.test/v1\nkind: Lake\nmetadata: {name: one}\nspec:\n  name: loch\n  low: 1\n  low: 2\n"
UNKNOWN_PATHS = ["metadata.oops", "spec.inner.q", "spec.map[0].zz", "spec.zz", "top"]


def test_unknown_fields_are_refused_where_that_is_asked_for(lakes: Server, path: str) -> None:
    answer = lakes.request("POST", path, UNKNOWN, fieldValidation="Strict")
    said = ", ".join(f'unknown field "{one}"' for one in UNKNOWN_PATHS)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"] == (
        f'Lake in version "v1" cannot be handled as a Lake: strict decoding error: {said}'
    )


def test_unknown_fields_are_warned_of(lakes: Server, path: str) -> None:
    wanted = [f'299 - "unknown field \\"{one}\\""' for one in UNKNOWN_PATHS]
    assert warnings(lakes, path, UNKNOWN) == wanted
    assert warnings(lakes, path, UNKNOWN, fieldValidation="Warn") == wanted


def test_unknown_fields_are_ignored_where_that_is_asked_for(lakes: Server, path: str) -> None:
    assert warnings(lakes, path, UNKNOWN, fieldValidation="Ignore") == []


def test_an_unknown_mode_of_field_validation_is_invalid(lakes: Server, path: str) -> None:
    answer = lakes.request("POST", path, lake(), fieldValidation="x")
    said = 'Unsupported value: "x": supported values: "", "Ignore", "Strict", "Warn"'
    assert causes(answer) == {("FieldValueNotSupported", "fieldValidation", said)}
    assert answer.body["message"] == f'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: {said}'


def test_fields_that_stand_twice_are_refused_warned_of_or_ignored(lakes: Server, path: str) -> None:
    answer = lakes.request("POST", path, TWICE, fieldValidation="Strict")
    paths = ("metadata.name", "spec.low", "spec.map[0].id")
    said = ", ".join(f'duplicate field "{one}"' for one in paths)
    assert answer.status == 400
    assert answer.body["message"].endswith(f"cannot be handled as a Lake: strict decoding error: {said}")
    assert warnings(lakes, path, TWICE) == [f'299 - "duplicate field \\"{one}\\""' for one in paths]
    assert warnings(lakes, path, TWICE, fieldValidation="Ignore") == []
    assert lakes.request("POST", path, TWICE).body["spec"]["low"] == 2


def test_keys_that_stand_twice_in_yaml_are_refused_with_their_line(lakes: Server, path: str) -> None:
    answer = lakes.request("POST", path, TWICE_YAML, YAML, fieldValidation="Strict")
    assert answer.status == 400
    said = 'strict decoding error: yaml: unmarshal errors:\n  line 7: key "low" already set in map'
    assert answer.body["message"].endswith(said)
    assert lakes.request("POST", path, TWICE_YAML, YAML, fieldValidation="Ignore").body["spec"]["low"] == 2


def test_a_patch_with_an_unknown_field_is_refused_where_that_is_asked_for(lakes: Server, path: str) -> None:
    assert lakes.request("POST", path, lake()).status == 201
    answer = lakes.request("PATCH", f"{path}/one", {"spec": {"zz": 1}}, MERGE, fieldValidation="Strict")
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["message"].startswith(' "" is invalid: patch: Invalid value: "{')
    assert answer.body["message"].endswith('strict decoding error: unknown field "spec.zz"')
    warned = lakes.request("PATCH", f"{path}/one", {"spec": {"zz": 1}}, MERGE)
    assert warned.headers["warning"] == '299 - "unknown field \\"spec.zz\\""'


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "oops": 1}, "nope": 1}


def test_core_kinds_know_their_fields_too(server: Server, namespace: str) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    answer = server.request("POST", maps, CONFIG_MAP, fieldValidation="Strict")
    said = 'strict decoding error: unknown field "metadata.oops", unknown field "nope"'
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"] == f'ConfigMap in version "v1" cannot be handled as a ConfigMap: {said}'
    assert "nope" not in server.request("POST", maps, CONFIG_MAP).body
    ports = {"ports": [{"port": 80, "x": 1}], "prots": []}
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": ports}
    answer = server.request("POST", maps.replace("configmaps", "services"), made, fieldValidation="Strict")
    assert {'unknown field "spec.prots"', 'unknown field "spec.ports[0].x"'} == set(
        answer.body["message"].partition("strict decoding error: ")[2].split(", ")
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"a": 1}, "number into Go struct field ConfigMap.data of type string"),
        ("x", "string into Go struct field ConfigMap.data of type map[string]string"),
        ([1], "array into Go struct field ConfigMap.data of type map[string]string"),
    ],
)
def test_a_body_of_the_wrong_types_cannot_be_a_core_object(
    server: Server, namespace: str, data: Any, said: str
) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}
    answer = server.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)
    assert answer.status == 400
    assert answer.body["message"] == (
        f'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal {said}'
    )


def test_labels_that_are_no_text_cannot_be_read(lakes: Server, path: str) -> None:
    answer = lakes.request("POST", path, lake(metadata={"name": "one", "labels": {"a": 1}}))
    assert answer.status == 400
    assert answer.body["message"].endswith(
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    )


# --- our own kinds ----------------------------------------------------------------------------------------------

SINK = {"uri": "http://sink.test/"}
INJECTION = "eventing.knative.dev/injection"


def ours(kind: str, spec: Any, **annotations: str) -> dict[str, Any]:
    metadata = {"name": "one", "annotations": annotations}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": kind, "metadata": metadata, "spec": spec}


@pytest.fixture
def triggers(namespace: str) -> str:
    """Where the Triggers of a fresh namespace are."""
    return f"/apis/eventing.knative.dev/v1/namespaces/{namespace}/triggers"


def test_a_trigger_is_told_everything_that_is_wrong_with_it(server: Server, triggers: str) -> None:
    spec = {"subscriber": {"uri": "x"}, "filters": [{"exact": {"A": "x"}, "cesql": "a"}]}
    spec |= {"delivery": {"timeout": "x", "retry": -1}}
    duration = "expected an ISO 8601 duration such as PT0.2S, PT30S, PT5M or P1D"
    assert causes(server.request("POST", triggers, ours("Trigger", spec))) == {
        invalid("spec.delivery.retry", "-1: spec.delivery.retry in body should be greater than or equal to 0"),
        invalid("spec.broker", "expected exactly one of broker and brokerRef"),
        invalid("spec.delivery.timeout", f'"x": {duration}'),
        invalid("spec.delivery.timeout", '"x": it is no time at all; leave it out, or say more'),
        invalid("spec.subscriber.uri", "expected an absolute URL such as http://host/path"),
        invalid("spec.filters[0]", "multiple dialects found; expected exactly one"),
        invalid("spec.filters[0].exact", "expected names of attributes: lower-case letters and digits, a letter first"),
    }


def test_a_trigger_stays_with_its_broker(server: Server, triggers: str) -> None:
    made = server.request("POST", triggers, ours("Trigger", {"broker": "default", "subscriber": SINK}))
    assert made.status == 201, made.body
    refused = server.request("PATCH", f"{triggers}/one", {"spec": {"broker": "other"}}, MERGE)
    assert causes(refused) == {
        invalid("spec.broker", "a Trigger stays with its Broker: delete it and make another one")
    }


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        ours("Trigger", {"broker": "default", "subscriber": SINK, "strange": 1}),
        "spec.strange: unknown field; known are broker, brokerRef, delivery, filter, filters, subscriber",
    ),
    (
        ours("Trigger", {"broker": "default", "subscriber": SINK | {"ulr": 1}}),
        "spec.subscriber.ulr: unknown field; known are CACerts, audience, ref, uri",
    ),
    (
        ours("Trigger", {"broker": "default", "subscriber": SINK}, **{INJECTION: "on"}),
        f"the annotation {INJECTION} is enabled or disabled",
    ),
    (
        ours("Trigger", {"broker": "other", "subscriber": SINK}, **{INJECTION: "enabled"}),
        f"the annotation {INJECTION} is only for Triggers of the Broker default",
    ),
]


@pytest.mark.parametrize(("made", "said"), REFUSED, ids=[said.split()[0] for _, said in REFUSED])
def test_a_policy_denies_what_a_schema_cannot(server: Server, triggers: str, made: dict[str, Any], said: str) -> None:
    def refusal() -> Answer | None:
        answer = server.request("POST", triggers, made, dryRun="All")
        return answer if answer.status == 422 else None

    answer = wait_for(refusal, "the policies are in force")
    assert answer is not None
    policy = "'triggers.scaup.dev'"
    why = f"ValidatingAdmissionPolicy {policy} with binding {policy} denied request: {said}"
    assert answer.body["message"] == f'triggers.eventing.knative.dev "one" is forbidden: {why}'
    assert answer.body["reason"] == "Invalid"
    assert answer.body["details"] == {
        "name": "one",
        "group": "eventing.knative.dev",
        "kind": "triggers",
        "causes": [{"message": why}],
    }


def test_the_class_of_a_broker_stays(server: Server, triggers: str) -> None:
    brokers = triggers.replace("triggers", "brokers")
    made = server.request("POST", brokers, ours("Broker", {}, **{"eventing.knative.dev/broker.class": "Scaup"}))
    assert made.status == 201, made.body
    change = {"metadata": {"annotations": {"eventing.knative.dev/broker.class": "Other"}}}
    refused = server.request("PATCH", f"{brokers}/one", change, MERGE)
    assert refused.status == 422
    assert refused.body["message"].endswith(
        "denied request: the annotation eventing.knative.dev/broker.class cannot be changed: "
        "delete the Broker and make another one"
    )
