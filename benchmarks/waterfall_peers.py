"""The waterfall's winners by other means: one hand-written ClickHouse query, DuckDB, polars.

Each finds the winning touch of every install by the default rules' windows and order, and nothing else: no trace, no
reinstalls, no click cap (the bench's devices never reach it). That makes them cheaper than the project's models. Each
reads the clean events from the storage that is its own: ClickHouse and DuckDB their tables on disk, polars Parquet.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.mart_lab import CLEAN_EVENTS, MartLab
from resources.rules import DEFAULT_RULES

if TYPE_CHECKING:
    import duckdb

CLICK_MS, VIEW_MS = DEFAULT_RULES.click_window_ms, DEFAULT_RULES.view_window_ms
FINGERPRINT_MS, MIN_CTIT_MS = DEFAULT_RULES.probabilistic_click_window_ms, DEFAULT_RULES.min_ctit_ms
FINGERPRINT = ("ip_pseudonym", "user_agent_pseudonym", "os_version")
# match rank, a touch's key columns, an install's, and the window of a click
WAYS = (
    (1, ("click_id",), ("referrer_click_id",), CLICK_MS),
    (2, ("click_id",), ("click_id",), CLICK_MS),
    (3, ("device_id",), ("device_id",), CLICK_MS),
    (4, FINGERPRINT, FINGERPRINT, FINGERPRINT_MS),
)
BY_FINGERPRINT = 4

# Touches are read once, spread over their keys, and probe a hash table of the installs' keys. Tried and no better: a
# semi-join first, LIMIT 1 BY, packed integers for the order, another join algorithm.
BEST_QUERY = """
select install_id, argMin(touch_id, (tier, -touch_ms, match_rank, received_at, touch_id)) as touch_id
from (
    select
        installs.install_id as install_id, touch_id, touch_ms, received_at, match_rank,
        installs.install_ms - touch_ms as ctit_ms,
        if(is_click, 1, 3) + (match_rank = 4) as tier
    from (
        select
            event_id as touch_id, event_type = 'click' as is_click, received_at,
            toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC')) as touch_ms,
            arrayJoin([
                if(isNull(click_id), 0, cityHash64('c', app_id, assumeNotNull(click_id))),
                cityHash64('d', app_id, assumeNotNull(device_id)),
                if(isNull(user_agent_pseudonym), 0, cityHash64('f', app_id,
                    assumeNotNull(ip_pseudonym), assumeNotNull(user_agent_pseudonym), assumeNotNull(os_version)))
            ]) as key
        from {events}
        where event_type in ('click', 'impression')
    ) as touches
    inner join (
        select install_id, install_ms, ranked_key.1 as match_rank, ranked_key.2 as key
        from (
            select
                event_id as install_id,
                toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC')) as install_ms,
                arrayJoin([
                    (1, if(isNull(referrer_click_id), 0,
                        cityHash64('c', app_id, assumeNotNull(referrer_click_id)))),
                    (2, if(isNull(click_id), 0, cityHash64('c', app_id, assumeNotNull(click_id)))),
                    (3, cityHash64('d', app_id, assumeNotNull(device_id))),
                    (4, cityHash64('f', app_id, assumeNotNull(ip_pseudonym), assumeNotNull(user_agent_pseudonym),
                        assumeNotNull(os_version)))
                ]) as ranked_key
            from {events}
            where event_type = 'install'
        )
        where key != 0
    ) as installs on touches.key = installs.key
    where
        ctit_ms between if(is_click, {min_ctit_ms}, 0) and multiIf(
            match_rank = 4, {fingerprint_ms}, is_click, {click_ms}, {view_ms})
)
group by install_id
"""

_DUCKDB_TABLES = """
with touches as (
    select
        event_id as touch_id, event_type = 'click' as is_click, epoch_ms(event_time) as touch_ms, received_at, app_id,
        device_id, click_id, ip_pseudonym, user_agent_pseudonym, os_version
    from events
    where event_type in ('click', 'impression')
),
installs as (
    select event_id as install_id, epoch_ms(event_time) as install_ms, * exclude (event_id, event_time)
    from events
    where event_type = 'install'
)
"""
_DUCKDB_WAY = """
    select installs.install_id, touches.touch_id, touches.touch_ms, touches.received_at, {rank} as match_rank,
        case when is_click then 1 else 3 end + {is_probabilistic} as tier
    from touches join installs on touches.app_id = installs.app_id and {condition}
    where install_ms - touch_ms between case when is_click then {min_ctit_ms} else 0 end
        and case when is_click then {window_ms} else {view_ms} end
