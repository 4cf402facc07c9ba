"""The conformance suite sees what is wrong: for every MUST that can be seen there is a fault that turns its row red."""

from __future__ import annotations

import asyncio

from scaup.conformance.app import Options, Target, run
from scaup.conformance.results import Outcome, Verdict
from scaup.conformance.rows import ROWS
from tests.support.brokenbroker import broken_broker

FAULTS: dict[str, str] = {
    # requests
    "takes_anything": "CE-1 CE-2 CE-3 CE-4 CE-5 CE-9 CE-11 CE-13 CE-14 CE-16 CE-17 CE-20 CE-21 CE-23 CE-36 HB-3 HB-15 "
    "HB-21 JF-2 JF-4 JF-5 JF-6 JF-8 JF-10 JF-21 BA-2 BA-5 DP-8 CP-44 WH-12",
    "refuses_everything": "CP-3 HB-2 HB-4 HB-10 HB-25 HB-27 HB-37 CE-6 CE-12 DP-12",
    "answers_as_nobody_does": "DP-8 WH-4",
    "answers_with_a_redirect": "WH-7 WH-5",
    "options_without_allow": "DP-6 WH-14",
    "grants_somebody_else": "WH-15",
    "grants_no_rate": "WH-16 WH-17",
    "knows_no_options": "WH-13 KE-28",
    "refuses_duplicates": "DP-12",
    "duplicates_by_id": "DP-13",
    "no_chunks": "HB-25 DP-1",
    "refuses_to_be_waited_for": "HB-26",
    "closes_connections": "HB-27 HB-37 DP-1",
    "takes_half_bodies": "HB-28",
    "believes_two_lengths": "HB-29",
    "needs_no_host": "HB-31",
    "dies_of_nonsense": "HB-35",
    "holds_the_producer": "CP-21",
    # what is read
    "guesses_the_mode": "HB-1 HB-4",
    "heeds_the_case_of_types": "HB-5",
    "knows_no_parameters": "HB-2",
    "upgrades_older_events": "KE-18 KE-19 KE-20 KE-21",
    "renames_schemas": "KE-19 KE-22",
    "keeps_base64": "KE-20",
    "reads_headers_in_structured_mode": "HB-1 HB-21",
    "decodes_nothing": "HB-12 HB-13 HB-14 HB-16 SF-16 CE-22",
    "garbles_attributes": "CE-6 CE-11 CE-12 CE-22 CE-24 CE-25 CE-33 CE-34 HB-7 HB-10 HB-32 JF-1 JF-3 JF-4 JF-7",
    "forgets_extensions": "CE-33 JF-7 CE-34",
    "changes_versions": "CE-4",
    "garbles_data": "CE-10 CE-26 CE-27 CE-28 HB-11 HB-25 JF-9 JF-11 JF-12 JF-13 JF-14 JF-15 JF-23 CP-24",
    "cuts_large_data": "CE-28 CP-24",
    "loses_data_that_is_null": "JF-15",
    "null_is_text": "JF-2",
    "makes_up_types": "JF-17",
    "strings_are_read_again": "JF-13",
    "refuses_batches_without_events": "BA-3",
    "takes_the_first_of_a_batch": "BA-4 BA-2 BA-8 KE-21",
    # what is sent
    "delivers_with_put": "DP-5 WH-1",
    "sends_two_hosts": "HB-33",
    "sends_no_type": "HB-7 WH-3",
    "sends_the_type_twice": "HB-8",
    "sends_all_in_one_header": "HB-9",
    "says_no_namespace": "KE-24",
    "forgets_headers": "KE-9 KE-25 KE-27",
    "passes_all_headers": "KE-10 KE-26",
    "keeps_the_last_header": "KE-27",
    "encodes_nothing": "HB-17 HB-18",
    "sends_batches": "BA-6",
    "never_structured": "DP-3",
    "structured_as_another_type": "HB-23 JF-22",
    "json_in_another_encoding": "HB-24 JF-20",
    "json_as_text": "JF-19",
    "bytes_as_text": "JF-18",
    # deliveries
    "never_retries": "DP-10 DP-17 CP-21 CP-31 CP-36",
    "retries_once_more": "CP-31",
    "retries_everything": "DP-10",
    "never_waits": "CP-36",
    "linear_grows": "CP-36",
    "follows_redirects": "WH-8",
    "no_dead_letters": "CP-32",
    "delivers_twice": "CP-22 CP-23",
    "one_delivery_for_each_address": "CP-23",
    "forwards_to_one": "CP-3",
    "forgets_what_is_not_text": "CP-3 CE-27",
    "asks_for_no_replies": "DP-19 DP-24",
    "asks_once": "DP-24",
    "takes_202_for_replies": "DP-22",
    "forgets_replies": "CP-25 CP-26",
    "replies_lose_attributes": "CP-25",
    "replies_are_upgraded": "KE-23",
    "replies_go_to_others_only": "CP-26",
    # definitions
    "no_address": "CP-1",
    "crosses_brokers": "CP-2",
    "no_dead_letter_uri": "CP-5 CP-13",
    "everything_changes": "CP-8 CP-14",
    "always_ready": "CP-10 CP-12 CP-20 CP-41 CP-5",
    "no_subscriber_uri": "CP-11 CP-18 CP-19 CP-30",
    "is_not_ready_when_it_says_so": "CP-16",
    "no_services": "CP-18",
    "forgets_relative_uris": "CP-19",
    "resolves_everything": "CP-12 CP-20",
    "goes_where_it_was": "CP-30",
    "forgets_fields": "CP-34",
    "merges_deliveries": "CP-35",
    "takes_malformed_definitions": "CP-44",
    "stale_generation": "CP-38",
    "conditions_twice": "CP-39",
    "ready_is_alone": "CP-39 CP-40",
    "ready_is_severe": "CP-40",
    "no_reasons": "CP-42",
    # filters
    "matches_nothing": "SF-1 SF-2 SF-3 SF-4 SF-5 SF-6 SF-8 SF-9 SF-10 SF-11 SF-12 SF-15 SF-16 CP-37",
    "matches_everything": "SF-1 SF-3 SF-4 SF-5 SF-6 SF-7 SF-8 SF-9 SF-10 SF-11 SF-12 SF-13 CP-37 CP-22",
    "ignores_case": "CP-37",
    "takes_nonsense_filters": "SF-18 SQ-38",
    # CESQL
    "heeds_the_case_of_keywords": "SQ-1",
    "false_is_true": "SQ-2 SQ-12",
    "integers_have_no_bounds": "SQ-3",
    "knows_no_double_quotes": "SQ-4",
    "forgets_escaped_delimiters": "SQ-5",
    "names_are_texts": "SQ-6",
    "numbers_are_texts": "SQ-7 SQ-35",
    "missing_is_empty": "SQ-8 SF-13",
    "unequal_is_equal": "SQ-9",
    "casts_the_right_side": "SQ-10",
    "less_is_unequal": "SQ-11",
    "xor_is_or": "SQ-12",
    "logic_goes_on": "SQ-13",
    "not_is_nothing": "SQ-14",
    "minus_is_nothing": "SQ-15",
    "times_is_plus": "SQ-16",
    "divides_down": "SQ-17",
    "by_zero_is_zero": "SQ-18",
    "one_character_is_any_text": "SQ-19",
    "no_escapes_in_patterns": "SQ-20",
    "like_ignores_case": "SQ-21",
    "exists_is_its_opposite": "SQ-22",
    "in_is_its_opposite": "SQ-23",
    "in_casts_nothing": "SQ-24",
    "no_precedence": "SQ-25",
    "no_parentheses": "SQ-26",
    "length_in_bytes": "SQ-27",
    "no_separators": "SQ-28",
    "trims_the_left": "SQ-29",
    "left_is_right": "SQ-30",
    "counts_from_zero": "SQ-31",
    "abs_is_nothing": "SQ-32",
    "heeds_the_case_of_functions": "SQ-33",
    "unknown_functions_are_empty": "SQ-34",
    "casts_as_it_likes": "SQ-36",
}
SEEN = [row.id for row in ROWS.values() if row.level.binds and not row.unseen]


