"""Selectors: the grammar and meaning of Kubernetes' label and field selectors."""

from __future__ import annotations

import pytest

from scaup.apiserver.answers import ApiError
from scaup.apiserver.kinds import BROKERS, BUILT_IN
from scaup.apiserver.selectors import both, field_selector, label_selector

EVENTS = next(k for k in BUILT_IN if k.kind == "Event")
WHOLE = {
    "metadata": {"name": "a", "namespace": "d", "labels": {"app": "web", "tier": "", "example.com/size": "7"}},
    "involvedObject": {"kind": "Broker", "name": "b"},
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("  ", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier", True),
        ("app=db", False),
        ("app!=web", False),
        ("missing!=web", True),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("! app", False),
        ("tier=", True),
        ("app in (web,db)", True),
        ("app in ( db )", False),
        ("app notin (db)", True),
        ("app notin (web)", False),
        ("missing notin (web)", True),
        ("missing in (web)", False),
        ("example.com/size>6", True),
        ("example.com/size<7", False),
        ("app>1", False),
        ("app in (web),!missing,tier", True),
        ("in=x", False),
    ],
)
def test_label_selectors_match_as_in_kubernetes(text: str, matches: bool) -> None:
    assert label_selector(text)(WHOLE) is matches


@pytest.mark.parametrize(
    "text", ["=x", "a b", "a in", "a in (", "a in b", "a=b=c", "a,,b", "a!b", "a>x", "-a=b", "a=b c", "a=-"]
)
def test_label_selectors_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ApiError, match=r"unable to parse requirement|must be an integer") as error:
        label_selector(text)
    assert error.value.status == 400


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a,metadata.namespace=d", True),
        ("metadata.name!=a", False),
        ("metadata.namespace!=e", True),
        ("involvedObject.name=b,involvedObject.kind=Broker", True),
        ("involvedObject.uid=x", False),
    ],
)
def test_field_selectors_match_names_and_what_the_kind_allows(text: str, matches: bool) -> None:
    assert field_selector(text, EVENTS)(WHOLE) is matches


def test_field_selectors_of_other_fields_are_refused() -> None:
    with pytest.raises(ApiError, match=r"field label not supported: spec\.broker"):
        field_selector("spec.broker=x", BROKERS)
    with pytest.raises(ApiError, match="invalid selector"):
        field_selector("metadata.name", BROKERS)


def test_two_selectors_match_what_both_match() -> None:
    assert both(label_selector(""), label_selector("app=web"))(WHOLE)
    assert not both(label_selector("app=db"), field_selector("metadata.name=a", BROKERS))(WHOLE)
    assert both(label_selector("app=web"), field_selector("", BROKERS))(WHOLE)
