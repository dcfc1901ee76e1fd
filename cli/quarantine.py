"""`unmogrowp quarantine list|show|replay`: what the door refused and why, one of them opened, and in again after a fix.

Only `show` opens a body: it needs the keyring, and is written into the audit trail before anything is shown.
"""

from __future__ import annotations

import base64
import datetime as dt
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.output import emit, fail, stderr, table
from cli.stack import JsonOption
from resources.errors import TenantStateError
from resources.registry import Registry
from resources.registry.states import STATES_WITH_LIVE_KEYS
from resources.settings import load_settings

if TYPE_CHECKING:
    from ingest_api.replay import ReplayReport
    from resources.lake import Lake
    from resources.quarantine import QuarantineList
    from resources.settings import Settings

quarantine_app = typer.Typer(
    help="Events the door refused: why, one of them in full, and in again after a fix.", no_args_is_help=True
)
ACTOR = "cli"
Tenant = Annotated[str, typer.Option("--tenant", help="tenant id")]
From = Annotated[
    dt.datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day received, UTC")
]
To = Annotated[dt.datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day received, UTC")]
Reason = Annotated[
    str | None, typer.Option("--reason", help="one reason code, e.g. missing_field; `list` shows them")
]


@quarantine_app.command("list")
def list_command(
    *,
    tenant: Annotated[str | None, typer.Option("--tenant", help="of one tenant; without it, of all")] = None,
    first: From = None,
    last: To = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="rows shown, newest first")] = 20,
    after: Annotated[str, typer.Option(help="the rows behind a page: its `next`")] = "",
    as_json: JsonOption = False,
) -> None:
    """Counts by reason and the newest rows; never what was in the event."""
    from resources.quarantine import QuarantineFilter, list_quarantine  # noqa: PLC0415 - 1.8 CPU s of import

    wanted = QuarantineFilter(tenant, _day(first), _day(last), reason)
    found = list_quarantine(_lake(load_settings()), wanted, limit, after)
    payload = {
        "total": found.total,
        "reasons": [vars(count) for count in found.reasons],
        "rows": found.rows,
        "next": found.next,
    }
    emit(payload, as_json, lambda console: _render_list(console, found))


@quarantine_app.command("show")
def show_command(
    quarantine_id: Annotated[str, typer.Argument(metavar="ID", help="the id that `list` shows")],
    *,
    tenant: Tenant,
    why: Annotated[str | None, typer.Option(help="goes into the audit trail, e.g. a ticket")] = None,
    as_json: JsonOption = False,
) -> None:
    """One refused delivery in full, as it came. It may hold personal data: the audit trail says who looked."""
    from ingest_api.quarantine import unseal_body  # noqa: PLC0415 - 1.8 CPU s of import
    from resources.pii import Keyring  # noqa: PLC0415 - as above
    from resources.quarantine import sealed_row  # noqa: PLC0415 - as above

    settings = load_settings()
    registry = Registry.from_settings(settings)
    try:
        registry.migrate()
        registry.get(tenant)
        row = sealed_row(_lake(settings), tenant, quarantine_id)
        if row is None:
            fail(
                f"tenant {tenant} has no quarantined event {quarantine_id}: `unmogrowp quarantine list --tenant "
                f"{tenant}` shows those there are"
            )
        sealed = row.pop("body_sealed")
        body = unseal_body(Keyring(settings.keys()), tenant, quarantine_id, sealed)
        registry.record(
            ACTOR, "quarantine.opened", tenant, reason=why, after={"quarantine_id": quarantine_id}
        )
    finally:
        registry.close()
    payload = {**row, **body_document(body)}
    emit(payload, as_json, lambda console: _render_row(console, row, body))


