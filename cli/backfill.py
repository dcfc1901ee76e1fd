"""`unmogrowp backfill`: re-materialise a tenant's dates through Dagster, with progress."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.output import emit, fail, stderr, table
from cli.stack import JsonOption
from resources.dagster_client import FINISHED, DagsterClient, Run
from resources.embedded.stack import running_stack
from resources.settings import load_settings

TIMEOUT_S = 3600.0
DAYS_PER_RUN = 31  # one month of one tenant per run: the unit that a mart swaps


class Selection(StrEnum):
    """What to re-materialise; each is one job of the graph."""

    ALL = "slice"
    MARTS = "marts"
    PUBLISH = "publish"


def backfill_command(
    *,
    tenant: Annotated[str, typer.Option(help="one tenant per run")],
    first: Annotated[dt.datetime, typer.Option("--from", formats=["%Y-%m-%d"])],
    last: Annotated[dt.datetime, typer.Option("--to", formats=["%Y-%m-%d"])],
    select: Annotated[
        Selection, typer.Option(help="slice: all of it; marts: from the marts on; publish: scores, exports")
    ] = Selection.ALL,
    as_json: JsonOption = False,
) -> None:
    """Re-materialise a tenant's dates, a month per run, one run at a time per tenant."""
    if last < first:
        fail(f"--to {last.date()} is before --from {first.date()}")
    settings = load_settings()
    stack = running_stack(settings)
    if stack is not None:
        settings = settings.with_changes(**stack.ports)
    client = DagsterClient(f"http://{settings.bind_host}:{settings.dagster_port}")
    run_ids = [
        client.launch(f"{select.value}_job", slice_tags(tenant, start, end))
        for start, end in date_ranges(first.date(), last.date())
    ]
    runs = follow(client, run_ids, as_json)
    failed = [run for run in runs if run.status != "SUCCESS"]
    payload = {"tenant_id": tenant, "runs": [vars(run) for run in runs], "ok": not failed}
    rows = [(run.run_id[:8], run.status, round((run.ended_s or 0) - (run.started_s or 0), 1)) for run in runs]
    emit(
        payload,
        as_json,
        lambda console: console.print(table(f"Backfill of {tenant}", ["run", "status", "seconds"], rows)),
    )
    if failed:
        fail(f"tenant {tenant}: {len(failed)} of {len(runs)} runs failed: {client.failure(failed[0].run_id)}")


def date_ranges(first: dt.date, last: dt.date) -> list[tuple[dt.date, dt.date]]:
    """first..last cut into ranges of at most DAYS_PER_RUN days."""
    ranges = []
    while first <= last:
        end = min(first + dt.timedelta(days=DAYS_PER_RUN - 1), last)
        ranges.append((first, end))
        first = end + dt.timedelta(days=1)
    return ranges


def slice_tags(tenant_id: str, first: dt.date, last: dt.date) -> dict[str, str]:
    """Run tags for one tenant's first..last, as the sensors set them."""
    return {
        "dagster/asset_partition_range_start": f"{first}|{tenant_id}",
        "dagster/asset_partition_range_end": f"{last}|{tenant_id}",
        "unmogrowp/tenant": tenant_id,
    }


def follow(client: DagsterClient, run_ids: list[str], as_json: bool) -> list[Run]:
    """Wait for the runs with a progress bar on stderr."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    state: dict[str, Run] = {}
    with Progress(*columns, console=stderr, disable=as_json, transient=True) as progress:
        task: Any = progress.add_task("waiting for Dagster", total=len(run_ids))
        for state in client.follow(run_ids, TIMEOUT_S):
            done = sum(run.status in FINISHED for run in state.values())
            progress.update(task, completed=done, description=f"{done} of {len(run_ids)} runs ended")
    return [state[run_id] for run_id in run_ids]
