"""Back-pressure: 429 while the lander is behind, readiness that comes back by itself."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import TYPE_CHECKING

import orjson
import pytest

from ingest_api.event_log import segments
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogRecord
from ingest_api.event_log.segments import SegmentLog
from resources.errors import EventLogFullError, LanderBehindError
from resources.settings import Settings
from tests.support.door import Landing, RunningDoor, assert_problem, click, founding_event

if TYPE_CHECKING:
    from pathlib import Path


def open_log(root: Path, **limits: float) -> SegmentLog:
    given = {
        "segment_max_bytes": 1 << 20,
        "segment_max_age_s": 60.0,
        "budget_bytes": 1 << 30,
        "backlog_max_bytes": 1 << 30,
        **limits,
    }
    return SegmentLog(root, "worker-0", **given)  # type: ignore[arg-type]  # one test's limits


def record(size: int) -> LogRecord:
    return LogRecord("t123", 1, BodyFormat.JSON, BodyEncoding.IDENTITY, 1, bytes(size))


def test_a_lander_that_is_behind_is_429_and_the_door_comes_back_when_it_has_caught_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "BUDGET_CHECK_INTERVAL_S", 0.0)
    settings = Settings(
        home=tmp_path, event_log_backlog_max_bytes=20_000, segment_max_bytes=4_000, segment_max_age_s=0.05
    )
    with RunningDoor(settings) as door, Landing(settings) as landing:
        sent = 0
        while True:
            response = door.send_batch(orjson.dumps([click() for _ in range(10)]))
            if response.status_code != 202:
                break
            sent += 10
            assert sent < 1_000
        document = assert_problem(response, 429, "backlog")
        assert "lander" in document["detail"]
        assert int(response.headers["retry-after"]) > 0
        assert door.client.get("/health/ready").status_code == 200  # it is not the door that is ill
        assert_problem(door.send(founding_event()), 429, "backlog")
        landing.land_all()
        time.sleep(0.2)  # the segment that was being written closes
        landing.land_all()
        assert door.send(founding_event()).status_code == 202
        assert len(landing.rows()) == sent


def test_the_backlog_limit_comes_before_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "BUDGET_CHECK_INTERVAL_S", 0.0)

    async def fill() -> None:
        log = open_log(tmp_path, backlog_max_bytes=2_000, budget_bytes=4_000)
        await log.append(record(1_500))
        await log.append(record(1_500))
        with pytest.raises(LanderBehindError, match=r"3\d{3} bytes wait for the lander"):
            await log.append(record(10))
        usage = await log.usage()
        assert (usage.backlog_max_bytes, usage.budget_bytes) == (2_000, 4_000)
        assert 3_000 < usage.used_bytes < 4_000
        await log.close()

    asyncio.run(fill())


def test_what_lies_in_the_log_of_an_earlier_process_counts_too(tmp_path: Path) -> None:
    (tmp_path / "worker-9").mkdir()
    (tmp_path / "worker-9" / "left").write_bytes(bytes(5_000))

    async def append() -> None:
        log = open_log(tmp_path, backlog_max_bytes=4_000)
        await log.append(record(10))  # nobody has looked yet
        with pytest.raises(LanderBehindError):
            await log.append(record(10))
        await log.close()

    asyncio.run(append())


def test_a_door_that_nobody_sends_to_finds_out_that_its_disk_is_well_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "PROBE_INTERVAL_S", 0.05)
    settings = Settings(home=tmp_path)
    with RunningDoor(settings) as door:
        assert door.client.get("/health/ready").status_code == 200
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))  # the kernel's own EFBIG
        try:
            assert_problem(door.send(founding_event(metadata={"a": "x" * 1_000})), 503, "not_durable")
            for _ in range(5):  # however often it is asked, a disk that is still ill is not well
                assert_problem(door.client.get("/health/ready"), 503, "not_ready")
                time.sleep(0.06)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        deadline = time.monotonic() + 5
        while door.client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline, "the door never came back"
            time.sleep(0.06)
        assert door.send(founding_event()).status_code == 202


def test_a_disk_that_is_ill_is_probed_once_a_second_at_most(tmp_path: Path) -> None:
    async def ask() -> float:
        log = open_log(tmp_path)
        directory = tmp_path / "worker-0"
        directory.rename(tmp_path / "elsewhere")
        with pytest.raises(EventLogFullError):
            await log.append(record(1))
        assert not log.is_writable()  # the first look, which still finds nothing
        await asyncio.sleep(0.1)
        (tmp_path / "elsewhere").rename(directory)
        began_s = time.monotonic()
        while not log.is_writable():
            await asyncio.sleep(0.01)
        waited_s = time.monotonic() - began_s
        await log.close()
        return waited_s

    assert 0.5 < asyncio.run(ask()) < 3
    assert not (tmp_path / "worker-0" / "probe").exists()
