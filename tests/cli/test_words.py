"""Numbers as people read them: three digits, and never an exponent."""

from __future__ import annotations

import pytest

from isotp.cli.shown.words import count_text, number_text, size_text, time_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (1234, "1.23 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (999_999_999, "1 GB"),
        (12 * 10**12, "12 TB"),
        (5 * 10**15, "5,000 TB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0"),
        (1500, "1.5 us"),
        (999_499, "999 us"),
        (999_500, "1 ms"),
        (999_600_000, "1 s"),
        (1_234_500_000_000, "1,234 s"),
    ],
)
def test_durations(ns: int, text: str) -> None:
    assert time_text(ns) == text


def test_counts_and_rates() -> None:
    assert [count_text(count, "frame") for count in (1, 1234)] == ["1 frame", "1,234 frames"]
    numbers = (None, 0.1234, 999.4, 999.6, 12345.6)
    assert [number_text(value) for value in numbers] == ["", "0.123", "999", "1,000", "12,346"]
