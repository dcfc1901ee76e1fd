"""What a tenant used per day: the mart `usage_daily`, its columns and how it is read. Metering is `assets.usage`'s.

Days are event dates in UTC, as everywhere behind the lake; `pulled_bytes` alone are of the day they were pulled on.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.clickhouse import ClickHouseRefusedError
from resources.clickhouse_slices import SliceTable
from resources.credit_marts import is_unbuilt
from resources.lake_filters import all_of, equals
from schemas import table_schemas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.clickhouse import ClickHouse
    from resources.lake import Lake

USAGE_DAILY = SliceTable(
    name="usage_daily",
    columns={
        "tenant_id": "String",
        "event_date": "Date",
        "events_received": "Int64",
        "events_accepted": "Int64",
        "events_clean": "Int64",
        "events_duplicate": "Int64",
        "events_quarantined": "Int64",
        "active_users": "Int64",
        "stored_bytes": "Int64",
        "pulled_bytes": "Int64",
    },
    order_by=("tenant_id", "event_date"),
    comment="Tenant x day: what became of its deliveries, bytes kept in the lake, bytes of exports pulled",
)
_SQL = """
SELECT
    event_date, events_received, events_accepted, events_clean, events_duplicate, events_quarantined,
    active_users, stored_bytes, pulled_bytes
FROM usage_daily
WHERE tenant_id = {tenant_id:String} AND event_date BETWEEN {first:Date} AND {last:Date}
ORDER BY event_date
"""
_ACTIVE = """
SELECT event_date, sum(active_users) AS users FROM kpi_daily
WHERE tenant_id = {tenant_id:String} AND event_date BETWEEN {first:Date} AND {last:Date}
GROUP BY event_date
"""
_STORED = "SELECT sum(stored_bytes) AS bytes FROM usage_daily WHERE tenant_id = {tenant_id:String}"


@dataclass(frozen=True, slots=True)
class DayUsage:
    """One day of one tenant; received = clean + duplicate + quarantined, accepted = clean + duplicate."""

    event_date: dt.date
    events_received: int
    events_accepted: int
    events_clean: int
    events_duplicate: int
    events_quarantined: int
    active_users: int
    stored_bytes: int
    pulled_bytes: int


def usage_of(clickhouse: ClickHouse, tenant_id: str, first: dt.date, last: dt.date) -> list[DayUsage]:
    """The tenant's metered days within first..last, ascending; none where nothing was ever metered."""
    try:
        rows = clickhouse.query_rows(_SQL, {"tenant_id": tenant_id, "first": first, "last": last})
    except ClickHouseRefusedError as error:
        if is_unbuilt(error):
            return []
        raise
    return [DayUsage(**row) for row in rows]


def active_users_of(
    clickhouse: ClickHouse, tenant_id: str, first: dt.date, last: dt.date
) -> dict[dt.date, int]:
    """Active users per day, as the dashboard shows them."""
    rows = clickhouse.query_rows(_ACTIVE, {"tenant_id": tenant_id, "first": first, "last": last})
    return {row["event_date"]: int(row["users"]) for row in rows}


def slice_bytes(lake: Lake, name: str, tenant_id: str, dates: Sequence[dt.date]) -> dict[dt.date, int]:
    """Bytes of the data files of each of these slices of a sliced table; from metadata alone."""
    column = table_schemas()[name].slice_date_column or "event_date"
    table = lake.table(name)
    found: dict[dt.date, int] = {}
    for day in dates:
        wanted = all_of(equals("tenant_id", tenant_id), equals(column, day))
        found[day] = sum(task.file.file_size_in_bytes for task in table.scan(row_filter=wanted).plan_files())
    return found


def stored_bytes_of(clickhouse: ClickHouse, tenant_id: str) -> int:
    """Bytes of all the tenant's days that are kept."""
    try:
        return int(clickhouse.query_rows(_STORED, {"tenant_id": tenant_id})[0]["bytes"])
    except ClickHouseRefusedError as error:
        if is_unbuilt(error):
            return 0
        raise