@quarantine_app.command("replay")
def replay_command(
    *,
    tenant: Tenant,
    first: From = None,
    last: To = None,
    reason: Reason = None,
    received_time: Annotated[
        bool,
        typer.Option("--received-time", help="judge each as of when it came: for what is too old by now"),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would come in")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send what the contract of now accepts once more, same bytes, same event id. Safe to repeat and to interrupt."""
    from ingest_api.replay import replay_quarantine  # noqa: PLC0415 - 2 CPU s of import
    from resources.quarantine import QuarantineFilter  # noqa: PLC0415 - as above

    settings = load_settings()
    wanted = QuarantineFilter(tenant, _day(first), _day(last), reason)
    registry = Registry.from_settings(settings)
    try:
        registry.migrate()
        state = registry.get(tenant).state
        if state not in STATES_WITH_LIVE_KEYS:
            raise TenantStateError(
                f"tenant {tenant} is {state} and takes no events: `unmogrowp tenant resume {tenant}` first"
            )
        with nullcontext() if as_json else stderr.status(f"replaying {tenant}"):
            report = replay_quarantine(
                settings, _lake(settings), tenant, wanted, as_received=received_time, dry_run=dry_run
            )
        if report.replayed and not dry_run:
            registry.record(
                ACTOR, "quarantine.replayed", tenant, after={"rows": report.replayed, "events": report.events}
            )
    finally:
        registry.close()
    payload = {"tenant_id": tenant, "dry_run": dry_run, **report.document()}
    emit(
        payload,
        as_json,
        lambda console: _render_replay(console, tenant, report, dry_run=dry_run, received_time=received_time),
    )


def body_document(body: bytes) -> dict[str, str]:
    """A body as JSON can hold it: its text, or base64 of what is no UTF-8."""
    try:
        return {"body": body.decode(), "body_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "body_encoding": "base64"}


def printable(text: str) -> str:
    """Text that cannot command a terminal: control and invisible characters become escapes."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def _lake(settings: Settings) -> Lake:
    from resources.lake import Lake  # noqa: PLC0415 - 1.4 CPU s of import

    lake = Lake(settings)
    lake.ensure_tables()
    return lake


def _day(moment: dt.datetime | None) -> dt.date | None:
    return moment.date() if moment is not None else None


def _render_list(console: Console, found: QuarantineList) -> None:
    if not found.total:
        console.print("nothing in quarantine matches")
        return
    counts = [(count.tenant_id, count.reason_code, count.rows, count.replayed) for count in found.reasons]
    console.print(table(f"{found.total:,} refused", ["tenant", "reason", "rows", "replayed"], counts))
    for row in found.rows:  # lines of their own and not a table: an id that is cut cannot be copied
        replayed = f", replayed {row['replayed_at']:%Y-%m-%d %H:%M}" if row["replayed_at"] else ""
        lines = (
            f"{row['quarantine_id']}  {row['received_at']:%Y-%m-%d %H:%M:%S}  {row['tenant_id']}{replayed}",
            f"    {row['reason_code']} {row['pointer']}: {row['reason']}",
            f"    event {row['event_id'] or 'without a readable id'}",
        )
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    if found.next is not None:
        console.print(f"there are more: --after {found.next}", highlight=False, soft_wrap=True)


def _render_row(console: Console, row: dict[str, Any], body: bytes) -> None:
    rows = [(name, value) for name, value in row.items() if value is not None]
    console.print(table("Refused", ["", ""], rows))
    document = body_document(body)
    console.print(f"{len(body):,} bytes, {document['body_encoding']}:", highlight=False)
    console.print(printable(document["body"]), markup=False, highlight=False, soft_wrap=True)


def _render_replay(
    console: Console, tenant: str, report: ReplayReport, *, dry_run: bool, received_time: bool
) -> None:
    if not report.matched:
        console.print(f"nothing in quarantine of {tenant} matches")
        return
    rows = [
        ("would be replayed" if dry_run else "replayed", report.replayed),
        ("replayed before", report.replayed_before),
        ("under way, not landed yet", report.under_way),
        ("event accepted otherwise", report.already_accepted),
        ("still refused", report.still_refused),
        ("damaged", report.damaged),
    ]
    console.print(table(f"{report.matched:,} refused events of {tenant}", ["", "rows"], rows))
    for code, count in report.reasons.most_common():
        console.print(f"still refused {count:,} × {code}: {report.examples[code]}", markup=False)
    if report.is_too_old_by_now and not received_time:
        console.print("what was in time when it came is taken with --received-time", markup=False)
