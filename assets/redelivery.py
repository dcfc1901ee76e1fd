"""Deliveries that failed, tried again: a sensor looks for those that are due, a job sends them.

A replay (`unmogrowp exports dead replay`) makes a dead delivery due, and nothing else: it comes through here too.
Failure modes: the registry is away → the tick fails and the next one sees the same deliveries; the run dies → what it
had not delivered is still due; the tenant has a run in flight → its deliveries wait for the next tick, so that no two
runs send the same; the export was deleted from the store → the delivery is dropped, there is nothing to send.
"""

import datetime as dt
from collections.abc import Sequence

import dagster as dg
from dagster import ResourceParam

from assets.automation import active_tenants, busy_tenants
from assets.export_contract import MARTS, SCORES, SCORES_DATASET
from assets.export_delivery import Doors, Outcome, deliver_to, receivers_of
from assets.export_files import ExportSlice, Published, published_of
from assets.partitions import TENANT_TAG
from resources.object_store import ObjectStore
from resources.registry import Registry
from resources.registry.delivery_store import DeliveryKey, Undelivered
from resources.settings import Settings

DATASETS = {**MARTS, SCORES: SCORES_DATASET}


class RedeliveryConfig(dg.Config):
    """Whose deliveries."""

    tenant_id: str


@dg.op
def redeliver(
    context: dg.OpExecutionContext, config: RedeliveryConfig, deliveries: ResourceParam[Doors]
) -> None:
    """Send what is due of one tenant, receiver by receiver."""
    outcome = redeliver_due(deliveries, config.tenant_id, context.run.run_id)
    context.add_output_metadata(
        {
            "tenant": config.tenant_id,
            "delivered": len(outcome.delivered),
            "waiting": len(outcome.waiting),
            "dead": len(outcome.dead),
        }
    )


@dg.job(executor_def=dg.in_process_executor, description="Sends a tenant's due deliveries again.")
def redelivery_job() -> None:
    """One op."""
    redeliver()


def build_redelivery_defs(settings: Settings) -> dg.Definitions:
    """The job and its sensor."""
    return dg.Definitions(jobs=[redelivery_job], sensors=[due_deliveries_sensor(settings)])


def due_deliveries_sensor(settings: Settings) -> dg.SensorDefinition:
    """Deliveries whose next try has come → one run per tenant that is active and not busy."""

    @dg.sensor(
        name="due_deliveries",
        job=redelivery_job,
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def due_deliveries(
        context: dg.SensorEvaluationContext, registry: ResourceParam[Registry]
    ) -> dg.SensorResult:
        due = registry.due_tenants()
        if not due:
            return dg.SensorResult(skip_reason="no delivery is due")
        ready = active_tenants(registry) - busy_tenants(context.instance)
        now = dt.datetime.now(dt.UTC)
        return dg.SensorResult(
            run_requests=[redelivery_request(tenant, now) for tenant in due if tenant in ready]
        )

    return due_deliveries


def redelivery_request(tenant_id: str, now: dt.datetime) -> dg.RunRequest:
    """One run for one tenant; every tick's request is another one."""
    return dg.RunRequest(
        run_key=f"redelivery:{tenant_id}:{now:%Y%m%dT%H%M%S%f}",
        run_config={"ops": {"redeliver": {"config": {"tenant_id": tenant_id}}}},
        tags={TENANT_TAG: tenant_id},
    )


def redeliver_due(doors: Doors, tenant_id: str, run_id: str) -> Outcome:
    """Send what is due, as it lies in the store now: newer content goes in the place of what failed."""
    due = doors.registry.due_deliveries(tenant_id)
    receivers = {receiver.destination_id: receiver for receiver in receivers_of(doors, tenant_id)}
    outcome = Outcome()
    for destination_id in sorted({one.destination_id for one in due}):
        mine = [one for one in due if one.destination_id == destination_id]
        receiver = receivers.get(destination_id)
        if receiver is not None:
            deliver_to(doors, receiver, still_published(doors, mine), run_id, outcome)
        else:
            for one in mine:  # the plane is gone: when there is one again, its exports are news to it
                doors.registry.delivery_done(key_of(one))
    return outcome


def still_published(doors: Doors, due: Sequence[Undelivered]) -> list[Published]:
    """What the store holds of these; a delivery of which it holds nothing is dropped."""
    found = []
    for one in due:
        published = current(doors.store, one)
        if published is None:
            doors.registry.delivery_done(key_of(one))
        else:
            found.append(published)
    return found


def current(store: ObjectStore, one: Undelivered) -> Published | None:
    """The export that a delivery is of, as it is now; None when there is none, or no such mart any more."""
    dataset = DATASETS.get(one.mart)
    return None if dataset is None else published_of(store, ExportSlice(one.tenant_id, dataset, one.date))


def key_of(one: Undelivered) -> DeliveryKey:
    """What the registry knows the delivery by."""
    return DeliveryKey(one.tenant_id, one.destination_id, one.mart, one.date)
