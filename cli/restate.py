"""`unmogrowp rules restate`: a tenant's past under other rules beside the one in force, and what would differ.

Computing is Dagster's `restate_job`; what it found is read by `resources.restatements`. The marts stay as they are.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cli.backfill import follow, slice_tags
from cli.output import emit, fail, table
from cli.rules import Tenant, numbered, versions_of
from cli.stack import JsonOption
from resources.clickhouse import ClickHouse
from resources.dagster_client import DagsterClient
from resources.embedded.stack import running_stack
from resources.restatements import AGAINST_TAG, VERSION_TAG, RestatementSummary, restatement_summary
from resources.rules import RuleVersion, version_on
from resources.settings import load_settings

if TYPE_CHECKING:
    from rich.console import Console

# One run holds the whole range, so that a device's installs are followed from the first date on; a quarter's touches
# are sorted in memory at once.
MAX_DAYS = 92


def restate_command(
    *,
    tenant: Tenant,
    version: Annotated[int, typer.Option(min=0, help="the rules to try on the past; 0 is the defaults")],
    first: Annotated[dt.datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first event date, UTC")],
    last: Annotated[dt.datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="last event date, UTC")],
    against: Annotated[
        int | None, typer.Option(min=0, help="the rules to compare with; else those in force")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute past dates under another version of the rules, beside the marts, and say what would differ."""
    dates = _dates(first.date(), last.date())
    known = versions_of(tenant)
    after = numbered(tenant, known, version)
    before = _in_force(tenant, known, dates) if against is None else numbered(tenant, known, against)
    if before.content_hash == after.content_hash:
        fail(f"versions {before.version} and {after.version} of {tenant} are the same rules: nothing differs")
    settings = load_settings()
    stack = running_stack(settings)
    settings = settings.with_changes(**stack.ports) if stack else settings
    client = DagsterClient(f"http://{settings.bind_host}:{settings.dagster_port}")
    tags = {VERSION_TAG: str(after.version), AGAINST_TAG: str(before.version)}
    run_id = client.launch("restate_job", slice_tags(tenant, dates[0], dates[-1]) | tags)
    [run] = follow(client, [run_id], as_json)
    if run.status != "SUCCESS":
        fail(f"tenant {tenant}: the restatement {run.status.lower()}: {client.failure(run_id)}")
    found = restatement_summary(
        ClickHouse.from_settings(settings),
        tenant,
        dates[0],
        dates[-1],
        hash_before=before.content_hash,
        hash_after=after.content_hash,
    )
    payload = outcome(before, after, dates, found) | {"runId": run_id}
    emit(payload, as_json, lambda console: render(console, payload))


def outcome(
    before: RuleVersion, after: RuleVersion, dates: list[dt.date], found: RestatementSummary
) -> dict[str, Any]:
    """The document of a restatement: counts by kind of change, and installs by channel before and after."""
    return {
        "tenantId": after.tenant_id,
        "from": dates[0].isoformat(),
        "to": dates[-1].isoformat(),
        "version": after.version,
        "against": before.version,
        "hashBefore": before.content_hash,
        "hashAfter": after.content_hash,
        "changed": found.changed,
        "changes": found.changes,
        "credit": [asdict(one) for one in found.credit],
    }


def render(console: Console, payload: dict[str, Any]) -> None:
    """The same for people, and where the rows are."""
    title = (
        f"{payload['tenantId']}, {payload['from']}..{payload['to']}: version {payload['version']} "
        f"beside version {payload['against']}"
    )
    if not payload["credit"]:
        console.print(f"{title}: no install on these dates")
        return
    rows = [
        (escape(one["source"]) or "(none)", one["before"], one["after"], one["after"] - one["before"])
        for one in payload["credit"]
    ]
    console.print(title, markup=False, soft_wrap=True)
    console.print(table("Installs", ("channel", "before", "after", "difference"), rows))
    if not payload["changed"]:
        console.print("no install would be credited otherwise")
        return
    console.print(table("Changed installs", ("change", "installs"), list(payload["changes"].items())))
    query = (
        "select install_id, change_kind, reason from attribution_diff "  # noqa: S608 - shown, not run
        f"where tenant_id = '{payload['tenantId']}' and hash_before = '{payload['hashBefore']}' "
        f"and hash_after = '{payload['hashAfter']}'"
    )
    # soft-wrapped, so that the command can be copied whole
    console.print(f'each with its reason: unmogrowp sql "{query}"', markup=False, soft_wrap=True)


def _dates(first: dt.date, last: dt.date) -> list[dt.date]:
    if last < first:
        fail(f"--to {last} is before --from {first}")
    dates = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    if len(dates) > MAX_DAYS:
        fail(f"{len(dates)} days are more than one restatement holds ({MAX_DAYS}): ask for a shorter time")
    return dates


def _in_force(tenant: str, known: list[RuleVersion], dates: list[dt.date]) -> RuleVersion:
    """The one version in force on all the dates."""
    found = {one.content_hash: one for one in (version_on(tenant, known, date) for date in dates)}
    if len(found) > 1:
        numbers = ", ".join(str(one.version) for one in found.values())
        fail(
            f"several versions of {tenant}'s rules are in force from {dates[0]} to {dates[-1]} ({numbers}): name one "
            "with --against"
        )
    [one] = found.values()
    return one
