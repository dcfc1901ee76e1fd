"""Sensors that turn what happened into runs for exactly the slices it touched.

`landed_slices`: landed snapshots → `slice_job`. Failure modes: the lake cannot be read → the tick fails and
the cursor stays, so nothing is missed; a slice's run fails with all its retries → the slice waits
FAILED_SLICE_RETRY_S and is asked for again, until it succeeds; the cursor's snapshot has expired → every slice
of the table is asked for; a tenant is not active yet or has a run in flight → its slices wait in the cursor; a
date before START_DATE is no partition → it is left out (its rows stay in raw.events).

`reopened_slices`: a commit to clean.events that changed inputs of later conversions → `marts_job` for those
dates, once no run of the tenant is in flight (the marts of the changed slice come first). Failure modes: as above;
the dates are in the commit's summary, so a run that dies after it loses none.

`champion_published`: a new champion model → `publish_job` re-scores and exports what features exist.

`ltv_training`: new features of a tenant → `train_job`, once per newest mature day; a tenant without a champion
is asked for again at its next features. Failure modes: a tenant with a run in flight waits in the cursor, or its
first model would be judged on half a history; one whose runs follow each other without a pause waits for the
first tick that falls between two; a training that fails or promotes nothing is tried again with the next
features while no champion exists, and with the next mature day once one does.
"""

import datetime as dt

import dagster as dg
from dagster import ResourceParam

from assets.jobs import MARTS_JOB, PUBLISH_JOB, SLICE_JOB, TRAIN_JOB
from assets.partitions import (
    PARTITION_TENANT_TAG,
    RANGE_START_TAG,
    TENANT_TAG,
    contiguous_ranges,
    dates_of_tags,
    range_tags,
    retained_dates,
    slice_key,
)
from assets.pending_slices import (
    LandingCursor,
    all_slices,
    due_slices,
    note_changes,
    note_failures,
    reopened_and_overtaken,
)
from assets.pending_training import (
    WILL_RETRY_TAG,
    TrainingCursor,
    due_trainings,
    is_promotion,
    training_run_key,
)
from resources.lake import REOPENED_KEY, Lake, SnapshotChange, iter_slices, slices_of
from resources.registry import Registry, TenantState
from resources.settings import Settings

IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
MATERIALIZATIONS_PER_TICK = 1000
RETRIES = {"dagster/max_retries": "2"}


def build_automation(settings: Settings) -> dg.Definitions:
    """Jobs and sensors with the intervals of these settings."""
    return dg.Definitions(
        jobs=[SLICE_JOB, MARTS_JOB, TRAIN_JOB, PUBLISH_JOB],
        sensors=[
            landed_slices_sensor(settings),
            reopened_slices_sensor(settings),
            ltv_training_sensor(settings),
            champion_published_sensor(settings),
        ],
    )


def landed_slices_sensor(settings: Settings) -> dg.SensorDefinition:
    """Landed snapshots → run requests for exactly the slices they touched, late data included."""

    @dg.sensor(
        name="landed_slices",
        job=SLICE_JOB,
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def landed_slices(
        context: dg.SensorEvaluationContext, lake: ResourceParam[Lake], registry: ResourceParam[Registry]
    ) -> dg.SensorResult:
        now = dt.datetime.now(dt.UTC)
        cursor = LandingCursor.loads(context.cursor)
        changes, unbroken = lake.changes_since("raw.events", cursor.snapshot_id)
        touched = [change.slices for change in changes] if unbroken else [all_slices(lake)]
        cursor = note_changes(
            cursor, touched, changes[-1].snapshot_id if changes else cursor.snapshot_id, now
        )
        failed = failed_slices(context.instance, cursor.failures_seen_s, now)
        cursor = note_failures(cursor, failed, now, settings.failed_slice_retry_s)
        ready = active_tenants(registry) - busy_tenants(context.instance)
        due, cursor = due_slices(cursor, ready, now, settings.slice_quiet_s, settings.slice_max_delay_s)
        requests = [
            request
            for tenant, dates in due.items()
            for request in requests_for(tenant, dates, f"{cursor.snapshot_id}:{now:%Y%m%dT%H%M%S%f}")
        ]
        return dg.SensorResult(
            run_requests=requests, cursor=cursor.dumps(), asset_events=observations(touched, changes)
        )

    return landed_slices


def observations(
    touched: list[dict[str, tuple[dt.date, ...]]], changes: list[SnapshotChange]
) -> list[dg.AssetObservation]:
    """One observation of raw_events per slice and landed snapshot."""
    snapshots = [str(change.snapshot_id) for change in changes]
    return [
        dg.AssetObservation(
            "raw_events", partition=str(slice_key(tenant, day)), metadata={"snapshot_id": snapshot}
        )
        for slices, snapshot in zip(touched, snapshots, strict=False)
        for tenant, day in iter_slices(slices)
    ]


def requests_for(
    tenant_id: str, dates: list[dt.date], generation: str, job: str | None = None
) -> list[dg.RunRequest]:
    """One run request per range of consecutive dates; the generation keeps a later request from being a repeat."""
    today = dt.datetime.now(dt.UTC).date()
    return [
        dg.RunRequest(
            run_key=f"{job or 'slice'}:{tenant_id}:{first}:{last}:{generation}",
            tags={**range_tags(tenant_id, first, last), **RETRIES},
            job_name=job,
        )
        for first, last in contiguous_ranges(retained_dates(dates, today))
    ]


def active_tenants(registry: Registry) -> set[str]:
    """Ids of the tenants whose slices may run."""
    return {tenant.tenant_id for tenant in registry.list(TenantState.ACTIVE)}


def busy_tenants(instance: dg.DagsterInstance) -> set[str]:
    """Tenants with a queued or running run: their marts must not be written by two."""
    runs = instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT))
    return {run.tags[tag] for run in runs for tag in (TENANT_TAG, PARTITION_TENANT_TAG) if tag in run.tags}


