"""`unmogrowp audit …`: who did what, and whether the trail is as it was written.

`verify` reads the registry itself and asks no server. It remembers the newest entry it has seen, in
HOME/status/audit_seen.json: a database that was put back to an older state, head and all, does not have it.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from cli.output import emit, fail, table
from cli.stack import JsonOption
from resources.control_plane_client import ControlPlaneClient
from resources.registry import ChainVerdict, Registry
from resources.settings import Settings, load_settings

audit_app = typer.Typer(help="The audit trail: list it, verify it.", no_args_is_help=True)
SEEN_FILE = "audit_seen.json"


@audit_app.command("list")
def list_command(
    *,
    tenant: Annotated[str, typer.Option(help="only entries about this tenant")] = "",
    actor: Annotated[str, typer.Option(help="only this actor's: user:ann, key:0123456789abcdef")] = "",
    action: Annotated[str, typer.Option(help="a whole name, or its part before a dot: access, user")] = "",
    since: Annotated[str, typer.Option(help="2026-11-01 or 2026-11-01T10:00:00Z")] = "",
    until: Annotated[str, typer.Option(help="before this moment")] = "",
    after: Annotated[int, typer.Option(help="only entries with a higher id")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    as_json: JsonOption = False,
) -> None:
    """Who did what, to which tenant, and why; oldest first."""
    wanted = {"tenant": tenant, "actor": actor, "action": action, "since": since, "until": until}
    query = {name: value for name, value in wanted.items() if value} | {"after": after, "limit": limit}
    page = ControlPlaneClient(load_settings()).call("GET", f"/v1/audit?{urlencode(query)}")

    def render(console: Any) -> None:
        if not page["items"]:
            console.print("no such entries; leave options out to see more")
            return
        columns = ["id", "at", "actor", "action", "tenant", "why", "what"]
        console.print(table("Audit trail", columns, [_row(entry) for entry in page["items"]]))
        if page["next"] is not None:
            console.print(f"there is more: --after {page['next']}")

    emit(page, as_json, render)


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    what = ", ".join(
        f"{name} {value}" for name, value in entry["after"].items() if not isinstance(value, dict)
    )
    moment = entry["at"][:19].replace("T", " ")
    shown = (entry["actor"], entry["action"], entry["tenantId"] or "–", entry["reason"] or "–", what or "–")
    return str(entry["auditId"]), moment, *shown


@audit_app.command("verify")
def verify_command(
    expect: Annotated[str, typer.Option(help="ID:HASH of an entry noted elsewhere, that must be there")] = "",
    as_json: JsonOption = False,
) -> None:
    """Find any edit, gap or cut-off end of the trail. Exit code 1 when there is one."""
    settings = load_settings()
    if not settings.database_url and not (settings.home / "registry.db").exists():
        fail(f"there is no registry in {settings.home}: set UNMOGROWP_HOME, or UNMOGROWP_DATABASE_URL")
    if not settings.has_keyring:
        fail("without the keyring the newest entry's signature cannot be checked: set UNMOGROWP_KEYRING")
    seen_file = settings.status_dir / SEEN_FILE
    known = {**_seen(seen_file), **_noted(expect)}
    with closing(Registry.from_settings(settings)) as registry:
        verdict = registry.verify_audit(known)
    _report(verdict, as_json)
    if not verdict.is_whole or verdict.head is None:
        fail(
            f"the audit trail is not as it was written, in {verdict.fault_count} place(s): keep the database as it is, "
            "and compare it with a backup"
        )
    _remember(seen_file, verdict.head.audit_id, verdict.head.hash, settings)


def _report(verdict: ChainVerdict, as_json: bool) -> None:
    head = None if verdict.head is None else {"auditId": verdict.head.audit_id, "hash": verdict.head.hash}
    payload = {
        "isWhole": verdict.is_whole,
        "entries": verdict.entries,
        "head": head,
        "faultCount": verdict.fault_count,
        "faults": [{"auditId": fault.audit_id, "problem": fault.problem} for fault in verdict.faults],
    }

    def render(console: Any) -> None:
        if verdict.is_whole and verdict.head is not None:
            noted = f"{verdict.head.audit_id}:{verdict.head.hash}"
            console.print(
                f"whole: {verdict.entries:,} entries; note the newest elsewhere: {noted}", highlight=False
            )
        for fault in verdict.faults:
            console.print(f"[red]✗[/] {fault.problem}")

    emit(payload, as_json, render)


def _noted(expect: str) -> dict[int, str]:
    if not expect:
        return {}
    audit_id, _, digest = expect.partition(":")
    if not audit_id.isdecimal() or not digest:
        fail("--expect is ID:HASH as an earlier `unmogrowp audit verify` printed it")
    return {int(audit_id): digest}


def _seen(path: Path) -> dict[int, str]:
    if not path.exists():
        return {}
    document = json.loads(path.read_text())
    return {int(document["auditId"]): str(document["hash"])}


def _remember(path: Path, audit_id: int, digest: str, settings: Settings) -> None:
    if settings.home.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"auditId": audit_id, "hash": digest}))
