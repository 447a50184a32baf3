"""Local time of any year, on systems that know less of it, too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest

from isotp.capture import _local_time
from isotp.capture._formats.asc import measurement_start
from isotp.capture._local_time import local_time, ns_since_1970, year_like

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
NS = 1_000_000_000
DAY = 86_400
EPOCH = datetime(1970, 1, 1)


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone of a process cannot be changed here")
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


class WindowsTime(datetime):
    """As Windows has it: no local time before 1970, nor behind the year 3000."""

    @staticmethod
    def refuse(seconds: float) -> None:
        # timestamp() looks at the days around, too.
        if not DAY <= seconds <= 32_536_850_399:
            raise OSError(22, "Invalid argument")

    @classmethod
    def fromtimestamp(cls, seconds: float, tz: tzinfo | None = None) -> Any:
        cls.refuse(seconds)
        return super().fromtimestamp(seconds, tz)

    def timestamp(self) -> float:
        if self.tzinfo is None:
            self.refuse(
                (self.replace(tzinfo=timezone.utc) - EPOCH.replace(tzinfo=timezone.utc)).total_seconds()
            )
        return super().timestamp()


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_local_time, "datetime", WindowsTime)


@pytest.mark.parametrize("year", [1971, 1999, 2000, 2024, 2037])
def test_as_the_system_has_it(zone: str, year: int) -> None:
    for month in range(1, 13):
        local = datetime(year, month, 15, 12, 30, 59, 123_456)
        ns = ns_since_1970(local)
        assert ns == round(local.timestamp() * 1_000_000) * 1000
        assert local_time(ns // NS) == (year, local.replace(microsecond=0))


@pytest.mark.parametrize("year", [1, 1900, 1969, 3001, 9999])
def test_years_that_a_system_does_not_know(zone: str, windows: None, year: int) -> None:
    """Local time is that of a year with the same calendar; both directions agree."""
    local = WindowsTime(year, 7, 4, 5, 6, 7, 89_000)
    like = datetime(year_like(year), 7, 4, 5, 6, 7, 89_000)
    ahead = (like - EPOCH) // timedelta(seconds=1) - int(like.replace(microsecond=0).timestamp())
    ns = ns_since_1970(local)
    assert ns == (local - EPOCH) // timedelta(microseconds=1) * 1000 - ahead * NS
    found, at = local_time(ns // NS)
    assert (found, f"{at:%m-%d %H:%M:%S}") == (year, "07-04 05:06:07")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (253_402_300_799, "9999-12-31 23:59:59"),
        (253_402_300_800, "10000-01-01 00:00:00"),
        (253_402_300_800 + 59 * DAY, "10000-02-29 00:00:00"),
        (1 << 63, "292277026596-12-04 15:30:08"),
        (-62_135_596_800, "1-01-01 00:00:00"),
        (-62_135_596_801, "0-12-31 23:59:59"),
        (-(1 << 63), "-292277022657-01-27 08:29:52"),
    ],
)
def test_years_that_datetime_does_not_have(monkeypatch: pytest.MonkeyPatch, seconds: int, text: str) -> None:
    """The calendar goes on."""
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone of a process cannot be changed here")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    year, local = local_time(seconds)
    assert f"{year}-{local:%m-%d %H:%M:%S}" == text
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "date",
    [
        "Thu Jan 1 00:00:00 1970",
        "Wed Dec 31 11:59:59.999 pm 1969",
        "Mon Jan 1 00:00:00 0001",
        "Fri Dec 31 23:59:59.999 9999",
    ],
)
def test_headers_of_asc(zone: str, windows: None, date: str) -> None:
    """A logger without a clock begins in 1970, or wherever it likes."""
    began = measurement_start(f"date {date}".encode())
    year, local = local_time((began or 0) // NS)
    assert year == int(date[-4:])
    assert f"{local:%d %H:%M:%S}" in (f"0{date[8:18]}", "31 23:59:59")
