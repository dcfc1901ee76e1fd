"""The rows of `installs` by polars' lazy engine, from a Parquet file of clean events (see `waterfall_peers`)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmarks.waterfall_peers import (
    ASSISTS,
    BY_FINGERPRINT,
    FINGERPRINT,
    MATCH_NAMES,
    MIN_CTIT_MS,
    NAMES,
    VIEW_MS,
    WAYS,
)

KEYS = ("app_id", "device_id", "click_id", *FINGERPRINT)
ORDER = ("install_id", "tier", "negative_ms", "match_rank", "received_at", "touch_id")
TEXTS = ("device_id", "platform", "country", "user_id", "os_version", "device_model", "ip_pseudonym")
WON = ("tier", "match_rank", "touch_id", "is_click", "touch_ms", "ctit_ms", *NAMES)


def polars_rows(events: Path) -> pl.DataFrame:
    """A row per install, with the columns that the mart has (times in milliseconds since 1970)."""
    rows = pl.scan_parquet(events).with_columns(at_ms=pl.col("event_time").dt.epoch("ms"))
    installs = rows.filter(pl.col("event_type") == "install")
    touches = _ranked_touches(rows, installs)
    is_rejected = pl.col("is_click") & (pl.col("ctit_ms") < MIN_CTIT_MS)
    ranked = touches.with_columns(is_rejected=is_rejected).with_columns(
        eligible_so_far=(~pl.col("is_rejected")).cum_sum().over("install_id")
    )
    won = (
        ranked.filter(~pl.col("is_rejected"))
        .group_by("install_id", maintain_order=True)
        .agg(pl.col(*WON).first(), assists=pl.col("touch_id").slice(1, ASSISTS))
    )
    rejected = (
        ranked.filter(pl.col("is_rejected") & (pl.col("eligible_so_far") == 0))
        .group_by("install_id", maintain_order=True)
        .agg(rejected_touches=pl.len(), rejected_source=pl.col("source").first())
    )
    own = installs.select(
        "event_date",
        "app_id",
        *(pl.col(name).fill_null("") for name in TEXTS),
        install_id="event_id",
        install_ms="at_ms",
        install_begin_ms=pl.col("install_begin_time").dt.epoch("ms"),
    )
    joined = own.join(won, on="install_id", how="left").join(rejected, on="install_id", how="left")
    return _as_mart(joined).collect()


def _ranked_touches(rows: pl.LazyFrame, installs: pl.LazyFrame) -> pl.LazyFrame:
    """Touches inside their windows, once per install by the best way, best first."""
    touches = rows.filter(pl.col("event_type").is_in(["click", "impression"])).select(
        *KEYS,
        *NAMES,
        "received_at",
        touch_id="event_id",
        is_click=pl.col("event_type") == "click",
        touch_ms="at_ms",
    )
    matched = installs.select(*KEYS, "referrer_click_id", install_id="event_id", install_ms="at_ms")
    is_click, ctit_ms = pl.col("is_click"), pl.col("install_ms") - pl.col("touch_ms")
    pairs = []
    for rank, of_touch, of_install, window_ms in WAYS:
        some = touches.filter(is_click) if rank == BY_FINGERPRINT else touches
        most_ms = pl.when(is_click).then(window_ms).otherwise(VIEW_MS)
        joined = some.join(
            matched, left_on=["app_id", *of_touch], right_on=["app_id", *of_install], how="inner"
        )
        pairs.append(
            joined.filter(ctit_ms.is_between(0, most_ms)).select(
                *("install_id", "received_at", "touch_id", "touch_ms", "is_click"),
                *(pl.col(name).fill_null("") for name in NAMES),
                tier=pl.when(is_click).then(1).otherwise(3) + int(rank == BY_FINGERPRINT),
                negative_ms=-pl.col("touch_ms"),
                match_rank=pl.lit(rank),
                ctit_ms=ctit_ms,
            )
        )
    ordered = pl.concat(pairs).sort(ORDER)
    return ordered.unique(["install_id", "touch_id"], keep="first", maintain_order=True)


def _as_mart(joined: pl.LazyFrame) -> pl.LazyFrame:
    """Organic where no touch won, and no nulls but where the mart has them."""
    touch_types = pl.when(pl.col("is_click")).then(pl.lit("click")).otherwise(pl.lit("impression"))
    reasons = pl.when(pl.col("rejected_touches") > 0).then(pl.lit("injection")).otherwise(pl.lit(""))
    match_types = pl.col("match_rank").replace_strict(MATCH_NAMES, default=None, return_dtype=pl.String)
    return joined.with_columns(
        *(pl.col(name).fill_null("") for name in ("touch_id", "rejected_source", *NAMES[1:])),
        match_type=match_types.fill_null("organic"),
        touch_type=pl.when(pl.col("is_click").is_null()).then(pl.lit("")).otherwise(touch_types),
        tier=pl.col("tier").fill_null(5),
        source=pl.col("source").fill_null("organic"),
        assists=pl.col("assists").fill_null([]),
        rejected_touches=pl.col("rejected_touches").fill_null(0),
        rejected_reason=reasons,
    ).drop("is_click", "match_rank")
