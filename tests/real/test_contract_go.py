"""One contract, two servers: programs in Go, on client-go and controller-runtime, work with both."""

from __future__ import annotations

import pytest

from tests.support.contract import Server
from tests.support.goclients import exercise

pytestmark = pytest.mark.real


def test_a_typed_informer_keeps_a_copy(server: Server, namespace: str) -> None:
    exercise(server, namespace, "informer")


def test_a_dynamic_informer_tells_again_of_what_is_there_and_goes_on(server: Server, namespace: str) -> None:
    exercise(server, namespace, "resync")


def test_kinds_are_found_by_their_names(server: Server, namespace: str) -> None:
    exercise(server, namespace, "mapper")


def test_of_two_candidates_one_leads_until_it_lets_go(server: Server, namespace: str) -> None:
    exercise(server, namespace, "election")


def test_what_two_managers_apply_is_a_conflict(server: Server, namespace: str) -> None:
    exercise(server, namespace, "apply")


def test_a_reflector_lives_on_watches_alone(server: Server, namespace: str) -> None:
    exercise(server, namespace, "watchlist")


def test_a_long_list_is_read_in_parts(server: Server, namespace: str) -> None:
    exercise(server, namespace, "pages")


def test_a_controller_reconciles_what_it_owns(server: Server, namespace: str) -> None:
    exercise(server, namespace, "reconciler")
