"""Servers under measurement, each a process of its own on a free port: the door, and the no-op beside it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.harness import default_settings
from resources.errors import ServiceUnavailableError
from resources.registry import Registry, TenantState
from resources.settings import APPLICATION_ROOT, Settings, child_environment

TENANT = "bench"
ACTOR = "benchmark"
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
def running_door(home: Path, **changes: int) -> Iterator[Door]:
    """`python -m ingest_api` over an empty home, with an active tenant in its registry."""
    home.mkdir(parents=True)
    settings = default_settings(home, ingest_port=_free_port(), **changes)
    token = _activated_tenant_token(settings)
    environment = _clean_environment(
        UNMOGROWP_HOME=str(home), UNMOGROWP_INGEST_PORT=str(settings.ingest_port)
    )
    command = [sys.executable, "-m", "ingest_api"]
    with _running(command, settings.ingest_port, environment, home / "door.log") as server:
        yield Door(server, settings, token)


@contextmanager
def running_noop(home: Path) -> Iterator[Server]:
    """The bare no-op ASGI application on uvicorn, with the door's event loop and parser."""
    port = _free_port()
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
    with _running(command, port, _clean_environment(), home / "noop.log") as server:
        yield server


def _activated_tenant_token(settings: Settings) -> str:
    registry = Registry(settings.registry_url)
    try:
        registry.migrate()
        registry.request(TENANT, "starter", actor=ACTOR)
        registry.transition(TENANT, TenantState.PROVISIONING, actor=ACTOR)
        token = registry.mint_key(TENANT, "ingest", ACTOR)
        registry.transition(TENANT, TenantState.ACTIVE, actor=ACTOR)
    finally:
        registry.close()
    return token


def _clean_environment(**settings: str) -> dict[str, str]:
    """This environment without the user's own settings: they may name real stores."""
    inherited = {key: value for key, value in child_environment().items() if not key.startswith("UNMOGROWP_")}
    return inherited | settings


@contextmanager
def _running(command: Sequence[str], port: int, environment: dict[str, str], log: Path) -> Iterator[Server]:
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            command, cwd=APPLICATION_ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}/health/ready", log)
        yield Server(process.pid, port)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it wrote no log"]
    raise ServiceUnavailableError(f"the server under measurement did not start: {last[0]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
