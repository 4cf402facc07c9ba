"""One contract, two servers: what a client may do, and who it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract import Server

pytestmark = pytest.mark.real

RIGHTS = "/apis/authorization.k8s.io/v1"
ACCESS = f"{RIGHTS}/selfsubjectaccessreviews"
RULES = f"{RIGHTS}/selfsubjectrulesreviews"
TRIGGERS = {"verb": "list", "group": "eventing.knative.dev", "resource": "triggers", "namespace": "default"}


@pytest.mark.parametrize(
    "asked", [{"resourceAttributes": TRIGGERS}, {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}]
)
def test_everything_is_allowed_to_who_may_do_everything(server: Server, asked: Any) -> None:
    answer = server.request("POST", ACCESS, {"spec": asked})
    assert (answer.status, answer.body["kind"], answer.body["spec"]) == (201, "SelfSubjectAccessReview", asked)
    assert answer.body["status"] == {"allowed": True}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (
            ACCESS,
            {"spec": {}},
            422,
            "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes",
        ),
        (RULES, {"spec": {}}, 400, "no namespace on request"),
        (ACCESS, {"kind": "Secret", "spec": {}}, 400, 'Secret in version "v1" cannot be handled as a SelfSubject'),
        (ACCESS, {"spec": {"resourceAttributes": {"verb": 1}}}, 400, "resourceAttributes.verb of type string"),
    ],
)
def test_a_review_that_asks_nothing_is_refused(server: Server, path: str, body: Any, status: int, words: str) -> None:
    answer = server.request("POST", path, body)
    assert answer.status == status
    assert words in answer.body["message"]


def test_reviews_are_not_kept(server: Server) -> None:
    assert server.request("GET", ACCESS).status == 405
    assert server.request("DELETE", ACCESS).status == 405
    assert server.request("GET", f"{ACCESS}/x").status == 404
    found = {one["name"]: one["verbs"] for one in server.request("GET", RIGHTS).body["resources"]}
    assert found["selfsubjectaccessreviews"] == found["selfsubjectrulesreviews"] == ["create"]


def test_kubectl_says_what_one_may_do(server: Server) -> None:
    assert server.kubectl("auth", "can-i", "delete", "brokers", "-A") == "yes\n"
    assert server.kubectl("auth", "can-i", "get", "/metrics") == "yes\n"
    rules = [line.split() for line in server.kubectl("auth", "can-i", "--list").splitlines()]
    assert ["*.*", "[]", "[]", "[*]"] in rules
    assert ["[*]", "[]", "[*]"] in rules


def test_kubectl_says_who_one_is(server: Server) -> None:
    said = server.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert said == ("system:anonymous" if server.is_local else "admin")


def test_kubectl_posts_and_explains_a_review(server: Server) -> None:
    review = '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
    assert "userInfo" in server.kubectl("create", "-f", "-", "-o", "json", stdin=review)
    assert "resourceAttributes" in server.kubectl("explain", "selfsubjectaccessreview.spec")
