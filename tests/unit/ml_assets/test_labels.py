"""Labels, mature days and the split of the LTV model."""

import datetime as dt

import polars as pl

from ml_assets.labels import LABEL, fingerprint, label_dates, labelled, mature_dates, split

DAY = dt.date(2026, 11, 3)


def day(offset: int) -> dt.date:
    return DAY + dt.timedelta(days=offset)


def features(*users: str) -> pl.DataFrame:
    return pl.DataFrame({"as_of": [DAY] * len(users), "app_id": ["app"] * len(users), "user_id": list(users)})


def purchases(*rows: tuple[int, str, int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "event_date": [day(offset) for offset, _, _ in rows],
            "event_type": ["purchase"] * len(rows),
            "app_id": ["app"] * len(rows),
            "device_id": [user for _, user, _ in rows],
            "revenue_micros": [micros for _, _, micros in rows],
            "currency": ["USD"] * len(rows),
        },
        schema_overrides={"event_date": pl.Date, "revenue_micros": pl.Int64},
    )


def label_of(events: pl.DataFrame) -> list[int]:
    return labelled(features("u"), events, horizon_days=3, currency="USD")[LABEL].to_list()


def test_the_label_is_revenue_after_the_day_up_to_and_with_the_horizon() -> None:
    assert label_of(purchases((0, "u", 1), (1, "u", 10), (3, "u", 100), (4, "u", 1000))) == [110]


def test_a_user_without_purchases_has_the_label_zero() -> None:
    assert label_of(purchases((1, "someone else", 5))) == [0]


def test_other_currencies_and_event_types_are_no_revenue() -> None:
    events = purchases((1, "u", 5), (1, "u", 7)).with_columns(currency=pl.Series(["EUR", "USD"]))
    assert label_of(events) == [7]
    assert label_of(events.with_columns(event_type=pl.lit("event"))) == [0]


def test_a_refund_lowers_the_label() -> None:
    assert label_of(purchases((1, "u", 5), (2, "u", -7))) == [-2]


def test_a_day_is_mature_when_its_whole_horizon_lies_in_the_clean_days() -> None:
    assert mature_dates([day(0), day(1), day(2)], [day(0), day(4)], horizon_days=3) == [day(0), day(1)]
    assert mature_dates([day(0)], [], horizon_days=3) == []


def test_label_dates_cover_every_horizon_and_nothing_of_the_first_day() -> None:
    assert label_dates([day(0), day(1)], 2) == [day(1), day(2), day(3)]


def test_a_user_stays_on_one_side_of_the_split_whatever_else_is_there() -> None:
    few, many = features(*map(str, range(50))), features(*map(str, range(400)))
    held_out_of_few, held_out_of_many = split(few, 25)[1], split(many, 25)[1]
    expected = {user for user in held_out_of_many["user_id"].to_list() if int(user) < 50}
    assert set(held_out_of_few["user_id"].to_list()) == expected
    assert 70 <= held_out_of_many.height <= 130


def test_the_fingerprint_changes_with_a_row_or_the_recipe_alone() -> None:
    frame = features("a", "b")
    assert fingerprint(frame, "r") == fingerprint(frame.clone(), "r")
    assert fingerprint(frame, "r") != fingerprint(frame, "s")
    assert fingerprint(frame, "r") != fingerprint(features("a", "c"), "r")
