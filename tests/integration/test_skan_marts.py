"""SKAdNetwork from landed postbacks to the views, through the graph, a real lake and a real ClickHouse."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import polars as pl

from assets.jobs import MART_ASSETS
from schemas import event_schemas

DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=4)
NEXT = DAY + dt.timedelta(days=1)
APP = 525463029
FOUR, COARSE, *_ = (event["postback"] for event in event_schemas("v1")["skan_postback"]["examples"])
DOCUMENT: dict[str, Any] = {
    "appId": APP,
    "currency": "USD",
    "networks": {"com.example": "net"},
    "windows": [{"sequenceIndex": 0, "fine": [{"from": 63, "to": 63, "events": ["purchase"]}]}],
}


def postback(make_event: Any, tenant: str, day: dt.date, **fields: Any) -> dict[str, Any]:
    at = dt.datetime.combine(day, dt.time(8), dt.UTC)
    body = FOUR | {"transaction-id": str(uuid.uuid4())} | {k.replace("_", "-"): v for k, v in fields.items()}
    event: dict[str, Any] = make_event(tenant, "skan_postback", at, postback=body)
    event.pop("deviceId")
    return event


def test_landed_postbacks_reach_the_views_once_and_a_new_document_changes_what_they_mean(
    platform: Any, make_event: Any
) -> None:
    tenant = platform.activate("skan_views")
    first = postback(make_event, tenant, DAY)
    again = first | {"eventId": str(uuid.uuid4()), "timestamp": f"{NEXT}T09:00:00+00:00"}
    noon = dt.datetime.combine(DAY, dt.time(12), dt.UTC)
    install = make_event(tenant, "install", noon, campaign="x", platform="ios", appId=first.get("appId"))
    platform.land(first, postback(make_event, tenant, DAY, did_win=False), install)
    platform.land(again, postback(make_event, tenant, NEXT))
    assert platform.materialize(tenant, DAY, NEXT).success

    daily = platform.mart("skan_daily", tenant)
    assert (daily["installs"].sum(), daily["not_won"].sum()) == (2, 1)
    assert daily.filter(pl.col("event_date") == NEXT)["installs"].sum() == 1
    assert set(daily["basis"]) == {"unmapped", "not_won"}
    assert platform.mart("skan_events_daily", tenant).is_empty()
    ssot = platform.mart("ssot_daily", tenant)
    assert ssot["skan"].sum() == 2
    assert ssot["total_installs"].sum() == 2  # one is the organic install, the other nobody saw

    platform.registry.add_skan_schema(tenant, DOCUMENT, NEXT, "test")
    assert platform.materialize(tenant, DAY, NEXT).success
    events = platform.mart("skan_events_daily", tenant)
    assert events.select("event_date", "source", "event_name", "users").rows() == [
        (NEXT, "net", "purchase", 1)
    ]
    assert platform.mart("skan_daily", tenant)["installs"].sum() == 2


def test_a_slice_whose_postbacks_are_withdrawn_is_empty(platform: Any, make_event: Any) -> None:
    tenant = platform.activate("skan_gone")
    platform.land(postback(make_event, tenant, DAY))
    assert platform.materialize(tenant, DAY, DAY).success
    assert platform.mart("skan_postbacks", tenant).height == 1
    none = platform.lake.read_slices("clean.events", tenant, [NEXT])
    platform.lake.replace_slice("clean.events", none, tenant_id=tenant, date=DAY, run_id="test")
    assert platform.materialize(tenant, DAY, DAY, *MART_ASSETS).success
    assert platform.mart("skan_postbacks", tenant).is_empty()
    assert platform.mart("skan_daily", tenant).is_empty()
