"""Which later dates a changed slice reopens: those whose conversions depend on it, and no other."""

from __future__ import annotations

import datetime as dt

import polars as pl

from assets.reopening import COMPARED, LATER_COLUMNS, changed_inputs, dates_that_depend

DAY = dt.date(2026, 11, 10)
SCHEMA = dict.fromkeys(COMPARED, pl.String)


def rows(*events: tuple[str | None, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(events), schema=SCHEMA, orient="row")


def later(*events: tuple[int, str, str, str, str | None, str | None, str | None]) -> pl.DataFrame:
    dated = [(DAY + dt.timedelta(days=offset), *rest) for offset, *rest in events]
    return pl.DataFrame(dated, schema={"event_date": pl.Date, **SCHEMA}, orient="row").select(LATER_COLUMNS)


OLD_CLICK = ("k1", "click", "app", "d1", "c1", None)
LATE_CLICK = ("k2", "click", "app", "d2", "c2", None)
LATE_SESSION = ("s1", "session", "app", "d2", None, None)


def test_a_late_session_reopens_nothing() -> None:
    assert changed_inputs(rows(OLD_CLICK), rows(OLD_CLICK, LATE_SESSION)).is_empty()


def test_an_added_and_a_withdrawn_touch_are_both_changes() -> None:
    assert changed_inputs(rows(OLD_CLICK), rows(LATE_CLICK))["event_id"].sort().to_list() == ["k1", "k2"]


def test_a_late_click_reopens_the_day_of_its_devices_install_and_purchase_only() -> None:
    after = rows(OLD_CLICK, LATE_CLICK)
    changed = changed_inputs(rows(OLD_CLICK), after)
    conversions = later(
        (1, "i2", "install", "app", "d2", None, None),
        (2, "i9", "install", "app", "d9", None, None),
        (3, "p2", "purchase", "app", "d2", None, None),
        (4, "p3", "purchase", "other_app", "d2", None, None),
    )
    dates = dates_that_depend(changed, after, conversions, {DAY})
    assert dates == [DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=3)]


def test_a_late_click_reopens_installs_matched_by_click_id_and_their_purchases() -> None:
    after = rows(LATE_CLICK)
    conversions = later(
        (1, "i5", "install", "app", "d5", None, "c2"),
        (2, "p5", "purchase", "app", "d5", None, None),
    )
    dates = dates_that_depend(changed_inputs(rows(), after), after, conversions, {DAY})
    assert dates == [DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=2)]


def test_dates_of_the_run_itself_are_not_reopened() -> None:
    after = rows(LATE_CLICK)
    own = DAY + dt.timedelta(days=1)
    conversions = later((1, "i2", "install", "app", "d2", None, None))
    assert dates_that_depend(changed_inputs(rows(), after), after, conversions, {DAY, own}) == []
