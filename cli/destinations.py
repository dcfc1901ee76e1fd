"""`unmogrowp destination …`: where a tenant's exports go beside its plane, through the control plane."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import typer
from rich.console import Console

from cli.output import emit, fail, table
from cli.skan import read_text
from cli.stack import JsonOption
from resources.control_plane_client import ControlPlaneClient
from resources.settings import load_settings

destination_app = typer.Typer(
    help="Destinations of a tenant's exports beside its plane: an S3 bucket, signed webhooks.",
    no_args_is_help=True,
)
Tenant = Annotated[str, typer.Option(help="whose exports")]
DestinationId = Annotated[str, typer.Argument(help="as `destination list` shows it")]


@destination_app.command("add")
def add_command(
    *,
    tenant: Tenant,
    webhook: Annotated[str, typer.Option(help="https URL that is told of every export")] = "",
    s3: Annotated[str, typer.Option(help="s3://bucket/prefix that every export is written into")] = "",
    endpoint: Annotated[str, typer.Option(help="of the store; without it, AWS's in the region")] = "",
    region: Annotated[str, typer.Option(help="of the bucket")] = "us-east-1",
    access_key_id: Annotated[str, typer.Option(help="of the key that writes there")] = "",
    secret_file: Annotated[
        Path | None, typer.Option(help="file with the secret access key, - for stdin; else it is asked for")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Register a webhook or a bucket; a webhook's secret is shown this once."""
    if bool(webhook) == bool(s3):
        fail("say where: either --webhook https://… or --s3 s3://bucket/prefix")
    body: dict[str, Any] = {"kind": "webhook", "url": webhook}
    if s3:
        bucket, prefix = _bucket_of(s3)
        if not access_key_id:
            fail("a bucket needs --access-key-id, and its secret in --secret-file or typed in")
        body = {
            "kind": "s3",
            "endpoint": endpoint or f"https://s3.{region}.amazonaws.com",
            "bucket": bucket,
            "prefix": prefix,
            "region": region,
            "accessKeyId": access_key_id,
            "secretAccessKey": _secret(secret_file),
        }
    made = _client().call("POST", _path(tenant), body, idempotency_key=str(uuid.uuid4()))
    emit(made, as_json, lambda console: _show_added(console, tenant, made))


@destination_app.command("list")
def list_command(*, tenant: Tenant, as_json: JsonOption = False) -> None:
    """The tenant's destinations, without their secrets."""
    found = _client().items(_path(tenant))

    def render(console: Console) -> None:
        if not found:
            console.print(
                f"exports of {tenant} go to its plane alone: "
                f"`unmogrowp destination add --tenant {tenant} --webhook https://…` adds a receiver"
            )
            return
        rows = [(one["destinationId"], one["kind"], _where(one), one["createdAt"][:19]) for one in found]
        console.print(table(f"Destinations of {tenant}", ["destination", "kind", "where", "since"], rows))

    emit({"destinations": found}, as_json, render)


@destination_app.command("test")
def test_command(destination_id: DestinationId, *, tenant: Tenant, as_json: JsonOption = False) -> None:
    """Send a ping, or write and delete an object; exit code 1 when it was not taken."""
    tested = _client().call("POST", f"{_path(tenant, destination_id)}/test")
    emit(tested, as_json, lambda console: console.print(tested["detail"], highlight=False))
    if not tested["ok"]:
        fail(f"destination {destination_id} of {tenant} did not take the test: {tested['detail']}")


@destination_app.command("rotate")
def rotate_command(destination_id: DestinationId, *, tenant: Tenant, as_json: JsonOption = False) -> None:
    """Make a new secret for a webhook; for a day messages are signed with both."""
    key = str(uuid.uuid4())
    made = _client().call("POST", f"{_path(tenant, destination_id)}/rotate", idempotency_key=key)
    emit(made, as_json, lambda console: _show_added(console, tenant, made))


@destination_app.command("remove")
def remove_command(destination_id: DestinationId, *, tenant: Tenant, as_json: JsonOption = False) -> None:
    """Forget a destination, its secrets, and what was still to be delivered there."""
    _client().call("DELETE", _path(tenant, destination_id))
    text = f"nothing goes to {destination_id} any more"
    emit({"removed": destination_id}, as_json, lambda console: console.print(text, highlight=False))


def _show_added(console: Console, tenant: str, made: dict[str, Any]) -> None:
    console.print(
        f"{made['kind']} {made['destinationId']} of {tenant}: {_where(made)}", highlight=False, soft_wrap=True
    )
    if made["secret"]:
        console.print(f"its secret, shown once: {made['secret']}", highlight=False, soft_wrap=True)
    console.print(
        f"try it: unmogrowp destination test {made['destinationId']} --tenant {tenant}",
        highlight=False,
        soft_wrap=True,
    )


def _where(one: dict[str, Any]) -> str:
    config = one["config"]
    return str(config.get("url") or f"s3://{config['bucket']}/{config['prefix']} at {config['endpoint']}")


def _bucket_of(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        fail(f"{url!r} names no bucket: write s3://bucket/prefix")
    return parts.netloc, parts.path.strip("/")


def _secret(file: Path | None) -> str:
    """The secret access key; never an argument, which other processes of the machine could read."""
    if file is None:
        return str(typer.prompt("secret access key", hide_input=True, err=True))
    return read_text(file).strip()


def _client() -> ControlPlaneClient:
    return ControlPlaneClient(load_settings())


def _path(tenant: str, destination_id: str = "") -> str:
    end = f"/{quote(destination_id, safe='')}" if destination_id else ""
    return f"/v1/tenants/{quote(tenant, safe='')}/destinations{end}"
