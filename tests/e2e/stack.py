"""The whole stack, as `unmogrowp demo --keep` leaves it: one per session, driven through its commands and HTTP.

Belongs here: starting it, running commands against it, waiting for its graph. What must hold is the tests'.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from cli.demo_report import sign_in
from resources.clickhouse import ClickHouse
from resources.dagster_client import DagsterClient, Run
from resources.embedded.rest import StackWatch
from resources.embedded.stack import running_stack
from resources.lake import Lake
from resources.settings import APPLICATION_ROOT, Settings

DEMO_TIMEOUT_S = 600
GRAPH_TIMEOUT_S = 300.0
# An event's slice runs after landing (5 s) and a quiet slice (8 s) by default; tests need not wait that long.
QUICK = {"UNMOGROWP_LAND_INTERVAL_S": "1", "UNMOGROWP_SLICE_QUIET_S": "3", "UNMOGROWP_SENSOR_INTERVAL_S": "2"}


@dataclass
class Stack:
    """A running stack, the report of the demo that made it, and its settings."""

    settings: Settings
    report: dict[str, Any]
    sessions: dict[str, httpx.Client] = field(default_factory=dict)

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return Lake(self.settings)

    @property
    def dagster(self) -> DagsterClient:
        """Its Dagster."""
        return DagsterClient(f"http://127.0.0.1:{self.settings.dagster_port}")

    def command(self, *arguments: str, ok: bool = True) -> dict[str, Any]:
        """Run `unmogrowp … --json` and return its document; with `ok=False` it must fail."""
        done = run_command(self.settings.home, *arguments)
        assert (done.returncode == 0) == ok, done.stderr
        return json.loads(done.stdout) if ok else {"error": done.stderr}

    def mart(self, name: str, tenant_id: str) -> pl.DataFrame:
        """A tenant's rows of a mart, in a fixed order."""
        query = "SELECT * FROM marts.{name:Identifier} WHERE tenant_id = {tenant:String} ORDER BY ALL"
        clickhouse = ClickHouse.from_settings(self.settings)
        return pl.DataFrame(clickhouse.query_arrow(query, {"name": name, "tenant": tenant_id}))

    def clean(self, tenant_id: str) -> pl.DataFrame:
        """A tenant's clean events."""
        return self.lake.read("clean.events", f"tenant_id = '{tenant_id}'")

    def plane(self, tenant_id: str) -> httpx.Client:
        """A signed-in session at a tenant's plane, closed with the stack."""
        if tenant_id not in self.sessions:
            plane_url = self.command("tenant", "show", tenant_id)["planeUrl"]
            self.sessions[tenant_id] = sign_in(self.settings, tenant_id, plane_url)
        return self.sessions[tenant_id]

    def runs_of(self, work: Callable[[], object]) -> list[Run]:
        """Do something, wait until the graph rests, and return the runs this caused."""
        before = {run.run_id for run in self.dagster.runs()}
        work()
        StackWatch(self.settings).wait(GRAPH_TIMEOUT_S)
        new = [run for run in self.dagster.runs() if run.run_id not in before]
        failed = [run for run in new if run.status != "SUCCESS"]
        assert not failed, [self.dagster.failure(run.run_id) for run in failed]
        return new


def run_command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`unmogrowp … --json` in a home; stdout and stderr kept apart."""
    environment = {**os.environ, **QUICK, "UNMOGROWP_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments, "--json"],
        cwd=APPLICATION_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_S,
        check=False,
    )


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The demo in its bounded form, kept running for the session."""
    kept: Path | None = request.config.getoption("--stack-home")
    if kept is not None:
        yield from _opened(kept)
        return
    home = tmp_path_factory.mktemp("stack")
    try:
        done = run_command(home, "demo", "--keep", "--events", "16000", "--days", "6")
        assert done.returncode == 0, done.stderr + _log_tail(home)
        yield from _opened(home / "demo")
    finally:
        run_command(home / "demo", "down")
        shutil.rmtree(home, ignore_errors=True)


def _opened(home: Path) -> Iterator[Stack]:
    running = running_stack(Settings(home=home))
    assert running is not None, f"no stack runs from {home}"
    report = json.loads((home / "report.json").read_text())
    stack = Stack(Settings(home=home).with_changes(**running.ports), report)
    yield stack
    for session in stack.sessions.values():
        session.close()


def _log_tail(home: Path) -> str:
    log = home / "demo" / "stack.log"
    return log.read_text()[-4000:] if log.exists() else ""


def install_of(tenant: str) -> dict[str, Any]:
    """An install of today that nobody else has."""
    return {
        "eventId": str(uuid.uuid4()),
        "tenantId": tenant,
        "timestamp": dt.datetime.now(dt.UTC).isoformat(),
        "deviceId": f"device-{uuid.uuid4()}",
        "campaign": "spring",
        "appId": "backend.app",
        "platform": "android",
    }


def pages(session: httpx.Client, path: str, name: str) -> list[dict[str, Any]]:
    """All items of a paged answer."""
    found: list[dict[str, Any]] = []
    offset: int | None = 0
    while offset is not None:
        page = session.get(f"{path}&offset={offset}").raise_for_status().json()
        found += page[name]
        offset = page["nextOffset"]
    return found
