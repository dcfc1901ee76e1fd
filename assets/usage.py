"""`usage_daily`: what a tenant used per day, counted from the lake; the nightly run of it, and the closing of invoices.

Counted are rows of the lake, never what the door says it took: a bill must survive a lost counter. How a month becomes
an invoice is `resources.billing`'s.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import dagster as dg
import pyarrow as pa
from dagster import ResourceParam

from assets.automation import active_tenants, requests_for
from assets.checks.clean import check_slices
from assets.partitions import TENANT_DAY, RunSlices, run_slices
from resources.clickhouse import ClickHouse
from resources.clickhouse_slices import replace_slice
from resources.errors import UnMoGrowPError
from resources.file_lock import exclusive_file_lock
from resources.invoices import Billing
from resources.lake import Lake
from resources.lake_filters import day_shifted
from resources.ledger import LedgerDay
from resources.ledger_reader import ledger_of_run
from resources.plans import Quota
from resources.registry import Registry
from resources.settings import Settings
from resources.usage import USAGE_DAILY, DayUsage, active_users_of, slice_bytes, stored_bytes_of, usage_of

USAGE_JOB = dg.define_asset_job(
    "usage_job",
    selection=dg.AssetSelection.assets("usage_daily", "tenant_exports"),
    executor_def=dg.in_process_executor,
    description="A day that is over: its usage with all that was pulled on it, and its exports.",
)
NIGHTLY = "30 0 * * *"  # half an hour into the next day: what was sent before midnight has landed
COUNTS = ("events_received", "events_accepted", "events_clean", "events_duplicate", "events_quarantined")


@dg.asset(
    name="usage_daily",
    partitions_def=TENANT_DAY,
    deps=["clean_events", "kpi_daily"],
    group_name="marts",
    kinds={"clickhouse", "python"},
    description="What became of a day's deliveries, bytes kept in the lake, bytes pulled: what invoices are made of.",
)
def usage_daily(
    context: dg.AssetExecutionContext,
    lake: ResourceParam[Lake],
    clickhouse: ResourceParam[ClickHouse],
    registry: ResourceParam[Registry],
    settings: ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    """The ledger's counts of each of the run's days, and what else was used; replaces the slice."""
    slices = run_slices(context)
    days = measured(slices, lake, clickhouse, registry, settings)
    with exclusive_file_lock(settings.home / f"marts-{slices.tenant_id}.lock"):  # as all marts do: ADR 0003
        replace_slice(
            clickhouse, USAGE_DAILY, slices.tenant_id, slices.dates, usage_rows(slices.tenant_id, days)
        )
    note_storage(clickhouse, registry, slices.tenant_id, dt.datetime.now(dt.UTC).date())
    return dg.MaterializeResult(
        metadata={"rows": len(days), **{name: sum(getattr(day, name) for day in days) for name in COUNTS}}
    )


def measured(
    slices: RunSlices, lake: Lake, clickhouse: ClickHouse, registry: Registry, settings: Settings
) -> list[DayUsage]:
    """What was used on each of the days."""
    dates = list(slices.dates)
    return day_usages(
        ledger_of_run(lake, slices.tenant_id, dates, settings.late_days),
        active_users=active_users_of(clickhouse, slices.tenant_id, dates[0], dates[-1]),
        stored_bytes=slice_bytes(lake, "clean.events", slices.tenant_id, dates),
        pulled_bytes=registry.pulled_bytes(slices.tenant_id, dates),
    )


def day_usages(
    ledger: Sequence[LedgerDay],
    *,
    active_users: Mapping[dt.date, int],
    stored_bytes: Mapping[dt.date, int],
    pulled_bytes: Mapping[dt.date, int],
) -> list[DayUsage]:
    """One per day of the ledger; what landed after clean read the day is the next run's, here as in clean."""
    return [
        DayUsage(
            event_date=day.date,
            events_received=day.total.received,
            events_accepted=day.total.accepted,
            events_clean=day.total.clean,
            events_duplicate=day.total.duplicate,
            events_quarantined=day.total.quarantined,
            active_users=active_users.get(day.date, 0),
            stored_bytes=stored_bytes.get(day.date, 0),
            pulled_bytes=pulled_bytes.get(day.date, 0),
        )
        for day in ledger
    ]


