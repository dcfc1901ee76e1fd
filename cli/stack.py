"""`unmogrowp up`, `down`, `status`: the embedded stack as processes under honcho."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from honcho.manager import Manager
from honcho.printer import Printer

from cli.live_view import watch_stack
from cli.output import emit, fail, stderr, table
from resources.embedded.stack import (
    busy_ports,
    prepare_home,
    procfile_commands,
    readiness,
    running_stack,
    service_urls,
    stack_environment,
    stop_stack,
    wait_until_ready,
    write_pid,
)
from resources.errors import ServiceUnavailableError
from resources.registry import Registry
from resources.settings import ADMIN_SECRET_FILE, APPLICATION_ROOT, FIRST_ADMIN, Settings, load_settings

READY_TIMEOUT_S = 180.0  # ten processes import on two busy cores in 40–60 s
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON document on stdout, nothing else")]


def up_command(
    log_file: Annotated[Path | None, typer.Option(help="write the processes' output there instead")] = None,
) -> None:
    """Run the whole stack on this machine until Ctrl-C or `unmogrowp down`."""
    settings = load_settings()
    if running_stack(settings) is not None:
        fail(
            f"the stack of {settings.home} runs already: `unmogrowp status` shows it, `unmogrowp down` ends it"
        )
    held = busy_ports(settings)
    if held:
        ports = ", ".join(f"{port} (UNMOGROWP_{field.upper()})" for field, port in held.items())
        fail(f"something else listens on {ports}: end it or set another port")
    if prepare_home(settings) and stderr.is_terminal:  # never into a log
        password = settings.first_run_secret(ADMIN_SECRET_FILE)
        told = f"sign in as {FIRST_ADMIN} with {password} (shown once; HOME/secrets/{ADMIN_SECRET_FILE})"
        stderr.print(told, highlight=False, markup=False, soft_wrap=True)
    os.chdir(APPLICATION_ROOT)  # dagster and dbt find workspace.yaml and dbt_project beside the code
    write_pid(settings)
    with log_file.open("w") if log_file else sys.stderr as output:
        manager = Manager(Printer(output=output, colour=not log_file))
        environment = stack_environment(settings)
        for name, command in procfile_commands(settings).items():
            manager.add_process(name, command, env=environment, cwd=str(APPLICATION_ROOT))
        threading.Thread(target=_announce, args=(settings,), daemon=True).start()
        manager.loop()
    sys.exit(0 if manager.returncode in (0, -signal.SIGTERM, -signal.SIGINT, 130, 143) else 1)


def _announce(settings: Settings) -> None:
    try:
        wait_until_ready(settings, READY_TIMEOUT_S, alive=lambda: True)
    except ServiceUnavailableError as error:
        stderr.print(f"[bold red]error:[/] {error}")
        return
    stderr.print(table("UnMoGrowP is up", ["service", "url"], list(service_urls(settings).items())))


def down_command(as_json: JsonOption = False) -> None:
    """End the stack that `up` started from this home."""
    settings = load_settings()
    stopped = stop_stack(settings)
    text = "the stack has ended" if stopped else f"no stack runs from {settings.home}"
    emit({"stopped": stopped}, as_json, lambda console: console.print(text))


def status_command(
    as_json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="look again and again until Ctrl-C; --json: a document per line")
    ] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="seconds between two looks")] = 2.0,
) -> None:
    """Whether each service answers, each tenant's state and freshness; with --watch what flows right now."""
    settings = load_settings()
    if watch:
        watch_stack(settings, interval, as_json=as_json, tenants=tenant_freshness)
        return
    stack = running_stack(settings)
    if stack is not None:
        settings = settings.with_changes(**stack.ports)
    payload = stack_status(settings, running=stack is not None)

    def render(console: Any) -> None:
        services = [
            (name, row["url"], "up" if row["ready"] else "down") for name, row in payload["services"].items()
        ]
        console.print(table("Services", ["service", "url", "state"], services))
        tenants = [
            (
                t["tenant_id"],
                t["state"],
                t["plan"],
                t["raw_to"] or "–",
                t["clean_to"] or "–",
                t["scores_to"] or "–",
            )
            for t in payload["tenants"]
        ]
        console.print(
            table("Tenants", ["tenant", "state", "plan", "landed to", "clean to", "scored to"], tenants)
        )

    emit(payload, as_json, render)


def stack_status(settings: Settings, *, running: bool) -> dict[str, Any]:
    """Readiness of the services, lander lag, and per tenant the newest day of each table."""
    ready = readiness(settings)
    services = {name: {"url": url, "ready": ready[name]} for name, url in service_urls(settings).items()}
    return {"running": running, "services": services, "tenants": tenant_freshness(settings)}


def tenant_freshness(settings: Settings) -> list[dict[str, Any]]:
    """Each tenant's state and the newest day of each of its tables."""
    from resources.lake import Lake  # noqa: PLC0415 - 1.4 CPU s of import

    if not settings.home.exists():
        return []
    lake, registry = Lake(settings), Registry.from_settings(settings)
    registry.migrate()
    lake.ensure_tables()
    raw_changes, _ = lake.changes_since("raw.events", None)
    rows = []
    for tenant in registry.list():
        landed = [day for change in raw_changes for day in change.slices.get(tenant.tenant_id, ())]
        newest = {
            "raw_to": max(landed, default=None),
            "clean_to": max(lake.slice_dates("clean.events", tenant.tenant_id), default=None),
            "scores_to": max(lake.slice_dates("ml.scores", tenant.tenant_id), default=None),
        }
        rows.append(
            {
                "tenant_id": tenant.tenant_id,
                "state": str(tenant.state),
                "plan": tenant.plan,
                "plane_url": tenant.plane_url,
                **{name: day.isoformat() if day else None for name, day in newest.items()},
            }
        )
    return rows
