"""What multi-touch credit reads from ClickHouse: touches' credit summed by channel, journeys by path. No numbers here.

The asset `channel_credits` and `unmogrowp attribution credits` read the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from resources.clickhouse import ClickHouse, ClickHouseRefusedError

# Weights are summed as multiples of 2^-60: integers add up to the same in any order of threads, floats do not, and a
# rebuild must give the same row.
_TOUCH_SUMS = """
SELECT
    {keys}, model, source AS channel,
    toFloat64(sum(toInt128(toInt64(weight * 1152921504606846976)))) / 1152921504606846976 AS conversions,
    sum(revenue_micros) AS revenue_micros
FROM attribution_credits
WHERE tenant_id = {{tenant_id:String}} AND event_date BETWEEN {{first:Date}} AND {{last:Date}}
GROUP BY {keys}, model, channel
"""
_PATHS = """
SELECT
    {keys}, path,
    sum(conversions) AS conversions, sum(nulls) AS nulls, sum(value_micros) AS value_micros
FROM journey_paths
WHERE tenant_id = {{tenant_id:String}} AND event_date BETWEEN {{first:Date}} AND {{last:Date}}
GROUP BY {keys}, path
"""
PERIOD: Final = ("app_id", "conversion_type", "event_name")
DAYS: Final = ("event_date", *PERIOD)


def touch_sums(
    clickhouse: ClickHouse, tenant_id: str, first: dt.date, last: dt.date, keys: Sequence[str] = DAYS
) -> pl.DataFrame:
    """Credit of the models that weigh touches, by channel; of each day, or with PERIOD of all together."""
    return _read(clickhouse, _TOUCH_SUMS.format(keys=", ".join(keys)), tenant_id, first, last)


def journeys(
    clickhouse: ClickHouse, tenant_id: str, first: dt.date, last: dt.date, keys: Sequence[str] = DAYS
) -> pl.DataFrame:
    """Journeys by path of channels; of each day, or with PERIOD of all together."""
    return _read(clickhouse, _PATHS.format(keys=", ".join(keys)), tenant_id, first, last)


def _read(clickhouse: ClickHouse, sql: str, tenant_id: str, first: dt.date, last: dt.date) -> pl.DataFrame:
    parameters = {"tenant_id": tenant_id, "first": first, "last": last}
    return pl.DataFrame(clickhouse.query_arrow(sql, parameters))


def is_unbuilt(error: ClickHouseRefusedError) -> bool:
    """Whether the marts are not there yet: no slice of any tenant was ever materialised."""
    return error.is_unknown_table
