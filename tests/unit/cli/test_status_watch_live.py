"""`unmogrowp status --watch` as a command, against a real door and a real lander that come, work and go."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from cli.live_samples import DOWN
from resources.registry import Registry, TenantState
from resources.settings import APPLICATION_ROOT, Settings, child_environment
from tests.support.door import TENANT, click, founding_event, headers_of

COMMAND = [sys.executable, "-m", "cli.main", "status", "--watch", "--interval", "0.5"]


@pytest.fixture(autouse=True)
def _children_hear_ctrl_c() -> Iterator[None]:
    """Also where the suite runs in the background of a script: its shell has everything below ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    arguments: list[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, *arguments], cwd=APPLICATION_ROOT, env=environment, stdout=output, stderr=output
        )
        try:
            yield started
        finally:
            started.terminate()
            started.wait(30)


def token_of(settings: Settings) -> str:
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.request(TENANT, "starter", "test")
    registry.transition(TENANT, TenantState.PROVISIONING, actor="test")
    token: str = registry.mint_key(TENANT, "ingest", "test")
    registry.transition(TENANT, TenantState.ACTIVE, actor="test")
    registry.close()
    return token


def until_document(
    watching: subprocess.Popen[bytes], wanted: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """The first line that is as wanted."""
    assert watching.stdout is not None
    deadline = time.monotonic() + 60
    for line in watching.stdout:
        document: dict[str, Any] = json.loads(line)
        if wanted(document):
            return document
        assert time.monotonic() < deadline, document
    raise AssertionError("the command ended")


def test_the_command_shows_a_real_door_and_lander_come_work_and_go(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, ingest_port=free_port(), lander_port=free_port())
    token = token_of(settings)
    environment = child_environment(
        UNMOGROWP_HOME=str(tmp_path),
        UNMOGROWP_INGEST_PORT=str(settings.ingest_port),
        UNMOGROWP_LANDER_PORT=str(settings.lander_port),
        UNMOGROWP_LAND_INTERVAL_S="0.5",
    )
    watching = subprocess.Popen(
        [*COMMAND, "--json"], cwd=APPLICATION_ROOT, env=environment, stdout=subprocess.PIPE
    )
    try:
        until_document(watching, lambda now: now["door"]["state"] == now["lander"]["state"] == DOWN)
        with (
            process(["-m", "ingest_api"], environment, tmp_path / "door.log"),
            process(["-m", "ingest_api.lander"], environment, tmp_path / "lander.log"),
        ):
            until_document(
                watching, lambda now: now["door"]["events_per_s"] == now["lander"]["events_per_s"] == 0
            )
            events = [click() for _ in range(90)] + [founding_event(campaign="") for _ in range(10)]
            answer = httpx.post(
                f"http://127.0.0.1:{settings.ingest_port}/v1/events/batch",
                content=orjson.dumps(events),
                headers=headers_of(TENANT, token),
            )
            assert answer.json()["quarantined"] == 10
            until_document(watching, lambda now: now["door"]["events_per_s"])
            landed = until_document(watching, lambda now: now["tenants"] and now["tenants"][0]["raw_to"])
            assert landed["lander"]["backlog_bytes"] == landed["lander"]["lag_s"] == 0
            [tenant] = landed["tenants"]
            assert (tenant["tenant_id"], tenant["state"]) == (TENANT, "active")
            assert (tenant["quarantined_last_minute"], tenant["quarantine_share_last_minute"]) == (10, 0.1)
        gone = until_document(watching, lambda now: now["door"]["state"] == now["lander"]["state"] == DOWN)
        assert gone["lander"]["as_of"] is not None
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
    finally:
        watching.kill()
        watching.wait()
        if watching.stdout is not None:
            watching.stdout.close()


def test_for_a_person_it_prints_tables_and_ctrl_c_is_no_failure(tmp_path: Path) -> None:
    environment = child_environment(
        UNMOGROWP_HOME=str(tmp_path / "none"),
        UNMOGROWP_INGEST_PORT=str(free_port()),
        UNMOGROWP_LANDER_PORT=str(free_port()),
    )
    watching = subprocess.Popen(COMMAND, cwd=APPLICATION_ROOT, env=environment, stdout=subprocess.PIPE)
    assert watching.stdout is not None
    seen = b""
    while b"unmogrowp up" not in seen:
        part = watching.stdout.readline()
        assert part, seen
        seen += part
    watching.send_signal(signal.SIGINT)
    assert watching.wait(60) == 0
    watching.stdout.close()
    assert b"down" in seen
