"""`unmogrowp exports …`: pulling them, how their delivery goes, and what could not be delivered."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from cli.output import emit, fail, table
from cli.stack import JsonOption
from resources.control_plane_client import ControlPlaneClient
from resources.errors import TenantNotFoundError
from resources.settings import load_settings

exports_app = typer.Typer(
    help="Exports: pull one, see their delivery, replay dead ones.", no_args_is_help=True
)
dead_app = typer.Typer(help="Exports whose tries are used up, or that were refused.", no_args_is_help=True)
exports_app.add_typer(dead_app, name="dead")
Tenant = Annotated[str, typer.Option(help="whose exports")]
DeliveryId = Annotated[str, typer.Argument(help="as `exports dead list` shows it")]
FORMATS = ("parquet", "arrow", "json", "csv")
POLL_S = 1.0


@exports_app.command("status")
def status_command(
    *,
    tenant: Annotated[str, typer.Option(help="without it, every tenant's")] = "",
    as_json: JsonOption = False,
) -> None:
    """Receivers that something is the matter with: their circuits, what waits, what is dead."""
    found = _client().items(f"{_tenant_path(tenant)}/export-status" if tenant else "/v1/export-status")

    def render(console: Console) -> None:
        if not found:
            console.print("every export that was made is delivered, and no receiver fails")
            return
        rows = [
            (
                one["tenantId"],
                one["destinationId"],
                one["circuit"],
                one["failures"],
                (one["retryAt"] or "–")[:19],
                one["waiting"],
                one["dead"],
                one["reason"],
            )
            for one in found
        ]
        columns = ["tenant", "destination", "circuit", "failures", "probe at", "waiting", "dead", "why"]
        console.print(table("Receivers", columns, rows))

    emit({"receivers": found}, as_json, render)


@exports_app.command("pull")
def pull_command(
    mart: Annotated[str, typer.Argument(help="installs, campaign_daily, …")],
    date: Annotated[str, typer.Argument(help="2026-11-01")],
    *,
    tenant: Tenant,
    kind: Annotated[str, typer.Option("--format", help=", ".join(FORMATS))] = "parquet",
    out: Annotated[Path | None, typer.Option(help="the file; without it stdout")] = None,
    part: Annotated[int, typer.Option(min=0, help="which file of the export")] = 0,
    as_json: JsonOption = False,
) -> None:
    """One export as Parquet, Arrow stream, JSON or CSV, written as it comes."""
    if kind not in FORMATS:
        fail(f"--format is one of {', '.join(FORMATS)}")
    if out is None and as_json:
        fail("--json tells about the file: say which with --out")
    path = f"/v1/exports/{quote(mart, safe='')}/{quote(date, safe='')}?format={kind}&part={part}"
    if out is None:
        _client().download(path, tenant, "*/*", sys.stdout.buffer)
        return
    draft = out.with_name(f"{out.name}.part")
    try:
        with draft.open("wb") as sink:
            size_bytes = _client().download(path, tenant, "*/*", sink)
        draft.replace(out)
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}")
    finally:
        draft.unlink(missing_ok=True)
    document = {"file": str(out), "bytes": size_bytes, "format": kind}
    emit(document, as_json, lambda console: console.print(f"{out}: {size_bytes:,} bytes", highlight=False))


@dead_app.command("list")
def dead_list_command(
    *,
    tenant: Tenant,
    waiting: Annotated[bool, typer.Option("--waiting", help="those too that are still tried")] = False,
    as_json: JsonOption = False,
) -> None:
    """The tenant's dead deliveries."""
    found = _client().items(f"{_tenant_path(tenant)}/deliveries?{'' if waiting else 'state=dead'}")

    def render(console: Console) -> None:
        if not found:
            console.print(f"nothing of {tenant} is {'undelivered' if waiting else 'dead'}")
            return
        names = ["deliveryId", "destinationId", "mart", "date", "state", "attempts", "lastFailedAt", "reason"]
        rows = [[one[name] if name != "lastFailedAt" else one[name][:19] for name in names] for one in found]
        columns = ["delivery", "destination", "mart", "date", "state", "tries", "last failed", "why"]
        console.print(table(f"Undelivered exports of {tenant}", columns, rows))

    emit({"deliveries": found}, as_json, render)


@dead_app.command("show")
def dead_show_command(delivery_id: DeliveryId, *, tenant: Tenant, as_json: JsonOption = False) -> None:
    """Everything that is known of one."""
    one = _client().call("GET", _delivery_path(tenant, delivery_id))
    rows = [(name, str(value)) for name, value in one.items() if value is not None]
    emit(one, as_json, lambda console: console.print(table(f"Delivery {delivery_id}", ("", ""), rows)))


@dead_app.command("replay")
def dead_replay_command(
    delivery_id: Annotated[str, typer.Argument(help="its id; without it, --all")] = "",
    *,
    tenant: Tenant,
    everything: Annotated[bool, typer.Option("--all", help="every dead one of the tenant")] = False,
    wait: Annotated[int, typer.Option(min=0, help="seconds to wait until they are delivered")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Have dead deliveries tried again, under the same idempotency keys; the running stack sends them."""
    client = _client()
    if bool(delivery_id) == everything:
        fail("say which: a delivery's id, or --all")
    listed = client.items(f"{_tenant_path(tenant)}/deliveries?state=dead") if everything else []
    wanted = [one["deliveryId"] for one in listed] if everything else [delivery_id]
    for one in wanted:
        client.call("POST", f"{_delivery_path(tenant, one)}/replay")
    left = _wait(client, tenant, wanted, wait) if wait else []
    document = {"replayed": wanted, "undelivered": left}
    done = (
        f"{len(wanted) - len(left)} of {len(wanted)} delivered"
        if wait
        else f"{len(wanted)} will be tried again"
    )
    emit(document, as_json, lambda console: console.print(done, highlight=False))
    if left:
        fail(f"{left[0]['deliveryId']} is not delivered after {wait} s: {left[0]['reason']}")


def _wait(client: ControlPlaneClient, tenant: str, wanted: list[str], wait_s: int) -> list[dict[str, Any]]:
    """Those that are not delivered when the time is over."""
    deadline_s = time.monotonic() + wait_s
    while True:
        left = [one for one in (_found(client, tenant, each) for each in wanted) if one is not None]
        if not left or time.monotonic() > deadline_s or all(one["state"] == "dead" for one in left):
            return left
        time.sleep(POLL_S)


def _found(client: ControlPlaneClient, tenant: str, delivery_id: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.call("GET", _delivery_path(tenant, delivery_id))
    except TenantNotFoundError:  # the client's word for 404: it is delivered
        return None
    return found


def _client() -> ControlPlaneClient:
    return ControlPlaneClient(load_settings())


def _tenant_path(tenant: str) -> str:
    return f"/v1/tenants/{quote(tenant, safe='')}"


def _delivery_path(tenant: str, delivery_id: str) -> str:
    return f"{_tenant_path(tenant)}/deliveries/{quote(delivery_id, safe='')}"
