"""The counters of a door of several workers: added up, and never going back."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import orjson
import pytest

from ingest_api.event_log.protocol import LogUsage
from ingest_api.metrics import Counts, DoorMetrics
from ingest_api.worker_counts import WorkerCounts
from resources.registry import Registry, TenantState
from resources.settings import APPLICATION_ROOT, Settings, child_environment
from tests.support.door import TENANT, RunningDoor, click, founding_event, headers_of


def value_of(text: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.M)
    return float(found[1]) if found else 0.0


ACCEPTED = f'unmogrowp_ingest_events_total{{outcome="accepted",tenant_id="{TENANT}"}}'


def counted(accepted: int) -> DoorMetrics:
    metrics = DoorMetrics()
    metrics.made_durable(TENANT, accepted, 1, 0.003)
    metrics.answered(202)
    return metrics


async def text_of(worker: WorkerCounts, usage: LogUsage | None = None) -> str:
    return (await worker.exposition(usage))[0].decode()


def test_any_worker_shows_the_sum_of_all(tmp_path: Path) -> None:
    async def scrape() -> None:
        first, second = WorkerCounts(tmp_path, counted(5)), WorkerCounts(tmp_path, counted(7))
        await second.publish()
        text = await text_of(first, LogUsage(1, 2, 3))
        assert value_of(text, ACCEPTED) == 12
        assert value_of(text, 'unmogrowp_ingest_requests_total{status="202"}') == 2
        assert value_of(text, 'unmogrowp_ingest_durable_seconds_bucket{le="0.005"}') == 2
        assert value_of(text, "unmogrowp_ingest_durable_seconds_count") == 2
        assert value_of(text, "unmogrowp_ingest_log_bytes") == 1
        assert value_of(text, "unmogrowp_ingest_log_budget_bytes") == 3
        assert value_of(await text_of(second), ACCEPTED) == 12
        await first.close()
        await second.close()

    asyncio.run(scrape())


def test_a_restarted_worker_counts_on_and_what_was_shown_never_goes_back(tmp_path: Path) -> None:
    async def restart() -> None:
        metrics = counted(5)
        first = WorkerCounts(tmp_path, metrics)
        shown = value_of(await text_of(first), ACCEPTED)
        metrics.made_durable(TENANT, 100, 0, 0.001)  # and dies before it shows or keeps that
        await _killed(first)
        second = WorkerCounts(tmp_path, counted(1))
        assert value_of(await text_of(second), ACCEPTED) == shown + 1
        await second.close()
        third = WorkerCounts(tmp_path, DoorMetrics())
        assert value_of(await text_of(third), ACCEPTED) == shown + 1
        await third.close()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["0.json", "0.lock"]

    asyncio.run(restart())


async def _killed(worker: WorkerCounts) -> None:
    """End it as kill -9 does: nothing is written, the lock falls."""
    worker.publish = _nothing  # type: ignore[method-assign]  # nobody lives to write
    await worker.close()


async def _nothing() -> None:
    return


@pytest.mark.parametrize("content", [b"", b"no json", b"[]", b'{"events":[["t1"]]}', b'{"events":[]}'])
def test_a_file_that_was_damaged_starts_from_zero(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0.json").write_bytes(content)

    async def scrape() -> None:
        worker = WorkerCounts(tmp_path, counted(3))
        assert value_of(await text_of(worker), ACCEPTED) == 3
        await worker.close()

    asyncio.run(scrape())


def test_a_disk_that_takes_nothing_ends_neither_counting_nor_the_door(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scrape() -> None:
        metrics = counted(3)
        worker = WorkerCounts(tmp_path / "counts", metrics)
        await worker.publish()
        (tmp_path / "counts").rename(tmp_path / "away")
        metrics.made_durable(TENANT, 4, 0, 0.001)
        await worker.publish()
        await worker.publish()
        (tmp_path / "away").rename(tmp_path / "counts")
        assert value_of(await text_of(worker), ACCEPTED) == 7
        await worker.close()

    asyncio.run(scrape())
    assert sum("cannot be kept" in message for message in caplog.messages) == 1


def test_counts_survive_their_file(tmp_path: Path) -> None:
    counts = counted(5).counts
    back = Counts.parse(orjson.loads(orjson.dumps(counts.document())))
    assert back.document() == counts.document()


def test_the_door_says_how_full_its_log_is(settings: Settings) -> None:
    with RunningDoor(settings) as door:
        door.send(founding_event())
        scraper = {"Authorization": f"Bearer {settings.scrape_token()}"}
        text = door.client.get("/metrics", headers=scraper).text
    assert value_of(text, "unmogrowp_ingest_log_bytes") > 0
    assert value_of(text, "unmogrowp_ingest_log_budget_bytes") == settings.event_log_budget_bytes
    assert value_of(text, "unmogrowp_ingest_log_backlog_max_bytes") == settings.event_log_backlog_max_bytes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_real_workers_add_up_through_a_kill(tmp_path: Path) -> None:
    """`python -m ingest_api` with two workers; one is killed, its successor counts on, nothing goes back."""
    settings = Settings(home=tmp_path, ingest_port=free_port(), ingest_workers=2)
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.request(TENANT, "starter", "test")
    registry.transition(TENANT, TenantState.PROVISIONING, actor="test")
    token = registry.mint_key(TENANT, "ingest", "test")
    registry.close()
    environment = child_environment(
        UNMOGROWP_HOME=str(tmp_path),
        UNMOGROWP_INGEST_PORT=str(settings.ingest_port),
        UNMOGROWP_INGEST_WORKERS="2",
    )
    url = f"http://127.0.0.1:{settings.ingest_port}"
    log = (tmp_path / "door.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "ingest_api"], cwd=APPLICATION_ROOT, env=environment, stdout=log, stderr=log
    )
    try:
        until(lambda: len(list((tmp_path / "event_log").glob("worker-*"))) == 2, process)
        assert send(url, token, 40) == 40
        assert until_counted(url, settings, 40, process) == 40
        [victim, *_] = workers_of(process.pid)
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(workers_of(process.pid)) == 2 and victim not in workers_of(process.pid), process)
        seen = [until_counted(url, settings, 40, process)]
        for _ in range(3):
            assert send(url, token, 10) == 10
            seen.append(until_counted(url, settings, int(seen[-1]) + 10, process))
        assert seen == [40, 50, 60, 70]
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def send(url: str, token: str, count: int) -> int:
    """Each on a connection of its own, so that both workers get some; how many were acknowledged."""
    taken = 0
    for _ in range(count):
        for _ in range(3):  # a connection that fell to the worker that was just killed
            try:
                answer = httpx.post(
                    f"{url}/v1/events/batch",
                    content=orjson.dumps([click()]),
                    headers=headers_of(TENANT, token),
                )
            except httpx.TransportError:
                continue
            taken += answer.status_code == 202
            break
    return taken


def until_counted(url: str, settings: Settings, wanted: int, process: subprocess.Popen[bytes]) -> float:
    """The count once the other worker has published too, at the latest a second later."""
    scraper = {"Authorization": f"Bearer {settings.scrape_token()}"}
    shown = 0.0

    def is_there() -> bool:
        nonlocal shown
        try:
            text = httpx.get(f"{url}/metrics", headers=scraper).text
        except httpx.TransportError:
            return False
        now = value_of(text, ACCEPTED)
        assert now >= shown, "a counter went back"
        shown = now
        return shown >= wanted

    until(is_there, process)
    return shown


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "the door ended"
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


def workers_of(pid: int) -> list[int]:
    """Its worker processes; uvicorn's other child only tracks resources."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
