"""By how many whole days an import moves its file's dates, and whether the door would take them. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from cli.importers import Survey
from resources.errors import ContractError

AUTO, NONE = "auto", "none"


@dataclass(frozen=True)
class DoorWindow:
    """The UTC days whose events the door takes today, from midnight on."""

    first_date: dt.date
    today: dt.date

    @classmethod
    def of(cls, now_utc: dt.datetime, late_days: int) -> DoorWindow:
        """The window at this moment; the day that is late in part counts as outside."""
        return cls((now_utc - dt.timedelta(days=late_days - 1)).date(), now_utc.date())

    def refused_share(self, survey: Survey, shift_days: int) -> float:
        """Share of the file's events that, moved so, lie outside the window."""
        move = dt.timedelta(days=shift_days)
        outside = sum(
            count for day, count in survey.per_day.items() if not self.first_date <= day + move <= self.today
        )
        return outside / sum(survey.per_day.values())


def choose_shift_days(
    wanted: str | None,
    recorded_days: int | None,
    survey: Survey,
    window: DoorWindow,
    refused_share_max: float,
) -> int:
    """The shift: as asked for, or else as this file was shifted before (so that ids keep their times), or 0.

    `auto` moves the last day of the file to yesterday, UTC, unless the file was imported before.

    Raises:
        ContractError: the wish is no shift, or differs from the recorded one, or the door would quarantine
            more than `refused_share_max` of the events for their age or for lying in the future.
    """
    days = _wished_days(wanted, recorded_days, survey, window.today)
    if recorded_days is not None and days != recorded_days:
        raise ContractError(
            f"this file was imported with a shift of {recorded_days} days, and one event id "
            f"cannot have two times: leave --shift out, or say --shift {recorded_days}"
        )
    if window.refused_share(survey, days) > refused_share_max:
        raise ContractError(_refusal(survey, days, window, recorded=recorded_days is not None))
    return days


def _refusal(survey: Survey, days: int, window: DoorWindow, *, recorded: bool) -> str:
    """Why the door would quarantine the file, and the way out."""
    first, last = survey.first_date, survey.last_date
    move = dt.timedelta(days=days)
    moved = f", moved by {days} days {first + move} to {last + move}" if days else ""
    auto_days = _wished_days(AUTO, None, survey, window.today)
    if recorded:
        way_out = "enlarge UNMOGROWP_LATE_DAYS, or import it into another tenant with --shift auto"
    elif first + dt.timedelta(days=auto_days) >= window.first_date:
        way_out = "move them into the window, every interval kept, with --shift auto"
    else:
        way_out = "enlarge UNMOGROWP_LATE_DAYS, for the file spans more days than the window"
    return (
        f"the file's events are of {first} to {last}{moved}, and the door quarantines what is not of "
        f"{window.first_date} to {window.today}: {way_out}"
    )


def _wished_days(wanted: str | None, recorded_days: int | None, survey: Survey, today: dt.date) -> int:
    if wanted is None or (wanted == AUTO and recorded_days is not None):
        return recorded_days or 0
    if wanted == NONE:
        return 0
    if wanted == AUTO:
        return (today - dt.timedelta(days=1) - survey.last_date).days
    try:
        return int(wanted)
    except ValueError as error:
        raise ContractError(f"--shift {wanted} is none of auto, none or a number of days") from error
