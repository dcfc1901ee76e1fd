"""Rows of `usage_daily` written by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import pyarrow as pa

from resources.clickhouse import ClickHouse
from resources.clickhouse_slices import replace_slice
from resources.usage import USAGE_DAILY


def put_usage(clickhouse: ClickHouse, tenant_id: str, clean_events: Mapping[dt.date, int]) -> None:
    """Days with these clean events, one duplicate and two refused each, 100 bytes kept."""
    rows = [
        {
            "tenant_id": tenant_id,
            "event_date": day,
            "events_received": events + 3,
            "events_accepted": events + 1,
            "events_clean": events,
            "events_duplicate": 1,
            "events_quarantined": 2,
            "active_users": 5,
            "stored_bytes": 100,
            "pulled_bytes": 0,
        }
        for day, events in clean_events.items()
    ]
    table = pa.Table.from_pylist(rows, schema=USAGE_DAILY.arrow_schema)
    replace_slice(clickhouse, USAGE_DAILY, tenant_id, list(clean_events), table)
