"""The trace of a request: taken from the client or made, in every answer, every problem and every refusal's line."""

from __future__ import annotations

import logging
import re

import httpx
import pytest

from ingest_api.answers import problem, single_accepted
from ingest_api.tracing import LINES_PER_S, RefusalLog, Traces, trace_id, traced
from tests.support.door import TENANT, RunningDoor, assert_problem, founding_event

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
OWN = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00")


def test_an_answer_has_the_trace_of_its_request(door: RunningDoor) -> None:
    response = door.client.post("/v1/events/ingest", json=founding_event(), headers={"traceparent": PARENT})
    assert (response.status_code, response.headers["traceparent"]) == (202, PARENT)


@pytest.mark.parametrize(
    "given",
    [
        "junk",
        "",
        PARENT.upper(),
        PARENT + "-00",
        PARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        "00-" + "a" * 4_000,
    ],
)
def test_a_malformed_trace_is_not_passed_on(door: RunningDoor, given: str) -> None:
    response = door.client.post("/v1/events/ingest", json=founding_event(), headers={"traceparent": given})
    assert response.status_code == 202
    assert OWN.fullmatch(response.headers["traceparent"])


def test_requests_without_a_trace_get_different_ones(door: RunningDoor) -> None:
    seen = {door.send(founding_event()).headers["traceparent"] for _ in range(20)}
    assert len(seen) == 20
    assert all(OWN.fullmatch(traceparent) for traceparent in seen)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/v1/events/ingest", 401, "unauthorized"), ("/v1/nowhere", 404, "not_found")],
)
def test_a_problem_names_its_trace(door: RunningDoor, path: str, status: int, code: str) -> None:
    response = httpx.post(door.url + path, json={}, headers={"traceparent": PARENT})
    document = assert_problem(response, status, code)
    assert (document["traceId"], document["instance"]) == (TRACE, f"urn:unmogrowp:trace:{TRACE}")
    assert response.headers.get_list("traceparent") == [PARENT]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/openapi.json"])
def test_operations_name_their_trace_too(door: RunningDoor, path: str) -> None:
    assert door.client.get(path, headers={"traceparent": PARENT}).headers["traceparent"] == PARENT


def test_a_refusal_is_found_in_the_log_by_its_trace(
    door: RunningDoor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ingest_api.tracing"):
        door.client.post(
            "/v1/events/ingest", json=founding_event(campaign=""), headers={"traceparent": PARENT}
        )
    assert caplog.messages == [f"refused: status=422 code=too_short tenant={TENANT} trace={TRACE}"]


def test_a_made_up_tenant_cannot_write_into_the_log(
    door: RunningDoor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ingest_api.tracing"):
        httpx.post(
            door.url + "/v1/events/ingest", headers={"X-Tenant-ID": "t1 code=fine", "traceparent": PARENT}
        )
    assert caplog.messages == [f"refused: status=401 code=unauthorized tenant=- trace={TRACE}"]


def test_a_flood_of_refusals_is_no_flood_of_lines(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, answer = RefusalLog(), problem(401, "unauthorized", "no")
    second = 100.0
    monkeypatch.setattr("time.monotonic", lambda: second)
    with caplog.at_level(logging.INFO, logger="ingest_api.tracing"):
        for _ in range(1_000):
            log.note(answer, {}, PARENT.encode())
        assert len(caplog.messages) == LINES_PER_S
        second = 101.0
        log.note(answer, {}, PARENT.encode())
    assert caplog.messages[LINES_PER_S] == f"{1_000 - LINES_PER_S} more requests were refused in one second"
    assert len(caplog.messages) == LINES_PER_S + 2


def test_accepted_bodies_stay_as_they_are() -> None:
    answer = traced(single_accepted("an-id"), PARENT.encode())
    assert answer.body == single_accepted("an-id").body
    assert trace_id(Traces().of({})) != trace_id(Traces().of({}))
