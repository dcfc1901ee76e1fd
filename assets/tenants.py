"""Tenants as jobs: the sensor turns what the registry wants into runs, one op per step of a tenant's plane.

The steps themselves are `resources.tenant_driver`'s, the states `resources.registry`'s, what a state asks for
`assets.tenant_generations`'s; asking for a tenant is the control plane's and the CLI's.
Resources: `settings` and `registry`, plain objects.
"""

from typing import Any

import dagster as dg
from dagster import ResourceParam

from assets.partitions import TENANT_DIMENSION
from assets.tenant_generations import (
    DEPROVISION,
    JOB_OF_STATE,
    PROVISION,
    GiveUp,
    Launch,
    decide,
    failure_sentence,
    generation_of,
)
from resources.registry import Registry, Tenant, TenantState
from resources.settings import Settings
from resources.tenant_driver import TenantDriver, open_tenant_driver

TENANT_TAG = "unmogrowp/tenant"  # not a partition's tag: the tenant has no partition before `add_partition`
GENERATION_TAG = "unmogrowp/generation"
IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.MANAGED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class TenantRun(dg.Config):
    """One tenant and the registry revision that asked for this run."""

    tenant_id: str
    revision: int


# --- provisioning, one op per step; each may be cut off anywhere and run again ---

_AFTER = {"after": dg.In(dg.Nothing)}


@dg.op(out=dg.Out(dg.Nothing))
def render(
    context: dg.OpExecutionContext,
    config: TenantRun,
    settings: ResourceParam[Settings],
    registry: ResourceParam[Registry],
) -> None:
    """The plane's directory, port, settings and secrets."""
    registry.transition(config.tenant_id, TenantState.PROVISIONING, actor=_actor(context))
    url = _driver(settings, registry).render(config.tenant_id)
    context.log.info(f"tenant {config.tenant_id}: plane will answer at {url}")


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing))
def migrate(config: TenantRun, settings: ResourceParam[Settings], registry: ResourceParam[Registry]) -> None:
    """The plane's own database, at its newest schema."""
    _driver(settings, registry).migrate(config.tenant_id)


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing))
def start(config: TenantRun, settings: ResourceParam[Settings], registry: ResourceParam[Registry]) -> None:
    """The plane's process is wanted."""
    _driver(settings, registry).start(config.tenant_id)


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing))
def smoke_test(
    context: dg.OpExecutionContext,
    config: TenantRun,
    settings: ResourceParam[Settings],
    registry: ResourceParam[Registry],
) -> None:
    """The plane answers as this tenant."""
    waited_s = _driver(settings, registry).smoke_test(config.tenant_id)
    context.log.info(f"tenant {config.tenant_id}: plane is healthy after {waited_s:.1f} s")


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing))
def add_partition(context: dg.OpExecutionContext, config: TenantRun) -> None:
    """The tenant's partition exists in the asset graph."""
    context.instance.add_dynamic_partitions(TENANT_DIMENSION, [config.tenant_id])


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing))
def activate(context: dg.OpExecutionContext, config: TenantRun, registry: ResourceParam[Registry]) -> None:
    """The tenant is active."""
    registry.transition(config.tenant_id, TenantState.ACTIVE, actor=_actor(context))


# --- and its compensation ---


@dg.op(out=dg.Out(dg.Nothing))
def remove_partition(
    context: dg.OpExecutionContext, config: TenantRun, registry: ResourceParam[Registry]
) -> None:
    """Nothing is materialised for the tenant any more.

    Raises:
        TenantStateError: the tenant is not being deleted, so nothing of it is touched.
    """
    registry.transition(config.tenant_id, TenantState.DELETING, actor=_actor(context))
    context.instance.delete_dynamic_partition(TENANT_DIMENSION, config.tenant_id)


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing))
def stop(config: TenantRun, settings: ResourceParam[Settings], registry: ResourceParam[Registry]) -> None:
    """The plane does not answer any more."""
    _driver(settings, registry).stop(config.tenant_id)


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing))
def destroy(config: TenantRun, settings: ResourceParam[Settings], registry: ResourceParam[Registry]) -> None:
    """The plane's directory and the tenant's keys are gone."""
    _driver(settings, registry).destroy(config.tenant_id)


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing))
def mark_deleted(
    context: dg.OpExecutionContext, config: TenantRun, registry: ResourceParam[Registry]
) -> None:
    """The tenant is deleted; its id stays taken."""
    registry.transition(config.tenant_id, TenantState.DELETED, actor=_actor(context))


@dg.failure_hook(required_resource_keys={"registry"})
def mark_tenant_failed(context: dg.HookContext) -> None:
    """Say in the registry which step failed and why, unless the tenant has moved on meanwhile."""
    registry: Registry = context.resources.registry
    tenant = registry.get(context.op_config["tenant_id"])
    if JOB_OF_STATE.get(tenant.state) == context.job_name:
        reason = failure_sentence(context.op.name, context.op_exception)
        registry.transition(
            tenant.tenant_id, TenantState.FAILED, actor=f"{context.job_name}:{context.run_id}", reason=reason
        )


