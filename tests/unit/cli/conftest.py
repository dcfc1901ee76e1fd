"""A real door as its own process, for commands that send events."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from ingest_api.bodies import ndjson_lines, unpacked
from ingest_api.event_log.segment_reader import SegmentReader
from resources.registry import Registry, TenantState
from resources.settings import APPLICATION_ROOT, Settings, child_environment


@dataclass(frozen=True)
class RunningDoor:
    """The door of these settings, and what it has made durable."""

    settings: Settings

    def add_tenant(self, tenant_id: str) -> str:
        """An active tenant of this id."""
        registry = Registry(self.settings.registry_url)
        registry.request(tenant_id, "starter", actor="test")
        registry.transition(tenant_id, TenantState.PROVISIONING, actor="test")
        registry.transition(tenant_id, TenantState.ACTIVE, actor="test")
        registry.close()
        return tenant_id

    def lines(self, tenant_id: str) -> list[bytes]:
        """Every delivery of the tenant in the event log, in order."""
        reader = SegmentReader(self.settings.event_log_dir)
        return [
            line
            for writer in reader.writers()
            for _, record in reader.read(writer, None, max_events=10_000_000)
            if record.tenant_id == tenant_id
            for line in ndjson_lines(unpacked(record.body, record.encoding, 64 * 1024 * 1024))
        ]

    def events(self, tenant_id: str) -> list[dict[str, Any]]:
        """The same, parsed."""
        return [orjson.loads(line) for line in self.lines(tenant_id)]


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoor]:
    home: Path = tmp_path_factory.mktemp("door")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(home=home, ingest_port=port)
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.close()
    environment = child_environment(UNMOGROWP_HOME=str(home), UNMOGROWP_INGEST_PORT=str(port))
    with (home / "door.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ingest_api"],
            cwd=APPLICATION_ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}/health/ready", home / "door.log")
            yield RunningDoor(settings)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(log.read_text())
