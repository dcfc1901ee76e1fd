"""The rows of `installs` by other means, for the speed bench: hand-written ClickHouse queries, DuckDB, polars.

Each gives every install its row as the mart has it: winner, assists, rejected touches; by the default rules' windows
and order. None writes the trace, knows reinstalls or caps a device's clicks (the bench's data has neither), so each has
less to do than the project's models. `WINNERS_QUERY` finds the winning touch alone: the floor. Each reads the clean
events from the storage that is its own: ClickHouse and DuckDB their tables on disk, polars Parquet.
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
NAMES = ("source", "medium", "campaign", "adgroup", "creative")  # what a touch tells of its ad
# match rank, a touch's key columns, an install's, and the window of a click
WAYS = (
    (1, ("click_id",), ("referrer_click_id",), CLICK_MS),
    (2, ("click_id",), ("click_id",), CLICK_MS),
    (3, ("device_id",), ("device_id",), CLICK_MS),
    (4, FINGERPRINT, FINGERPRINT, FINGERPRINT_MS),
)
BY_FINGERPRINT = 4
MATCH_NAMES = {1: "referrer", 2: "click_id", 3: "device_id", 4: "probabilistic"}
ASSISTS = 3

_INSTALL_KEYS = """
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
"""
_TOUCH_KEYS = """[
    if(isNull(click_id), 0, cityHash64('c', app_id, assumeNotNull(click_id))),
    cityHash64('d', app_id, assumeNotNull(device_id)),
    if(isNull(user_agent_pseudonym), 0, cityHash64('f', app_id,
        assumeNotNull(ip_pseudonym), assumeNotNull(user_agent_pseudonym), assumeNotNull(os_version)))
]"""
# Touches are read once, spread over their keys, and probe a hash table of the installs' keys. Tried and no better: a
# semi-join first, LIMIT 1 BY, packed integers for the order, another join algorithm.
WINNERS_QUERY = f"""
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
            arrayJoin({_TOUCH_KEYS}) as key
        from {{events}}
        where event_type in ('click', 'impression')
    ) as touches
    inner join ({_INSTALL_KEYS}) as installs on touches.key = installs.key
    where
        ctit_ms between if(is_click, {MIN_CTIT_MS}, 0) and multiIf(
            match_rank = 4, {FINGERPRINT_MS}, is_click, {CLICK_MS}, {VIEW_MS})
)
group by install_id
"""  # noqa: S608 - our own constants
# With their names to carry, touches that no install shares a key with are better left out before the join. A touch
# that matches in several ways is listed in each, best first; all but the first are dropped from the short list.
BEST_QUERY = f"""
with install_keys as ({_INSTALL_KEYS}),
touched as (
    select
        install_id,
        arraySort(groupArray((
            if(is_click, 1, 3) + (match_rank = 4), -touch_ms, match_rank, received_at, touch_id, ctit_ms, is_click,
            {", ".join(f"coalesce({name}, '')" for name in NAMES)}
        ))) as ways,
        arrayFilter((way, at) -> indexOf(ways.5, way.5) = at, ways, arrayEnumerate(ways)) as touches,
        arrayFilter(touch -> touch.6 >= {MIN_CTIT_MS} or not touch.7, touches) as eligible,
        arrayFilter(
            touch -> touch.6 < {MIN_CTIT_MS} and touch.7 and (empty(eligible) or touch < eligible[1]), touches
        ) as rejected
    from (
        select
            install_keys.install_id as install_id, touch_id, touch_ms, received_at, match_rank, is_click,
            {", ".join(NAMES)}, install_keys.install_ms - touch_ms as ctit_ms
        from (
            select
                event_id as touch_id, event_type = 'click' as is_click, received_at, {", ".join(NAMES)},
                toUnixTimestamp64Milli(toDateTime64(event_time, 3, 'UTC')) as touch_ms,
                arrayJoin(arrayFilter(one -> one in (select key from install_keys), {_TOUCH_KEYS})) as key
            from {{events}}
            where event_type in ('click', 'impression')
        ) as touches
        inner join install_keys on touches.key = install_keys.key
        where ctit_ms between 0 and multiIf(
            match_rank = 4, if(is_click, {FINGERPRINT_MS}, -1), is_click, {CLICK_MS}, {VIEW_MS})
    )
    group by install_id
)
select
    installs.event_date as event_date, installs.event_id as install_id, app_id, coalesce(device_id, '') as device_id,
    toDateTime64(event_time, 3, 'UTC') as install_time, coalesce(platform, '') as platform,
    coalesce(country, '') as country,
    if(empty(eligible), 'organic', ['referrer', 'click_id', 'device_id', 'probabilistic'][eligible[1].3]) as match_type,
    if(empty(eligible), 5, eligible[1].1) as tier,
    eligible[1].5 as touch_id,
    if(empty(eligible), '', if(eligible[1].7, 'click', 'impression')) as touch_type,
    if(empty(eligible), null, fromUnixTimestamp64Milli(-eligible[1].2, 'UTC')) as touch_time,
    if(empty(eligible), null, eligible[1].6) as ctit_ms,
    if(empty(eligible), 'organic', eligible[1].8) as source,
    eligible[1].9 as medium, eligible[1].10 as campaign, eligible[1].11 as adgroup, eligible[1].12 as creative,
    arraySlice(eligible, 2, {ASSISTS}).5 as assists,
    coalesce(user_id, '') as user_id, coalesce(os_version, '') as os_version,
    coalesce(device_model, '') as device_model, coalesce(ip_pseudonym, '') as ip_pseudonym,
    toDateTime64(install_begin_time, 3, 'UTC') as install_begin_time,
    length(rejected) as rejected_touches,
    if(empty(rejected), '', 'injection') as rejected_reason, rejected[1].8 as rejected_source
