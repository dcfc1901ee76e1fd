"""`unmogrowp tenant …`: registry calls through the control plane; the sensor does the work."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from cli.output import emit, fail, table
from cli.stack import JsonOption
from resources.control_plane_client import ControlPlaneClient
from resources.settings import Settings, load_settings

tenant_app = typer.Typer(
    help="Request, list, show, suspend, resume, upgrade and delete tenants.", no_args_is_help=True
)
TenantId = Annotated[str, typer.Argument(help="^[a-z][a-z0-9_]{1,30}$")]
POLL_S = 1.0
SETTLED = ("active", "failed")


@tenant_app.command("request")
def request_command(
    tenant_id: TenantId,
    plan: Annotated[str, typer.Option(help="starter, standard or enterprise")] = "starter",
    currency: Annotated[str, typer.Option(help="ISO 4217; revenue is totalled in it")] = "USD",
    wait_s: Annotated[float, typer.Option("--wait", help="seconds to wait until the tenant is active")] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Ask for a tenant; the provisioning sensor builds its environment."""
    settings = load_settings()
    client = ControlPlaneClient(settings)
    asked_at_s = time.monotonic()
    client.call("POST", "/v1/tenants", {"tenantId": tenant_id, "plan": plan, "currency": currency})
    tenant = (
        wait_until_settled(client, tenant_id, wait_s)
        if wait_s
        else client.call("GET", f"/v1/tenants/{tenant_id}")
    )
    waited_s = round(time.monotonic() - asked_at_s, 1) if wait_s else None
    _show(tenant | {"waitedSeconds": waited_s}, settings, as_json)
    if tenant["state"] == "failed":
        fail(f"tenant {tenant_id} failed: {tenant.get('reason')}; request it again after repairing the cause")


def wait_until_settled(client: ControlPlaneClient, tenant_id: str, timeout_s: float) -> dict[str, Any]:
    """The tenant once it is active or failed, or as it is when the time is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        tenant: dict[str, Any] = client.call("GET", f"/v1/tenants/{tenant_id}")
        if tenant["state"] in SETTLED or time.monotonic() > deadline:
            return tenant
        time.sleep(POLL_S)


@tenant_app.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """Every tenant and its state."""
    tenants = ControlPlaneClient(load_settings()).items("/v1/tenants")

    def render(console: Any) -> None:
        if not tenants:
            console.print("no tenants yet: `unmogrowp tenant request t123` asks for one")
            return
        rows = [(t["tenantId"], t["plan"], t["state"], t.get("planeUrl") or "–") for t in tenants]
        console.print(table("Tenants", ["tenant", "plan", "state", "dashboard"], rows))

    emit({"tenants": tenants}, as_json, render)


@tenant_app.command("show")
def show_command(tenant_id: TenantId, as_json: JsonOption = False) -> None:
    """One tenant: state, plan, address, and where its first password lies."""
    settings = load_settings()
    _show(ControlPlaneClient(settings).call("GET", f"/v1/tenants/{tenant_id}"), settings, as_json)


@tenant_app.command("suspend")
def suspend_command(tenant_id: TenantId, as_json: JsonOption = False) -> None:
    """Stop taking the tenant's events; its data stays."""
    _act(tenant_id, "suspend", None, as_json)


@tenant_app.command("resume")
def resume_command(tenant_id: TenantId, as_json: JsonOption = False) -> None:
    """Take a suspended tenant's events again."""
    _act(tenant_id, "resume", None, as_json)


@tenant_app.command("upgrade")
def upgrade_command(
    tenant_id: TenantId, plan: Annotated[str, typer.Option()], as_json: JsonOption = False
) -> None:
    """Move the tenant to another plan."""
    _act(tenant_id, "upgrade", {"plan": plan}, as_json)


@tenant_app.command("delete")
def delete_command(
    tenant_id: TenantId,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the tenant's environment and keys."""
    if not yes:
        typer.confirm(f"Delete tenant {tenant_id}, its plane and its keys?", abort=True, err=True)
    settings = load_settings()
    client = ControlPlaneClient(settings)
    client.call("DELETE", f"/v1/tenants/{tenant_id}")
    _show(client.call("GET", f"/v1/tenants/{tenant_id}"), settings, as_json)


def _act(tenant_id: str, action: str, body: dict[str, Any] | None, as_json: bool) -> None:
    settings = load_settings()
    client = ControlPlaneClient(settings)
    client.call("POST", f"/v1/tenants/{tenant_id}/{action}", body)
    _show(client.call("GET", f"/v1/tenants/{tenant_id}"), settings, as_json)


def _show(tenant: dict[str, Any], settings: Settings, as_json: bool) -> None:
    password_file = settings.tenants_dir / tenant["tenantId"] / "initial_admin_password"
    payload = {**tenant, "adminPasswordFile": str(password_file) if password_file.exists() else None}
    rows = [(key, value) for key, value in payload.items() if value is not None]
    emit(
        payload, as_json, lambda console: console.print(table(f"Tenant {tenant['tenantId']}", ["", ""], rows))
    )
