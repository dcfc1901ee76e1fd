"""RFC 3339 timestamps as UTC datetimes: the odd but legal spellings included. Pure."""

from __future__ import annotations

import datetime as dt

EARLIEST_UTC = dt.datetime.min.replace(tzinfo=dt.UTC)


def parse_timestamp(text: str) -> dt.datetime:
    """The moment a schema-valid RFC 3339 date-time names, in UTC, to the microsecond.

    Lower-case `t` and `z` are legal; a leap second is the second after it; digits beyond the microsecond are
    cut; the year 0, which Python cannot hold, and what a zone shifts below year 1, is the earliest moment.

    Raises:
        ValueError: it is no such timestamp, or has no zone.
    """
    text = text.upper()
    if text.startswith("0000-"):
        return EARLIEST_UTC
    is_leap_second = text[17:19] == "60"
    moment = dt.datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if is_leap_second else text)
    if moment.tzinfo is None:
        raise ValueError("a timestamp needs a zone")
    try:
        moment = moment.astimezone(dt.UTC)
        return moment + dt.timedelta(seconds=1) if is_leap_second else moment
    except OverflowError:
        return EARLIEST_UTC if moment.year == 1 else dt.datetime.max.replace(tzinfo=dt.UTC)
