"""What the LTV model learns from: mature days, labels and the split. Pure; models are in training.py."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable

import polars as pl

LABEL = "label_revenue_micros"
HOLDOUT_PERCENT = 25
HOLDOUT_SALT = "holdout"
TRAINING_DAYS_MAX = 180  # older installs met other campaigns and other app versions; bounds memory as well
LABEL_COLUMNS = ("event_date", "event_type", "app_id", "device_id", "revenue_micros", "currency")


def mature_dates(
    feature_dates: Iterable[dt.date], clean_dates: Iterable[dt.date], horizon_days: int
) -> list[dt.date]:
    """As-of days whose whole horizon was observed: as_of + horizon <= the newest clean day. Ascending."""
    newest = max(clean_dates, default=None)
    if newest is None:
        return []
    last = newest - dt.timedelta(days=horizon_days)
    return sorted(day for day in feature_dates if day <= last)[-TRAINING_DAYS_MAX:]


def label_dates(as_of_dates: Iterable[dt.date], horizon_days: int) -> list[dt.date]:
    """Days whose events label these as-of days: (as_of, as_of + horizon] of each. Ascending."""
    days = {day + dt.timedelta(days=ahead) for day in as_of_dates for ahead in range(1, horizon_days + 1)}
    return sorted(days)


def labelled(
    features: pl.DataFrame, events: pl.DataFrame, *, horizon_days: int, currency: str
) -> pl.DataFrame:
    """Features with LABEL: the user's revenue in (as_of, as_of + horizon], micros of `currency`.

    Refunds can make it negative: the model's target is floored at 0 (a Tweedie variable), the label is not.
    Nothing of as_of itself counts: that day is in the features. Sorted by as_of, user, app.
    """
    purchases = events.filter((pl.col("event_type") == "purchase") & (pl.col("currency") == currency)).select(
        "event_date", "app_id", pl.col("device_id").alias("user_id"), "revenue_micros"
    )
    days_after = (pl.col("event_date") - pl.col("as_of")).dt.total_days()
    revenue = (
        features.select("as_of", "app_id", "user_id")
        .join(purchases, on=["app_id", "user_id"], how="inner")
        .filter(days_after.is_between(1, horizon_days))
        .group_by("as_of", "app_id", "user_id")
        .agg(pl.col("revenue_micros").sum().alias(LABEL))
    )
    return (
        features.join(revenue, on=["as_of", "app_id", "user_id"], how="left")
        .with_columns(pl.col(LABEL).fill_null(0).cast(pl.Int64))
        .sort("as_of", "user_id", "app_id")
    )


def bucket_of(app_id: str, user_id: str, salt: str) -> int:
    """A user's bucket 0..99: the same in every run and release, so a holdout user is never trained on."""
    digest = hashlib.blake2b(f"{salt}\x00{app_id}\x00{user_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % 100


def split(frame: pl.DataFrame, percent: int, salt: str = HOLDOUT_SALT) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rest, held out): about `percent` of the users are held out, by a stable hash."""
    pairs = zip(frame["app_id"].to_list(), frame["user_id"].to_list(), strict=True)
    is_held_out = pl.Series([bucket_of(app, user, salt) < percent for app, user in pairs], dtype=pl.Boolean)
    return frame.filter(~is_held_out), frame.filter(is_held_out)


def folds(frame: pl.DataFrame) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    """(rest, held out) for each of the parts of HOLDOUT_PERCENT; the first is `split`'s own."""
    pairs = zip(frame["app_id"].to_list(), frame["user_id"].to_list(), strict=True)
    fold = pl.Series([bucket_of(app, user, HOLDOUT_SALT) // HOLDOUT_PERCENT for app, user in pairs])
    return [(frame.filter(fold != n), frame.filter(fold == n)) for n in range(100 // HOLDOUT_PERCENT)]


def fingerprint(frame: pl.DataFrame, recipe: str) -> str:
    """SHA-256 over the training rows and the recipe: equal means training again gives the same model."""
    digest = hashlib.sha256(recipe.encode())
    digest.update(",".join(frame.columns).encode())
    digest.update(frame.write_csv().encode())
    return digest.hexdigest()