def _config_of_every_step(job_steps: tuple[str, ...], run: TenantRun) -> dict[str, Any]:
    """The job's one configuration, handed to each of its steps."""
    config = {"config": {"tenant_id": run.tenant_id, "revision": run.revision}}
    return {"ops": dict.fromkeys(job_steps, config)}


@dg.config_mapping
def _provision_config(run: TenantRun) -> dict[str, Any]:
    steps = ("render", "migrate", "start", "smoke_test", "add_partition", "activate")
    return _config_of_every_step(steps, run)


@dg.config_mapping
def _deprovision_config(run: TenantRun) -> dict[str, Any]:
    return _config_of_every_step(("remove_partition", "stop", "destroy", "mark_deleted"), run)


@dg.job(
    name=PROVISION,
    config=_provision_config,
    executor_def=dg.in_process_executor,  # short steps: each process would import Dagster
    hooks={mark_tenant_failed},
)
def provision_tenant() -> None:
    """From requested (or a failed attempt) to active: every step is skipped over quickly when it was done."""
    activate(add_partition(smoke_test(start(migrate(render())))))


@dg.job(
    name=DEPROVISION,
    config=_deprovision_config,
    executor_def=dg.in_process_executor,
    hooks={mark_tenant_failed},
)
def deprovision_tenant() -> None:
    """From deleting to deleted."""
    mark_deleted(destroy(stop(remove_partition())))


def build_tenant_requests_sensor(interval_s: int) -> dg.SensorDefinition:
    """The sensor that looks at the registry every `interval_s` seconds.

    Failure modes: the registry is away → the tick fails and the next one sees the same tenants; a run is
    killed and its failure hook with it → resumed, and after the third the tenant is failed with a reason;
    a run is launched and the tick is lost → the run key keeps it from being launched twice; a run hangs →
    its tenant waits, no other does (`run_monitoring` in dagster.yaml ends it).
    """

    @dg.sensor(
        name="tenant_requests_sensor",
        jobs=[provision_tenant, deprovision_tenant],
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def tenant_requests_sensor(
        context: dg.SensorEvaluationContext, registry: ResourceParam[Registry]
    ) -> dg.SensorResult:
        requests = []
        for listed in registry.list(*JOB_OF_STATE):
            busy = _is_busy(context.instance, listed.tenant_id)
            tenant = registry.get(listed.tenant_id)  # after looking for runs: one may just have moved it on
            if tenant.state not in JOB_OF_STATE:
                continue
            ended_runs = _ended_runs(context.instance, generation_of(tenant))
            decision = decide(tenant, busy=busy, ended_runs=ended_runs)
            if isinstance(decision, Launch):
                requests.append(_request(tenant, decision))
            elif isinstance(decision, GiveUp):
                registry.transition(
                    tenant.tenant_id,
                    TenantState.FAILED,
                    actor="tenant_requests_sensor",
                    reason=decision.reason,
                )
        return dg.SensorResult(run_requests=requests)

    return tenant_requests_sensor


def build_tenant_defs(settings: Settings) -> dg.Definitions:
    """The jobs and the sensor of this module, without their resources."""
    return dg.Definitions(
        jobs=[provision_tenant, deprovision_tenant],
        sensors=[build_tenant_requests_sensor(settings.sensor_interval_s)],
    )


def _request(tenant: Tenant, launch: Launch) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=launch.run_key,
        job_name=launch.job,
        run_config={"tenant_id": tenant.tenant_id, "revision": tenant.revision},
        tags={TENANT_TAG: tenant.tenant_id, GENERATION_TAG: launch.generation},
    )


def _is_busy(instance: dg.DagsterInstance, tenant_id: str) -> bool:
    return any(
        instance.get_runs(
            filters=dg.RunsFilter(job_name=job, tags={TENANT_TAG: tenant_id}, statuses=IN_FLIGHT), limit=1
        )
        for job in (PROVISION, DEPROVISION)
    )


def _ended_runs(instance: dg.DagsterInstance, generation: str) -> list[str]:
    """`run <id> ended as <status>` of each run of this generation, latest first."""
    runs = instance.get_runs(filters=dg.RunsFilter(tags={GENERATION_TAG: generation}))
    return [f"run {run.run_id} ended as {run.status.value}" for run in runs if run.status not in IN_FLIGHT]


def _driver(settings: Settings, registry: Registry) -> TenantDriver:
    return open_tenant_driver(settings, registry)


def _actor(context: dg.OpExecutionContext) -> str:
    return f"{context.job_name}:{context.run.run_id}"
