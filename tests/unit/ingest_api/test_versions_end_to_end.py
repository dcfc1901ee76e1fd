"""v1 and v2 beside each other: one door, one log, one lake; a purchase is the same row by either contract."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import polars as pl
import pytest

from assets.clean import typed_events
from assets.event_columns import body_structure, lake_paths
from ingest_api.quarantine import unseal_body
from resources.errors import ContractError
from resources.pii import Keyring
from schemas import event_schemas, event_versions, table_schemas
from tests.support.door import TENANT, Landing, RunningDoor, logged, now_text

if TYPE_CHECKING:
    from resources.settings import Settings

AMOUNTS = {
    "v1": {"revenueMicros": 4_990_000, "currency": "EUR"},
    "v2": {"revenue": {"amountMicros": 4_990_000, "currency": "EUR"}},
}
# what differs between two deliveries whatever their contract
OF_DELIVERY = ("event_id", "land_seq", "received_at")


def purchase(version: str, **fields: Any) -> dict[str, Any]:
    return {
        "eventId": str(uuid.uuid4()),
        "tenantId": TENANT,
        "timestamp": "",
        "deviceId": "device-1",
        "userId": "jane",
        "eventType": "purchase",
        "appId": "com.example.game",
        "country": "DE",
        "productId": "gems_100",
        "metadata": {"level": 3},
        **AMOUNTS[version],
        **fields,
    }


def send(door: RunningDoor, version: str, *events: dict[str, Any]) -> httpx.Response:
    if len(events) == 1:
        return door.client.post(f"/{version}/events/ingest", json=events[0])
    return door.client.post(f"/{version}/events/batch", json=list(events))


def landed(settings: Settings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    with Landing(settings) as landing:
        landing.land_all()
        return landing.rows(), landing.rows("raw.quarantine")


def test_a_purchase_of_either_version_becomes_the_same_clean_row(
    settings: Settings, door: RunningDoor
) -> None:
    timestamp = now_text()
    for version in ("v1", "v2"):
        response = send(door, version, purchase(version, timestamp=timestamp))
        assert response.status_code == 202, response.text
    assert [record.schema_version for record in logged(settings)] == ["v1", "v2"]
    raw, quarantined = landed(settings)
    assert (len(raw), quarantined) == (2, [])
    by_version = {row["schema_version"]: orjson.loads(row["body"]) for row in raw}
    for version, amount in AMOUNTS.items():
        assert amount.items() <= by_version[version].items()
        assert by_version[version]["deviceId"].startswith("p1_")  # found by the version's own x-pii
    clean = typed_events(pl.DataFrame(raw))
    assert clean.columns == [column.name for column in table_schemas()["clean.events"].columns]
    one, other = clean.drop(OF_DELIVERY).to_dicts()
    assert one == other
    assert (one["revenue_micros"], one["currency"], one["product_id"]) == (4_990_000, "EUR", "gems_100")


def test_a_mixed_batch_of_v2_is_judged_by_v2_and_its_unchanged_types_by_v1s_schema(
    settings: Settings, door: RunningDoor
) -> None:
    timestamp = now_text()
    install = purchase("v1", timestamp=timestamp, eventType="install", campaign="spring")
    for name in ("revenueMicros", "currency", "productId"):
        del install[name]
    events = [
        purchase("v2", timestamp=timestamp),
        purchase("v1", timestamp=timestamp),
        install,
        purchase("v2", timestamp=timestamp, revenue={"amountMicros": 1.0, "currency": "EUR"}),
        purchase("v2", timestamp=timestamp, revenue={"amountMicros": 1}),
        purchase("v2", timestamp=timestamp, revenue={"amountMicros": 1, "currency": "euro"}),
    ]
    answer = send(door, "v2", *events).json()
    found = [(row["status"], row.get("code"), row.get("pointer")) for row in answer["events"]]
    accepted = ("accepted", None, None)
    assert found[0] == found[2] == found[3] == accepted
    assert found[1][:2] in {("quarantined", "missing_field"), ("quarantined", "unknown_field")}
    assert found[4] == ("quarantined", "missing_field", "/revenue/currency")
    assert found[5] == ("quarantined", "bad_format", "/revenue/currency")
    raw, quarantined = landed(settings)
    assert {row["schema_version"] for row in raw} == {"v2"}
    clean = typed_events(pl.DataFrame(raw)).filter(pl.col("event_type") == "purchase")
    assert sorted(clean["revenue_micros"]) == [1, 4_990_000]
    assert set(clean["currency"]) == {"EUR"}
    keyring = Keyring(settings.keys())
    bodies = {unseal_body(keyring, TENANT, row["quarantine_id"], row["body_sealed"]) for row in quarantined}
    assert {orjson.loads(body)["eventId"] for body in bodies} == {events[at]["eventId"] for at in (1, 4, 5)}


def test_each_version_refuses_the_others_purchase_alone(door: RunningDoor) -> None:
    for path_version, event_version in (("v1", "v2"), ("v2", "v1")):
        response = send(door, path_version, purchase(event_version, timestamp=now_text()))
        assert (response.status_code, response.json()["quarantined"]) == (422, True)
        assert response.json()["pointer"] in {"/revenue", "/revenueMicros", "/currency"}


def test_every_column_of_every_version_is_read_from_where_its_schemas_say() -> None:
    columns = {column.name for column in table_schemas()["clean.events"].columns}
    for version in event_versions():
        assert lake_paths(version).keys() <= columns
    assert lake_paths("v1")["currency"] == (("currency",),)
    assert set(lake_paths("v2")["currency"]) == {("currency",), ("revenue", "currency")}
    assert "amountMicros" in body_structure("v2")
    assert "amountMicros" not in body_structure("v1")
    annotated = {member["x-lake"] for schema in event_schemas("v2").values() for member in _annotated(schema)}
    assert annotated <= columns


def _annotated(schema: dict[str, Any]) -> list[dict[str, Any]]:
    members = list(schema.get("properties", {}).values())
    nested = [inner for member in members for inner in _annotated(member)]
    return [member for member in members if "x-lake" in member] + nested


def test_rows_of_a_version_that_is_not_known_here_are_not_lost_in_silence(
    settings: Settings, door: RunningDoor
) -> None:
    send(door, "v1", purchase("v1", timestamp=now_text()))
    raw, _ = landed(settings)
    newer = pl.DataFrame(raw).with_columns(schema_version=pl.lit("v99"))
    with pytest.raises(ContractError, match=rf"tenant {TENANT}: .* contract v99.* deploy"):
        typed_events(newer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-02t08:30:00.25z", "2026-11-02T08:30:00.250000+00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2016-12-31T15:59:60.5-08:00", "2017-01-01T00:00:00.500000+00:00"),
        ("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999+00:00"),
        ("2026-11-02T08:30:00.123456789Z", "2026-11-02T08:30:00.123456+00:00"),
    ],
)
def test_odd_times_within_a_body_are_the_moments_they_name(
    settings: Settings, door: RunningDoor, text: str, expected: str
) -> None:
    install = purchase("v1", timestamp=now_text(), eventType="install", campaign="spring")
    for name in ("revenueMicros", "currency", "productId"):
        del install[name]
    response = send(door, "v1", {**install, "referrer": {"clickId": "c", "clickTime": text}})
    assert response.status_code == 202, response.text
    raw, _ = landed(settings)
    [moment] = typed_events(pl.DataFrame(raw))["referrer_click_time"].cast(pl.Int64)
    assert pl.Series([moment]).cast(pl.Datetime("us", "UTC"))[0].isoformat() == expected
