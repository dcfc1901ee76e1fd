"""Servers under measurement, each a process of its own on a free port: the door, and the no-op beside it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.harness import default_settings
from resources.errors import ServiceUnavailableError
from resources.lake import Lake
from resources.plans import LIMIT_MAX, Quota
from resources.registry import Registry, TenantState
from resources.settings import APPLICATION_ROOT, Settings, child_environment

TENANT = "bench"
ACTOR = "benchmark"
LAND_TIMEOUT_S = 120.0  # a full run lands everything within 30 s
LAND_POLL_S = 0.05
START_TIMEOUT_S = 60.0  # imports take 3–10 s on busy cores
STOP_TIMEOUT_S = 30.0


class Server(NamedTuple):
    """A running server process."""

    pid: int
    port: int


class Door(NamedTuple):
    """A running door: where it is, its settings, and the write token of its one active tenant."""

    server: Server
    settings: Settings
    token: str


@contextmanager
def running_door(home: Path, *, under: Sequence[str] = (), **changes: int) -> Iterator[Door]:
    """`python -m ingest_api` over an empty home, with an active tenant in its registry.

    `under` is a command that runs it, as a tracer does; it has to leave the door our child.
    """
    home.mkdir(parents=True)
    settings = default_settings(home, ingest_port=free_port(), lander_port=free_port(), **changes)
    token = activated_tenant_token(settings)
    command, environment = [*under, sys.executable, "-m", "ingest_api"], environment_of(settings)
    with _running(
        command, environment, home / "door.log", lambda: door_is_ready(settings.ingest_port)
    ) as process:
        yield Door(Server(process.pid, settings.ingest_port), settings, token)


@contextmanager
def running_lander(door: Door) -> Iterator[Server]:
    """`python -m ingest_api.lander` behind the door; ready once it has said how it stands."""
    home = door.settings.home
    command, log = [sys.executable, "-m", "ingest_api.lander"], home / "lander.log"
    status = home / "status" / "lander.json"
    status.unlink(missing_ok=True)  # an earlier lander's
    with _running(command, environment_of(door.settings), log, status.exists) as process:
        yield Server(process.pid, 0)


@contextmanager
def running_noop(home: Path) -> Iterator[Server]:
    """The bare no-op ASGI application on uvicorn, with the door's event loop and parser."""
    port = free_port()
    options = [
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--ws",
        "none",
        "--lifespan",
        "off",
        "--no-access-log",
    ]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.noop:application", "--port", str(port), *options]
    with _running(command, clean_environment(), home / "noop.log", lambda: door_is_ready(port)) as process:
        yield Server(process.pid, port)


class LandedRows:
    """How many rows are in the lake, by its snapshots' own count."""

    def __init__(self, door: Door) -> None:
        self._lake = Lake(door.settings)

    def wait_for(self, rows: int) -> None:
        """Return once that many landed.

        Raises:
            ServiceUnavailableError: they did not in LAND_TIMEOUT_S.
        """
        deadline_s = time.monotonic() + LAND_TIMEOUT_S
        while self._rows() < rows:
            if time.monotonic() > deadline_s:
                raise ServiceUnavailableError(
                    f"{self._rows()} of {rows} events landed in {LAND_TIMEOUT_S:g} s"
                )
            time.sleep(LAND_POLL_S)

    def _rows(self) -> int:
        snapshot = self._lake.table("raw.events").current_snapshot()
        return int(snapshot.summary["total-records"] or 0) if snapshot and snapshot.summary else 0


def activated_tenant_token(settings: Settings, tenant_id: str = TENANT) -> str:
    """The write token of a new, active tenant in the registry of these settings."""
    registry = Registry.from_settings(settings)
    try:
        registry.migrate()
        registry.request(tenant_id, "starter", actor=ACTOR)
        registry.transition(tenant_id, TenantState.PROVISIONING, actor=ACTOR)
        token = registry.mint_key(tenant_id, "ingest", ACTOR)
        registry.transition(tenant_id, TenantState.ACTIVE, actor=ACTOR)
        # what is measured is the door, not the plan
        unlimited = dict.fromkeys((Quota.EVENTS_PER_SECOND, Quota.EVENTS_PER_DAY), LIMIT_MAX)
        registry.set_quotas(tenant_id, unlimited, ACTOR)
    finally:
        registry.close()
    return token


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which a process reads exactly these settings, those without a secret."""
    named = {
        f"UNMOGROWP_{name.upper()}": str(getattr(settings, name))
        for name, field in type(settings).model_fields.items()
        if getattr(settings, name) != field.get_default()
    }
    return clean_environment(**named)


def clean_environment(**settings: str) -> dict[str, str]:
    """This environment without the user's own settings: they may name real stores."""
    inherited = {key: value for key, value in child_environment().items() if not key.startswith("UNMOGROWP_")}
    return inherited | settings


@contextmanager
def _running(
    command: Sequence[str], environment: dict[str, str], log: Path, is_ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            command, cwd=APPLICATION_ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        _wait_until_ready(process, is_ready, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        if is_ready():
            return
        time.sleep(0.1)
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it wrote no log"]
    raise ServiceUnavailableError(f"the server under measurement did not start: {last[0]}")


def door_is_ready(port: int) -> bool:
    """Whether the door on this port says that it takes events."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
