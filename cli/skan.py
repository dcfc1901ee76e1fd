"""`unmogrowp skan …`: verifying postbacks in a file, and the documents that say what conversion values stand for."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.output import emit, fail, table
from cli.skan_verdicts import Verdict, documents_in, verdict_of
from cli.stack import JsonOption
from resources.control_plane_client import ControlPlaneClient
from resources.errors import ContractError
from resources.settings import load_settings
from resources.skan.conversions import ConversionSchema

skan_app = typer.Typer(
    help="SKAdNetwork: verify postbacks, say what conversion values mean.", no_args_is_help=True
)
schema_app = typer.Typer(help="What an app's conversion values stand for, per tenant.", no_args_is_help=True)
skan_app.add_typer(schema_app, name="schema")

TenantOption = Annotated[str, typer.Option("--tenant", help="tenant id")]


@skan_app.command("verify")
def verify_command(
    file: Annotated[Path, typer.Argument(help="JSON or NDJSON of postbacks or of events; - for stdin")],
    schema: Annotated[
        list[Path] | None,
        typer.Option("--schema", help="an app's conversion document, to say what values mean"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check Apple's signature of every postback in a file, and say what each means; no stack needed."""
    schemas = [ConversionSchema.of(read_json(path)) for path in schema or ()]
    by_app = {one.app_id: one for one in schemas}
    documents = documents_in(read_text(file), str(file))
    verdicts = [verdict_of(number, document, by_app) for number, document in enumerate(documents, start=1)]
    wrong = sum(not verdict.is_verified for verdict in verdicts)
    payload = {
        "verified": len(verdicts) - wrong,
        "refused": wrong,
        "postbacks": [verdict.document() for verdict in verdicts],
    }
    emit(payload, as_json, lambda console: _show_verdicts(console, verdicts))
    if wrong:
        fail(f"{wrong} of {len(verdicts)} postbacks in {file} are not to be counted: each says why")


def _show_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        mark = "[green]verified[/]" if verdict.is_verified else "[red]refused [/]"
        console.print(f"{verdict.number:>4} {mark} ", end="")
        console.print(verdict.sentence(), markup=False, highlight=False)


@schema_app.command("set")
def set_command(
    *,
    file: Annotated[
        Path, typer.Argument(help="the document, JSON as schemas/skan/conversions.json; - for stdin")
    ],
    tenant: TenantOption,
    effective_from: Annotated[
        dt.datetime | None,
        typer.Option(
            "--effective-from", formats=["%Y-%m-%d"], help="first UTC day it reads; today if not given"
        ),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="goes to the audit trail")] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="check the document and change nothing")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read an app's postbacks by this document from a day on."""
    document = read_json(file)
    schema = ConversionSchema.of(document)
    if validate:
        payload = {"valid": True, "storeAppId": schema.app_id, "contentHash": schema.content_hash}
        emit(payload, as_json, lambda console: console.print(f"{file} is valid: app {schema.app_id}"))
        return
    today = dt.datetime.now(dt.UTC).date()
    first = effective_from.date() if effective_from else today
    body = {"document": document, "effectiveFrom": first.isoformat(), "reason": reason}
    added = _client().call("POST", f"/v1/tenants/{tenant}/skan-schemas", body)

    def render(console: Console) -> None:
        _show_document(console, added)
        if first <= today:
            console.print(f"days from {first} on that are materialised keep their rows until")
            console.print(
                f"  unmogrowp backfill --tenant {tenant} --from {first} --to {today} --select marts",
                markup=False,
            )

    emit(added, as_json, render)


@schema_app.command("list")
def list_command(tenant: TenantOption, as_json: JsonOption = False) -> None:
    """Every version of every app's document."""
    found = _client().items(f"/v1/tenants/{tenant}/skan-schemas")

    def render(console: Console) -> None:
        if not found:
            console.print(f"no documents yet: `unmogrowp skan schema set FILE --tenant {tenant}` adds one")
            return
        rows = [
            (
                str(one["storeAppId"]),
                one["version"],
                one["effectiveFrom"],
                one["contentHash"],
                one["reason"] or "–",
            )
            for one in found
        ]
        columns = ("app", "version", "effective from", "hash", "reason")
        console.print(table(f"Conversion documents of {tenant}", columns, rows))

    emit({"schemas": found}, as_json, render)


@schema_app.command("show")
def show_command(
    app: Annotated[int, typer.Argument(help="App Store id", min=1)],
    tenant: TenantOption,
    version: Annotated[int | None, typer.Option(help="without it, the newest")] = None,
    as_json: JsonOption = False,
) -> None:
    """One document as it was given."""
    found = _client().items(f"/v1/tenants/{tenant}/skan-schemas?app={app}")
    wanted = [one for one in found if version in (None, one["version"])]
    if not wanted:
        which = "no document" if version is None else f"no version {version} of a document"
        fail(
            f"tenant {tenant} has {which} for app {app}: `unmogrowp skan schema list --tenant {tenant}` shows them"
        )
    emit(wanted[-1], as_json, lambda console: _show_document(console, wanted[-1]))


def _show_document(console: Console, one: dict[str, Any]) -> None:
    rows = [
        (key, one[key])
        for key in ("version", "contentHash", "effectiveFrom", "createdAt", "createdBy", "reason")
        if one[key] is not None
    ]
    console.print(table(f"App {one['storeAppId']}", ("", ""), [(key, str(value)) for key, value in rows]))
    console.print_json(data=one["document"])


def read_text(file: Path) -> str:
    """A file's text, or stdin's for `-`.

    Raises:
        ContractError: it cannot be read.
    """
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{file} cannot be read as text: {error}") from error


def read_json(file: Path) -> Any:
    """A file's JSON document.

    Raises:
        ContractError: it cannot be read or is not JSON.
    """
    try:
        return json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{file} is no JSON: {error}") from error


def _client() -> ControlPlaneClient:
    return ControlPlaneClient(load_settings())
