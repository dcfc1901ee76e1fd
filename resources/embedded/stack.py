"""The embedded stack as processes: its home, its ports, its Procfile, and whether it runs.

Commands that start or stop it are in `cli/`; what each process does is in its own room.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from resources.errors import PermanentError, ServiceUnavailableError
from resources.settings import ADMIN_SECRET_FILE, APPLICATION_ROOT, Settings, child_environment

if TYPE_CHECKING:
    from collections.abc import Callable

PORT_FIELDS = (
    "dagster_port",
    "dagster_grpc_port",
    "ingest_port",
    "lander_port",
    "control_plane_port",
    "inference_port",
    "clickhouse_port",
    "mlflow_port",
)
STOP_TIMEOUT_S = 30.0
POLL_S = 0.25


@dataclass(frozen=True)
class RunningStack:
    """Process id of a stack's parent, and its ports by settings field."""

    pid: int
    ports: dict[str, int]


def stack_environment(settings: Settings) -> dict[str, str]:
    """The environment of every process of the stack: these settings, spelled out, and the virtualenv first."""
    values = {f"UNMOGROWP_{field.upper()}": str(getattr(settings, field)) for field in PORT_FIELDS}
    values |= {
        "UNMOGROWP_HOME": str(settings.home),
        "UNMOGROWP_BIND_HOST": settings.bind_host,
        "UNMOGROWP_TENANT_PORT_BASE": str(settings.tenant_port_base),
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven more processes of 230 MB that nothing here uses
        "PYTHONUNBUFFERED": "1",
    }
    environment = child_environment(**values)
    executables = Path(sys.executable).parent
    environment["PATH"] = f"{executables}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return environment


def procfile_commands(settings: Settings) -> dict[str, str]:
    """Process name → shell command; ClickHouse only where no other server is set."""
    lines = (APPLICATION_ROOT / "Procfile").read_text().splitlines()
    commands = dict(line.split(": ", 1) for line in lines if line)
    if settings.clickhouse_url:
        commands.pop("clickhouse")
    if settings.mlflow_tracking_uri:
        commands.pop("mlflow")
    return commands


def prepare_home(settings: Settings) -> bool:
    """Directories, databases, lake tables and Dagster's instance file; safe to repeat.

    Whether this made the first administrator's password, which is shown then and not again.
    """
    from resources.dbt_files import ensure_manifest  # noqa: PLC0415 - starts dbt the first time
    from resources.lake import Lake  # noqa: PLC0415 - 1.4 CPU s of import
    from resources.registry import Registry  # noqa: PLC0415 - as above

    for directory in (settings.home, settings.dagster_home, settings.tenants_dir, settings.exports_dir):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # databases in it know every tenant
    shutil.copyfile(APPLICATION_ROOT / "dagster.yaml", settings.dagster_home / "dagster.yaml")
    settings.keys()
    is_first_run = not (settings.secrets_dir / ADMIN_SECRET_FILE).exists()
    settings.first_run_secret(ADMIN_SECRET_FILE)
    Registry.from_settings(settings).migrate()
    Lake(settings).ensure_tables()
    ensure_manifest(settings)
    _create_dagster_storage(settings)
    return is_first_run


def _create_dagster_storage(settings: Settings) -> None:
    """Make Dagster's databases now: two of its processes that start on none at once both migrate, and one fails."""
    import dagster as dg  # noqa: PLC0415 - 1.5 CPU s of import

    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        instance.get_runs_count()
        instance.all_instigator_state()
        instance.fetch_materializations(dg.AssetKey("raw_events"), limit=1)


def free_port(host: str, wanted: int, taken: set[int]) -> int:
    """`wanted` if it can be bound and is not taken, else one the system picks."""
    for candidate in (wanted, 0, 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            if port not in taken:
                return port
    raise PermanentError(f"no free port near {wanted} on {host}")


def with_free_ports(settings: Settings) -> Settings:
    """The same settings, with every port that something else holds replaced by a free one."""
    taken: set[int] = set()
    ports: dict[str, int] = {}
    for field in (*PORT_FIELDS, "tenant_port_base"):
        ports[field] = free_port(settings.bind_host, getattr(settings, field), taken)
        taken.add(ports[field])
    return settings.with_changes(**ports)


def busy_ports(settings: Settings) -> dict[str, int]:
    """Ports of these settings that something already holds."""
    return {
        field: getattr(settings, field)
        for field in PORT_FIELDS
        if free_port(settings.bind_host, getattr(settings, field), set()) != getattr(settings, field)
    }


def service_urls(settings: Settings) -> dict[str, str]:
    """Name → base URL of every HTTP service of the stack."""
    host = settings.bind_host
    return {
        "dagster": f"http://{host}:{settings.dagster_port}",
        "ingest": f"http://{host}:{settings.ingest_port}",
        "lander": f"http://{host}:{settings.lander_port}",
        "control_plane": f"http://{host}:{settings.control_plane_port}",
        "inference": f"http://{host}:{settings.inference_port}",
        "clickhouse": settings.clickhouse_http_url,
        "mlflow": f"http://{host}:{settings.mlflow_port}",
    }


READY_PATHS = {
    "dagster": "/server_info",
    "ingest": "/health/ready",
    "lander": "/health/ready",
    "control_plane": "/health/ready",
    "inference": "/health/live",
    "clickhouse": "/ping",
    "mlflow": "/health",
}


def readiness(settings: Settings) -> dict[str, bool]:
    """Name → whether the service answers now."""
    return {name: _answers(url + READY_PATHS[name]) for name, url in service_urls(settings).items()}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def wait_until_ready(settings: Settings, timeout_s: float, alive: Callable[[], bool]) -> None:
    """Return once every service answers.

    Raises:
        ServiceUnavailableError: the time is over, or `alive` says the stack ended.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        waiting = [name for name, ready in readiness(settings).items() if not ready]
        if not waiting:
            return
        if not alive():
            raise ServiceUnavailableError("the stack ended while it started: a process of it failed")
        if time.monotonic() > deadline:
            raise ServiceUnavailableError(f"{', '.join(waiting)} did not answer within {timeout_s:.0f} s")
        time.sleep(POLL_S)


def write_pid(settings: Settings) -> None:
    """Remember that this process runs the stack, and on which ports."""
    ports = {field: getattr(settings, field) for field in PORT_FIELDS}
    (settings.home / "stack.json").write_text(json.dumps({"pid": os.getpid(), "ports": ports}))


def running_stack(settings: Settings) -> RunningStack | None:
    """The remembered stack if its process is alive, else None."""
    path = settings.home / "stack.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text())
    stack = RunningStack(document["pid"], document["ports"])
    try:
        os.kill(stack.pid, 0)
    except ProcessLookupError:
        return None
    return stack


def stop_stack(settings: Settings) -> bool:
    """End the running stack and wait for it; False when none runs."""
    stack = running_stack(settings)
    if stack is None:
        return False
    os.kill(stack.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while running_stack(settings) is not None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    (settings.home / "stack.json").unlink(missing_ok=True)
    return True
