"""`unmogrowp login`, `logout`, `whoami`, `token`: whom this home's commands act as."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.output import emit
from cli.stack import JsonOption
from resources.control_plane_client import ControlPlaneClient
from resources.settings import FIRST_ADMIN, load_settings


def login_command(
    user: Annotated[str, typer.Option(help="the user's name")] = FIRST_ADMIN,
    password_stdin: Annotated[bool, typer.Option(help="read the password from standard input")] = False,
    as_json: JsonOption = False,
) -> None:
    """Sign in: commands of this home act as you from now on, and the audit trail says so."""
    client = ControlPlaneClient(load_settings())
    password = (
        sys.stdin.readline().rstrip("\n")
        if password_stdin
        else typer.prompt("Password", hide_input=True, err=True)
    )
    client.sign_in.start(user, password)
    me = client.call("GET", "/v1/me")
    emit(me, as_json, lambda console: console.print(f"signed in as {user}"))


def logout_command(as_json: JsonOption = False) -> None:
    """End the sign-in: commands act as this home's first administrator again."""
    client = ControlPlaneClient(load_settings())
    user = client.sign_in.user()
    if user is not None:
        try:
            client.call("DELETE", "/v1/me/session")
        finally:  # an ended sign-in is forgotten too
            client.sign_in.forget()
    text = "nobody was signed in" if user is None else f"{user} is signed out"
    emit({"signedOut": user}, as_json, lambda console: console.print(text))


def whoami_command(as_json: JsonOption = False) -> None:
    """Whom commands of this home act as, and with which roles."""
    me = ControlPlaneClient(load_settings()).call("GET", "/v1/me")
    roles = [
        *me["platformRoles"],
        *(f"{role} of {tenant}" for tenant, held in me["tenantRoles"].items() for role in held),
    ]
    text = f"{me['actor']}: {', '.join(roles) or 'no role'}"
    emit(me, as_json, lambda console: console.print(text))


def token_command(as_json: JsonOption = False) -> None:
    """A short-lived access token for other programs: curl -H "Authorization: Bearer $(unmogrowp token)" …."""
    token = ControlPlaneClient(load_settings()).sign_in.access_token()
    emit(
        {"accessToken": token}, as_json, lambda console: console.print(token, highlight=False, soft_wrap=True)
    )
