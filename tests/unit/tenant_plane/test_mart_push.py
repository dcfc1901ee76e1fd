"""Marts and scores pushed to a real plane: what is taken, what is refused, and what a repetition does."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.tenant_plane.plane_process import (
    PlaneProcess,
    mart_file,
    mart_table,
    parquet,
    push_headers,
    running,
)

DATE = dt.date(2026, 3, 1)
PATH = f"/api/v1/marts/kpi_daily/{DATE}"


def kpi(events: int, **more: object) -> bytes:
    return mart_file("kpi_daily", [{"events": events, **more}], date=DATE)


def stored(plane: PlaneProcess, mart: str = "kpi_daily") -> list[dict[str, object]]:
    with plane.signed_in() as client:
        return list(client.get(f"/api/v1/marts/{mart}").raise_for_status().json()["rows"])


def scores(items: list[dict[str, object]], **more: object) -> bytes:
    document = {
        "tenantId": "t123",
        "model": "ltv",
        "generatedAt": "2026-03-02T01:00:00Z",
        "asOf": "2026-03-01",
        "items": items,
    }
    return json.dumps(document | more).encode()


def test_the_same_mart_and_date_is_replaced_whole(plane: PlaneProcess) -> None:
    first = plane.push("PUT", PATH, mart_file("kpi_daily", [{"events": 1}, {"events": 2}], date=DATE))
    assert (first.status_code, first.json()["rows"]) == (200, 2)
    second = plane.push("PUT", PATH, kpi(2**62))
    assert second.json() == {"rows": 1, "replaced": True}
    assert [row["events"] for row in stored(plane)] == [2**62]


def test_a_date_that_became_empty_is_emptied(plane: PlaneProcess) -> None:
    plane.push("PUT", PATH, kpi(1))
    assert plane.push("PUT", PATH, mart_file("kpi_daily", [], date=DATE)).json()["rows"] == 0
    assert stored(plane) == []


def test_the_same_idempotency_key_gets_the_first_answer_and_changes_nothing(plane: PlaneProcess) -> None:
    body = kpi(11)
    first = plane.push("PUT", PATH, body, **{"Idempotency-Key": "once"})
    plane.push("PUT", PATH, kpi(12))
    again = plane.push("PUT", PATH, body, **{"Idempotency-Key": "once"})
    assert again.json() == first.json()
    assert [row["events"] for row in stored(plane)] == [12]
    other = plane.push("PUT", PATH, kpi(13), **{"Idempotency-Key": "once"})
    assert other.status_code == 422
    assert [row["events"] for row in stored(plane)] == [12]


def test_a_captured_push_cannot_roll_numbers_back_under_a_new_key(plane: PlaneProcess) -> None:
    old = kpi(21)
    headers = push_headers("PUT", PATH, old, "t123")
    assert plane.push("PUT", PATH, old, **headers).status_code == 200
    assert plane.push("PUT", PATH, old, **headers | {"Idempotency-Key": "b"}).status_code == 200
    plane.push("PUT", PATH, kpi(22))
    assert plane.push("PUT", PATH, old, **headers | {"Idempotency-Key": "c"}).status_code == 403
    assert [row["events"] for row in stored(plane)] == [22]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"X-Tenant-ID": "other"}, 403),
        ({"Idempotency-Key": ""}, 400),
        ({"X-Signature": "t=1,v1=00"}, 401),
        ({"X-Signature": f"t={int(time.time())},v1={'0' * 64}"}, 401),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
def test_a_push_with_a_wrong_header_is_refused(
    plane: PlaneProcess, change: dict[str, str], status: int
) -> None:
    answer = plane.push("PUT", PATH, kpi(31), **change)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status and answer.json()["detail"]


def test_a_push_without_a_tenant_is_refused(plane: PlaneProcess) -> None:
    headers = push_headers("PUT", PATH, kpi(1), "t123")
    del headers["X-Tenant-ID"]
    with plane.client() as client:
        assert client.put(PATH, content=kpi(1), headers=headers).status_code == 403


@pytest.mark.parametrize("age_s", [301, -302])
def test_a_signature_outside_the_replay_window_is_refused(plane: PlaneProcess, age_s: int) -> None:
    headers = push_headers("PUT", PATH, kpi(1), "t123", t=int(time.time()) - age_s)
    assert plane.push("PUT", PATH, kpi(1), **headers).status_code == 401


def test_a_signature_covers_body_path_and_method(plane: PlaneProcess) -> None:
    for method, path, body in [
        ("PUT", PATH, kpi(2)),
        ("PUT", "/api/v1/marts/kpi_daily/2026-03-02", kpi(1)),
        ("POST", PATH, kpi(1)),
    ]:
        headers = push_headers(method, path, body, "t123")
        assert plane.push("PUT", PATH, kpi(1), **headers).status_code == 401, (method, path)


def test_a_persons_session_cannot_push(plane: PlaneProcess) -> None:
    with plane.signed_in() as client:
        headers = push_headers("PUT", PATH, kpi(1), "t123")
        del headers["Authorization"]
        assert client.put(PATH, content=kpi(1), headers=headers).status_code == 401


def test_one_row_of_another_tenant_refuses_the_whole_file(plane: PlaneProcess) -> None:
    plane.push("PUT", PATH, kpi(41))
    mixed = mart_file("kpi_daily", [{"events": 1}, {"events": 2, "tenant_id": "other"}], date=DATE)
    answer = plane.push("PUT", PATH, mixed)
    assert answer.status_code == 403
    assert "other tenant" not in answer.text.replace("another tenant", "")
    assert [row["events"] for row in stored(plane)] == [41]


def test_files_that_are_not_this_mart_are_refused(plane: PlaneProcess) -> None:
    table = mart_table("kpi_daily", [{"events": 1}], date=DATE)
    floats = table.set_column(2, "events", pa.array([1.0]))
    other_date = mart_file("kpi_daily", [{}], date=DATE - dt.timedelta(days=1))
    for body in (
        b"",
        b"PAR1 not parquet",
        parquet(table.drop_columns("events")),
        parquet(floats),
        other_date,
    ):
        assert plane.push("PUT", PATH, body).status_code == 422
    missing = "/api/v1/marts/nothing/2026-03-01"
    assert plane.push("PUT", missing, kpi(1)).status_code == 404
    for date in ("2026-02-30", "20260301", "1772323200", "..%2F..%2Fx"):
        path = f"/api/v1/marts/kpi_daily/{date}"
        assert plane.push("PUT", path, kpi(1)).status_code in {404, 405, 422}, date


def test_too_large_a_push_is_refused(tmp_path: Path) -> None:
    limits = {"PUSH_MAX_BYTES": "20000", "PUSH_MAX_UNPACKED_BYTES": "20000"}
    with running(PlaneProcess(tmp_path, extra=limits)) as small:
        assert small.push("PUT", PATH, kpi(1)).status_code == 200
        assert small.push("PUT", PATH, b"x" * 20_001).status_code == 413
        bomb = mart_file("kpi_daily", [{"events": 7}] * 100_000, date=DATE)
        assert len(bomb) < 20_000
        assert small.push("PUT", PATH, bomb).status_code == 413
        assert [row["events"] for row in stored(small)] == [1]


def test_pushed_numbers_survive_kill_9(tmp_path: Path) -> None:
    plane = PlaneProcess(tmp_path)
    with running(plane):
        plane.push("PUT", PATH, kpi(51))
        plane.kill()
        plane.start()
        assert [row["events"] for row in stored(plane)] == [51]


def test_scores_are_replaced_and_read_highest_first(plane: PlaneProcess) -> None:
    path = "/api/v1/ml/scores"
    old = [{"userId": "gone", "score": 5, "features": {}}]
    assert plane.push("POST", path, scores(old)).json() == {"rows": 1, "replaced": False}
    new = [{"userId": f"u{n}", "score": n * 1.5, "features": {"sessions": n}} for n in range(5)]
    assert plane.push("POST", path, scores(new)).json() == {"rows": 5, "replaced": True}
    with plane.signed_in() as client:
        page = client.get(path, params={"limit": 2, "offset": 1}).json()
    assert [item["userId"] for item in page["items"]] == ["u3", "u2"]
    assert page["items"][0] == {"userId": "u3", "score": 4.5, "features": {"sessions": 3}}
    assert (page["total"], page["nextOffset"], page["model"]) == (5, 3, "ltv")


def test_a_user_of_two_apps_has_a_score_in_each(plane: PlaneProcess) -> None:
    items = [{"userId": "u", "score": 1, "features": {"app_id": app}} for app in ("chess", "cards")]
    answer = plane.push("POST", "/api/v1/ml/scores", scores(items))
    assert (answer.status_code, answer.json()["rows"]) == (200, 2)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (scores([], tenantId="other"), 403),
        (scores([], model="../../x"), 422),
        (scores([], asOf="1772323200"), 422),
        (scores([{"userId": "u", "score": 1, "features": {}}] * 2), 422),
        (b'{"tenantId": NaN}', 422),
        (b"not json", 422),
    ],
)
def test_wrong_scores_are_refused(plane: PlaneProcess, body: bytes, status: int) -> None:
    assert plane.push("POST", "/api/v1/ml/scores", body).status_code == status


def test_marts_are_listed_and_paged_and_downloaded(plane: PlaneProcess) -> None:
    rows = [
        {"install_id": f"i{n}", "campaign": "=cmd()", "assists": ["a", "b"], "tier": 1, "ctit_ms": n}
        for n in range(3)
    ]
    assert plane.push_mart("installs", DATE, rows).status_code == 200
    with plane.signed_in() as client:
        summary = {mart["mart"]: mart for mart in client.get("/api/v1/marts").json()["marts"]}
        assert summary["installs"]["rows"] == 3
        assert [each["date"] for each in summary["installs"]["dates"]] == ["2026-03-01"]
        first = client.get("/api/v1/marts/installs", params={"limit": 2}).json()
        rest = client.get("/api/v1/marts/installs", params={"limit": 2, "offset": first["nextOffset"]}).json()
        assert [row["install_id"] for row in first["rows"] + rest["rows"]] == ["i0", "i1", "i2"]
        assert rest["nextOffset"] is None
        assert first["rows"][0]["install_time"] == "2026-01-01T00:00:00.000Z"
        assert first["rows"][0]["assists"] == ["a", "b"]
        lines = client.get("/api/v1/marts/installs", params={"format": "csv"}).text.splitlines()
        assert len(lines) == 4 and "'=cmd()" in lines[1]
        none = client.get("/api/v1/marts/installs", params={"from": "2026-03-02"}).json()
        assert (none["total"], none["rows"]) == (0, [])
