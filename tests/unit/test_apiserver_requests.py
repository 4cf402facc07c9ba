"""What a request asks for: paths, kinds, queries, who may ask; and how refusals look."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from scaup.apiserver import answers, body, discovery, guard
from scaup.apiserver.answers import ApiError, answer_to
from scaup.apiserver.kinds import BROKERS, BUILT_IN, CRDS, Kinds, Resource, by_priority
from scaup.apiserver.paths import Discovery, Target, parse
from scaup.apiserver.query import Continuation, flag, is_dry_run, list_options, parsed
from scaup.apiserver.settings import ApiServerSettings, is_loopback
from scaup.core.model import errors
from scaup.core.runtime.settings import Listen, load

EVENTING = "eventing.knative.dev"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api", Discovery("")),
        ("/api/v1", Discovery("", "v1")),
        ("/api/v1/", Discovery("", "v1")),
        ("/apis", Discovery()),
        (f"/apis/{EVENTING}", Discovery(EVENTING)),
        (f"/apis/{EVENTING}/v1", Discovery(EVENTING, "v1")),
        ("/api/v1/namespaces", Target("", "v1", "namespaces")),
        ("/api/v1/namespaces/d", Target("", "v1", "namespaces", "", "d")),
        ("/api/v1/namespaces/d/status", Target("", "v1", "namespaces", "", "d", "status")),
        ("/api/v1/namespaces/d/services", Target("", "v1", "services", "d")),
        ("/api/v1/namespaces/d/services/s/status", Target("", "v1", "services", "d", "s", "status")),
        (f"/apis/{EVENTING}/v1/brokers", Target(EVENTING, "v1", "brokers")),
        (f"/apis/{EVENTING}/v1/namespaces/d/brokers/b", Target(EVENTING, "v1", "brokers", "d", "b")),
        ("/", None),
        ("/api//v1", None),
        ("/openapi/v3", None),
        ("/api/v1/namespaces/d/services/s/status/more", None),
    ],
)
def test_paths_are_taken_apart_as_kubernetes_does(path: str, asked: Any) -> None:
    assert parse(path) == asked


def crd(versions: list[dict[str, Any]], plural: str = "ducks", group: str = "example.com") -> dict[str, Any]:
    names = {"plural": plural, "kind": "Duck", "singular": "duck", "listKind": "Ducks", "shortNames": ["dk"]}
    return {"spec": {"group": group, "scope": "Cluster", "names": names, "versions": versions}}


def test_a_crd_adds_its_served_versions_and_takes_them_away() -> None:
    kinds = Kinds()
    versions = [
        {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}},
        {"name": "v1beta1", "served": True},
        {"name": "v1alpha1", "served": False},
    ]
    kinds.learn("ducks.example.com", crd(versions))
    first, second = kinds.find("example.com", "v1", "ducks"), kinds.find("example.com", "v1beta1", "ducks")
    assert first is not None
    assert second is not None
    assert (first.has_status, second.has_status) == (True, False)
    assert (first.is_namespaced, first.is_custom, first.list_name) == (False, True, "Ducks")
    assert kinds.find("example.com", "v1alpha1", "ducks") is None
    assert kinds.groups()["example.com"] == ["v1", "v1beta1"]
    assert kinds.of_resource(Resource("example.com", "ducks")) == first
    kinds.learn("ducks.example.com", None)
    assert kinds.find("example.com", "v1", "ducks") is None
    kinds.learn("ducks.example.com", crd(versions))
    kinds.forget_all()
    assert len(list(kinds)) == len(BUILT_IN)


def test_a_crd_of_a_kind_that_is_built_in_changes_nothing() -> None:
    kinds = Kinds()
    kinds.learn(f"brokers.{EVENTING}", crd([{"name": "v1", "served": True}], "brokers", EVENTING))
    assert kinds.find(EVENTING, "v1", "brokers") is BROKERS
    assert kinds.is_built_in(Resource(EVENTING, "brokers"))


def test_versions_are_listed_in_kubernetes_order_of_preference() -> None:
    given = ["foo1", "v1alpha1", "v1", "v10", "v2", "v1beta2", "v11beta2", "v12alpha1", "foo10"]
    wanted = ["v10", "v2", "v1", "v11beta2", "v1beta2", "v12alpha1", "v1alpha1", "foo1", "foo10"]
    assert by_priority(given) == wanted


def test_discovery_shows_groups_versions_and_kinds() -> None:
    kinds = Kinds()
    groups = discovery.document(Discovery(), kinds)["groups"]
    others = ["apiextensions.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "coordination.k8s.io"]
    assert [g["name"] for g in groups] == [*others, EVENTING, "scaup.dev"]
    assert discovery.document(Discovery(""), kinds)["versions"] == ["v1"]
    assert discovery.document(Discovery(EVENTING), kinds)["preferredVersion"]["groupVersion"] == f"{EVENTING}/v1"
    resources = {r["name"]: r for r in discovery.document(Discovery(EVENTING, "v1"), kinds)["resources"]}
    assert set(resources) == {"brokers", "brokers/status", "triggers", "triggers/status"}
    assert resources["brokers"]["singularName"] == "broker"
    assert "watch" in resources["brokers"]["verbs"]
    core = {r["name"]: r for r in discovery.document(Discovery("", "v1"), kinds)["resources"]}
    assert core["services"]["shortNames"] == ["svc"]
    assert core["namespaces"]["namespaced"] is False
    assert discovery.version()["gitVersion"].endswith("+scaup")


@pytest.mark.parametrize("asked", [Discovery("nowhere.dev"), Discovery("nowhere.dev", "v1"), Discovery("", "v2")])
def test_a_group_or_version_that_is_not_known_is_not_found(asked: Discovery) -> None:
    with pytest.raises(ApiError) as error:
        discovery.document(asked, Kinds())
    assert error.value.status == 404


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8081", "127.0.0.1", "127.9.8.7:80", "[::1]", "[::1]:8081"])
def test_requests_to_loopback_are_taken(host: str) -> None:
    guard.require_local({"host": host})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": ""},
        {"host": "evil.example"},
        {"host": "localhost.evil.example:8081"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "192.168.0.1"},
        {"host": "[::2]"},
        {"host": "localhost", "origin": "http://localhost:8081"},
        {"host": "localhost", "origin": "null"},
    ],
)
def test_requests_that_a_web_page_may_have_made_are_forbidden(headers: dict[str, str]) -> None:
    with pytest.raises(ApiError) as error:
        guard.require_local(headers)
    assert (error.value.status, error.value.reason) == (403, "Forbidden")


@pytest.mark.parametrize(
    "given",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/apply-patch+yaml"],
)
def test_bodies_of_other_types_are_not_taken(given: str) -> None:
    with pytest.raises(ApiError) as error:
        guard.content_type({"content-type": given}, guard.OBJECTS)
    assert (error.value.status, error.value.reason) == (415, "UnsupportedMediaType")


def test_a_body_of_no_type_is_json_but_never_a_patch() -> None:
    assert guard.content_type({}, guard.OBJECTS) == guard.JSON
    with pytest.raises(ApiError) as error:
        guard.content_type({}, guard.PATCHES)
    assert error.value.status == 415


def test_parameters_of_a_content_type_do_not_matter() -> None:
    assert guard.content_type({"content-type": "Application/JSON; charset=utf-8"}, guard.OBJECTS) == guard.JSON


def test_the_api_listens_on_loopback_only() -> None:
    ApiServerSettings().require_loopback()
    with pytest.raises(errors.SettingsError, match="loopback only"):
        ApiServerSettings(listen=Listen("0.0.0.0", 8081)).require_loopback()
    assert not is_loopback("example.com")


def test_settings_are_read_from_the_environment() -> None:
    settings = load(ApiServerSettings, {"SCAUP_LISTEN": "127.0.0.2:9", "SCAUP_APISERVER_KEPT_CHANGES": "5"})
    assert (str(settings.listen), settings.kept_changes) == ("127.0.0.2:9", 5)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"resourceVersion": "x"}, "resourceVersion: Invalid value"),
        ({"resourceVersion": "-1"}, "resourceVersion: Invalid value"),
        ({"limit": "1.5"}, "limit: .*invalid syntax"),
        ({"timeoutSeconds": "soon"}, "timeoutSeconds: .*invalid syntax"),
        ({"continue": "???"}, "continue key is not valid"),
        ({"continue": "e30"}, "continue key is not valid"),
        ({"labelSelector": "a b"}, "unable to parse requirement"),
    ],
)
def test_a_query_that_cannot_be_read_is_a_bad_request(query: dict[str, str], words: str) -> None:
    with pytest.raises(ApiError, match=words) as error:
        list_options(query, BROKERS, Target(EVENTING, "v1", "brokers"))
    assert error.value.status == 400


@pytest.mark.parametrize("query", [{"resourceVersionMatch": "Near"}, {"resourceVersionMatch": "Exact"}])
def test_what_does_not_go_together_in_a_query_is_invalid(query: dict[str, str]) -> None:
    with pytest.raises(ApiError, match="resourceVersionMatch") as error:
        list_options(query, BROKERS, Target(EVENTING, "v1", "brokers"))
    assert (error.value.status, error.value.details["kind"]) == (422, "ListOptions")


def test_a_query_is_read_as_kubernetes_reads_it() -> None:
    assert parsed(b"a=1&a=2&b=%zz&c=x;d=y&&e&f=g%20h+i&%C3%A9=%ff") == {
        "a": "1",
        "e": "",
        "f": "g h i",
        "\u00e9": "\ufffd",
    }
    assert parsed(b"") == {}
    assert parsed(b"dryRun=All&dryRun=") == {"dryRun": "All,"}


def test_a_namespace_in_the_path_selects() -> None:
    options = list_options({}, BROKERS, Target(EVENTING, "v1", "brokers", "d"))
    assert options.is_wanted({"metadata": {"name": "b", "namespace": "d"}})
    assert not options.is_wanted({"metadata": {"name": "b", "namespace": "e"}})


def test_switches_are_read_as_kubernetes_does_and_continuations_survive() -> None:
    assert [flag({"watch": v}, "watch") for v in ("true", "True", "1", "", "false", "0")] == [True] * 4 + [False] * 2
    assert not flag({}, "watch")
    there = Continuation(12, ("d", "näme"))
    assert Continuation.parse(str(there)) == there
    assert is_dry_run({"dryRun": "All"}, options="CreateOptions")
    assert is_dry_run({}, {"dryRun": ["All"]}, options="DeleteOptions")
    assert not is_dry_run({}, {"dryRun": []}, options="DeleteOptions")
    with pytest.raises(ApiError, match=r"CreateOptions.*dryRun"):
        is_dry_run({"dryRun": "Some"}, options="CreateOptions")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (answers.not_found(BROKERS, "b"), 404, "NotFound"),
        (errors.NotLoadedError("x", hint="wait"), 503, "ServiceUnavailable"),
        (errors.BusUnavailableError("x"), 503, "ServiceUnavailable"),
        (errors.LogFullError("x"), 507, "InsufficientStorage"),
        (errors.EventTooLargeError("x"), 413, "RequestEntityTooLarge"),
        (errors.BusRequestError("x"), 503, "ServiceUnavailable"),
        (errors.SettingsError("x"), 500, "InternalError"),
    ],
)
def test_every_error_of_ours_has_a_status_object(error: errors.ScaupError, status: int, reason: str) -> None:
    answer = answer_to(error).body()
    assert (answer["kind"], answer["status"], answer["code"], answer["reason"]) == ("Status", "Failure", status, reason)
    assert answer["message"]


def test_refusals_have_kubernetes_words_and_details() -> None:
    missing = answers.not_found(BROKERS, "b").body()
    assert missing["message"] == 'brokers.eventing.knative.dev "b" not found'
    assert missing["details"] == {"name": "b", "group": EVENTING, "kind": "brokers"}
    wrong = answers.invalid(CRDS, "c", [answers.required("spec.group"), answers.wrong("spec.x", True, "no")]).body()
    assert wrong["message"] == (
        'CustomResourceDefinition.apiextensions.k8s.io "c" is invalid: '
        "[spec.group: Required value, spec.x: Invalid value: true: no]"
    )
    assert [cause["field"] for cause in wrong["details"]["causes"]] == ["spec.group", "spec.x"]
    values: list[Any] = [None, {}, [], 3, "t"]
    shown = [answers.wrong("p", value, "d").message for value in values]
    assert [one.split(": ")[1] for one in shown] == ["null", "object", "array", "3", '"t"']


@pytest.mark.parametrize(
    ("given", "data"),
    [
        (guard.JSON, b"{"),
        (guard.JSON, b""),
        (guard.JSON, b"[" * 300 + b"]" * 300),
        (guard.YAML, b"a: [b"),
        (guard.YAML, b"\xff"),
        (guard.YAML, b"a: &x [1]\nb: *x"),
        (guard.YAML, b"a: !!python/object/apply:os.getcwd []"),
        (guard.YAML, b"a: " + b"9" * 30),
        (guard.YAML, b"[" * 2000),
    ],
)
def test_a_body_that_does_not_parse_is_a_bad_request(given: str, data: bytes) -> None:
    with pytest.raises(ApiError) as error:
        asyncio.run(body.parse(given, data))
    assert error.value.status == 400


def test_yaml_means_what_json_would() -> None:
    text = b"when: 2026-01-01T00:00:00Z\n1: x\nyes_: true\nmany: [1, 2.5, null]\n"
    wanted = {"when": "2026-01-01T00:00:00Z", "1": "x", "yes_": True, "many": [1, 2.5, None]}
    assert asyncio.run(body.parse(guard.YAML, text)) == wanted
