"""deploy/base/crds/ is what the code says."""

from __future__ import annotations

from tests.support.pages import assert_fresh


def test_the_kinds_and_their_policies_are_those_of_the_code() -> None:
    assert_fresh("crds")
