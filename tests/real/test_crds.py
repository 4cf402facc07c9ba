"""Our kinds on a genuine API server: what Knative's webhook refuses is refused without one, all else is accepted.

Rows TV1 to TV17 are those of Knative's ``trigger_validation.go``; what a schema cannot say is a condition, for which
the stored object is given to the controller's own check.
"""

from __future__ import annotations

import itertools
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import yaml

from scaup.controller.checks import check_trigger
from tests.support import knativekinds
from tests.support.realkube import Kube, kube

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]  # some start a server of their own

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "base" / "crds"
CLASS = "eventing.knative.dev/broker.class"
INJECTION = "eventing.knative.dev/injection"
DEPENDENCY = "knative.dev/dependency"
SINK = {"uri": "http://sink.test/"}
SPEC = {"broker": "default", "subscriber": SINK}
REF = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "b"}
POND = {"apiVersion": "pond.test/v1", "kind": "Pond", "name": "one"}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def kinds() -> Iterator[Kube]:
    """A server of these tests' own, with our kinds and the policies in force."""
    with kube() as server:
        server.kubectl("apply", "-k", str(FOLDER))
        for plural in ("brokers", "triggers"):
            server.kubectl("wait", "--for=condition=Established", f"crd/{plural}.eventing.knative.dev")
        until_refused(server, an("x", "Broker", None, {"strange": 1}), an("x", "Trigger", None, SPEC | {"strange": 1}))
        yield server


def an(name: str, kind: str, annotations: dict[str, str] | None, spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "annotations": annotations or {}}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": kind, "metadata": metadata} | (
        {} if spec is None else {"spec": spec}
    )


