"""Which later dates a changed slice reopens: those whose marts depend on what changed, and nothing else.

A late click can win an install of a later day, and what follows from that install; a late install or session changes
whether a later event of its device is a reinstall or a return. Nothing reaches back: a touch counts for conversions
up to the end of its own UTC day before it at most. Pure functions over clean.events' rows; only `reopened_dates`
reads. Of the tenant's rule sets only the inactivity and the names of events are asked for (`Influence`); else the
widest that any may allow counts (30 days for a touch, 90 for a re-engagement).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import polars as pl

from resources.lake_filters import above, all_of, day_shifted, equals, is_in
from resources.rules import DEFAULT_RULES, RuleSet

if TYPE_CHECKING:
    from assets.partitions import RunSlices
    from resources.lake import Lake

TOUCHES = ("click", "impression")
ACTIVITY = ("install", "session", "event", "purchase")
CONVERSIONS = ("install", "session")  # what a touch is matched with by its keys
ATTRIBUTION_INPUTS = (*TOUCHES, *ACTIVITY)
COLUMNS = (
    "event_id",
    "event_type",
    "event_time",
    "event_date",
    "event_name",
    "app_id",
    "device_id",
    "user_id",
    "click_id",
    "referrer_click_id",
    "source",
    "ip_pseudonym",
    "user_agent_pseudonym",
    "os_version",
)
TOUCH_DAYS = 30  # the longest window that a rule set may have
REENGAGEMENT_DAYS = 90  # the longest re-engagement window
SMALLEST_CLICK_CAP = 5  # below it no click of a device and day can be beyond the cap
DEVICE = ["app_id", "device_id"]
SIGHTING = [*DEVICE, "user_id"]
FINGERPRINT = ["app_id", "ip_pseudonym", "user_agent_pseudonym", "os_version"]


@dataclass(frozen=True)
class Influence:
    """What of a tenant's rule sets, all that were ever in force, decides whether an event matters later."""

    shortest_inactivity_ms: int
    named_events: frozenset[str]

    @classmethod
    def of(cls, rule_sets: Iterable[RuleSet]) -> Self:
        """The influence of these rule sets and the defaults."""
        rules = (DEFAULT_RULES, *rule_sets)
        names = frozenset(
            name for rule_set in rules for name in (rule_set.registration_event, *rule_set.conversion_events)
        )
        return cls(min(rule_set.inactivity_ms for rule_set in rules), names)

    def conversions(self, events: pl.DataFrame) -> pl.DataFrame:
        """Purchases and those in-app events that are conversions or milestones."""
        is_named = pl.col("event_name").is_in(sorted(self.named_events))
        return events.filter(_is(("purchase",)) | (_is(("event",)) & is_named))


def reopened_dates(
    lake: Lake, slices: RunSlices, before: pl.DataFrame, after: pl.DataFrame, influence: Influence
) -> list[dt.date]:
    """Dates outside the run whose marts depend on what changed in it; reads other slices only if any did."""
    if changed_inputs(before, after).is_empty():
        return []
    later = lake.read("clean.events", later_activity(slices.tenant_id, slices.dates[0]), COLUMNS)
    if later.is_empty():  # the newest slices, so nearly always
        return []
    sightings = earlier_sightings(lake, slices.tenant_id, slices.dates[0])
    return dates_that_depend(
        before, after, later, sightings, own_dates=set(slices.dates), influence=influence
    )


def earlier_sightings(lake: Lake, tenant_id: str, before_date: dt.date) -> pl.DataFrame:
    """Which devices an event of theirs named which user on, in the 30 days before: a row per app, device and user.

    Read a day at a time, so that memory holds the pairs and one day's events.
    """
    dates = [day_shifted(before_date, -days) for days in range(1, TOUCH_DAYS + 1)]
    activity = is_in("event_type", ACTIVITY)
    days = (
        lake.read(
            "clean.events",
            all_of(equals("tenant_id", tenant_id), equals("event_date", date), activity),
            SIGHTING,
        )
        for date in dates
    )
    return pl.concat([day.drop_nulls().unique() for day in days]).unique()