"""


def best_query(lab: MartLab) -> pl.DataFrame:
    """`install_id` and `touch_id` of every install that a touch won, by the hand-written query."""
    return lab.query(
        BEST_QUERY.format(
            events=CLEAN_EVENTS,
            min_ctit_ms=MIN_CTIT_MS,
            fingerprint_ms=FINGERPRINT_MS,
            click_ms=CLICK_MS,
            view_ms=VIEW_MS,
        )
    )


def export(lab: MartLab, path: Path) -> None:
    """Write the clean events to a Parquet file, for the peers."""
    path.write_bytes(lab.execute(f"select * from {CLEAN_EVENTS}", "Parquet"))  # noqa: S608 - our own table


def load_duckdb(connection: duckdb.DuckDBPyConnection, events: Path) -> None:
    """Make DuckDB's own table of the exported events."""
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("create table events as select * from read_parquet(?)", [str(events)])


def duckdb_query() -> str:
    """The winners of DuckDB's table `events`."""
    joins = [
        _DUCKDB_WAY.format(
            rank=rank,
            is_probabilistic=int(rank == BY_FINGERPRINT),
            condition=" and ".join(
                f"touches.{touch} = installs.{install}"
                for touch, install in zip(of_touch, of_install, strict=True)
            ),
            min_ctit_ms=MIN_CTIT_MS,
            window_ms=window_ms,
            view_ms=VIEW_MS if rank != BY_FINGERPRINT else -1,  # views by fingerprint are off
        )
        for rank, of_touch, of_install, window_ms in WAYS
    ]
    order = "row(tier, -touch_ms, match_rank, received_at, touch_id)"
    picked = f"select install_id, arg_min(touch_id, {order}) as touch_id"
    return f"{_DUCKDB_TABLES} {picked} from ({' union all '.join(joins)}) group by install_id"


def polars_winners(events: Path) -> pl.DataFrame:
    """The winners of a Parquet file by polars' lazy engine."""
    rows = pl.scan_parquet(events).with_columns(at_ms=pl.col("event_time").dt.epoch("ms"))
    keys = ["app_id", "device_id", "click_id", *FINGERPRINT]
    touches = rows.filter(pl.col("event_type").is_in(["click", "impression"])).select(
        *keys, "received_at", touch_id="event_id", is_click=pl.col("event_type") == "click", touch_ms="at_ms"
    )
    installs = rows.filter(pl.col("event_type") == "install").select(
        *keys, "referrer_click_id", install_id="event_id", install_ms="at_ms"
    )
    ctit_ms, is_click = pl.col("install_ms") - pl.col("touch_ms"), pl.col("is_click")
    least_ms = pl.when(is_click).then(MIN_CTIT_MS).otherwise(0)
    pairs = []
    for rank, of_touch, of_install, window_ms in WAYS:
        some = touches.filter(is_click) if rank == BY_FINGERPRINT else touches
        most_ms = pl.when(is_click).then(window_ms).otherwise(VIEW_MS)
        joined = some.join(
            installs, left_on=["app_id", *of_touch], right_on=["app_id", *of_install], how="inner"
        )
        pairs.append(
            joined.filter(ctit_ms.is_between(least_ms, most_ms)).select(
                "install_id",
                "received_at",
                "touch_id",
                tier=pl.when(is_click).then(1).otherwise(3) + int(rank == BY_FINGERPRINT),
                negative_ms=-pl.col("touch_ms"),
                match_rank=pl.lit(rank),
            )
        )
    ranked = pl.concat(pairs).sort("tier", "negative_ms", "match_rank", "received_at", "touch_id")
    return ranked.group_by("install_id", maintain_order=True).agg(pl.col("touch_id").first()).collect()
