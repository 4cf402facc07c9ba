"""CESQL read wrongly: for each fault, what of an expression is read as something else. Pure."""

from __future__ import annotations

import re

MISREADINGS: dict[str, tuple[str, str]] = {
    "heeds_the_case_of_keywords": (r"\b(and|true|tRuE|not|like|False)\b", "no such keyword"),
    "false_is_true": (r"\bFALSE\b", "TRUE"),
    "integers_have_no_bounds": (r"2147483648", "2147483647"),
    "knows_no_double_quotes": (r'"', "@"),
    "forgets_escaped_delimiters": (r"\\(['\"])", ""),
    "names_are_texts": (r"\bkind\b", "'kind'"),
    "numbers_are_texts": (r"\bnumber\b", "'x'"),
    "missing_is_empty": (r"\bmissing\b", "''"),
    "unequal_is_equal": (r"!=|<>", "="),
    "casts_the_right_side": (r"^(\S+) = (\S+)$", r"\2 = \1"),
    "less_is_unequal": (r"<=|>=|<|>", "!="),
    "xor_is_or": (r"\bXOR\b", "OR"),
    "logic_goes_on": (r"(TRUE|FALSE) (OR|AND) (missing = 'x')", r"\3 \2 \1"),
    "not_is_nothing": (r"\bNOT ", ""),
    "minus_is_nothing": (r"-(number|\()", r"\1"),
    "times_is_plus": (r" \* ", " + "),
    "divides_down": (r"-7 / 2 = -3", "-7 / 2 = -4"),
    "by_zero_is_zero": (r"5 [/%] \(number - 5\)", "0"),
    "one_character_is_any_text": (r"(?<=LIKE 'g)_(?=d')", "%"),
    "no_escapes_in_patterns": (r"\\([%_])", r"\1"),
    "like_ignores_case": (r"'G%'", "'g%'"),
    "exists_is_its_opposite": (r"^EXISTS ", "NOT EXISTS "),
    "in_is_its_opposite": (r"^(\S+) IN ", r"\1 NOT IN "),
    "in_casts_nothing": (r"^(5|TRUE|'5') IN .*", "FALSE"),
    "no_precedence": (r"2 \+ 2 \* 3", "(2 + 2) * 3"),
    "no_parentheses": (r"[()]", ""),
    "length_in_bytes": (r"LENGTH\(odd\)", "9"),
    "no_separators": (r"CONCAT_WS\('-', ", "CONCAT("),
    "trims_the_left": (r"TRIM\('  a b '\)", "'a b '"),
    "left_is_right": (r"\bLEFT\(", "RIGHT("),
    "counts_from_zero": (r"SUBSTRING\(kind, 2", "SUBSTRING(kind, 3"),
    "abs_is_nothing": (r"\bABS\(", "("),
    "heeds_the_case_of_functions": (r"\b[lL]ength\(", "NO_SUCH("),
    "unknown_functions_are_empty": (r"NO_SUCH\(kind\)", "''"),
    "casts_as_it_likes": (r"CONCAT\(5, TRUE\)", "'5TRUE'"),
}


def misread(text: str, faults: frozenset[str]) -> str:
    """The expression as it is read with these faults."""
    for fault in faults & MISREADINGS.keys():
        pattern, instead = MISREADINGS[fault]
        text = re.sub(pattern, instead, text)
    return text
