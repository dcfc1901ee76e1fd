"""`unmogrowp ledger`: what became of every delivery of a tenant, per event date, and per hour of one date."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.output import emit, table
from cli.stack import JsonOption
from resources.settings import load_settings

if TYPE_CHECKING:
    from resources.ledger import LedgerCounts, LedgerDay

DAYS_SHOWN = 7
COLUMNS = ("received", "clean", "duplicate", "not yet clean", "refused", "replayed")


def ledger_command(
    *,
    tenant: Annotated[str, typer.Option("--tenant", help="tenant id")],
    date: Annotated[
        dt.datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="one event date, by hour; else the last 7"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Received = clean + duplicate + not yet clean + quarantined: per event date and hour of receipt, UTC."""
    from resources.lake import Lake  # noqa: PLC0415 - 1.8 CPU s of import
    from resources.ledger_reader import ledger_now  # noqa: PLC0415 - as above

    settings = load_settings()
    today = dt.datetime.now(dt.UTC).date()
    dates = [date.date()] if date else [today - dt.timedelta(days=n) for n in reversed(range(DAYS_SHOWN))]
    lake = Lake(settings)
    lake.ensure_tables()
    days = ledger_now(lake, tenant, dates, settings.late_days)
    payload = {"tenant_id": tenant, "days": [day.document() for day in days]}
    emit(payload, as_json, lambda console: _render(console, tenant, days))


def _render(console: Console, tenant: str, days: list[LedgerDay]) -> None:
    if not any(day.hours for day in days):
        span = f"{days[0].date}" if len(days) == 1 else f"{days[0].date}..{days[-1].date}"
        console.print(f"nothing was received of {tenant} for {span}")
        return
    if len(days) == 1:
        rows = [(f"{hour:%m-%d %H}:00", *_cells(line)) for hour, line in days[0].hours.items()]
        rows.append(("total", *_cells(days[0].total)))
        console.print(table(f"{tenant}, {days[0].date}", ("received at", *COLUMNS), rows))
    else:
        rows = [(str(day.date), *_cells(day.total)) for day in days]
        console.print(table(f"{tenant}, by event date", ("date", *COLUMNS), rows))
    if all(day.balances for day in days):
        console.print("balances: received = clean + duplicate + not yet clean + refused")
    for day in days:
        for code, count in day.total.document()["by_reason"].items():
            console.print(f"{day.date}: refused {count:,} × {code}", markup=False)
        if not day.balances:
            missing, unexpected = day.total.missing, day.total.unexpected
            console.print(
                f"{day.date} does not balance: {missing:,} missing from clean, {unexpected:,} that should not be "
                f"there; make the slice again: `unmogrowp backfill --tenant {tenant} --from {day.date} --to "
                f"{day.date}`",
                markup=False,
            )


def _cells(line: LedgerCounts) -> tuple[Any, ...]:
    return (
        line.received,
        line.clean,
        line.duplicate,
        line.not_yet_clean,
        line.quarantined,
        line.replayed,
    )
