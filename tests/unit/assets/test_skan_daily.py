"""`skan_daily` and `skan_events_daily`: each postback once, by what it is about, decoded by the real code."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from assets.skan_postbacks import SKAN_POSTBACKS, decode
from benchmarks.mart_lab import MartLab
from resources.skan.conversions import ConversionSchema
from schemas import event_schemas

FOUR, COARSE, THREE, LOSING, TWO_TWO, TWO_ONE = (
    example["postback"] for example in event_schemas("v1")["skan_postback"]["examples"]
)
APP = 525463029
DAY = dt.date(2026, 10, 31)
NEXT = DAY + dt.timedelta(days=1)
DOCUMENT: dict[str, Any] = {
    "appId": APP,
    "currency": "USD",
    "windows": [
        {
            "sequenceIndex": 0,
            "fine": [
                {"from": 1, "to": 9, "events": ["registration"]},
                {
                    "from": 10,
                    "to": 63,
                    "events": ["registration", "purchase"],
                    "revenueMicros": {"low": 1_000_000, "high": 3_000_000},
                },
            ],
        },
        {
            "sequenceIndex": 1,
            "coarse": {"high": {"events": ["day_7"], "revenueMicros": {"low": 0, "expected": 1, "high": 9}}},
        },
    ],
}
SCHEMAS = {APP: ConversionSchema.of(DOCUMENT)}
landed = iter(range(10**9))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    with MartLab(tmp_path_factory.mktemp("skan") / "lab") as opened:
        opened.build("t1", DAY, DAY, models=["campaign_daily"])
        yield opened


def postback(base: dict[str, Any] = FOUR, **fields: Any) -> dict[str, Any]:
    """A postback of its own transaction; `None` takes a field away."""
    changed = {"transaction_id": str(uuid.UUID(int=next(landed))), **fields}
    merged = base | {name.replace("_", "-"): value for name, value in changed.items()}
    return {name: value for name, value in merged.items() if value is not None}


def event(body: dict[str, Any], day: dt.date = DAY, tenant: str = "t1", **more: Any) -> dict[str, Any]:
    number = next(landed)
    given = {"app_id": "", "source": None, "campaign": None, "land_seq": number, "event_id": f"e{number}"}
    at = dt.datetime.combine(day, dt.time(8), dt.UTC)
    own = {"tenant_id": tenant, "event_date": day, "event_time": at, "postback": json.dumps(body)}
    return {**own, **given, **more}


def mart(lab: MartLab, name: str, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """The view's rows over these events, which come in any order."""
    lab.clear()
    decoded = decode(pl.DataFrame(list(events), infer_schema_length=None), {DAY: SCHEMAS, NEXT: SCHEMAS})
    assert decoded.unreadable == 0
    lab.insert(f"marts.{SKAN_POSTBACKS.name}", pl.DataFrame(decoded.rows))
    return lab.mart(name).to_dicts()


def only(lab: MartLab, *events: dict[str, Any]) -> dict[str, Any]:
    (row,) = mart(lab, "skan_daily", *events)
    return row


def test_a_first_window_is_an_install_with_the_value_of_the_document(lab: MartLab) -> None:
    row = only(lab, event(postback()), event(postback(conversion_value=20)))
    assert (row["installs"], row["redownloads"], row["value_updates"]) == (2, 0, 0)
    revenue = [row[f"revenue_{name}_micros"] for name in ("low", "expected", "high")]
    assert revenue == [2_000_000, 4_000_000, 6_000_000]
    assert (row["event_count"], row["basis"], row["event_date"]) == (4, "fine", DAY)


def test_a_redownload_is_no_install_and_keeps_its_value(lab: MartLab) -> None:
    row = only(lab, event(postback(redownload=True)))
    assert (row["installs"], row["redownloads"], row["revenue_high_micros"]) == (0, 1, 3_000_000)


def test_a_later_window_adds_value_and_no_install(lab: MartLab) -> None:
    later = postback(
        conversion_value=None,
        coarse_conversion_value="high",
        postback_sequence_index=1,
        source_identifier="52",
    )
    first, second = mart(lab, "skan_daily", event(postback(source_identifier="52")), event(later, NEXT))
    assert (first["installs"], first["value_updates"], first["sequence_index"]) == (1, 0, 0)
    assert (second["installs"], second["value_updates"], second["sequence_index"]) == (0, 1, 1)
    assert (second["revenue_expected_micros"], second["event_date"]) == (1, NEXT)


def test_a_transaction_counts_once_on_the_day_it_first_landed(lab: MartLab) -> None:
    body = postback()
    first, again = event(body, NEXT), event(body, DAY)  # the earlier day landed later
    row = only(lab, again, event(body, NEXT, event_id="again"), first)
    assert (row["installs"], row["event_date"]) == (1, NEXT)


def test_the_same_transaction_in_another_window_app_or_tenant_is_another_one(lab: MartLab) -> None:
    body = postback()
    later = postback(
        body, transaction_id=body["transaction-id"], conversion_value=None, postback_sequence_index=1
    )
    other_app = postback(body, transaction_id=body["transaction-id"], app_id=7)
    rows = mart(lab, "skan_daily", event(body), event(later), event(other_app), event(body, tenant="t2"))
    assert sum(row["installs"] for row in rows) == 3
    assert sum(row["value_updates"] for row in rows) == 1
    assert {row["app_id"] for row in rows if row["tenant_id"] == "t1"} == {str(APP), "7"}


def test_what_another_network_won_is_counted_apart(lab: MartLab) -> None:
    row = only(lab, event(postback(LOSING)), event(postback(LOSING)))
    assert (row["basis"], row["not_won"], row["installs"], row["redownloads"]) == ("not_won", 2, 0, 0)


def test_test_postbacks_are_in_no_other_count(lab: MartLab) -> None:
    row = only(lab, event(postback(source_domain=None, source_app_id=0)))
    assert row["test_postbacks"] == 1
    counts = ("installs", "redownloads", "value_updates", "not_won", "event_count", "revenue_high_micros")
    assert [row[name] for name in counts] == [0] * len(counts)


def test_values_are_told_apart_by_what_they_were_read_from(lab: MartLab) -> None:
    rows = mart(
        lab,
        "skan_daily",
        event(postback(conversion_value=1)),
        event(postback(conversion_value=0)),
        event(postback(conversion_value=None)),
        event(postback(conversion_value=None, coarse_conversion_value="low", source_identifier="52")),
    )
    assert {(row["source_identifier"], row["basis"], row["installs"]) for row in rows} == {
        ("5239", "fine", 1),
        ("5239", "unmapped", 1),
        ("5239", "no_value", 1),
        ("52", "unmapped", 1),
    }


def test_events_are_counted_by_name(lab: MartLab) -> None:
    rows = mart(
        lab,
        "skan_events_daily",
        event(postback(conversion_value=1)),
        event(postback(conversion_value=63)),
        event(postback(conversion_value=63, source_domain=None, source_app_id=0)),
    )
    assert [(row["event_name"], row["users"]) for row in rows] == [("purchase", 1), ("registration", 2)]


def test_without_postbacks_the_views_are_empty(lab: MartLab) -> None:
    lab.clear()
    assert lab.mart("skan_daily").is_empty()
    assert lab.mart("skan_events_daily").is_empty()
