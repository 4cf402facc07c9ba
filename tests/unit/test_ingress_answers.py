"""Every error has its HTTP answer, and every path its broker or its refusal."""

from __future__ import annotations

import json

import pytest

from scaup.core.model import errors
from scaup.core.model.errors import BadPathError
from scaup.ingress.answers import MethodNotAllowedError, RootPathError, answer
from scaup.ingress.paths import broker_of


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (MethodNotAllowedError("x"), 405, None),
        (RootPathError("x"), 404, None),
        (errors.BadPathError("x"), 400, None),
        (errors.MalformedEventError("x"), 400, None),
        (errors.HopLimitError("x"), 400, None),
        (errors.EventTooLargeError("x"), 413, None),
        (errors.SlowSenderError("x"), 408, None),
        (errors.UnknownBrokerError("x"), 404, None),
        (errors.EventRejectedError("x"), 400, None),
        (errors.LogFullError("x"), 507, "5"),
        (errors.OverloadedError("x"), 429, "1"),
        (errors.NotLoadedError("x"), 503, "1"),
        (errors.BusUnavailableError("x"), 503, "1"),
        (errors.BusRequestError("x"), 503, "5"),
        (errors.BusError("x"), 503, "1"),
        (errors.DefinitionError("spec", "x"), 500, None),
        (errors.ScaupError("x"), 500, None),
    ],
)
def test_an_error_has_its_status_and_retry_after(
    error: errors.ScaupError, status: int, retry_after: str | None
) -> None:
    found = answer(error)
    headers = {name.decode(): value.decode() for name, value in found.headers}
    assert (found.status, headers.get("retry-after")) == (status, retry_after)
    assert headers["allow"] == "POST, OPTIONS"
    assert int(headers["content-length"]) == len(found.body)
    assert headers["content-type"] == "application/problem+json"


def test_the_body_says_what_and_what_to_do() -> None:
    problem = json.loads(answer(errors.LogFullError("it is full", hint="wait")).body)
    assert problem == {"title": "bus.full", "status": 507, "detail": "it is full", "hint": "wait"}


def test_an_error_that_is_added_to_the_tree_is_answered_as_its_kind() -> None:
    class NewError(errors.BusUnavailableError):
        code = "new"

    assert answer(NewError("x")).status == 503


@pytest.mark.parametrize("path", ["/ns/name", "/ns/name/"])
def test_a_path_of_two_parts_is_a_broker(path: str) -> None:
    assert broker_of(path) == ("ns", "name")


@pytest.mark.parametrize(
    "path", ["/ns", "/ns/", "//name", "/ns//", "/knative/ns/name", "/ns/name//", "ns/name", "//", "///"]
)
def test_every_other_path_is_refused(path: str) -> None:
    with pytest.raises(BadPathError) as found:
        broker_of(path)
    assert not isinstance(found.value, RootPathError)
    assert "/{namespace}/{broker}" in found.value.hint


@pytest.mark.parametrize("path", ["/", ""])
def test_the_root_is_refused_as_not_found(path: str) -> None:
    with pytest.raises(RootPathError):
        broker_of(path)
