"""CloudEvents SQL 1.0 as a table: expressions, and whether they let an event pass.

What the text, the test kit and the known engines disagree about is left out.
"""

from __future__ import annotations

from typing import Final

from scaup.conformance.checks.filters import MATCH, NO_MATCH, REFUSED, sql

_EVENT: Final = {
    "kind": "gold",
    "number": "5",
    "flag": "true",
    "text": "Abc d",
    "odd": "h\u00e9llo\u20ac",
    "pct": "50%_x",
}

sql(
    "SQ-1",
    "keywords_in_any_case",
    {"TRUE AND true And tRuE": MATCH, "not False": MATCH, "kind like 'g%'": MATCH},
    _EVENT,
)
sql("SQ-2", "booleans", {"TRUE": MATCH, "FALSE": NO_MATCH, "TRUE = true": MATCH}, _EVENT)
sql("SQ-3", "integers", {"5 = 5": MATCH, "-5 < 5": MATCH, "2147483647 > 0": MATCH, "2147483648 > 0": REFUSED}, _EVENT)
sql("SQ-4", "strings", {"kind = 'gold'": MATCH, 'kind = "gold"': MATCH, "kind = 'silver'": NO_MATCH}, _EVENT)
sql("SQ-5", "escaped_delimiters", {r"'it\'s' = " + '"it\'s"': MATCH, r'"a\"b" = ' + "'a\"b'": MATCH}, _EVENT)
sql("SQ-6", "names_are_attributes", {"kind = 'gold'": MATCH, "type = kind": NO_MATCH, "id != kind": MATCH}, _EVENT)
sql("SQ-7", "attributes_have_their_types", {"number = 5": MATCH, "number > 4": MATCH, "flag = TRUE": MATCH}, _EVENT)
sql(
    "SQ-8",
    "missing_attributes_are_errors",
    {"missing = ''": NO_MATCH, "missing != 'x'": NO_MATCH, "NOT missing": NO_MATCH},
    _EVENT,
)
sql(
    "SQ-9",
    "equality",
    {
        "1 = 1": MATCH,
        "1 != 2": MATCH,
        "1 <> 2": MATCH,
        "TRUE <> FALSE": MATCH,
        "'a' != 'a'": NO_MATCH,
        "'a' = 'A'": NO_MATCH,
    },
    _EVENT,
)
sql(
    "SQ-10",
    "the_left_side_is_cast",
    {"'5' = 5": MATCH, "'TRUE' = TRUE": MATCH, "TRUE = 'TRUE'": NO_MATCH, "'x' = 5": NO_MATCH},
    _EVENT,
)
sql(
    "SQ-11",
    "order_of_integers",
    {"number < 10": MATCH, "number >= 5": MATCH, "10 <= number": NO_MATCH, "'a' < 'b'": NO_MATCH},
    _EVENT,
)
sql(
    "SQ-12",
    "logic",
    {
        "TRUE AND TRUE": MATCH,
        "TRUE AND FALSE": NO_MATCH,
        "FALSE OR TRUE": MATCH,
        "FALSE OR FALSE": NO_MATCH,
        "TRUE XOR FALSE": MATCH,
        "TRUE XOR TRUE": NO_MATCH,
    },
    _EVENT,
)
sql("SQ-13", "logic_stops_early", {"TRUE OR missing = 'x'": MATCH, "NOT (FALSE AND missing = 'x')": MATCH}, _EVENT)
sql("SQ-14", "negation", {"NOT FALSE": MATCH, "NOT TRUE": NO_MATCH, "NOT (kind = 'silver')": MATCH}, _EVENT)
sql("SQ-15", "minus", {"-number = -5": MATCH, "-(2 + 3) = -5": MATCH, "-number = 5": NO_MATCH}, _EVENT)
sql(
    "SQ-16",
    "arithmetic",
    {"4 - 1 = 3": MATCH, "2 * 3 = 6": MATCH, "number + 1 = 6": MATCH, "2 + 2 = 5": NO_MATCH},
    _EVENT,
)
sql(
    "SQ-17",
    "division",
    {"-7 / 2 = -3": MATCH, "-7 % 2 = -1": MATCH, "7 % -2 = 1": MATCH, "-7 / 2 = -4": NO_MATCH},
    _EVENT,
)
sql("SQ-18", "division_by_zero", {"5 / (number - 5) = 0": REFUSED, "5 % (number - 5) = 0": REFUSED}, _EVENT)
sql("SQ-18", "division_by_what_is_not_zero", {"10 / number = 2": MATCH}, _EVENT)
sql(
    "SQ-19",
    "like",
    {"kind LIKE 'g%d'": MATCH, "kind LIKE 'g__d'": MATCH, "kind LIKE 'g_d'": NO_MATCH, "odd LIKE 'h_llo_'": MATCH},
    _EVENT,
)
sql(
    "SQ-20",
    "like_with_escapes",
    {r"pct LIKE '50\%\_x'": MATCH, r"kind LIKE 'g\%'": NO_MATCH, r"kind LIKE 'gol\_'": NO_MATCH},
    _EVENT,
)
sql(
    "SQ-21",
    "like_and_its_opposite",
    {"kind LIKE 'G%'": NO_MATCH, "kind NOT LIKE 'G%'": MATCH, "kind NOT LIKE 'g%'": NO_MATCH},
    _EVENT,
)
sql(
    "SQ-22",
    "exists",
    {"EXISTS kind": MATCH, "EXISTS missing": NO_MATCH, "NOT EXISTS missing": MATCH, "EXISTS id": MATCH},
    _EVENT,
)
sql(
    "SQ-23",
    "in",
    {"kind IN ('gold', 'silver')": MATCH, "kind IN ('a', 'b')": NO_MATCH, "kind NOT IN ('a', 'b')": MATCH},
    _EVENT,
)
sql("SQ-24", "in_casts", {"5 IN ('4', '5')": MATCH, "TRUE IN ('true')": MATCH, "'5' IN (5)": MATCH}, _EVENT)
sql(
    "SQ-25",
    "precedence",
    {"2 + 2 * 3 = 8": MATCH, "2 + 2 = 4 AND TRUE": MATCH, "NOT FALSE AND FALSE": NO_MATCH},
    _EVENT,
)
sql(
    "SQ-26",
    "parentheses",
    {"(2 + 2) * 3 = 12": MATCH, "NOT (FALSE AND FALSE)": MATCH, "(2 + 2) * 3 = 8": NO_MATCH},
    _EVENT,
)
sql("SQ-27", "length", {"LENGTH(odd) = 6": MATCH, "LENGTH('') = 0": MATCH, "LENGTH(odd) = 9": NO_MATCH}, _EVENT)
sql(
    "SQ-28",
    "concat",
    {"CONCAT(kind, '-', 'x') = 'gold-x'": MATCH, "CONCAT_WS('-', 'a', 'b', 'c') = 'a-b-c'": MATCH},
    _EVENT,
)
sql(
    "SQ-29",
    "lower_upper_trim",
    {"LOWER(text) = 'abc d'": MATCH, "UPPER(text) = 'ABC D'": MATCH, "TRIM('  a b ') = 'a b'": MATCH},
    _EVENT,
)
sql(
    "SQ-30",
    "left_right",
    {"LEFT(kind, 2) = 'go'": MATCH, "RIGHT(kind, 2) = 'ld'": MATCH, "LEFT(kind, 9) = 'gold'": MATCH},
    _EVENT,
)
sql(
    "SQ-31",
    "substring",
    {"SUBSTRING(kind, 2) = 'old'": MATCH, "SUBSTRING(kind, 2, 2) = 'ol'": MATCH, "SUBSTRING(kind, -3) = 'old'": MATCH},
    _EVENT,
)
sql("SQ-32", "abs", {"ABS(-5) = 5": MATCH, "ABS(5) = 5": MATCH, "ABS(-5) = -5": NO_MATCH}, _EVENT)
sql("SQ-33", "functions_in_any_case", {"length(kind) = 4": MATCH, "Length(kind) = 4": MATCH}, _EVENT)
sql("SQ-34", "functions_that_do_not_exist", {"NO_SUCH(kind) = ''": REFUSED, "NO_SUCH(kind) != 'x'": REFUSED}, _EVENT)
sql("SQ-34", "functions_with_too_many_arguments", {"LENGTH(kind, kind) != 7": REFUSED}, _EVENT)
sql(
    "SQ-35",
    "casts_of_text",
    {"number * 2 = 10": MATCH, "kind = 5": NO_MATCH, "kind != 5": NO_MATCH, "flag AND TRUE": MATCH},
    _EVENT,
)
sql("SQ-36", "casts_to_text", {"CONCAT(5, TRUE) = '5true'": MATCH, "LENGTH(-10) = 3": MATCH}, _EVENT)
sql(
    "SQ-37",
    "the_first_error_ends_it",
    {"TRUE AND (1 != 1 / (number - 5))": NO_MATCH, "missing = 'x' OR kind = 'gold'": NO_MATCH},
    _EVENT,
)
