"""The two jobs of a tenant's life, one op per step; each step may be cut off anywhere and run again.

What a step does to the plane is `resources.tenant_drivers`', which state allows it `resources.registry`'s; when
a job is asked for is in `tenants.py`. Resources: `settings` and `registry`, plain objects.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster import ResourceParam

from assets.partitions import TENANT_DIMENSION
from assets.tenant_generations import DEPROVISION, JOB_OF_STATE, PROVISION, failure_sentence
from resources.registry import Registry, TenantState
from resources.settings import Settings
from resources.tenant_drivers import TenantDriver, open_tenant_driver


class TenantRun(dg.Config):
    """One tenant and the registry revision that asked for this run."""

    tenant_id: str
    revision: int


_AFTER = {"after": dg.In(dg.Nothing)}


def _on_the_plane(step: Callable[[TenantDriver, str], None]) -> dg.OpDefinition:
    """A step that is the driver's alone."""

    @dg.op(name=step.__name__, description=step.__doc__, ins=_AFTER, out=dg.Out(dg.Nothing))
    def run(config: TenantRun, settings: ResourceParam[Settings], registry: ResourceParam[Registry]) -> None:
        step(_driver(settings, registry), config.tenant_id)

    return run


# --- provisioning ---


@dg.op(out=dg.Out(dg.Nothing))
def render_values(
    context: dg.OpExecutionContext,
    config: TenantRun,
    settings: ResourceParam[Settings],
    registry: ResourceParam[Registry],
) -> None:
    """The plane's place and values, without a secret.

    Raises:
        TenantStateError: the tenant is not on its way to a plane, so nothing of it is touched.
    """
    registry.transition(config.tenant_id, TenantState.PROVISIONING, actor=_actor(context))
    url = _driver(settings, registry).render(config.tenant_id)
    context.log.info(f"tenant {config.tenant_id}: plane will answer at {url}")


@_on_the_plane
def store_secrets(driver: TenantDriver, tenant_id: str) -> None:
    """The plane's secrets, kept where it reads them; the registry knows the digests of its keys."""
    driver.store_secrets(tenant_id)


@_on_the_plane
def apply(driver: TenantDriver, tenant_id: str) -> None:
    """The plane is wanted, as its values say."""
    driver.apply(tenant_id)


@_on_the_plane
def migrate(driver: TenantDriver, tenant_id: str) -> None:
    """The plane's own database, at its newest schema."""
    driver.migrate(tenant_id)


@_on_the_plane
def register_export_target(driver: TenantDriver, tenant_id: str) -> None:
    """Exports know where to go."""
    driver.register_export_target(tenant_id)


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


@_on_the_plane
def forget_export_target(driver: TenantDriver, tenant_id: str) -> None:
    """Nothing is pushed to the plane any more."""
    driver.forget_export_target(tenant_id)


@_on_the_plane
def stop(driver: TenantDriver, tenant_id: str) -> None:
    """The plane does not answer any more."""
    driver.stop(tenant_id)


@_on_the_plane
def revoke_secrets(driver: TenantDriver, tenant_id: str) -> None:
    """The tenant's keys open nothing any more."""
    driver.revoke_secrets(tenant_id)


@_on_the_plane
def destroy(driver: TenantDriver, tenant_id: str) -> None:
    """The plane, its data and what held its secrets are gone."""
    driver.destroy(tenant_id)


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing))
def mark_deleted(
    context: dg.OpExecutionContext, config: TenantRun, registry: ResourceParam[Registry]
) -> None:
    """The tenant is deleted; its id stays taken."""
    registry.transition(config.tenant_id, TenantState.DELETED, actor=_actor(context))


# --- the jobs ---

PROVISION_STEPS = (
    render_values,
    store_secrets,
    apply,
    migrate,
    register_export_target,
    smoke_test,
    add_partition,
    activate,
)
DEPROVISION_STEPS = (
    remove_partition,
    forget_export_target,
    stop,
    revoke_secrets,
    destroy,
    mark_deleted,
)


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


def _job(name: str, description: str, steps: tuple[dg.OpDefinition, ...]) -> dg.JobDefinition:
    """The steps one after the other, all with the job's one configuration."""

    @dg.config_mapping
    def config_of_every_step(run: TenantRun) -> dict[str, Any]:
        config = {"config": {"tenant_id": run.tenant_id, "revision": run.revision}}
        return {"ops": {step.name: config for step in steps}}

    @dg.graph(name=name, description=description)
    def chain() -> None:
        done = steps[0]()
        for step in steps[1:]:
            done = step(done)

    return chain.to_job(
        config=config_of_every_step,
        executor_def=dg.in_process_executor,  # short steps: each process would import Dagster
        hooks={mark_tenant_failed},
    )


provision_tenant = _job(
    PROVISION,
    "From requested (or a failed attempt) to active: what was done already is passed over quickly.",
    PROVISION_STEPS,
)
deprovision_tenant = _job(DEPROVISION, "From deleting to deleted.", DEPROVISION_STEPS)


def _driver(settings: Settings, registry: Registry) -> TenantDriver:
    return open_tenant_driver(settings, registry)


def _actor(context: dg.OpExecutionContext) -> str:
    return f"{context.job_name}:{context.run.run_id}"
