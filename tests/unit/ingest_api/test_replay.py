"""Replay: what was refused comes in once, by the door's own code, whatever breaks when and whoever else replays."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pytest
import zstandard

from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogPosition, LogRecord
from ingest_api.landing import Batch
from ingest_api.remembered import Remembered
from ingest_api.replay import now_utc, replay_quarantine
from resources.errors import ServiceUnavailableError
from resources.ledger_reader import ledger_now
from resources.pii import Keyring
from resources.quarantine import QuarantineFilter, list_quarantine
from tests.support.door import TENANT, Landing, RunningDoor, click, founding_event, now_text

if TYPE_CHECKING:
    from resources.settings import Settings
from tests.support.replays import accepted, assert_adds_up, land, large, logged_events, refuse, replay


def test_a_refused_event_comes_in_with_its_bytes_and_id_and_only_once(settings: Settings) -> None:
    event = large(eventId="6F1C2B9E-0F5D-4C6E-9A57-1D1F0C0A7E01")
    pretty = json.dumps(event, indent=2, ensure_ascii=False).encode()
    refuse(settings, b"[" + pretty + b"]")
    before = now_utc()
    report = replay(settings)
    assert (report.matched, report.replayed, report.events) == (1, 1, 1)
    land(settings)
    assert replay(settings).replayed_before == 1
    land(settings)
    with Landing(settings) as landing:
        [row] = landing.rows()
        [kept] = landing.rows("raw.quarantine")
        listed = list_quarantine(landing.lake, QuarantineFilter(TENANT), 10)
    assert row["event_id"] == event["eventId"].lower() == kept["event_id"]
    body = json.loads(row["body"])
    assert body.pop("deviceId").startswith("p1_")
    assert body == {name: value for name, value in event.items() if name != "deviceId"}
    assert row["received_at"] >= before
    assert [reason.replayed for reason in listed.reasons] == [1]
    assert listed.rows[0]["replayed_at"] is not None


def test_what_is_still_refused_is_reported_and_stays_the_one_row_it_is(settings: Settings) -> None:
    refuse(settings, orjson.dumps([large(), large(surprise=1)]), b"[broken", b'{"a":1}')
    for attempt in range(3):
        report = replay(settings)
        assert_adds_up(report)
        assert report.matched == 4
        assert (report.replayed, report.replayed_before) == ((1, 0) if attempt == 0 else (0, 1))
        assert dict(report.reasons) == {"unknown_field": 1, "not_json": 1, "missing_field": 1}
        assert "not in the contract" in report.examples["unknown_field"]
        land(settings)
    with Landing(settings) as landing:
        assert len(landing.rows("raw.quarantine")) == 4
    assert len(accepted(settings)) == 1


def test_a_dry_run_counts_and_changes_nothing(settings: Settings) -> None:
    refuse(settings, orjson.dumps([large(), large(surprise=1)]))
    for _ in range(2):
        report = replay(settings, dry_run=True)
        assert (report.replayed, report.still_refused) == (1, 1)
    land(settings)
    assert accepted(settings) == []
    assert logged_events(settings) == 0


def test_a_filter_leaves_the_others_alone(settings: Settings) -> None:
    refuse(settings, orjson.dumps([large()]), b"[broken")
    assert replay(settings, reason_code="not_json").matched == 1
    assert replay(settings, reason_code="no_such_code").matched == 0
    land(settings)
    assert accepted(settings) == []


def test_an_event_that_its_sender_corrected_and_sent_again_is_not_sent_a_third_time(
    settings: Settings,
) -> None:
    event = large()
    refuse(settings, orjson.dumps([event]), orjson.dumps([event]))
    with RunningDoor(settings) as door:
        assert door.send(click(eventId=event["eventId"].upper())).status_code == 202
    land(settings)
    report = replay(settings)
    assert (report.replayed, report.already_accepted) == (0, 2)


def test_of_several_refused_deliveries_of_one_event_one_is_sent(settings: Settings) -> None:
    event = large()
    refuse(settings, *[orjson.dumps([event])] * 3)
    report = replay(settings)
    assert (report.replayed, report.already_accepted) == (1, 2)
    report = replay(settings)  # not landed yet
    assert (report.under_way, report.already_accepted) == (1, 2)
    land(settings)
    assert accepted(settings) == [event["eventId"]]


def test_an_event_too_old_by_now_comes_in_as_of_when_it_was_received(settings: Settings) -> None:
    timestamp = now_text(-dt.timedelta(days=1))
    refuse(settings, orjson.dumps([large(timestamp=timestamp)]))
    later = dt.timedelta(days=settings.late_days)
    report = replay(settings, later=later)
    assert report.is_too_old_by_now
    assert (report.replayed, dict(report.reasons)) == (0, {"timestamp_too_old": 1})
    assert replay(settings, later=later, as_received=True).replayed == 1
    land(settings)
    with Landing(settings) as landing:
        [row] = landing.rows()
        [kept] = landing.rows("raw.quarantine")
        [day] = ledger_now(landing.lake, TENANT, [row["event_date"]], settings.late_days)
    assert row["received_at"] == kept["received_at"]
    assert (day.total.received, day.total.accepted, day.total.replayed, day.total.quarantined) == (1, 1, 1, 0)
    assert day.balances
    assert replay(settings, later=later, as_received=True).replayed_before == 1


def test_a_whole_body_that_was_refused_is_judged_as_the_event_it_should_have_been(settings: Settings) -> None:
    with RunningDoor(settings) as door:
        lone = click()
        packed = zstandard.compress(orjson.dumps(lone))
        assert door.send_batch(packed, Content_Encoding="zstd").json()["code"] == "not_an_array"
        assert door.send_batch(zstandard.compress(b"x" * 100), Content_Encoding="zstd").status_code == 400
        assert door.send_batch(packed[:-9], Content_Encoding="zstd").json()["code"] == "bad_encoding"
    land(settings)
    report = replay(settings)
    assert_adds_up(report)
    assert report.replayed == 1
    assert dict(report.reasons) == {"not_json": 1, "bad_encoding": 1}
    land(settings)
    assert accepted(settings) == [lone["eventId"]]


@pytest.mark.parametrize("body_format", [BodyFormat.ARRAY, BodyFormat.NDJSON])
def test_a_body_the_lander_could_not_read_falls_into_its_deliveries_again(
    settings: Settings, body_format: BodyFormat
) -> None:
    events = [click(), founding_event(campaign=""), click()]
    lines = b"\n".join(map(orjson.dumps, events))
    body = zstandard.compress(lines if body_format is BodyFormat.NDJSON else orjson.dumps(events))
    with Landing(settings) as landing:
        batch = Batch(Remembered(Keyring(settings.keys()), is_native=False), 0)
        unreadable = (
            LogRecord(  # the door counted four: what the lander does not believe it quarantines whole
                TENANT, int(now_utc().timestamp() * 1e6), body_format, BodyEncoding.ZSTD, 4, body
            )
        )
        batch.add("worker-9", LogPosition(1, 1), unreadable, is_quarantine_landed=False)
        rows = batch.quarantine_table(landing.lake.arrow_schema("raw.quarantine"))
        landing.lake.append_with_offsets("raw.quarantine", rows, offsets={}, expected_offsets={}, summary={})
    report = replay(settings)
    assert (report.matched, report.replayed, report.events) == (1, 1, 2)
    land(settings)
    assert accepted(settings) == sorted(event["eventId"] for event in (events[0], events[2]))
    with Landing(settings) as landing:
        codes = sorted(row["reason_code"] for row in landing.rows("raw.quarantine"))
    assert codes == ["too_short", "unlandable"]
    report = replay(settings)
    assert (report.replayed_before, report.still_refused) == (1, 1)


def test_a_row_whose_body_was_changed_is_counted_and_stops_nothing(settings: Settings) -> None:
    good = large()
    refuse(settings, orjson.dumps([good]))
    with Landing(settings) as landing:
        [row] = landing.lake.table("raw.quarantine").scan().to_arrow().to_pylist()
        row |= {"quarantine_id": "0" * 32}  # sealed for another id
        rows = pa.Table.from_pylist([row], schema=landing.lake.arrow_schema("raw.quarantine"))
        landing.lake.append_with_offsets("raw.quarantine", rows, offsets={}, expected_offsets={}, summary={})
    report = replay(settings)
    assert (report.matched, report.damaged, report.replayed) == (2, 1, 1)
    assert_adds_up(report)


def test_a_full_event_log_is_said_before_anything_is_claimed(settings: Settings) -> None:
    refuse(settings, orjson.dumps([large()]))
    with pytest.raises(ServiceUnavailableError, match="takes nothing now"):
        replay(settings.with_changes(event_log_budget_bytes=0))
    assert replay(settings).replayed == 1


def test_another_tenants_rows_are_never_touched(settings: Settings) -> None:
    refuse(settings, orjson.dumps([large()]))
    with Landing(settings) as landing:
        report = replay_quarantine(settings, landing.lake, "t456", QuarantineFilter(TENANT))
    assert report.matched == 0
