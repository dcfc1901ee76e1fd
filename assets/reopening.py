"""Which later dates a changed slice reopens.

A late click can win an install of a later day, and the revenue that follows; a late install changes where
later purchases count. Exactly those (tenant, date) slices of the marts are asked for again, nothing else.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import polars as pl

from resources.lake_filters import above, all_of, equals, is_in

if TYPE_CHECKING:
    from assets.partitions import RunSlices
    from resources.lake import Lake

ATTRIBUTION_INPUTS = ("click", "impression", "install")
COMPARED = ("event_id", "event_type", "app_id", "device_id", "click_id", "referrer_click_id")
LATER_COLUMNS = ("event_date", *COMPARED)


def reopened_dates(lake: Lake, slices: RunSlices, before: pl.DataFrame, after: pl.DataFrame) -> list[dt.date]:
    """Dates outside the run whose conversions depend on what changed in it; reads later slices only if any did."""
    changed = changed_inputs(before, after)
    if changed.is_empty():
        return []
    later = lake.read("clean.events", later_conversions(slices.tenant_id, slices.dates[0]), LATER_COLUMNS)
    return dates_that_depend(changed, after, later, set(slices.dates))


def later_conversions(tenant_id: str, after_date: dt.date) -> str:
    """Filter on clean.events: the tenant's installs and purchases after a date."""
    return all_of(
        equals("tenant_id", tenant_id),
        above("event_date", after_date),
        is_in("event_type", ("install", "purchase")),
    )


def changed_inputs(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Attribution inputs that are in only one of two versions of the same slices."""
    inputs = [
        frame.select(COMPARED).filter(pl.col("event_type").is_in(ATTRIBUTION_INPUTS))
        for frame in (before, after)
    ]
    old, new = inputs
    return pl.concat([old.join(new, on="event_id", how="anti"), new.join(old, on="event_id", how="anti")])


def dates_that_depend(
    changed: pl.DataFrame, after: pl.DataFrame, later: pl.DataFrame, own_dates: set[dt.date]
) -> list[dt.date]:
    """Dates of later conversions that share a device or a click id with a changed input, own dates left out.

    A purchase follows its user's install, so devices of installs matched by click id count too.
    """
    clicks = (
        changed.filter(pl.col("event_type") == "click").select("app_id", "click_id").drop_nulls().unique()
    )
    installs = pl.concat([after.select(COMPARED), later.select(COMPARED)]).filter(
        pl.col("event_type") == "install"
    )
    by_click = [
        installs.join(clicks, left_on=["app_id", key], right_on=["app_id", "click_id"], how="semi")
        for key in ("click_id", "referrer_click_id")
    ]
    devices = (
        pl.concat([frame.select("app_id", "device_id") for frame in (changed, *by_click)])
        .drop_nulls()
        .unique()
    )
    dependent = later.join(devices, on=["app_id", "device_id"], how="semi")
    return sorted(set(dependent["event_date"].to_list()) - own_dates)