async def looked_at(only: list[str], *faults: str, settle_s: float = 0.3, within_s: float = 1.5) -> Outcome:
    """A run against a broker with these faults."""
    async with broken_broker(*faults) as broker:
        options = Options(only=only, parallel=60, settle_s=settle_s, within_s=within_s)
        return await run(Target("a broken broker", api=broker.api), options)


async def test_a_broker_without_faults_conforms() -> None:
    outcome = await looked_at([], within_s=20)
    assert [(one.row.id, one.why) for one in outcome.rows if one.verdict is Verdict.FAILED] == []
    assert outcome.conforms
    assert {one.row.id for one in outcome.rows if one.verdict is Verdict.PASSED} >= set(SEEN)


async def green(fault: str, rows: list[str]) -> list[str]:
    """The rows that this fault does not turn red, however long the suite waits for what should not come."""
    for settle_s in (0.3, 1.0, 3.0):
        outcome = await looked_at(rows, fault, settle_s=settle_s)
        rows = [one.row.id for one in outcome.rows if one.verdict is not Verdict.FAILED]
        if not rows:
            break
    return rows


async def test_every_fault_turns_its_rows_red() -> None:
    room = asyncio.Semaphore(32)

    async def look(fault: str, rows: str) -> tuple[str, list[str]]:
        async with room:
            return fault, await green(fault, rows.split())

    found = await asyncio.gather(*(look(fault, rows) for fault, rows in FAULTS.items()))
    assert {fault: rows for fault, rows in found if rows} == {}


def test_every_must_that_can_be_seen_has_a_fault_that_turns_it_red() -> None:
    assert [row for row in SEEN if not any(row in rows.split() for rows in FAULTS.values())] == []
