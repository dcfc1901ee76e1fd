"""`unmogrowp key …`: a tenant's keys, minted, listed and revoked."""

from __future__ import annotations

import uuid
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.output import emit, table
from cli.stack import JsonOption
from resources.control_plane_client import ControlPlaneClient
from resources.settings import load_settings

key_app = typer.Typer(help="A tenant's keys: mint, list, revoke.", no_args_is_help=True)
Tenant = Annotated[str, typer.Option(help="whose keys")]


@key_app.command("mint")
def mint_command(
    tenant: Tenant,
    kind: Annotated[
        str, typer.Option(help="ingest (writes events), export (reads results), service")
    ] = "ingest",
    as_json: JsonOption = False,
) -> None:
    """Make a key; it is shown this once."""
    made = _client().call("POST", _path(tenant), {"kind": kind}, idempotency_key=str(uuid.uuid4()))
    text = f"{made['kind']} key {made['keyId']} of {tenant}, shown once: {made['key']}"
    emit(made, as_json, lambda console: console.print(text, highlight=False, soft_wrap=True))


@key_app.command("list")
def list_command(tenant: Tenant, as_json: JsonOption = False) -> None:
    """The tenant's keys, without their secrets."""
    keys = _client().items(_path(tenant))

    def render(console: Any) -> None:
        if not keys:
            console.print(
                f"tenant {tenant} has no keys yet: `unmogrowp key mint --tenant {tenant}` makes one"
            )
            return
        rows = [
            (
                key["keyId"],
                key["kind"],
                key["createdAt"][:19],
                key["createdBy"],
                (key["revokedAt"] or "–")[:19],
            )
            for key in keys
        ]
        console.print(table(f"Keys of {tenant}", ["key", "kind", "made", "by", "revoked"], rows))

    emit({"keys": keys}, as_json, render)


@key_app.command("revoke")
def revoke_command(
    key_id: Annotated[str, typer.Argument(help="as `key list` shows it")],
    tenant: Tenant,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key; doors forget it within `UNMOGROWP_KEY_CACHE_S` seconds."""
    _client().call("DELETE", f"{_path(tenant)}/{quote(key_id, safe='')}")
    emit({"revoked": key_id}, as_json, lambda console: console.print(f"key {key_id} opens nothing any more"))


def _client() -> ControlPlaneClient:
    return ControlPlaneClient(load_settings())


def _path(tenant: str) -> str:
    return f"/v1/tenants/{quote(tenant, safe='')}/keys"
