"""The marts that people look at first, in a real ClickHouse, with rows written by hand; unread columns are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.clickhouse_slices import SliceTable
from tests.support.credit_marts import put

if TYPE_CHECKING:
    import datetime as dt

    from resources.clickhouse import ClickHouse

INSTALLS = SliceTable(
    "installs",
    {
        "tenant_id": "String",
        "event_date": "Date",
        "install_id": "String",
        "tier": "UInt8",
        "match_type": "String",
        "touch_type": "String",
        "ctit_ms": "Nullable(Int64)",
    },
    ("tenant_id", "event_date", "install_id"),
    "as the mart",
)
FRAUD = SliceTable(
    "fraud_daily",
    {
        "tenant_id": "String",
        "event_date": "Date",
        "app_id": "String",
        "source": "String",
        "rule": "String",
        "verdict": "String",
        "touches": "Int64",
        "installs": "Int64",
        "reason": "String",
    },
    ("tenant_id", "event_date", "app_id", "source", "rule"),
    "as the mart",
)
Install = tuple[int, str, str, int | None]


def put_installs(clickhouse: ClickHouse, tenant: str, day: dt.date, installs: list[Install]) -> None:
    """Installs of (tier, match type, touch type, CTIT in ms) as a day's slice."""
    names = ("tier", "match_type", "touch_type", "ctit_ms")
    rows = [
        {
            "tenant_id": tenant,
            "event_date": day,
            "install_id": f"i{number}",
            **dict(zip(names, one, strict=True)),
        }
        for number, one in enumerate(installs)
    ]
    put(clickhouse, INSTALLS, tenant, day, rows)


def put_fraud(
    clickhouse: ClickHouse, tenant: str, day: dt.date, findings: list[tuple[str, str, int, int, str]]
) -> None:
    """Rejections of (source, rule, touches, installs, reason) as a day's slice."""
    names = ("source", "rule", "touches", "installs", "reason")
    rows = [
        {
            "tenant_id": tenant,
            "event_date": day,
            "app_id": f"app{number}",
            "verdict": "rejected",
            **dict(zip(names, one, strict=True)),
        }
        for number, one in enumerate(findings)
    ]
    put(clickhouse, FRAUD, tenant, day, rows)
