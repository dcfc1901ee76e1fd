"""Tenants as runs: the sensor turns what the registry wants into runs of the jobs in `tenant_steps.py`.

What a state asks for is `assets.tenant_generations`'s; asking for a tenant is the control plane's and the CLI's.
"""

import dagster as dg
from dagster import ResourceParam

from assets.tenant_generations import (
    DEPROVISION,
    JOB_OF_STATE,
    PROVISION,
    GiveUp,
    Launch,
    decide,
    generation_of,
)
from assets.tenant_steps import deprovision_tenant, provision_tenant
from resources.registry import Registry, Tenant, TenantState
from resources.settings import Settings

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