def trigger(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    whole = {key: value for key, value in (SPEC | spec).items() if value is not None}
    return an(f"t{next(_numbers)}", "Trigger", annotations, whole)


def broker(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return an(f"b{next(_numbers)}", "Broker", {CLASS: "Scaup"} | (annotations or {}), spec)


def ask(server: Kube, method: str, path: str, body: Any = None, **query: str) -> tuple[int, dict[str, Any]]:
    """A request and its answer, without kubectl, which takes half a second to start."""
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    url = f"{server.server}/apis/eventing.knative.dev/v1/namespaces/default/{path}?{urlencode(query)}"
    sent = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(
            Request(url, sent, headers, method=method), context=ssl.create_default_context(cafile=server.ca), timeout=20
        ) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def write(server: Kube, made: dict[str, Any], **query: str) -> tuple[int, dict[str, Any]]:
    """Create an object, or put it in the place of the one that is there."""
    plural = f"{made['kind'].lower()}s"
    path = f"{plural}/{made['metadata']['name']}"
    status, present = ask(server, "GET", path)
    if status == 404:
        return ask(server, "POST", plural, made, fieldManager="test", **query)
    version = {"resourceVersion": present["metadata"]["resourceVersion"]}
    return ask(server, "PUT", path, made | {"metadata": made["metadata"] | version}, fieldManager="test", **query)


def refusal(server: Kube, made: dict[str, Any], **query: str) -> str:
    """Why an object would not be stored; empty where it would."""
    status, answer = write(server, made, **({"dryRun": "All", "fieldValidation": "Strict"} | query))
    return "" if status < 300 else str(answer["message"])


def until_refused(server: Kube, *objects: dict[str, Any]) -> None:
    """Wait until none of these would be stored: schemas and policies take a moment to be in force."""
    end = time.monotonic() + 30
    while not all(refusal(server, made) for made in objects):
        assert time.monotonic() < end
        time.sleep(0.1)


def stored(server: Kube, made: dict[str, Any]) -> dict[str, Any]:
    """The object as it is after a write."""
    status, answer = write(server, made)
    assert status < 300, answer
    return answer


EMPTY: list[dict[str, Any]] = [{}, {"all": []}, {"any": []}, {"not": {}}]
EXAMPLES = [
    made
    for path in sorted((FOLDER.parents[2] / "examples").rglob("*.yaml"))
    for made in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if made["apiVersion"].startswith("eventing.knative.dev/")
]
NAMES = ["SOURCE", "Source", "souRce", "s pace s", "s_pace_s", "s-pace-s", "123", "😀", "!@#$%", "..", ""]
REFUSED = [
    ("TV1", trigger(broker=None), "spec.broker: Invalid value: expected exactly one of broker and brokerRef"),
    ("TV1", trigger(broker=""), "spec.broker: Invalid value: expected exactly one of broker and brokerRef"),
    ("TV1", an("t", "Trigger", None, None), "spec: Required value"),
    ("TV2", trigger(brokerRef=POND), "expected exactly one of broker and brokerRef"),
    ("TV4", trigger(subscriber=None), "spec.subscriber: Invalid value: expected at least one of ref and uri"),
    ("TV4", trigger(subscriber={}), "spec.subscriber: Invalid value: expected at least one of ref and uri"),
    ("TV4", trigger(subscriber={"uri": ""}), "expected at least one of ref and uri"),
    *(("TV5", trigger(filter={"attributes": {n: "x"}}), "spec.filter.attributes: Invalid value") for n in NAMES),
    *(
        ("TV6", trigger(filters=[{d: {n: "x"}}]), f"spec.filters[0].{d}: Invalid value: expected names of attributes")
        for d, n in itertools.product(("exact", "prefix", "suffix"), ("Type", "s-p", ""))
    ),
    ("TV7", trigger(filters=[{"exact": {"a": "x"}, "cesql": "true"}]), "spec.filters[0]: Invalid value: multiple dia"),
    ("TV7", trigger(filters=[{"all": [{"exact": {"a": "x"}, "prefix": {"a": "x"}}]}]), "spec.filters[0].all[0]: Too m"),
    ("TV7", trigger(filters=[{"not": {"not": {"all": [], "any": []}}}]), "spec.filters[0].not.not: Too many"),
    ("TV14", trigger({INJECTION: "on"}), f"the annotation {INJECTION} is enabled or disabled"),
    ("TV15", trigger({INJECTION: "enabled"}, broker="b"), f"the annotation {INJECTION} is only for Triggers of"),
    ("destination", trigger(subscriber={"ref": POND, "uri": "http://x/"}), "beside ref only a relative URI"),
    ("destination", trigger(subscriber={"uri": "/in"}), "spec.subscriber.uri: Invalid value: expected an absolute URL"),
    ("destination", trigger(subscriber={"uri": "mailto:a@b"}), "expected an absolute URL"),
    *(
        ("destination", trigger(subscriber={"ref": POND | {gone: ""}}), "spec.subscriber.ref: Invalid value: missing")
        for gone in POND
    ),
    ("delivery", trigger(delivery={"retry": -1}), "spec.delivery.retry: Invalid value: -1"),
    ("delivery", trigger(delivery={"retry": "3"}), "spec.delivery.retry"),
    ("delivery", trigger(delivery={"backoffPolicy": "Linear"}), 'supported values: "linear", "exponential"'),
    ("delivery", trigger(delivery={"format": "xml"}), 'supported values: "json", "binary"'),
    ("delivery", trigger(delivery={"deadLetterSink": {}}), "spec.delivery.deadLetterSink: Invalid value: expected at"),
    *(
        ("delivery", trigger(delivery={field: text}), f'{field}: Invalid value: "{text}": expected an ISO 8601')
        for field in ("timeout", "backoffDelay", "retryAfterMax")
        for text in ("", "1s", "P", "PT", "pt1s", "PT1S1H", "-")
    ),
    *(("delivery", trigger(delivery={"timeout": t}), "it is no time at all") for t in ("PT0S", "P0", "P0D")),
    ("delivery", trigger(delivery={"retryAfterMax": "-PT1S"}), "expected a time that is not negative"),
    ("broker", broker(config={"kind": "ConfigMap", "name": "c"}), "spec.config: Invalid value: missing; a reference"),
    ("broker", broker(delivery={"retry": -1}), "spec.delivery.retry: Invalid value: -1"),
    *(
        ("shape", an("t", "Trigger", None, SPEC | {field: value}), f"spec.{field} in body must be of type")
        for field, value in (("broker", 3), ("subscriber", "http"), ("filter", []), ("filters", {}), ("delivery", []))
    ),
    ("shape", trigger(filters=["x"]), "spec.filters[0] in body must be of type object"),
    ("shape", trigger(filters=[{"any": [None]}]), "spec.filters[0].any[0] in body must be of type object"),
    ("shape", trigger(filters=[{"cesql": 3}]), "spec.filters[0].cesql in body must be of type string"),
    ("shape", trigger(filters=[{"exact": {"a": 3}}]), "spec.filters[0].exact.a in body must be of type string"),
    ("unknown", trigger(filterz=[]), "spec.filterz: unknown field; known are broker, brokerRef, delivery, filter, "),
    ("unknown", trigger(filters=[{"exat": {"type": "a"}}]), "spec.filters has an unknown dialect; known are exact, "),
    ("unknown", trigger(filter={"attribute": {}}), "spec.filter.attribute: unknown field; known are attributes"),
    ("unknown", trigger(subscriber=SINK | {"url": "x"}), "spec.subscriber.url: unknown field; known are CACerts"),
    ("unknown", trigger(subscriber={"ref": POND | {"nam": "x"}}), "spec.subscriber.ref.nam: unknown field"),
    ("unknown", trigger(broker=None, brokerRef=POND | {"x": 1}), "spec.brokerRef.x: unknown field"),
    ("unknown", trigger(delivery={"retries": 3}), "spec.delivery.retries: unknown field; known are backoffDelay"),
    ("unknown", trigger(delivery={"deadLetterSink": {"uri": "http://x/", "u": 1}}), "deadLetterSink.u: unknown field"),
    ("unknown", broker(deliver={}), "spec.deliver: unknown field; known are config, delivery"),
    ("unknown", broker(delivery={"deadLetterSink": {"ref": POND | {"n": 1}}}), "deadLetterSink.ref.n: unknown field"),
]  # fmt: skip
ACCEPTED = [
    trigger(),
    trigger(broker=None, brokerRef=REF),
    *(trigger(filters=[one]) for one in EMPTY),  # TV9
    *(trigger(filters=[{dialect: {"type": ""}}]) for dialect in ("exact", "prefix", "suffix")),  # TV10
    *(trigger(filters=[{"cesql": text}]) for text in ("1 + 1", "NOPE(type)", "type ="))  ,  # TV11, TV8
    trigger(filters=[{"cel": "data.amount > 100.0"}, {"any": [{"cel": "true"}]}]),
    trigger(filters=[{"any": [{"exact": {"type": str(n)}} for n in range(900)]}]),
    *(
        trigger(filter={"attributes": {name: "x"}})
        for name in (
            "specversion", "type", "source", "subject", "id", "time", "dataschema", "datacontenttype",
            "aaa", "c1d2e3", "a" * 20,
        )
    ),
    trigger(filter={}, filters=[]),
    trigger({INJECTION: "enabled"}),
    trigger({INJECTION: "disabled"}),
    trigger({DEPENDENCY: json.dumps(POND)}),
    trigger(subscriber={"ref": POND, "uri": "/in"}),
    trigger(subscriber={"ref": POND, "uri": "in?x=1"}),
    trigger(subscriber={"ref": POND | {"namespace": "elsewhere", "address": "tls"}}),
    trigger(subscriber={"uri": "https://u@[::1]:8443/in?x", "CACerts": "none", "audience": "a"}),
    *(
        trigger(delivery={"backoffDelay": text})
        for text in ("PT0.2S", "PT0,5S", "PT0S", "P0", "P1D", "P1W", "P1DT1H", "P1Y2M3W4DT5H6M7S", "-PT1S", "PT0.05S")
    ),
    trigger(delivery={"timeout": "-PT1S", "retryAfterMax": "PT0S", "retry": 0, "format": "json"}),
    trigger(delivery={"backoffPolicy": "exponential", "deadLetterSink": {"ref": POND}}),
    an("t", "Trigger", None, SPEC | dict.fromkeys(("filter", "filters", "delivery", "brokerRef"))),
    an("b", "Broker", None, dict.fromkeys(("config", "delivery"))),
    *EXAMPLES,
    broker(),
    an("b", "Broker", None, None),
    an("b", "Broker", {CLASS: "Kafka"}, {"config": {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "x": 1}}),
    broker(delivery={"retry": 3, "deadLetterSink": SINK}),
]  # fmt: skip


@pytest.mark.parametrize(("row", "made", "says"), REFUSED, ids=[f"{n}-{row}" for n, (row, _, _) in enumerate(REFUSED)])
def test_what_knatives_webhook_refuses_is_refused_by_the_server_itself(
    kinds: Kube, row: str, made: dict[str, Any], says: str
) -> None:
    assert says in refusal(kinds, made), row
    # who does not ask for a strict check is not let through either
    assert says in refusal(kinds, made, fieldValidation="Ignore"), row


def test_what_knatives_webhook_accepts_is_accepted(kinds: Kube) -> None:
    for made in ACCEPTED:
        assert refusal(kinds, made) == "", made.get("spec", made)


@pytest.mark.parametrize(
    ("row", "made", "says"),
    [
        (
            "TV3",
            trigger(broker=None, brokerRef=REF | {"namespace": "x"}),
            "spec.brokerRef: expected a Broker",
        ),
        ("TV6", trigger(filters=[{"any": [{"not": {"exact": {"A": "x"}}}]}]), "spec.filters[0].any[0].not.exact: 'A'"),
        ("TV7", trigger(filters=[{"not": {"not": {"not": {"not": {"all": [], "any": []}}}}}]), "multiple dialects"),
        ("TV8", trigger(filters=[{"cesql": "type ="}]), "spec.filters[0].cesql: type =: "),
        ("TV9", trigger(filters=[{}]), "spec.filters[0]: an empty filter says nothing"),
        ("TV9", trigger(filters=[{"all": []}]), "spec.filters[0].all: expected a list of at least one filter"),
        ("TV10", trigger(filters=[{"exact": {"type": ""}}]), "spec.filters[0].exact.type: expected a value"),
        ("TV11", trigger(filters=[{"cesql": "1 + 1"}]), "spec.filters[0].cesql: 1 + 1: "),
        ("TV12", trigger({DEPENDENCY: "text"}), "expected an object reference in JSON"),
        ("TV13", trigger({DEPENDENCY: '{"kind":"A","name":"a"}'}), f"[{DEPENDENCY}].apiVersion: missing"),
        ("TV13", trigger({DEPENDENCY: json.dumps(POND | {"namespace": "x"})}), f"[{DEPENDENCY}].namespace: expected"),
        *(
            ("null", trigger(**spec), "type: expected a string, found")
            for spec in (
                {"filter": {"attributes": {"type": None, "source": "/s"}}},
                {"filters": [{"exact": {"type": None, "source": "/s"}}]},
                {"filters": [{"not": {"prefix": {"type": None}}}]},
            )
        ),
        ("deep", trigger(filters=[{"not": {"any": [{"exat": {"type": "a"}}]}}]), "did you mean exact?"),
        ("uri", trigger(subscriber={"uri": "ftp://x/"}), "expected an absolute http or https URL"),
        ("uri", trigger(subscriber={"ref": POND, "uri": "//x/"}), "beside ref only a relative URI"),
        ("ref", trigger(subscriber={"ref": {}, "uri": "/in"}), "missing; a reference needs apiVersion, kind and name"),
        ("certs", trigger(subscriber=SINK | {"CACerts": "none"}), "expected certificates in PEM form"),
        ("time", trigger(delivery={"backoffDelay": "-PT1S"}), "'-PT1S' is not an ISO 8601 duration"),
    ],
)  # fmt: skip
def test_what_no_schema_can_say_is_stored_and_becomes_a_condition(
    kinds: Kube, row: str, made: dict[str, Any], says: str
) -> None:
    checked = check_trigger(stored(kinds, made))
    delivery = checked.delivery.problem if checked.delivery else ""
    condition = checked.problem.message if checked.problem else ""
    said = (condition, checked.broker_problem, checked.subscriber.problem, checked.dependency_problem, delivery)
    assert says in "\n".join(said), row


def test_tv16_and_tv17_a_trigger_stays_with_its_broker_and_may_change_in_all_else(kinds: Kube) -> None:
    """control-plane.md CP-14 (MUST NOT) and CP-15, by the schema of our kinds."""
    first = trigger()
    stored(kinds, first)
    stays = "a Trigger stays with its Broker"
    assert stays in refusal(kinds, first | {"spec": SPEC | {"broker": "other"}})
    assert stays in refusal(kinds, first | {"spec": {"subscriber": SINK, "brokerRef": POND}})
    changed = {
        "filter": {"attributes": {"a": "b"}},
        "filters": [{}],
        "subscriber": {"ref": POND},
        "delivery": {"retry": 1},
    }
    assert stored(kinds, first | {"spec": SPEC | changed})["spec"] == SPEC | changed


def test_the_class_and_config_of_a_broker_stay_and_its_delivery_may_change(kinds: Kube) -> None:
    """control-plane.md CP-8, MUST: ``spec.config`` by the schema, the class by an admission policy."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c"}
    first = broker(config=config)
    stored(kinds, first)
    name = first["metadata"]["name"]
    for annotation in (f"{CLASS}=Kafka", f"{CLASS}-"):
        done = kinds.kubectl_run("annotate", "--overwrite", "broker", name, annotation)
        assert f"the annotation {CLASS} cannot be changed" in done.stderr
    for spec in ({"config": config | {"name": "other"}}, {"delivery": {"retry": 1}}, None):
        changed = {key: value for key, value in first.items() if key != "spec"} | (
            {} if spec is None else {"spec": spec}
        )
        assert "spec.config: Invalid value: a Broker's config cannot be changed" in refusal(kinds, changed)
    assert stored(kinds, first | {"spec": {"config": config, "delivery": {"retry": 1}}})["metadata"]["generation"] == 2


def test_a_broker_without_a_class_may_be_given_one_and_one_without_config_a_config(kinds: Kube) -> None:
    """As Knative's webhook does it for who says nothing; here it is whoever defaults."""
    bare = an(f"b{next(_numbers)}", "Broker", None, None)
    stored(kinds, bare)
    given = an(bare["metadata"]["name"], "Broker", {CLASS: "Scaup"}, {"config": POND})
    assert stored(kinds, given)["metadata"]["annotations"][CLASS] == "Scaup"


def test_what_was_stored_before_the_policies_can_be_mended_and_its_metadata_changed() -> None:
    """The policies are an addition: without them a misspelt field is kept, and the controller says so."""
    with kube() as server:
        for file in ("brokers.yaml", "triggers.yaml"):
            server.kubectl("apply", "-f", str(FOLDER / file))
        server.kubectl("wait", "--for=condition=Established", "crd/triggers.eventing.knative.dev")
        made = trigger({INJECTION: "on"}, filterz=[{"exact": {"type": "a"}}], filters=[{"exat": {"type": "a"}}])
        kept = stored(server, made)
        assert kept["spec"] == made["spec"]
        problem = check_trigger(kept).problem
        assert problem is not None
        assert problem.reason == "SpecInvalid"
        assert "spec.filterz: unknown field" in problem.message
        assert "did you mean exact?" in problem.message
        server.kubectl("apply", "-k", str(FOLDER))
        until_refused(server, trigger(strange=1))
        name = made["metadata"]["name"]
        server.kubectl("label", "trigger", name, "a=b")
        server.kubectl("patch", "trigger", name, "--subresource=status", "--type=merge", "-p", '{"status":{"x":{}}}')
        assert "spec.filterz: unknown field" in refusal(
            server, made | {"spec": made["spec"] | {"delivery": {"retry": 1}}}
        )
        assert stored(server, made | {"spec": SPEC})["spec"] == SPEC


def test_what_was_stored_under_other_kinds_can_be_reported_on_and_mended() -> None:
    """Installing our kinds over laxer ones leaves no object behind that nobody can touch."""
    with kube() as server:
        for crd in (knativekinds.broker_crd(), knativekinds.trigger_crd()):
            server.kubectl("apply", "-f", "-", stdin=json.dumps(crd))
        server.kubectl("wait", "--for=condition=Established", "crd/triggers.eventing.knative.dev")
        two = {"exact": {"A": "a"}, "prefix": {"type": "b"}}
        made = trigger(subscriber={}, filters=[two], delivery={"retry": -1})
        stored(server, made)
        server.kubectl("apply", "-k", str(FOLDER))
        until_refused(server, trigger(subscriber={}))
        name = made["metadata"]["name"]
        server.kubectl("patch", "trigger", name, "--subresource=status", "--type=merge", "-p", '{"status":{"x":{}}}')
        server.kubectl("label", "trigger", name, "a=b")
        assert "multiple dialects found" in refusal(server, made | {"spec": SPEC | {"filters": [two, two]}})
        assert stored(server, made | {"spec": SPEC})["spec"] == SPEC


def test_people_see_what_they_see_with_knatives_kinds(kinds: Kube) -> None:
    one, other = broker(), trigger(filters=[{"exact": {"type": "a"}}])
    stored(kinds, one)
    stored(kinds, other)
    name = one["metadata"]["name"]
    status = {"address": {"url": "http://b"}, "conditions": [{"type": "Ready", "status": "False", "reason": "Why"}]}
    kinds.kubectl("patch", "broker", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    header, line = kinds.kubectl("get", "broker", name).splitlines()
    assert header.split() == ["NAME", "URL", "AGE", "READY", "REASON"]
    assert [line.split()[n] for n in (0, 1, 3, 4)] == [name, "http://b", "False", "Why"]
    assert kinds.kubectl("get", "broker", name, "-o", "wide").splitlines()[1].split()[-1] == "Scaup"
    header, line = kinds.kubectl("get", "trigger", other["metadata"]["name"]).splitlines()
    assert header.split() == ["NAME", "BROKER", "SUBSCRIBER_URI", "AGE", "READY", "REASON"]
    assert line.split()[1] == "default"
    for category in ("all", "knative", "eventing"):
        assert f"broker.eventing.knative.dev/{name}" in kinds.kubectl("get", category, "-o", "name").split()
    explained = kinds.kubectl("explain", "trigger.spec.filters.any.not")
    for dialect in ("exact", "cesql", "cel"):
        assert dialect in explained
    assert "Further attempts after the first." in kinds.kubectl("explain", "broker.spec.delivery.retry")


def test_the_same_again_changes_nothing(kinds: Kube) -> None:
    assert {line.split()[-1] for line in kinds.kubectl("apply", "-k", str(FOLDER)).splitlines()} == {"unchanged"}
    said = kinds.kubectl("apply", "-k", str(FOLDER), "--server-side", "--dry-run=server", "--force-conflicts")
    assert len(said.splitlines()) == 6
