"""On a platform without a CEL engine the local API works on: without rules and policies, with Knative's checks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from scaup.apiserver import celengine, policies, schemas
from scaup.apiserver.answers import ApiError
from scaup.apiserver.celengine import RuleError
from scaup.apiserver.kinds import TRIGGERS
from scaup.apiserver.writes import admitted

CACHED: tuple[Any, ...] = (celengine._engine, celengine._matching, celengine.is_there, policies._checks)


@pytest.fixture
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    schemas._read.clear()
    for one in CACHED:
        one.cache_clear()
    yield
    schemas._read.clear()
    for one in CACHED:
        one.cache_clear()


def trigger(**spec: Any) -> dict[str, Any]:
    about = {"name": "t", "namespace": "d"}
    whole = {"broker": "b", "subscriber": {"uri": "http://s.test/"}} | spec
    return {"apiVersion": TRIGGERS.api_version, "kind": "Trigger", "metadata": about, "spec": whole}


@pytest.mark.usefixtures("_no_engine")
def test_a_trigger_is_taken_and_a_wrong_one_refused() -> None:
    assert not celengine.is_there()
    assert admitted(TRIGGERS, trigger(), None, "now")["spec"]["filter"] == {}
    with pytest.raises(ApiError, match=r"spec\.subscriber"):
        admitted(TRIGGERS, trigger(subscriber=None), None, "now")
    with pytest.raises(ApiError, match=r"spec\.delivery\.retry"):
        admitted(TRIGGERS, trigger(delivery={"retry": -1}), None, "now")


@pytest.mark.usefixtures("_no_engine")
def test_patterns_are_still_patterns() -> None:
    assert celengine.matches("^a+$", "aaa")
    assert not celengine.matches("^a+$", "b")
    with pytest.raises(RuleError):
        celengine.matches("(", "b")
