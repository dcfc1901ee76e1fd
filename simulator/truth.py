"""Truth tables: what really happened, to compare the platform's answers with. No rules of attribution here.

Device ids are the senders' own (the lake holds pseudonyms): join by `install_id` and touch ids, which are
event ids and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from simulator import parameters as p
from simulator.draws import Texts
from simulator.events import EventColumns, app_ids
from simulator.population import ORGANIC, Population

_INSTALLS: dict[str, pa.DataType] = {
    "tenant_id": pa.string(),
    "install_id": pa.string(),
    "app_id": pa.string(),
    "device_id": pa.string(),
    "true_match": pa.string(),  # click, view or organic
    "true_touch_id": pa.string(),  # event id of the touch that caused it; null when organic
    "source": pa.string(),  # "organic" when none
    "campaign": pa.string(),  # empty when none
    "install_time": pa.timestamp("ms", tz="UTC"),
}
INSTALLS = pa.schema(_INSTALLS)
_COUNTS: dict[str, pa.DataType] = {
    "tenant_id": pa.string(),
    "event_date": pa.date32(),
    "event_type": pa.string(),
    "events": pa.int64(),  # valid events, each id once
    "revenue_micros": pa.int64(),  # of purchases in the tenant's currency
    "spend_micros": pa.int64(),
}
COUNTS = pa.schema(_COUNTS)
_TOTALS: dict[str, pa.DataType] = {"tenant_id": pa.string(), "kind": pa.string(), "deliveries": pa.int64()}
TOTALS = pa.schema(_TOTALS)


def installs_table(tenant_id: str, people: Population, install_id: Texts, touch_id: Texts) -> pa.Table:
    """One row per install, by time."""
    return installs_as_told(tenant_id, people, install_id, touch_id).sort_by("install_time")


def installs_as_told(tenant_id: str, people: Population, install_id: Texts, touch_id: Texts) -> pa.Table:
    """One row per install, in the order of the people."""
    organic = people.cause == ORGANIC
    columns: dict[str, Any] = {
        "tenant_id": [tenant_id] * len(people),
        "install_id": install_id.tolist(),
        "app_id": np.asarray(app_ids(tenant_id))[people.app].tolist(),
        "device_id": people.device_id.tolist(),
        "true_match": np.asarray(["organic", "view", "click"])[people.cause].tolist(),
        "true_touch_id": pa.array(touch_id.tolist(), mask=organic),
        "source": np.where(organic, "organic", np.asarray(p.PUBLISHERS)[people.network]).tolist(),
        "campaign": np.where(organic, "", np.asarray(p.CAMPAIGNS)[people.campaign]).tolist(),
        "install_time": pa.array(people.install_ms, pa.timestamp("ms", tz="UTC")),
    }
    return pa.table(columns, schema=INSTALLS)


def counts_table(tenant_id: str, groups: Iterable[EventColumns]) -> pa.Table:
    """Valid events, revenue and spend per UTC day and type."""
    sums: dict[tuple[int, str], list[int]] = {}
    for group in groups:
        days = (group.time_ms // p.DAY_MS).tolist()
        zeros: Sequence[object] = [0] * len(days)
        currency = group.fields.get("currency", zeros)
        revenue = group.fields.get("revenueMicros", zeros)
        spend = group.fields.get("spendMicros", zeros)
        for day, unit, earned, spent in zip(days, currency, revenue, spend, strict=True):
            total = sums.setdefault((day, group.event_type), [0, 0, 0])
            total[0] += 1
            if unit == p.CURRENCY:
                total[1] += int(str(earned))
                total[2] += int(str(spent))
    rows = sorted((day, kind, *total) for (day, kind), total in sums.items())
    day, kind, events, revenue_micros, spend_micros = zip(*rows, strict=True) if rows else ((),) * 5
    return pa.table(
        {
            "tenant_id": [tenant_id] * len(rows),
            "event_date": pa.array(day, pa.int32()).cast(pa.date32()),
            "event_type": kind,
            "events": events,
            "revenue_micros": revenue_micros,
            "spend_micros": spend_micros,
        },
        schema=COUNTS,
    )


def totals_table(tenant_id: str, totals: dict[str, int]) -> pa.Table:
    """What was sent, by kind."""
    columns: dict[str, Any] = {
        "tenant_id": [tenant_id] * len(totals),
        "kind": list(totals),
        "deliveries": list(totals.values()),
    }
    return pa.table(columns, schema=TOTALS)
