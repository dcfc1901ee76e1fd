"""The door's limits over HTTP, each its own test: types, sizes, bombs, nesting, a full log."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import orjson
import pytest
import zstandard

from resources.settings import Settings
from tests.support.door import FullLog, RunningDoor, assert_problem, click, founding_event, logged

if TYPE_CHECKING:
    from pathlib import Path

NDJSON = "application/x-ndjson"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
    ],
)
def test_other_types_charsets_and_encodings_are_415(door: RunningDoor, headers: dict[str, str]) -> None:
    response = door.client.post("/v1/events/batch", content=b"[]", headers=headers)
    assert_problem(response, 415, "unsupported_media_type")


def test_ndjson_is_for_batches(door: RunningDoor) -> None:
    response = door.client.post("/v1/events/ingest", content=b"{}", headers={"Content-Type": NDJSON})
    assert_problem(response, 415, "unsupported_media_type")


def test_each_size_limit_is_413_and_takes_nothing(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, body_max_bytes=50_000, body_max_unpacked_bytes=80_000, batch_max_events=20
    )
    with RunningDoor(settings) as door:
        assert_problem(door.send_batch(b"[" + b" " * 50_000), 413, "too_large")
        assert_problem(door.send_batch(orjson.dumps([click()] * 21)), 413, "too_many_events")
        chunked = door.client.post("/v1/events/batch", content=iter([b"[" * 30_000, b"]" * 30_000]))
        assert_problem(chunked, 413, "too_large")
    with RunningDoor(Settings(home=tmp_path / "b", event_max_bytes=1_000)) as door:
        assert_problem(door.send(founding_event(metadata={"a": "x" * 1_000})), 413, "too_large")
        assert logged(door.settings) == []


@pytest.mark.parametrize("pack", ["gzip", "zstd", "zstd-unsized"])
def test_a_decompression_bomb_is_413(door: RunningDoor, pack: str) -> None:
    zeros = b" " * (65 * 1024 * 1024)
    stream = zstandard.ZstdCompressor().compressobj()
    body = {
        "gzip": lambda: gzip.compress(zeros, 1),
        "zstd": lambda: zstandard.compress(zeros),
        "zstd-unsized": lambda: stream.compress(zeros) + stream.flush(),
    }[pack]()
    assert len(body) < 1024 * 1024
    assert_problem(door.send_batch(body, Content_Encoding=pack.removesuffix("-unsized")), 413, "too_large")


def test_a_zstd_frame_that_only_claims_to_be_huge_is_413(door: RunningDoor) -> None:
    claims_a_tebibyte = bytes.fromhex("28b52ffd e0") + (2**40).to_bytes(8, "little") + bytes(20)
    assert_problem(door.send_batch(claims_a_tebibyte, Content_Encoding="zstd"), 413, "too_large")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_hundred_thousand_open_brackets_are_400(door: RunningDoor, opening: bytes) -> None:
    assert_problem(door.send_batch(b"[" + opening * 100_000), 400, "not_json")


def test_what_is_not_durable_is_503_with_a_time_to_come_back(settings: Settings) -> None:
    with RunningDoor(settings, FullLog()) as door:
        response = door.send(founding_event())
        assert_problem(response, 503, "not_durable")
        assert int(response.headers["retry-after"]) > 0
        assert door.client.get("/health/ready").status_code == 503
        assert door.client.get("/health/live").status_code == 200


def test_a_full_budget_is_503_and_passes_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_api.event_log.segments.BUDGET_CHECK_INTERVAL_S", 0.0)
    with RunningDoor(Settings(home=tmp_path, event_log_budget_bytes=20_000)) as door:
        hog = tmp_path / "event_log" / "hog"
        hog.write_bytes(bytes(30_000))
        assert_problem(door.send(founding_event()), 503, "not_durable")
        hog.unlink()
        assert door.send(founding_event()).status_code == 202
