"""user_features: point in time, one row per user, contract columns."""

import datetime as dt
from typing import Any

import polars as pl

from ml_assets.features import EVENT_COLUMNS, INSTALL_COLUMNS, user_features
from schemas import table_schemas

DAY = dt.date(2026, 11, 3)
NOON = dt.datetime(2026, 11, 3, 12, tzinfo=dt.UTC)
UTC_US = pl.Datetime("us", "UTC")


def installs(*rows: dict[str, Any]) -> pl.DataFrame:
    base = {
        "tenant_id": "t1",
        "event_date": DAY,
        "install_id": "i1",
        "app_id": "app",
        "device_id": "d1",
        "install_time": NOON,
        "platform": "ios",
        "country": "",
        "match_type": "click_id",
        "ctit_ms": 60_000,
        "source": "net",
        "campaign": "c",
    }
    schema: dict[str, Any] = dict.fromkeys(INSTALL_COLUMNS, pl.String) | {
        "event_date": pl.Date,
        "install_time": pl.Datetime("ms", "UTC"),
        "ctit_ms": pl.Int64,
    }
    return pl.DataFrame([base | row for row in rows], schema=schema)


def events(*rows: dict[str, Any]) -> pl.DataFrame:
    base = {
        "tenant_id": "t1",
        "event_date": DAY,
        "event_id": "e",
        "event_type": "session",
        "event_time": NOON + dt.timedelta(hours=1),
        "app_id": "app",
        "device_id": "d1",
        "duration_ms": None,
        "revenue_micros": None,
        "currency": None,
    }
    schema: dict[str, Any] = dict.fromkeys(EVENT_COLUMNS, pl.String) | {
        "event_date": pl.Date,
        "event_time": UTC_US,
        "duration_ms": pl.Int64,
        "revenue_micros": pl.Int64,
    }
    return pl.DataFrame([base | row for row in rows], schema=schema)


def computed(installed: pl.DataFrame, happened: pl.DataFrame) -> list[dict[str, Any]]:
    return user_features(happened, installed, DAY, currency="USD").to_dicts()


def purchase(micros: int, **extra: object) -> dict[str, Any]:
    return {"event_type": "purchase", "revenue_micros": micros, "currency": "USD"} | extra


def test_a_row_counts_what_happened_from_the_install_to_the_end_of_the_day() -> None:
    happened = events(
        {"duration_ms": 5_000},
        {"duration_ms": 7_000},
        {"event_type": "event"},
        purchase(1_990_000),
        purchase(500_000),
    )
    (row,) = computed(installs({}), happened)
    assert row["sessions"] == 2
    assert row["session_ms"] == 12_000
    assert row["events"] == 1
    assert row["purchases"] == 2
    assert row["revenue_micros"] == 2_490_000
    assert row["hours_observed"] == 12.0


def test_events_before_the_install_and_of_other_days_do_not_count() -> None:
    at_install = events(
        {"event_time": NOON},
        {"event_time": NOON - dt.timedelta(microseconds=1)},
        {"event_date": DAY + dt.timedelta(days=1), "event_time": NOON + dt.timedelta(days=1)},
    )
    (row,) = computed(installs({}), at_install)
    assert row["sessions"] == 1


def test_events_of_another_device_app_or_tenant_do_not_count() -> None:
    others = events({"device_id": "d2"}, {"app_id": "other"}, {"tenant_id": "t2"}, {"device_id": None})
    (row,) = computed(installs({}), others)
    assert (row["sessions"], row["events"], row["revenue_micros"]) == (0, 0, 0)


def test_revenue_of_another_currency_is_a_purchase_without_revenue() -> None:
    (row,) = computed(installs({}), events(purchase(9_000_000, currency="EUR")))
    assert (row["purchases"], row["revenue_micros"]) == (1, 0)


def test_an_organic_user_has_no_ctit_and_an_empty_country_is_unknown() -> None:
    (row,) = computed(installs({"match_type": "organic", "ctit_ms": 5}), events())
    assert row["is_organic"] is True
    assert row["ctit_ms"] is None
    assert row["country"] == "unknown"


def test_a_device_that_installed_twice_that_day_counts_once_from_its_first_install() -> None:
    later = {"install_id": "later", "install_time": NOON + dt.timedelta(hours=2)}
    twice = installs(later, {"install_id": "first"})
    rows = computed(twice, events({}))
    assert [row["install_id"] for row in rows] == ["first"]
    assert rows[0]["sessions"] == 1


def test_installs_of_other_days_and_without_a_device_give_no_row() -> None:
    assert computed(installs({"event_date": DAY - dt.timedelta(days=1)}, {"device_id": ""}), events()) == []


def test_the_columns_are_the_contract_s_in_order_also_when_empty() -> None:
    names = [column.name for column in table_schemas()["ml.user_features"].columns]
    assert user_features(events(), installs(), DAY, currency="USD").columns == names
    assert user_features(events({}), installs({}), DAY, currency="USD").columns == names


def test_shuffled_input_gives_the_same_rows() -> None:
    many = installs(*({"install_id": f"i{n}", "device_id": f"d{n}"} for n in range(20)))
    happened = events(*({"device_id": f"d{n % 20}", "event_id": str(n)} for n in range(60)))
    expected = user_features(happened, many, DAY, currency="USD")
    shuffled = user_features(
        happened.sample(fraction=1, shuffle=True, seed=1),
        many.sample(fraction=1, shuffle=True, seed=2),
        DAY,
        currency="USD",
    )
    assert shuffled.equals(expected)
