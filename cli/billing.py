"""`unmogrowp usage`, `invoice` and `tenant quota`: what a tenant may use, has used, and what that costs."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.output import emit, table
from cli.stack import JsonOption
from resources.billing import month_of
from resources.control_plane_client import ControlPlaneClient
from resources.errors import ContractError
from resources.plans import Quota, quota_named
from resources.settings import load_settings

_MICROS = 1_000_000
_DATE = ["%Y-%m-%d"]
TenantId = Annotated[str, typer.Argument(help="tenant id")]


def quota_command(
    *,
    tenant_id: TenantId,
    given: Annotated[
        list[str] | None, typer.Option("--set", help="events_per_day=5000000; may be given often")
    ] = None,
    reset: Annotated[list[str] | None, typer.Option("--reset", help="back to the plan's limit")] = None,
    reason: Annotated[str | None, typer.Option(help="goes to the audit trail")] = None,
    as_json: JsonOption = False,
) -> None:
    """A tenant's limits and what it was told about them; `--set` gives it limits of its own."""
    client = ControlPlaneClient(load_settings())
    path = f"/v1/tenants/{tenant_id}/quotas"
    if changes := limit_changes(given or [], reset or []):
        limits = {_camel(quota): limit for quota, limit in changes.items()}
        quotas = client.call("PATCH", path, {"limits": limits, "reason": reason})
    else:
        quotas = client.call("GET", path)
    alerts = client.items(f"/v1/tenants/{tenant_id}/quota-alerts")

    def render(console: Console) -> None:
        rows = [
            (each["quota"], each["limit"], "set by an operator" if each["isOverride"] else "")
            for each in quotas["quotas"]
        ]
        console.print(table(f"{tenant_id}, plan {quotas['plan']}", ("quota", "limit", ""), rows))
        if alerts:
            console.print(alerts_table(alerts))
        else:
            console.print("no quota was used to 80 % yet")

    emit({**quotas, "alerts": alerts}, as_json, render)


def alerts_command(as_json: JsonOption = False) -> None:
    """When any tenant reached 80 and 100 % of a quota."""
    alerts = ControlPlaneClient(load_settings()).items("/v1/quota-alerts")
    none = "no tenant has used 80 % of a quota yet"
    emit({"alerts": alerts}, as_json, lambda console: console.print(alerts_table(alerts) if alerts else none))


def usage_command(
    *,
    tenant_id: TenantId,
    first: Annotated[dt.datetime | None, typer.Option("--from", formats=_DATE)] = None,
    last: Annotated[dt.datetime | None, typer.Option("--to", formats=_DATE)] = None,
    as_json: JsonOption = False,
) -> None:
    """What was metered of each event date, from the lake; without dates, of the last 31 days."""
    asked = {"from": first, "to": last}
    query = "&".join(f"{name}={day.date()}" for name, day in asked.items() if day is not None)
    usage = ControlPlaneClient(load_settings()).call("GET", f"/v1/tenants/{tenant_id}/usage?{query}")
    columns = {
        "eventDate": "date",
        "eventsReceived": "received",
        "eventsClean": "clean",
        "eventsDuplicate": "duplicate",
        "eventsQuarantined": "refused",
        "activeUsers": "user days",
        "storedBytes": "bytes kept",
        "pulledBytes": "bytes pulled",
    }

    def render(console: Console) -> None:
        if not usage["days"]:
            console.print(
                f"nothing of {tenant_id} was metered in that time: a day is metered when its slice has run"
            )
            return
        rows = [[day[name] for name in columns] for day in usage["days"]]
        totals = [sum(row[at] for row in rows) for at in range(1, len(columns))]
        console.print(
            table(f"{tenant_id}, by event date", list(columns.values()), [*rows, ["total", *totals]])
        )

    emit(usage, as_json, render)


def invoice_command(
    *,
    tenant_id: TenantId,
    month: Annotated[str | None, typer.Option(help="2026-11; without it, the running one")] = None,
    as_json: JsonOption = False,
) -> None:
    """One month's invoice: a draft until its events can no longer change by themselves, then final."""
    asked = month or month_of(dt.datetime.now(dt.UTC).date())
    invoice = ControlPlaneClient(load_settings()).call("GET", f"/v1/tenants/{tenant_id}/invoices/{asked}")

    def render(console: Console) -> None:
        rows = [
            (line["month"], line["description"], money(line["amountMicros"], invoice["currency"]))
            for line in invoice["lines"]
        ]
        total = money(invoice["totalMicros"], invoice["currency"])
        title = f"{tenant_id}, {asked}, {invoice['status']}"
        console.print(table(title, ("month", "", "amount"), [*rows, ("", "total", total)]))
        if invoice["status"] == "draft":
            console.print(f"final from {invoice['finalFrom']} on")

    emit(invoice, as_json, render)


def limit_changes(given: list[str], reset: list[str]) -> dict[Quota, int | None]:
    """The limits that `--set` and `--reset` ask for.

    Raises:
        ContractError: one of them is malformed.
    """
    changes: dict[Quota, int | None] = {quota_named(name): None for name in reset}
    for each in given:
        name, _, value = each.partition("=")
        if not value.replace("_", "").isdecimal():
            raise ContractError(f"--set {each}: write quota=number, such as events_per_day=5000000")
        changes[quota_named(name)] = int(value)
    return changes


def money(micros: int, currency: str) -> str:
    """`1,234.567890 USD`, exact."""
    sign, whole = ("-" if micros < 0 else ""), abs(micros)
    return f"{sign}{whole // _MICROS:,}.{whole % _MICROS:06d} {currency}"


def alerts_table(alerts: list[dict[str, Any]]) -> Any:
    """Alerts for people."""
    rows = [
        (
            each["at"][:19],
            each["tenantId"],
            each["quota"],
            each["period"],
            f"{each['sharePercent']} %",
            each["used"],
            each["limit"],
        )
        for each in alerts
    ]
    return table("Quotas reached", ("at (UTC)", "tenant", "quota", "period", "share", "used", "limit"), rows)


def _camel(quota: Quota) -> str:
    first, *rest = str(quota).split("_")
    return first + "".join(word.capitalize() for word in rest)
