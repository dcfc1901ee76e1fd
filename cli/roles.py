"""`unmogrowp roles`: what each role may do, read from the policy; no stack needed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.output import emit, fail, table
from cli.stack import JsonOption


def roles_command(
    role: Annotated[str, typer.Option(help="only what this role may do")] = "", as_json: JsonOption = False
) -> None:
    """What each role may do in the control plane, as its policy has it."""
    from control_plane.access_policy import access_policy, role_table  # noqa: PLC0415 - Cedar, wanted here alone

    found = role_table(access_policy())
    if role and role not in found.roles:
        fail(f"there is no role {role}; there are {', '.join(found.roles)}")
    shown = (role,) if role else found.roles
    allowed = {action: [one for one in shown if one in roles] for action, roles in found.allowed.items()}
    payload = {
        "roles": list(shown),
        "permissions": {action: roles for action, roles in allowed.items() if roles},
    }

    def render(console: Any) -> None:
        rows = [
            (action, *("✓" if one in roles else "" for one in shown))
            for action, roles in payload["permissions"].items()  # type: ignore[attr-defined]  # a dict, as made above
        ]
        console.print(table("Roles", ["action", *shown], rows))

    emit(payload, as_json, render)
