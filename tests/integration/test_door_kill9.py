"""kill -9 under load: what the door acknowledged is in `raw.events`, once per delivery, whenever it died."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import orjson

from resources.registry import Registry, TenantState
from resources.settings import Settings, child_environment
from tests.support.door import Landing, click, headers_of

ROOT = Path(__file__).parents[2]
KILLS = 6
SENDERS = 6
EVENTS_PER_REQUEST = 20
RANDOM = random.Random(20261120)  # noqa: S311 - when to kill, not a secret
TENANT = "t123"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_token(settings: Settings) -> str:
    settings.home.mkdir(parents=True, exist_ok=True)
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.request(TENANT, "starter", "test")
    registry.transition(TENANT, TenantState.PROVISIONING, actor="test")
    token: str = registry.mint_key(TENANT, "ingest", "test")
    return token


def start_door(settings: Settings, log_path: Path) -> subprocess.Popen[bytes]:
    environment = child_environment(
        UNMOGROWP_HOME=str(settings.home), UNMOGROWP_INGEST_PORT=str(settings.ingest_port)
    )
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ingest_api"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log_path.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{settings.ingest_port}/health/ready").status_code == 200:
                return process
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError(log_path.read_text())


def send_until(stop: threading.Event, settings: Settings, token: str, acknowledged: list[str]) -> None:
    url = f"http://127.0.0.1:{settings.ingest_port}/v1/events/batch"
    with httpx.Client(headers=headers_of(TENANT, token)) as client:
        while not stop.is_set():
            events = [click() for _ in range(EVENTS_PER_REQUEST)]
            try:
                response = client.post(url, content=orjson.dumps(events))
            except httpx.TransportError:
                return  # killed: these were not acknowledged
            assert response.status_code == 202, response.text
            acknowledged.extend(event["eventId"] for event in events)


def wait_for_load(acknowledged: list[list[str]], events: int) -> None:
    deadline = time.monotonic() + 60
    while sum(map(len, acknowledged)) <= events:
        assert time.monotonic() < deadline, "the load did not start"
        time.sleep(0.005)


def test_no_acknowledged_event_is_missing_after_kill_9_under_load(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", ingest_port=free_port())
    token = write_token(settings)
    acknowledged: list[list[str]] = [[] for _ in range(SENDERS)]
    for _ in range(KILLS):
        before = sum(map(len, acknowledged))
        process = start_door(settings, tmp_path / "door.log")
        stop = threading.Event()
        senders = [
            threading.Thread(target=send_until, args=(stop, settings, token, acked)) for acked in acknowledged
        ]
        for sender in senders:
            sender.start()
        wait_for_load(acknowledged, before + SENDERS * EVENTS_PER_REQUEST)
        time.sleep(RANDOM.uniform(0.0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        stop.set()
        for sender in senders:
            sender.join()
    with Landing(settings) as landing:
        landing.land_all()
        rows = landing.rows()
        assert landing.rows("raw.quarantine") == []
    sent = [event_id for acked in acknowledged for event_id in acked]
    landed = [row["event_id"] for row in rows]
    assert len(sent) > KILLS * EVENTS_PER_REQUEST
    assert set(sent) - set(landed) == set()
    assert len(landed) == len(set(landed))  # no sender sent anything twice, so neither did the lander


def test_a_door_that_is_asked_to_stop_leaves_everything_landable(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", ingest_port=free_port())
    token = write_token(settings)
    process = start_door(settings, tmp_path / "door.log")
    url = f"http://127.0.0.1:{settings.ingest_port}/v1/events/ingest"
    assert httpx.post(url, json=click(), headers=headers_of(TENANT, token)).status_code == 202
    process.terminate()
    process.wait(timeout=20)
    with Landing(settings) as landing:
        landing.land_all()
        assert len(landing.rows()) == 1
    assert not list((settings.event_log_dir / "worker-0").glob("*.seg"))  # landed, and nobody writes: gone
