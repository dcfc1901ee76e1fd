"""A seeded population whose later revenue can be told from its first day. Test data, no tests."""

import datetime as dt

import numpy as np
import polars as pl

FIRST_DAY = dt.date(2026, 11, 1)
HORIZON_DAYS = 3


def features(tenant_id: str, users: int, days: int = 4, seed: int = 1) -> pl.DataFrame:
    """Rows of ml.user_features: a latent value drives sessions, events, purchases and revenue."""
    rng = np.random.default_rng(seed)
    value = rng.gamma(0.7, 1.0, users)
    purchases = rng.poisson(0.4 * value)
    is_organic = rng.random(users) < 0.3
    sources = np.where(is_organic, "organic", rng.choice(["net_a", "net_b", "net_c"], users))
    ctit_ms = pl.Series(rng.integers(10_000, 9_000_000, users)).set(pl.Series(is_organic), None)
    return pl.DataFrame(
        {
            "tenant_id": [tenant_id] * users,
            "as_of": [FIRST_DAY + dt.timedelta(days=int(day)) for day in rng.integers(0, days, users)],
            "app_id": ["app"] * users,
            "user_id": [f"u{number:05d}" for number in range(users)],
            "install_id": [f"i{number:05d}" for number in range(users)],
            "hours_observed": rng.uniform(0, 24, users),
            "sessions": rng.poisson(1 + 2 * value),
            "session_ms": (60_000 * value * rng.uniform(0.5, 2, users)).astype(np.int64),
            "events": rng.poisson(3 * value),
            "purchases": purchases,
            "revenue_micros": purchases * 1_990_000,
            "ctit_ms": ctit_ms,
            "is_organic": is_organic,
            "source": sources,
            "campaign": sources,
            "platform": rng.choice(["ios", "android"], users),
            "country": rng.choice(["DE", "US", "BR"], users),
        }
    ).with_columns(pl.col("sessions", "events", "purchases", "revenue_micros").cast(pl.Int64))


def purchases_of(users: pl.DataFrame, seed: int = 2) -> pl.DataFrame:
    """Rows of clean.events: what these users buy in the horizon after their first day."""
    rng = np.random.default_rng(seed)
    strength = users["session_ms"].to_numpy() / 60_000 * 0.4 + users["purchases"].to_numpy() * 0.5
    rows: list[tuple[object, ...]] = []
    for user, mean in zip(users.iter_rows(named=True), strength, strict=True):
        for _ in range(int(rng.poisson(mean))):
            day = user["as_of"] + dt.timedelta(days=int(rng.integers(1, HORIZON_DAYS + 1)))
            moment = dt.datetime.combine(day, dt.time(12), dt.UTC)
            micros = 990_000 * int(rng.integers(1, 6))
            rows.append((user["tenant_id"], day, f"e{len(rows)}", moment, user["user_id"], micros))
    names = ["tenant_id", "event_date", "event_id", "event_time", "device_id", "revenue_micros"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.lit("purchase").alias("event_type"), pl.lit("app").alias("app_id"), pl.lit("USD").alias("currency")
    )


def clean_events(purchases: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The purchases with every column of clean.events."""
    known = purchases.with_columns(
        pl.col("event_time").cast(pl.Datetime("us", "UTC")).alias("received_at"),
        pl.int_range(pl.len()).alias("land_seq"),
    )
    return known.with_columns(
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in schema.items() if name not in known.columns
    ).select(list(schema))
