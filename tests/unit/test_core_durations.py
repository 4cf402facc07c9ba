"""ISO 8601 durations: Knative's grammar, without its roundings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.core.model.durations import format_duration, parse_duration

YEAR = 365.2425 * 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0.2S", 0.2),
        ("PT1S", 1),
        ("PT2M", 120),
        ("P1D", 86_400),
        ("P1W", 604_800),
        ("P1DT1H", 90_000),
        ("P1Y", YEAR),
        ("P1M", YEAR / 12),
        ("P1Y2M3W4DT5H6M7.5S", YEAR * 14 / 12 + 21 * 86_400 + 4 * 86_400 + 5 * 3600 + 6 * 60 + 7.5),
        ("PT0,5S", 0.5),
        ("PT0.25S", 0.25),
        ("PT0.05S", 0.05),
        ("PT1.5H", 5400),
        ("PT90S", 90),
        ("P0D", 0),
        ("PT0S", 0),
    ],
)
def test_durations_are_read_exactly(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-15)


@pytest.mark.parametrize(
    "text",
    ["", "1s", "PT", "P", "pt1s", "PT1S1H", "-", "-PT1S",
     "P0", "P1", "PT1", "P1DT", "PT.5S", "PT1.S", " PT1S", "PT1S\n", "PT1e3S", "PT٣S", "P1S", "PT1D", "P1D1W",
     "P" + "9" * 400 + "Y", "P" + "9" * 5000 + "Y"],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the next lines look at the text
        parse_duration(text)


def test_the_refusal_says_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"'30s' is not an ISO 8601 duration such as PT0\.2S, PT30S"):
        parse_duration("30s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "PT0S"), (0.2, "PT0.2S"), (30, "PT30S"), (30.0, "PT30S"), (120, "PT2M"), (86_400, "PT24H"),
     (1e-7, "PT0.0000001S"), (123456.75, "PT123456.75S"), (90, "PT90S")],
)  # fmt: skip
def test_durations_are_written_as_people_write_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(0, 1e12))
def test_what_is_written_is_read_back(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
