"""The lander's two ways give the same rows, pseudonyms and vault entries; and a landing is one sorted file a day."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
import zstandard

from ingest_api import fast_lane
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogPosition, LogRecord
from ingest_api.landing import Batch
from ingest_api.remembered import Remembered
from resources.lake import Lake
from resources.lake_files import write_data_files
from resources.pii import Keyring
from resources.vault import Original
from tests.support.door import (
    OTHER_TENANT,
    OTHER_TOKEN,
    TENANT,
    Landing,
    RunningDoor,
    click,
    founding_event,
    headers_of,
    now_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resources.settings import Settings

pytestmark = pytest.mark.skipif(
    not fast_lane.is_built(), reason="the native scan was not built: no C compiler at `make setup`"
)
PERSONAL = {"userId": "jane", "ip": "192.0.2.77", "userAgent": "Mozilla/5.0 (Linux; Android 15)"}


def event(number: int, **fields: Any) -> dict[str, Any]:
    made = click(eventId=f"6F1C2B9E-0F5D-4C6E-9A57-{number:012X}", deviceId=f"device-{number % 5}")
    return made | PERSONAL | {"timestamp": now_text(dt.timedelta(hours=-(number % 40)))} | fields


def record(
    events: list[Any], tenant_id: str = TENANT, received_at_us: int = 1_000, **fields: Any
) -> LogRecord:
    body = b"\n".join(orjson.dumps({**one, "tenantId": tenant_id}) for one in events)
    return LogRecord(
        tenant_id=tenant_id,
        received_at_us=received_at_us,
        format=BodyFormat.NDJSON,
        encoding=BodyEncoding.ZSTD,
        event_count=len(events),
        body=zstandard.compress(body),
        **fields,
    )


def landed(settings: Settings, records: list[LogRecord], *, is_native: bool) -> tuple[Any, dict[str, Any]]:
    """Rows in the table's order, and each tenant's originals."""
    remembered = Remembered(Keyring(settings.keys()), is_native=is_native)
    batch = Batch(remembered, 100)
    for at, one in enumerate(records):
        batch.add("w", LogPosition(1, at), one, is_quarantine_landed=False)
    found = batch.events(Lake(settings).arrow_schema("raw.events"))
    assert found is not None
    assert batch.next_land_seq == 100 + found.row_count
    parts = [found.rows] if hasattr(found.rows, "to_pylist") else list(found.rows)
    rows = [row for part in parts for row in part.to_pylist()]
    vault = KeptOriginals()
    remembered.store_originals(vault)  # type: ignore[arg-type]  # all that is asked of a vault
    return rows, {"originals": vault.by_tenant, "slices": found.slices}


class KeptOriginals:
    """A vault that notes what it is given."""

    def __init__(self) -> None:
        self.by_tenant: dict[str, set[Original]] = {}

    def store(self, tenant_id: str, originals: Iterable[Original]) -> int:
        self.by_tenant.setdefault(tenant_id, set()).update(originals)
        return 0


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By landing order, bodies as values: the slow way writes JSON again, the fast one keeps the sender's."""
    return [
        {**row, "body": json.loads(row["body"])} for row in sorted(rows, key=lambda row: int(row["land_seq"]))
    ]


RECORDS = {
    "two tenants between each other": [
        record([event(1), event(2)]),
        record([event(3)], OTHER_TENANT),
        record([event(4), event(5, ip="192.0.2.99"), event(6, ip="2001:db8::7")]),
    ],
    "out of order of receipt": [
        record([event(1)], received_at_us=3_000),
        record([event(2)], received_at_us=1_000),
        record([event(3)], OTHER_TENANT, received_at_us=2_000),
    ],
    "one that is not certain": [record([event(1)]), record([event(2, campaign='a"b')]), record([event(3)])],
    "every field personal and odd in order": [
        record([{"userAgent": "é", "ip": "::1", **{name: event(7)[name] for name in reversed(event(7))}}])
    ],
}


@pytest.mark.parametrize("name", RECORDS)
def test_both_ways_give_the_same_rows_and_originals(settings: Settings, name: str) -> None:
    fast, fast_more = landed(settings, RECORDS[name], is_native=True)
    slow, slow_more = landed(settings, RECORDS[name], is_native=False)
    assert in_order(fast) == in_order(slow)
    assert fast_more == slow_more
    assert not any(value in str(fast) for value in (*PERSONAL.values(), "device-"))


def test_parts_follow_each_other_in_the_tables_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_api.fast_columns.PART_ROWS", 3)
    records = [
        record(
            [event(10 * number + at) for at in range(4)],
            OTHER_TENANT if number % 2 else TENANT,
            5_000 - number,
        )
        for number in range(6)
    ]
    rows, _ = landed(settings, records, is_native=True)
    assert [(row["tenant_id"], row["received_at"]) for row in rows] == sorted(
        (row["tenant_id"], row["received_at"]) for row in rows
    )
    assert sorted(row["land_seq"] for row in rows) == list(range(100, 124))


def test_a_record_that_is_not_what_the_door_counted_is_left_to_the_careful_path(settings: Settings) -> None:
    false_count = record([event(1), event(2)])._replace(event_count=3)
    batch = Batch(Remembered(Keyring(settings.keys())), 0)
    batch.add("w", LogPosition(1, 1), false_count, is_quarantine_landed=False)
    assert (batch.event_count, batch.quarantine_count) == (0, 1)


def rows_around_midnight(settings: Settings) -> list[Any]:
    """Two events received before and two after it, as a batch gives them."""
    midnight_us = int(dt.datetime(2026, 11, 2, tzinfo=dt.UTC).timestamp() * 1e6)
    batch = Batch(Remembered(Keyring(settings.keys())), 0)
    for number, shift_us in enumerate((-5, -1, 0, 7)):
        one = record([event(number)], received_at_us=midnight_us + shift_us)
        batch.add("w", LogPosition(1, number), one, is_quarantine_landed=False)
    found = batch.events(Lake(settings).arrow_schema("raw.events"))
    assert found is not None
    return list(found.rows)  # type: ignore[arg-type]  # parts: nothing went the slow way


def test_a_landing_over_midnight_is_one_file_per_day_that_reads_back_whole(settings: Settings) -> None:
    lake = Lake(settings)
    lake.ensure_tables()
    table = lake.table("raw.events")
    rows = rows_around_midnight(settings)
    files = write_data_files(table, rows)
    assert [(file.record_count, file.partition[0]) for file in files] == [(2, 20758), (2, 20759)]
    lake.append_with_offsets("raw.events", rows, offsets={}, expected_offsets={}, summary={})
    scan = lake.table("raw.events").scan("received_at >= '2026-11-02T00:00:00+00:00'")
    assert scan.to_arrow().num_rows == 2
    assert len(list(scan.plan_files())) == 1  # the other day's file is pruned by its partition
    lake.close()


def test_through_door_and_lander_with_the_scan_switched_off(settings: Settings) -> None:
    slow = settings.with_changes(native_scan=False)
    events = [event(1), founding_event()]
    with RunningDoor(slow) as door, Landing(slow) as landing:
        answer = door.send_batch(orjson.dumps(events)).json()
        assert (answer["accepted"], answer["events"][0]) == (
            2,
            {"eventId": events[0]["eventId"].lower(), "status": "accepted"},
        )
        httpx.post(
            door.url + "/v1/events/batch",
            headers=headers_of(OTHER_TENANT, OTHER_TOKEN),
            json=[{**event(2), "tenantId": OTHER_TENANT}],
        ).raise_for_status()
        landing.land_all()
        assert len(landing.rows()) == 3
