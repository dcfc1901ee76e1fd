"""Postback events to rows of `skan_postbacks`: pure functions, with Apple's own samples."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import polars as pl
import pytest

from assets.skan_postbacks import SKAN_POSTBACKS, decode, postbacks_metadata, schemas_by_date
from resources.registry import SkanSchemaVersion
from resources.skan.conversions import ConversionSchema
from schemas import event_schemas, table_schemas

FOUR, COARSE, THREE, LOSING, TWO_TWO, TWO_ONE = (
    example["postback"] for example in event_schemas("v1")["skan_postback"]["examples"]
)
APP = 525463029
DAY = dt.date(2026, 11, 2)
NEXT = DAY + dt.timedelta(days=1)
DOCUMENT: dict[str, Any] = {
    "appId": APP,
    "currency": "USD",
    "eventAppId": "com.example.game",
    "networks": {"com.example": "example_ads"},
    "windows": [
        {
            "sequenceIndex": 0,
            "fine": [
                {"from": 20, "to": 20, "events": ["registration", "purchase"]},
                {"from": 63, "to": 63, "revenueMicros": {"low": 10, "expected": 15, "high": 20}},
            ],
            "lock": {"fine": 63},
        }
    ],
}
SCHEMAS = {DAY: {APP: ConversionSchema.of(DOCUMENT)}}


def event(postback: Any, **more: Any) -> dict[str, Any]:
    at = dt.datetime.combine(more.get("event_date", DAY), dt.time(8, 30), dt.UTC)
    given = {
        "app_id": "",
        "source": None,
        "campaign": None,
        "land_seq": 1,
        "event_id": "e1",
        "event_date": DAY,
    }
    body = postback if isinstance(postback, str) else json.dumps(postback)
    return {"tenant_id": "t1", "event_time": at, "postback": body, **given, **more}


def frame(*events: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(events), infer_schema_length=None)


def rows(*events: dict[str, Any], schemas: Any = None) -> list[dict[str, Any]]:
    decoded = decode(frame(*events), SCHEMAS if schemas is None else schemas)
    assert decoded.unreadable == 0
    found: list[dict[str, Any]] = decoded.rows.to_pylist()
    return found


def version(number: int, first: dt.date, document: dict[str, Any]) -> SkanSchemaVersion:
    now = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    return SkanSchemaVersion("t1", document["appId"], number, "", document, first, now, "ann", None)


def test_a_winning_postback_is_read_by_the_document_of_its_app() -> None:
    (row,) = rows(event(FOUR))
    assert (row["app_id"], row["source"], row["campaign"]) == ("com.example.game", "example_ads", "5239")
    assert (row["basis"], row["fine_value"], row["is_at_lock"]) == ("fine", 63, True)
    revenue = [row[f"revenue_{name}_micros"] for name in ("low", "expected", "high")]
    assert revenue == [10, 15, 20]
    assert row["schema_hash"] == SCHEMAS[DAY][APP].content_hash
    assert (row["did_win"], row["is_redownload"], row["is_test"]) == (True, False, False)


def test_what_the_sender_said_of_app_source_and_campaign_goes_before_the_document() -> None:
    (row,) = rows(event(FOUR, app_id="mine", source="net", campaign="spring"))
    assert (row["app_id"], row["source"], row["campaign"]) == ("mine", "net", "spring")
    assert row["source_identifier"] == "5239"


def test_every_sample_of_apple_becomes_a_row_with_its_basis() -> None:
    samples = (FOUR, COARSE, THREE, LOSING, TWO_TWO, TWO_ONE)
    found = rows(*(event(sample, event_id=f"e{number}") for number, sample in enumerate(samples)))
    assert [row["basis"] for row in found] == ["fine", "unmapped", "fine", "not_won", "fine", "fine"]
    assert [row["events"] for row in found][2] == ["registration", "purchase"]
    assert [row["version"] for row in found] == ["4.0", "4.0", "3.0", "3.0", "2.2", "2.1"]


def test_without_a_document_nothing_is_mapped_and_the_app_goes_by_its_store_id() -> None:
    (row,) = rows(event(FOUR), schemas={})
    assert (row["app_id"], row["source"], row["basis"]) == (str(APP), "com.example", "unmapped")
    assert (row["schema_hash"], row["events"], row["revenue_high_micros"]) == ("", [], 0)


def test_a_transaction_is_the_same_however_its_letters_are_written() -> None:
    upper = FOUR | {"transaction-id": FOUR["transaction-id"].upper()}
    one, other = rows(event(FOUR), event(upper, event_id="e2"))
    assert one["transaction_id"] == other["transaction_id"]


def test_a_test_postback_says_so() -> None:
    test = {name: value for name, value in FOUR.items() if name != "source-domain"} | {"source-app-id": 0}
    (row,) = rows(event(test))
    assert (row["is_test"], row["source_app_id"]) == (True, 0)


def test_each_day_is_read_by_the_document_of_that_day() -> None:
    later = DOCUMENT | {
        "windows": [{"sequenceIndex": 0, "fine": [{"from": 63, "to": 63, "events": ["new"]}]}]
    }
    versions = [version(2, NEXT, later), version(1, DAY, DOCUMENT)]
    in_force = schemas_by_date(versions, [DAY - dt.timedelta(days=1), DAY, NEXT])
    assert in_force[DAY - dt.timedelta(days=1)] == {}
    found = rows(event(FOUR), event(FOUR, event_id="e2", event_date=NEXT), schemas=in_force)
    assert [row["events"] for row in found] == [[], ["new"]]
    assert found[0]["schema_hash"] != found[1]["schema_hash"]


def test_of_two_documents_that_hold_the_higher_version_counts_whatever_its_day() -> None:
    other = DOCUMENT | {"eventAppId": "second"}
    versions = [version(1, NEXT, DOCUMENT), version(2, DAY, other)]
    assert schemas_by_date(versions, [NEXT])[NEXT][APP].event_app_id == "second"


@pytest.mark.parametrize("body", ["", "[]", "{", "null", '{"version": "1.0"}', '{"version": "4.0"}'])
def test_what_cannot_be_read_is_left_out_and_counted(body: str) -> None:
    decoded = decode(frame(event(body), event(FOUR, event_id="e2")), SCHEMAS)
    assert (decoded.unreadable, decoded.rows.num_rows) == (1, 1)
    assert postbacks_metadata(decoded)["unreadable"].value == 1


def test_a_day_without_postbacks_has_no_rows_of_the_right_types() -> None:
    nothing = decode(frame(event(FOUR)).clear(), SCHEMAS)
    assert nothing.rows.schema == SKAN_POSTBACKS.arrow_schema
    assert postbacks_metadata(nothing)["rows"].value == 0


def test_the_run_page_names_apps_that_lack_a_document() -> None:
    metadata = postbacks_metadata(decode(frame(event(FOUR)), {}))
    assert metadata["apps_without_a_document"].value == [APP]
    assert "| unmapped | 1 |" in str(metadata["by_basis"].value)


def test_what_is_read_of_the_lake_is_there() -> None:
    columns = {column.name for column in table_schemas()["clean.events"].columns}
    assert set(event(FOUR)) <= columns