def failed_slices(
    instance: dg.DagsterInstance, since_s: float | None, now: dt.datetime
) -> list[tuple[str, list[dt.date]]]:
    """(tenant, dates) of slice runs that failed for good since then; the first look finds none."""
    since = dt.datetime.fromtimestamp(since_s, tz=dt.UTC) if since_s is not None else now
    failures = dg.RunsFilter(
        job_name=SLICE_JOB.name, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since
    )
    return [
        dates_of_tags(run.tags)
        for run in instance.get_runs(failures)
        if run.tags.get(WILL_RETRY_TAG) != "true" and RANGE_START_TAG in run.tags
    ]


def reopened_slices_sensor(settings: Settings) -> dg.SensorDefinition:
    """Clean runs that changed the inputs of later conversions → the marts of exactly those dates."""

    @dg.sensor(
        name="reopened_slices",
        job=MARTS_JOB,
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def reopened_slices(
        context: dg.SensorEvaluationContext, lake: ResourceParam[Lake], registry: ResourceParam[Registry]
    ) -> dg.SensorResult:
        now = dt.datetime.now(dt.UTC)
        cursor = LandingCursor.loads(context.cursor)
        ready = active_tenants(registry) - busy_tenants(
            context.instance
        )  # first: what a run made is then seen
        changes, unbroken = lake.changes_since("clean.events", cursor.snapshot_id)
        reopened = reopened_and_overtaken(
            cursor.pending,
            [(change.slices, slices_of(change.summary.get(REOPENED_KEY, "{}"))) for change in changes],
        )
        if not unbroken:
            reopened = [all_slices(lake)]
        cursor = note_changes(
            cursor, reopened, changes[-1].snapshot_id if changes else cursor.snapshot_id, now
        )
        due, cursor = due_slices(cursor, ready, now, quiet_s=0.0, max_delay_s=0.0)
        requests = [
            request
            for tenant, dates in due.items()
            for request in requests_for(tenant, dates, f"{cursor.snapshot_id}", MARTS_JOB.name)
        ]
        return dg.SensorResult(run_requests=requests, cursor=cursor.dumps())

    return reopened_slices


def ltv_training_sensor(settings: Settings) -> dg.SensorDefinition:
    """Features with mature labels newer than the last training → one training run per tenant."""

    @dg.sensor(
        name="ltv_training",
        job=TRAIN_JOB,
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def ltv_training(context: dg.SensorEvaluationContext, lake: ResourceParam[Lake]) -> dg.SensorResult:
        cursor = TrainingCursor.loads(context.cursor)
        records = new_materializations(context.instance, "user_features", cursor.storage_id)
        seen = [(str(record.partition_key).split("|")[1], record.storage_id) for record in records]
        due, cursor = due_trainings(cursor, seen, busy_tenants(context.instance))
        requests = []
        for tenant_id, storage_id in due.items():
            newest = max(lake.slice_dates("ml.user_features", tenant_id), default=None)
            if newest is not None:
                mature = newest - dt.timedelta(days=settings.ltv_horizon_days)
                run_key = training_run_key(context.instance, tenant_id, mature, storage_id)
                tags = {TENANT_TAG: tenant_id, **RETRIES}
                requests.append(dg.RunRequest(run_key=run_key, partition_key=tenant_id, tags=tags))
        return dg.SensorResult(run_requests=requests, cursor=cursor.dumps())

    return ltv_training


def champion_published_sensor(settings: Settings) -> dg.SensorDefinition:
    """A training run that promoted a champion → scores and exports of the tenant's feature slices."""

    @dg.sensor(
        name="champion_published",
        job=PUBLISH_JOB,
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def champion_published(context: dg.SensorEvaluationContext, lake: ResourceParam[Lake]) -> dg.SensorResult:
        after = int(context.cursor) if context.cursor else None
        records = new_materializations(context.instance, "ltv_model", after)
        requests: list[dg.RunRequest] = []
        for record in records:
            if not is_promotion(record):
                continue
            tenant_id = str(record.partition_key)
            dates = lake.slice_dates("ml.user_features", tenant_id)[-settings.late_days :]
            requests += requests_for(tenant_id, dates, record.run_id, PUBLISH_JOB.name)
        cursor = str(records[-1].storage_id) if records else context.cursor
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return champion_published


def new_materializations(
    instance: dg.DagsterInstance, asset: str, after: int | None
) -> list[dg.EventLogRecord]:
    """Materialisations of an asset after this storage id, oldest first."""
    result = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), after_storage_id=after),
        limit=MATERIALIZATIONS_PER_TICK,
        ascending=True,
    )
    return list(result.records)
