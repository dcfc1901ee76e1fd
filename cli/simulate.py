"""`unmogrowp simulate`: the synthetic world into files, or through the door. The world is `simulator`'s."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from cli.output import emit, fail, table
from cli.sending import door_client, progress_bar
from resources.errors import ContractError, TenantNotFoundError, UnMoGrowPError
from resources.registry import Registry, TenantState
from resources.settings import Settings, load_settings
from simulator.simulation import Simulation, TenantSimulation, WorldName, simulate
from unmogrowp.client import Batch, BatchAnswer, SendReport, batched

DEFAULT_EVENTS = 60_000


def simulate_command(
    *,
    tenants: Annotated[int, typer.Option("--tenants", min=1, help="how many tenants")] = 2,
    tenant: Annotated[list[str] | None, typer.Option("--tenant", help="tenant id, repeatable")] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="complete UTC days, the last is yesterday")] = 7,
    users: Annotated[int | None, typer.Option("--users", min=0, help="people per tenant who install")] = None,
    events: Annotated[int | None, typer.Option("--events", min=1, help="all deliveries together")] = None,
    world: Annotated[
        WorldName,
        typer.Option("--world", help="plain: ids match every touch; full: NAT, fraud, returns, wrong clocks"),
    ] = "plain",
    seed: Annotated[int, typer.Option("--seed", min=0, help="the same seed gives the same bytes")] = 7,
    out: Annotated[Path | None, typer.Option("--out", help="write events and truth here")] = None,
    send: Annotated[bool, typer.Option("--send", help="send through the door")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Make a synthetic world with known truth; write it to files, or send it through the door."""
    settings = load_settings()
    try:
        if (out is None) == (not send):
            raise ContractError("say where the events go: either --out DIR or --send")
        names = tenant or _tenant_names(settings, tenants, from_registry=send)
        if send:
            check_window(settings, days)
        total = DEFAULT_EVENTS if users is None and events is None else events
        yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
        simulation = simulate(
            names,
            end_date=yesterday,
            days=days,
            seed=seed,
            events_total=total,
            users_per_tenant=users,
            world=world,
        )
        if out is not None:
            simulation.write(out)
            reports: dict[str, SendReport] = {}
        else:
            out = settings.home / "simulation"
            simulation.write_truth(out)
            reports = send_world(settings, simulation, show_progress=not as_json)
    except (UnMoGrowPError, OSError) as error:
        fail(str(error))
    payload = _payload(simulation, out, reports)
    emit(payload, as_json, lambda console: _render(console, payload))


def send_world(
    settings: Settings, world: Simulation, *, show_progress: bool = False
) -> dict[str, SendReport]:
    """Sends every tenant's deliveries in their order (one connection) through the door.

    Raises:
        UnMoGrowPError: a tenant is missing or takes no events, or the door refuses or is away.
    """
    registry = Registry.from_settings(settings)
    try:
        with progress_bar(hidden=not show_progress) as bar:
            reports = {}
            for one in world.tenants:
                task = bar.add_task(one.tenant_id, total=len(one.deliveries))
                with door_client(settings, registry, one.tenant_id, connections=1) as client:
                    reports[one.tenant_id] = client.send(batched(one.deliveries), _advancing(bar, task))
            return reports
    finally:
        registry.close()


def _advancing(bar: Progress, task: TaskID) -> Callable[[Batch, BatchAnswer], None]:
    return lambda batch, _answer: bar.update(task, completed=batch.mark)


def check_window(settings: Settings, days: int) -> None:
    """Passes when the door takes events of the last `days` days.

    Raises:
        ContractError: it would quarantine the first ones for their age.
    """
    if days >= settings.late_days:
        raise ContractError(
            f"the door quarantines events older than {settings.late_days} days: "
            f"use --days {settings.late_days - 1} or less, or enlarge UNMOGROWP_LATE_DAYS"
        )


def _tenant_names(settings: Settings, count: int, *, from_registry: bool) -> list[str]:
    """`t1`, `t2` … for files; the first active tenants of the registry when the events are sent."""
    if not from_registry:
        return [f"t{number + 1}" for number in range(count)]
    registry = Registry.from_settings(settings)
    try:
        active = sorted(tenant.tenant_id for tenant in registry.list(TenantState.ACTIVE))
    finally:
        registry.close()
    if len(active) < count:
        raise TenantNotFoundError(
            f"the registry has {len(active)} active tenants, not {count}: ask for one with "
            "`unmogrowp tenant request ID`, or lower --tenants"
        )
    return active[:count]


def _payload(world: Simulation, out: Path, reports: dict[str, SendReport]) -> dict[str, Any]:
    def tenant_payload(one: TenantSimulation) -> dict[str, Any]:
        answer = reports.get(one.tenant_id)
        installs = {"installs": one.installs.num_rows}
        return {"tenant_id": one.tenant_id, **one.totals, **installs, "door": answer and answer.document()}

    return {
        "seed": world.seed,
        "start_date": world.start_date.isoformat(),
        "end_date": world.end_date.isoformat(),
        "out": str(out),
        "tenants": [tenant_payload(one) for one in world.tenants],
    }


def _render(console: Console, payload: dict[str, Any]) -> None:
    columns = ("tenant_id", "sent", "unique_valid", "duplicates", "malformed", "late", "installs")
    rows = [[one[column] for column in columns] for one in payload["tenants"]]
    title = f"simulated {payload['start_date']} to {payload['end_date']}, seed {payload['seed']}"
    console.print(table(title, columns, rows))
    answers = [(one["tenant_id"], one["door"]) for one in payload["tenants"] if one["door"]]
    if answers:
        names = ("sent", "accepted", "quarantined", "seconds")
        taken = [[tenant_id, *(door[name] for name in names)] for tenant_id, door in answers]
        console.print(table("taken by the door", ("tenant_id", *names), taken))
    console.print(f"truth: {payload['out']}/truth", highlight=False)
