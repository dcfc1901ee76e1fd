"""The door over HTTP: statuses, limits, keys, per-event answers. Every test talks to a real server."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
import zstandard

from ingest_api.app import create_app
from resources.settings import Settings
from tests.support.door import (
    OTHER_TENANT,
    OTHER_TOKEN,
    TENANT,
    TOKEN,
    FullLog,
    Keys,
    RunningDoor,
    assert_problem,
    click,
    founding_event,
    headers_of,
    logged,
)

if TYPE_CHECKING:
    from pathlib import Path

NDJSON = "application/x-ndjson"


def test_an_accepted_event_is_in_the_log_before_its_answer(door: RunningDoor) -> None:
    event = founding_event()
    response = door.send(event)
    assert (response.status_code, response.json()) == (
        202,
        {"eventId": event["eventId"], "status": "accepted"},
    )
    [record] = logged(door.settings)
    assert orjson.loads(record.body) == event
    assert (record.tenant_id, record.rejections) == (TENANT, ())


def test_a_refused_event_is_told_why_and_is_kept(door: RunningDoor) -> None:
    document = assert_problem(door.send(founding_event(campaign="")), 422, "too_short")
    assert document["pointer"] == "/campaign"
    assert document["quarantined"]
    [record] = logged(door.settings)
    assert [rejection.code for rejection in record.rejections] == ["too_short"]


@pytest.mark.parametrize("pack", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("content_type", ["application/json", NDJSON])
def test_a_batch_of_either_format_and_any_encoding_gets_an_answer_per_event(
    door: RunningDoor, pack: str, content_type: str
) -> None:
    events = [founding_event(eventId=str(uuid.uuid4()).upper()), click(), founding_event(campaign=5), click()]
    body = b"\n".join(map(orjson.dumps, events)) if content_type == NDJSON else orjson.dumps(events)
    packed = {"identity": body, "gzip": gzip.compress(body), "zstd": zstandard.compress(body)}[pack]
    response = door.send_batch(packed, Content_Type=content_type, Content_Encoding=pack)
    answer = response.json()
    assert (response.status_code, answer["accepted"], answer["quarantined"]) == (202, 3, 1)
    assert [row["eventId"] for row in answer["events"]] == [event["eventId"].lower() for event in events]
    assert [row["status"] for row in answer["events"]] == ["accepted", "accepted", "quarantined", "accepted"]
    assert answer["events"][2]["pointer"] == "/campaign"
    assert logged(door.settings)[0].body == packed


def test_a_batch_without_fault_answers_in_the_same_shape(door: RunningDoor) -> None:
    events = [click(), founding_event()]
    answer = door.send_batch(orjson.dumps(events)).json()
    rows = [{"eventId": event["eventId"], "status": "accepted"} for event in events]
    assert answer == {"accepted": 2, "quarantined": 0, "events": rows}
    assert door.send_batch(b"[]").json() == {"accepted": 0, "quarantined": 0, "events": []}


def test_one_line_that_is_no_json_leaves_the_others_alone(door: RunningDoor) -> None:
    body = orjson.dumps(click()) + b'\r\n\n{"a":\n' + orjson.dumps(click()) + b"\n"
    answer = door.send_batch(body, Content_Type=NDJSON).json()
    assert [row.get("code") for row in answer["events"]] == [None, "not_json", None]


def test_lines_that_only_together_are_json_are_refused_each(door: RunningDoor) -> None:
    whole = orjson.dumps(click())
    place = whole.index(b",") + 1
    answer = door.send_batch(whole[:place] + b"\n" + whole[place:], Content_Type=NDJSON).json()
    assert (answer["accepted"], answer["quarantined"]) == (0, 2)


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "not_json"), (b"[1,", "not_json"), (b"\xff\xfe", "not_json"), (b"{}", "not_an_array")],
)
def test_a_body_that_is_no_batch_is_400_and_kept(door: RunningDoor, body: bytes, code: str) -> None:
    assert assert_problem(door.send_batch(body), 400, code)["quarantined"]
    [record] = logged(door.settings)
    assert (record.body, record.rejections[0].code) == (body, code)


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_a_body_that_is_not_what_its_encoding_says_is_400_and_kept(door: RunningDoor, pack: str) -> None:
    whole = {"gzip": gzip.compress, "zstd": zstandard.compress}[pack](orjson.dumps([click()]))
    for body in (b"plain text", whole[:-3], whole + b"more"):
        assert_problem(door.send_batch(body, Content_Encoding=pack), 400, "bad_encoding")
    assert len(logged(door.settings)) == 3


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer ö".encode("latin-1")},
    ],
)
@pytest.mark.parametrize("path", ["/v1/events/ingest", "/v1/events/batch"])
def test_without_a_valid_token_nothing_is_taken(
    door: RunningDoor, headers: dict[str, Any], path: str
) -> None:
    response = httpx.post(door.url + path, headers={"X-Tenant-ID": TENANT, **headers}, json=founding_event())
    assert_problem(response, 401, "unauthorized")
    assert "Bearer" in response.headers["www-authenticate"]
    assert logged(door.settings) == []


@pytest.mark.parametrize("tenant", [OTHER_TENANT, "", "T123", "t123 "[:4] + "4"])
def test_a_token_speaks_for_its_own_tenant_alone(door: RunningDoor, tenant: str) -> None:
    headers = {**headers_of(tenant, TOKEN)}
    response = httpx.post(
        door.url + "/v1/events/ingest", headers=headers, json=founding_event(tenantId=tenant)
    )
    assert_problem(response, 403, "tenant_mismatch")
    assert logged(door.settings) == []


def test_an_event_of_another_tenant_is_refused_and_kept_by_the_sender(door: RunningDoor) -> None:
    assert_problem(door.send(founding_event(tenantId=OTHER_TENANT)), 403, "tenant_mismatch")
    answer = door.send_batch(orjson.dumps([founding_event(), founding_event(tenantId=OTHER_TENANT)])).json()
    assert answer["events"][1]["code"] == "tenant_mismatch"
    assert {record.tenant_id for record in logged(door.settings)} == {TENANT}


def test_a_revoked_key_stops_working_and_a_new_one_starts(tmp_path: Path) -> None:
    with RunningDoor(Settings(home=tmp_path, key_cache_s=0.1)) as door:
        assert door.send(founding_event()).status_code == 202
        del door.keys.tokens[TOKEN]
        time.sleep(0.15)
        assert door.send(founding_event()).status_code == 401
        door.keys.tokens[TOKEN] = TENANT
        time.sleep(0.3)
        assert door.send(founding_event()).status_code == 202


def test_when_the_registry_is_away_no_key_works_for_longer_than_the_cache(tmp_path: Path) -> None:
    with RunningDoor(Settings(home=tmp_path, key_cache_s=0.1)) as door:
        assert door.send(founding_event()).status_code == 202
        door.keys.is_down = True
        time.sleep(0.15)
        response = door.send(founding_event())
        assert_problem(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) > 0


def test_other_paths_and_methods_are_problems_too(door: RunningDoor) -> None:
    assert_problem(door.client.get("/v1/events/ingest"), 405, "method_not_allowed")
    assert_problem(door.client.post("/v9/events/ingest", json={}), 404, "not_found")


def test_metrics_count_events_by_tenant_and_hold_no_other_id(door: RunningDoor) -> None:
    event = founding_event(deviceId="device-77", userId="user-88")
    door.send(event)
    door.send_batch(orjson.dumps([founding_event(campaign="")]))
    other = httpx.post(
        door.url + "/v1/events/ingest",
        headers=headers_of(OTHER_TENANT, OTHER_TOKEN),
        json=founding_event(tenantId=OTHER_TENANT),
    )
    assert other.status_code == 202
    assert_problem(door.client.get("/metrics"), 401, "unauthorized")  # a write token reads no counters
    scraper = {"Authorization": f"Bearer {door.settings.scrape_token()}"}
    text = door.client.get("/metrics", headers=scraper).text
    assert 'unmogrowp_ingest_events_total{outcome="accepted",tenant_id="t123"} 1.0' in text
    assert 'unmogrowp_ingest_events_total{outcome="quarantined",tenant_id="t123"} 1.0' in text
    assert 'unmogrowp_ingest_events_total{outcome="accepted",tenant_id="t456"} 1.0' in text
    labels = set(re.findall(r'(\w+)="', text))
    assert labels == {"outcome", "tenant_id", "status", "le"}
    for secret in (event["eventId"], "device-77", "user-88", TOKEN):
        assert secret not in text


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_openapi_documents_both_ingest_operations_and_every_type(door: RunningDoor, version: str) -> None:
    document = door.client.get("/openapi.json").json()
    paths = (f"/{version}/events/ingest", f"/{version}/events/batch")
    one, _ = operations = [document["paths"][path]["post"] for path in paths]
    for operation in operations:
        assert {"202", "400", "401", "403", "413", "415", "429", "503"} <= set(operation["responses"])
        assert operation["security"] == [{"writeToken": []}]
    references = one["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    names = [reference["$ref"].removeprefix("#/components/schemas/") for reference in references]
    schemas = {name: document["components"]["schemas"][name] for name in names}
    assert {schema["title"] for schema in schemas.values()} >= {"install", "click", "skan_postback"}
    revenue = "revenue" if version == "v2" else "revenueMicros"
    assert revenue in schemas[f"purchase.{version}"]["properties"]


def test_the_front_and_the_documented_route_are_one_code(settings: Settings) -> None:
    async def through_fastapi() -> httpx.Response:
        app = create_app(settings, Keys(), FullLog())
        transport = httpx.ASGITransport(app=app.api)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            headers = headers_of(TENANT, TOKEN)
            return await client.post("/v1/events/ingest", json=founding_event(), headers=headers)

    assert_problem(asyncio.run(through_fastapi()), 503, "not_durable")


def test_logs_never_show_a_token_or_a_personal_value(
    door: RunningDoor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="ingest_api"):
        door.send(founding_event(deviceId="device-secret", ip="192.0.2.77", bad="x"))
        door.send_batch(b'[{"deviceId":"device-secret",')
    assert "device-secret" not in caplog.text
    assert "192.0.2.77" not in caplog.text
    assert TOKEN not in caplog.text
