"""Times as ns since 1970, and local time in any year.

What a system knows of it ends somewhere, elsewhere on each: Windows refuses times before 1970 and behind the year 3000,
and datetime has four digits for a year. Beyond that, local time is what it is in a year with the same calendar.
"""

from __future__ import annotations

from calendar import isleap
from datetime import date, datetime, timedelta, timezone
from typing import Final

__all__ = ["local_time", "ns_of", "ns_since_1970"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
NS: Final = 1_000_000_000
DAY: Final = 86_400  # seconds
FIRST_DAY: Final = date(1970, 1, 1).toordinal() - 1  # days before it, from the year 1 on
# Days after which the calendar is the same again, weekdays too.
FOUR_CENTURIES: Final = 146_097
# These years have each calendar twice, and every system knows their local time.
KNOWN_YEARS: Final = range(2010, 2038)
REFUSALS: Final = (OSError, OverflowError, ValueError)


def local_time(seconds: int) -> tuple[int, datetime]:
    """When it was so many seconds after the begin of 1970 (UTC): the year, and the time in a year like it.

    The year is that of the proleptic Gregorian calendar: 10000 comes after 9999, and 0 before 1.
    """
    try:
        local = datetime.fromtimestamp(seconds)
    except REFUSALS:
        days, second = divmod(seconds, DAY)
        cycles, day = divmod(days + FIRST_DAY, FOUR_CENTURIES)
        utc = datetime.fromordinal(day + 1) + timedelta(seconds=second)
        known = year_like(utc.year)
        local = utc.replace(year=known, tzinfo=timezone.utc).astimezone()
        return utc.year + 400 * cycles + local.year - known, local
    return local.year, local


def ns_of(time: datetime) -> int:
    """ns since 1970 of a time in a zone."""
    return (time - EPOCH) // timedelta(microseconds=1) * 1000


def ns_since_1970(local: datetime) -> int:
    """The same in the other direction; `local` has no time zone."""
    whole = local.replace(microsecond=0)
    try:
        seconds = round(whole.timestamp())
    except REFUSALS:
        known = whole.replace(year=year_like(whole.year))
        seconds = round(known.timestamp()) + (whole - known) // timedelta(seconds=1)
    return seconds * NS + local.microsecond * 1000


def year_like(year: int) -> int:
    """The last of the known years with the same calendar."""
    calendar = isleap(year), date(year, 1, 1).weekday()
    return max(each for each in KNOWN_YEARS if (isleap(each), date(each, 1, 1).weekday()) == calendar)
