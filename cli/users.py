"""`unmogrowp user …`: users of the platform, and with `--tenant` of a tenant; their roles and passwords."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.output import emit, table
from cli.stack import JsonOption
from resources.control_plane_client import ControlPlaneClient
from resources.settings import load_settings

user_app = typer.Typer(
    help="Users and roles: of the platform, or with --tenant of a tenant.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="an email address in lower case does")]
Tenant = Annotated[str, typer.Option(help="the tenant that the user belongs to; without it, the platform")]
RoleName = Annotated[str, typer.Argument(help="`unmogrowp roles` shows which there are")]
Roles = Annotated[list[str], typer.Option("--role", help="may be repeated")]


@user_app.command("create")
def create_command(name: Name, role: Roles = [], tenant: Tenant = "", as_json: JsonOption = False) -> None:  # noqa: B006 - Typer copies it
    """Make a user; the password is shown this once."""
    made = _client().call("POST", _path(tenant), {"name": name, "roles": role})

    def render(console: Any) -> None:
        console.print(
            f"{name} may sign in with this password, shown once: {made['password']}", highlight=False
        )

    emit(made, as_json, render)


@user_app.command("list")
def list_command(tenant: Tenant = "", as_json: JsonOption = False) -> None:
    """Every user, with roles."""
    users = _client().items(_path(tenant))

    def render(console: Any) -> None:
        if not users:
            console.print(
                f"tenant {tenant} has no users yet: `unmogrowp user create NAME --tenant {tenant}` makes one"
            )
            return
        columns = ["user", "tenant", "roles", "state"]
        console.print(table("Users", columns, [_row(user) for user in users]))

    emit({"users": users}, as_json, render)


@user_app.command("disable")
def disable_command(
    name: Name,
    reason: Annotated[str, typer.Option(help="goes into the audit trail")] = "",
    tenant: Tenant = "",
    as_json: JsonOption = False,
) -> None:
    """Shut a user out, within ten seconds everywhere."""
    body = {"reason": reason} if reason else None
    _show(_client().call("POST", f"{_path(tenant, name)}/disable", body), as_json)


@user_app.command("enable")
def enable_command(name: Name, tenant: Tenant = "", as_json: JsonOption = False) -> None:
    """Let a disabled user sign in again."""
    _show(_client().call("POST", f"{_path(tenant, name)}/enable"), as_json)


@user_app.command("password")
def password_command(name: Name, tenant: Tenant = "", as_json: JsonOption = False) -> None:
    """Give a user a new password, shown this once; its sign-ins end."""
    made = _client().call("POST", f"{_path(tenant, name)}/password")
    text = f"the new password of {name}, shown once: {made['password']}"
    emit(made, as_json, lambda console: console.print(text, highlight=False))


@user_app.command("give")
def give_command(name: Name, role: RoleName, tenant: Tenant = "", as_json: JsonOption = False) -> None:
    """Give a user a role."""
    _show(_client().call("POST", f"{_path(tenant, name)}/roles", {"role": role}), as_json)


@user_app.command("take")
def take_command(name: Name, role: RoleName, tenant: Tenant = "", as_json: JsonOption = False) -> None:
    """Take a role from a user."""
    _show(_client().call("DELETE", f"{_path(tenant, name)}/roles/{quote(role, safe='')}"), as_json)


def _client() -> ControlPlaneClient:
    return ControlPlaneClient(load_settings())


def _path(tenant: str, name: str = "") -> str:
    users = f"/v1/tenants/{quote(tenant, safe='')}/users" if tenant else "/v1/users"
    return f"{users}/{quote(name, safe='')}" if name else users


def _row(user: dict[str, Any]) -> tuple[str, str, str, str]:
    state = f"disabled {user['disabledAt'][:10]}" if user["disabledAt"] else "may sign in"
    return user["name"], user["tenantId"] or "–", ", ".join(user["roles"]) or "none", state


def _show(user: dict[str, Any], as_json: bool) -> None:
    columns = ["user", "tenant", "roles", "state"]
    emit(user, as_json, lambda console: console.print(table("User", columns, [_row(user)])))
