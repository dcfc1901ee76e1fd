"""Exports that could not be delivered, and the receivers' circuits: of a tenant, and of all for the operator.

A replay makes a delivery due; the sensor `due_deliveries` sends it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from control_plane.context import Actor, Plane, TenantId
from control_plane.destination_messages import DeliveryOut, DeliveryPage, ReceiverStatus, StatusPage
from control_plane.guard import GuardedRoute, needs
from control_plane.problems import responses
from resources.registry import Registry
from resources.registry.circuits import Circuit
from resources.registry.delivery_store import DeliveryState
from resources.registry.sessions import now_utc

router = APIRouter(
    prefix="/v1/tenants/{tenant_id}",
    tags=["deliveries"],
    route_class=GuardedRoute,
    responses=responses(401, 403, 404, 422, 503),
)
platform_router = APIRouter(
    prefix="/v1/export-status",
    tags=["deliveries"],
    route_class=GuardedRoute,
    responses=responses(401, 403, 422, 503),
)
DeliveryId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
Limit = Annotated[int, Query(ge=1, le=1000)]
AfterReceiver = Annotated[str, Query(pattern=r"^([a-z0-9_]{2,31}/[a-z0-9]{1,16})?$")]


@router.get("/deliveries", openapi_extra=needs("delivery:read"))
def list_deliveries(
    tenant_id: TenantId,
    plane: Plane,
    state: Annotated[DeliveryState | None, Query()] = None,
    after: Annotated[str, Query(pattern="^([0-9a-f]{16})?$")] = "",
    limit: Limit = 100,
) -> DeliveryPage:
    """The tenant's exports that failed and are not delivered since."""
    found = plane.registry.undelivered(tenant_id, state, after, limit + 1)
    page = found[:limit]
    following = page[-1].delivery_id if len(found) > limit else None
    return DeliveryPage(items=[DeliveryOut.model_validate(one) for one in page], next=following)


@router.get("/deliveries/{delivery_id}", openapi_extra=needs("delivery:read"))
def show_delivery(tenant_id: TenantId, delivery_id: DeliveryId, plane: Plane) -> DeliveryOut:
    """One of them."""
    return DeliveryOut.model_validate(plane.registry.undelivered_one(tenant_id, delivery_id))


@router.post(
    "/deliveries/{delivery_id}/replay",
    status_code=202,
    openapi_extra=needs("delivery:replay"),
    responses=responses(400, 409, 413),
)
def replay_delivery(tenant_id: TenantId, delivery_id: DeliveryId, plane: Plane, actor: Actor) -> DeliveryOut:
    """Have it tried again now, under the same idempotency key, with all its tries."""
    return DeliveryOut.model_validate(plane.registry.replay_delivery(tenant_id, delivery_id, actor))


@router.get("/export-status", openapi_extra=needs("delivery:read"))
def show_export_status(
    tenant_id: TenantId, plane: Plane, after: AfterReceiver = "", limit: Limit = 100
) -> StatusPage:
    """The tenant's receivers that something is the matter with."""
    return _page([one for one in receivers(plane.registry) if one.tenant_id == tenant_id], after, limit)


@platform_router.get("", openapi_extra=needs("delivery:status"))
def list_export_status(plane: Plane, after: AfterReceiver = "", limit: Limit = 100) -> StatusPage:
    """Every tenant's receivers that something is the matter with."""
    return _page(receivers(plane.registry), after, limit)


def receivers(registry: Registry) -> list[ReceiverStatus]:
    """Receivers with a failure, an open circuit or an undelivered export, by tenant and destination."""
    now, counts = now_utc(), registry.delivery_counts()
    circuits = {(one.tenant_id, one.destination_id): one.circuit for one in registry.circuits()}
    keys = sorted({*circuits, *((tenant, destination) for tenant, destination, _ in counts)})
    return [
        ReceiverStatus(
            tenant_id=tenant,
            destination_id=destination,
            circuit=circuit.state(now),
            failures=circuit.failures,
            retry_at=circuit.retry_at,
            reason=circuit.reason,
            waiting=counts.get((tenant, destination, DeliveryState.WAITING), 0),
            dead=counts.get((tenant, destination, DeliveryState.DEAD), 0),
        )
        for tenant, destination in keys
        for circuit in (circuits.get((tenant, destination), Circuit()),)
    ]


def _page(found: list[ReceiverStatus], after: str, limit: int) -> StatusPage:
    behind = [one for one in found if (one.tenant_id, one.destination_id) > tuple(after.split("/"))]
    page = behind[:limit]
    following = f"{page[-1].tenant_id}/{page[-1].destination_id}" if len(behind) > limit else None
    return StatusPage(items=page, next=following)