def usage_rows(tenant_id: str, days: Sequence[DayUsage]) -> pa.Table:
    """The days as `usage_daily` stores them."""
    rows = [{"tenant_id": tenant_id, **asdict(day)} for day in days]
    return pa.Table.from_pylist(rows, schema=USAGE_DAILY.arrow_schema)


def note_storage(clickhouse: ClickHouse, registry: Registry, tenant_id: str, today: dt.date) -> None:
    """Tell of a lake that fills, once a month; nothing is refused for it (ADR 0020)."""
    limit = next(each.limit for each in registry.quotas(tenant_id) if each.quota is Quota.STORAGE_BYTES)
    used = stored_bytes_of(clickhouse, tenant_id)
    registry.note_quota_use(tenant_id, Quota.STORAGE_BYTES, f"{today:%Y-%m}", used, limit)


@dg.asset_check(asset=usage_daily, description="what is billed by is what the ledger counts, day by day")
def usage_equals_ledger(
    context: dg.AssetCheckExecutionContext,
    lake: ResourceParam[Lake],
    clickhouse: ResourceParam[ClickHouse],
    settings: ResourceParam[Settings],
) -> dg.AssetCheckResult:
    """Reads the mart back and counts again from the lake. It blocks nothing: marts do not wait for a bill."""
    slices = check_slices(context)
    dates = list(slices.dates)
    ledger = ledger_of_run(lake, slices.tenant_id, dates, settings.late_days)
    stored = usage_of(clickhouse, slices.tenant_id, dates[0], dates[-1])
    differences = usage_differences(stored, ledger)
    return dg.AssetCheckResult(
        passed=not differences,
        description=f"{slices}: {'; '.join(differences)}: run the slice again" if differences else None,
        metadata={"days": len(stored)},
    )


def usage_differences(stored: Sequence[DayUsage], ledger: Sequence[LedgerDay]) -> list[str]:
    """Where the mart's counts are not the ledger's, as sentences."""
    there = {day.event_date: day for day in stored}
    differences = []
    for day in ledger:
        found, total = there.get(day.date), day.total
        counted = (total.received, total.accepted, total.clean, total.duplicate, total.quarantined)
        metered = None if found is None else tuple(getattr(found, name) for name in COUNTS)
        if metered != counted:
            differences.append(f"{day.date} is metered as {metered} and counted as {counted}")
    return differences


@dg.op(description="Keep the invoices of months that cannot change by themselves any more.")
def close_due_invoices(
    context: dg.OpExecutionContext,
    registry: ResourceParam[Registry],
    clickhouse: ResourceParam[ClickHouse],
    settings: ResourceParam[Settings],
) -> None:
    """Every tenant's; one that fails leaves the others theirs."""
    billing = Billing(registry, clickhouse, settings.late_days, actor="close_invoices")
    failures = []
    for tenant in registry.list():
        try:
            billing.invoices(tenant.tenant_id, dt.datetime.now(dt.UTC).date())
        except UnMoGrowPError as error:
            failures.append(f"tenant {tenant.tenant_id}: {error}")
    context.log.info(f"{len(registry.list()) - len(failures)} tenants' invoices are up to date")
    if failures:
        raise dg.Failure("; ".join(failures))


@dg.job(
    executor_def=dg.in_process_executor, description="Final invoices of every tenant, nightly or by hand."
)
def close_invoices() -> None:
    """One op."""
    close_due_invoices()


@dg.schedule(
    job=USAGE_JOB,
    cron_schedule=NIGHTLY,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def usage_nightly(
    context: dg.ScheduleEvaluationContext, registry: ResourceParam[Registry]
) -> list[dg.RunRequest]:
    """Yesterday of every active tenant, also where nothing landed: pulls and storage count too."""
    yesterday = day_shifted(context.scheduled_execution_time.date(), -1)
    return [
        request
        for tenant_id in sorted(active_tenants(registry))
        for request in requests_for(tenant_id, [yesterday], f"usage:{yesterday}", USAGE_JOB.name)
    ]


def build_usage_defs() -> dg.Definitions:
    """The asset, its check, the nightly jobs."""
    closing = dg.ScheduleDefinition(
        name="close_invoices_nightly",
        job=close_invoices,
        cron_schedule="30 2 * * *",  # behind the night's usage
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return dg.Definitions(
        assets=[usage_daily],
        asset_checks=[usage_equals_ledger],
        jobs=[USAGE_JOB, close_invoices],
        schedules=[usage_nightly, closing],
    )