def later_activity(tenant_id: str, after_date: dt.date) -> str:
    """Filter on clean.events: what the tenant's devices did after a date."""
    return all_of(
        equals("tenant_id", tenant_id), above("event_date", after_date), is_in("event_type", ACTIVITY)
    )


def changed_inputs(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Attribution inputs that are in only one of two versions of the same slices."""
    old, new = _inputs(before), _inputs(after)
    only = [a.join(b, on=COLUMNS, how="anti", nulls_equal=True) for a, b in ((old, new), (new, old))]
    return pl.concat(only)


def dates_that_depend(
    before: pl.DataFrame,
    after: pl.DataFrame,
    later: pl.DataFrame,
    sightings: pl.DataFrame,
    *,
    own_dates: set[dt.date],
    influence: Influence,
) -> list[dt.date]:
    """Dates whose marts two versions of `own_dates` may leave different, own dates left out.

    Args:
        before: rows of clean.events on `own_dates`, as they were.
        after: the same, as they are now.
        later: activity (`later_activity`) after the first of `own_dates`; rows on `own_dates` are ignored.
        sightings: of the 30 days before them (`earlier_sightings`): a user's conversion may have touches of a device
            that last named the user then.
        own_dates: the slices that changed.
        influence: of the tenant's rule sets.
    """
    changed = changed_inputs(before, after)
    later = _inputs(later).filter(~pl.col("event_date").is_in(sorted(own_dates)))
    if changed.is_empty() or later.is_empty():
        return []
    known = pl.concat([_inputs(before), _inputs(after)]).unique("event_id", keep="last")
    events = pl.concat([known, later])
    touches = _with_crowded_siblings(changed.filter(_is(TOUCHES)), known)
    matched = _matched(touches, events)
    installs = pl.concat([changed, matched]).filter(_is(("install",)))
    returns = _returned(before, after, later, matched, influence.shortest_inactivity_ms)
    conversions = influence.conversions(later)
    own_sightings = events.filter(_is(ACTIVITY)).select(SIGHTING).drop_nulls()
    users = pl.concat([sightings.select(SIGHTING), own_sightings]).unique()
    milestones = _of_users(influence.conversions(changed), users)
    journeys = _of_users(pl.concat([touches, _new_sightings(before, after)]), users)
    found = (
        _within(later, installs, DEVICE, DEVICE, None),  # revenue, reinstalls, retention: for life
        _within(later.filter(_is(("purchase",))), returns, DEVICE, DEVICE, REENGAGEMENT_DAYS),
        _within(conversions, milestones, DEVICE, DEVICE, None),
        _within(conversions, journeys, DEVICE, DEVICE, TOUCH_DAYS),
        installs,
        returns,
    )
    return sorted({date for rows in found for date in rows["event_date"].to_list()} - own_dates)


def _inputs(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(COLUMNS).filter(_is(ATTRIBUTION_INPUTS))


def _is(types: tuple[str, ...]) -> pl.Expr:
    return pl.col("event_type").is_in(types)


def _with_crowded_siblings(touches: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Changed touches, and the clicks whose place under the click cap they may have moved."""
    crowd = [*DEVICE, "source", "event_date"]
    clicks = known.filter(pl.col("event_type") == "click")
    crowded = clicks.filter(pl.len().over(crowd) > SMALLEST_CLICK_CAP)
    moved = crowded.join(
        touches.filter(pl.col("event_type") == "click"), on=crowd, how="semi", nulls_equal=True
    )
    return pl.concat([touches, moved]).unique("event_id")


def _matched(touches: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Installs and sessions that share a key with a touch, from its day on for as long as a window may be."""
    conversions = events.filter(_is(CONVERSIONS))
    clicks = touches.filter(pl.col("event_type") == "click")
    found = [
        _within(conversions, touches, DEVICE, DEVICE, TOUCH_DAYS),
        _within(conversions, clicks, ["app_id", "click_id"], ["app_id", "click_id"], TOUCH_DAYS),
        _within(conversions, clicks, ["app_id", "referrer_click_id"], ["app_id", "click_id"], TOUCH_DAYS),
        _within(conversions, touches, FINGERPRINT, FINGERPRINT, 1),
    ]
    return pl.concat(found).unique("event_id")


def _within(
    events: pl.DataFrame, causes: pl.DataFrame, left: list[str], right: list[str], days: int | None
) -> pl.DataFrame:
    """Events that share these columns with a cause and lie on its date or up to `days` later (None: any later)."""
    first_dates = causes.drop_nulls(right).select(*right, pl.col("event_date").alias("cause_date")).unique()
    pairs = events.join(first_dates, left_on=left, right_on=right, how="inner")
    gap = (pl.col("event_date") - pl.col("cause_date")).dt.total_days()
    near = pairs.filter(gap.is_between(0, days) if days is not None else gap >= 0)
    return near.select(COLUMNS).unique("event_id")


def _returned(
    before: pl.DataFrame, after: pl.DataFrame, later: pl.DataFrame, matched: pl.DataFrame, inactivity_ms: int
) -> pl.DataFrame:
    """Returns that a changed touch matches, whose device had been away for another time, or was installed otherwise."""
    changed = changed_inputs(before, after)
    concerned = pl.concat([changed, matched]).select(DEVICE).unique()
    later = later.join(concerned, on=DEVICE, how="semi")
    old, new = (_returns(pl.concat([_inputs(version), later]), inactivity_ms) for version in (before, after))
    either = pl.concat([old, new]).unique("event_id")
    same = ["event_id", "away_since"]
    moved = [a.join(b, on=same, how="anti", nulls_equal=True) for a, b in ((old, new), (new, old))]
    installs = changed.filter(_is(("install",))).drop_nulls(DEVICE)
    found = (
        *moved,
        either.join(matched, on="event_id", how="semi"),
        either.join(installs, on=DEVICE, how="semi"),
    )
    return pl.concat(found).select(COLUMNS).unique("event_id")


def _returns(events: pl.DataFrame, inactivity_ms: int) -> pl.DataFrame:
    """Sessions that open their device's UTC day, with nothing of it in `events` in the inactivity time before.

    `away_since` is the device's last activity of an earlier day, where `events` knows of one.
    """
    activity = events.filter(_is(ACTIVITY)).drop_nulls(DEVICE)
    days = (
        activity.group_by(*DEVICE, "event_date")
        .agg(pl.col("event_time").min().alias("opened"), pl.col("event_time").max().alias("last"))
        .sort("event_date")
        .with_columns(pl.col("last").shift(1).over(DEVICE).alias("away_since"))
        .filter(
            pl.col("away_since").is_null()
            | ((pl.col("opened") - pl.col("away_since")).dt.total_milliseconds() >= inactivity_ms)
        )
    )
    sessions = activity.filter(_is(("session",)))
    returned = sessions.join(days.drop("last"), on=[*DEVICE, "event_date"], how="inner")
    return returned.filter(pl.col("event_time") == pl.col("opened")).drop("opened")


def _new_sightings(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """The app's events that name a user on a device and a date on which only one version does."""
    old, new = (frame.select(COLUMNS).filter(_is(ACTIVITY)).drop_nulls(SIGHTING) for frame in (before, after))
    seen = [*SIGHTING, "event_date"]
    return pl.concat([old.join(new, on=seen, how="anti"), new.join(old, on=seen, how="anti")])


def _of_users(causes: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    """The causes, and the same on every device of their user."""
    own = causes.drop("user_id").join(users, on=DEVICE, how="inner")
    theirs = own.drop("device_id").join(users, on=["app_id", "user_id"], how="inner")
    return pl.concat([causes, theirs.select(COLUMNS)])