from {{events}} as installs
left join touched on installs.event_id = touched.install_id
where event_type = 'install'
"""  # noqa: S608 - our own constants


def make_best_rows(lab: MartLab) -> None:
    """Write the best query's rows to the table `lab.best_rows`, as a mart's are written to its."""
    query = BEST_QUERY.format(events=CLEAN_EVENTS)
    lab.execute("drop table if exists lab.best_rows")
    lab.execute(
        f"create table lab.best_rows engine = MergeTree order by (event_date, app_id, install_id) as {query}"
    )


def winners(lab: MartLab) -> pl.DataFrame:
    """`install_id` and `touch_id` of every install that a touch won, by the query that finds nothing else."""
    return lab.query(WINNERS_QUERY.format(events=CLEAN_EVENTS))


def export(lab: MartLab, path: Path) -> None:
    """Write the clean events to a Parquet file, for the peers."""
    path.write_bytes(lab.execute(f"select * from {CLEAN_EVENTS}", "Parquet"))  # noqa: S608 - our own table


def load_duckdb(connection: duckdb.DuckDBPyConnection, events: Path) -> None:
    """Make DuckDB's own table of the exported events."""
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("create table events as select * from read_parquet(?)", [str(events)])


_DUCKDB_WAY = """
    select
        installs.install_id, touches.touch_id, touches.touch_ms, touches.received_at, {rank} as match_rank,
        touches.is_click, installs.install_ms - touches.touch_ms as ctit_ms,
        case when is_click then 1 else 3 end + {is_probabilistic} as tier, {names}
    from touches join installs on touches.app_id = installs.app_id and {condition}
    where install_ms - touch_ms between 0 and case when is_click then {window_ms} else {view_ms} end
"""
_DUCKDB_ROWS = """
with touches as (
    select
        event_id as touch_id, event_type = 'click' as is_click, epoch_ms(event_time) as touch_ms, received_at, app_id,
        device_id, click_id, ip_pseudonym, user_agent_pseudonym, os_version, {names}
    from events
    where event_type in ('click', 'impression')
),
installs as (
    select
        event_id as install_id, epoch_ms(event_time) as install_ms, app_id, device_id, click_id, referrer_click_id,
        ip_pseudonym, user_agent_pseudonym, os_version
    from events
    where event_type = 'install'
),
ways as ({ways}),
listed as (
    select
        install_id,
        list(row(tier, -touch_ms, match_rank, received_at, touch_id, ctit_ms, is_click, {known_names})
            order by tier, -touch_ms, match_rank, received_at, touch_id) as ways
    from ways
    group by install_id
),
distinct_touches as (
    select
        install_id,
        list_filter(ways, lambda way, place: place = list_position(list_transform(ways, lambda one: one[5]), way[5]))
            as touches
    from listed
),
judged as (
    select
        install_id,
        list_filter(touches, lambda one: one[6] >= {min_ctit_ms} or not one[7]) as eligible,
        list_filter(touches, lambda one: one[6] < {min_ctit_ms} and one[7]
            and (len(eligible) = 0 or one < eligible[1])) as rejected
    from distinct_touches
)
select
    event_date, event_id as install_id, app_id, coalesce(device_id, '') as device_id,
    date_trunc('milliseconds', event_time) as install_time, coalesce(platform, '') as platform,
    coalesce(country, '') as country,
    case when len(eligible) > 0 then {match_names}[eligible[1][3]] else 'organic' end as match_type,
    case when len(eligible) > 0 then eligible[1][1] else 5 end as tier,
    coalesce(eligible[1][5], '') as touch_id,
    case eligible[1][7] when true then 'click' when false then 'impression' else '' end as touch_type,
    make_timestamp(-eligible[1][2] * 1000) as touch_time, eligible[1][6] as ctit_ms,
    coalesce(eligible[1][8], 'organic') as source, coalesce(eligible[1][9], '') as medium,
    coalesce(eligible[1][10], '') as campaign, coalesce(eligible[1][11], '') as adgroup,
    coalesce(eligible[1][12], '') as creative,
    coalesce(list_transform(eligible[2:{last_assist}], lambda one: one[5]), []) as assists,
    coalesce(user_id, '') as user_id, coalesce(os_version, '') as os_version,
    coalesce(device_model, '') as device_model, coalesce(ip_pseudonym, '') as ip_pseudonym, install_begin_time,
    coalesce(len(rejected), 0) as rejected_touches,
    case when len(rejected) > 0 then 'injection' else '' end as rejected_reason,
    coalesce(rejected[1][8], '') as rejected_source
from events left join judged on events.event_id = judged.install_id
where event_type = 'install'
"""


def make_duckdb_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Write the rows of DuckDB's table `events` to its table `best_rows`."""
    ways = [
        _DUCKDB_WAY.format(
            rank=rank,
            is_probabilistic=int(rank == BY_FINGERPRINT),
            condition=" and ".join(
                f"touches.{touch} = installs.{install}"
                for touch, install in zip(of_touch, of_install, strict=True)
            ),
            names=", ".join(f"touches.{name}" for name in NAMES),
            window_ms=window_ms,
            view_ms=VIEW_MS if rank != BY_FINGERPRINT else -1,  # views by fingerprint are off
        )
        for rank, of_touch, of_install, window_ms in WAYS
    ]
    query = _DUCKDB_ROWS.format(
        ways=" union all ".join(ways),
        names=", ".join(NAMES),
        known_names=", ".join(f"coalesce({name}, '')" for name in NAMES),
        min_ctit_ms=MIN_CTIT_MS,
        match_names=list(MATCH_NAMES.values()),
        last_assist=1 + ASSISTS,
    )
    connection.execute(f"create or replace table best_rows as {query}")
