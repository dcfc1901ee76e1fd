"""`/v1/tenants/{tenant}/destinations`: where exports go beside the plane. Sending is `resources.destinations`'s."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from control_plane.context import Actor, Plane, TenantId
from control_plane.destination_messages import (
    BucketRequest,
    DestinationAdded,
    DestinationOut,
    DestinationPage,
    DestinationRequest,
    DestinationTest,
)
from control_plane.guard import GuardedRoute, needs
from control_plane.problems import responses
from resources.destinations.book import Added
from resources.destinations.buckets import Bucket
from resources.errors import DeliveryRefusedError, DestinationError, ServiceUnavailableError

router = APIRouter(
    prefix="/v1/tenants/{tenant_id}/destinations",
    tags=["destinations"],
    route_class=GuardedRoute,
    responses=responses(401, 403, 404, 422, 503),
)
DestinationId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]


@router.get("", openapi_extra=needs("destination:read"))
def list_destinations(
    tenant_id: TenantId,
    plane: Plane,
    after: Annotated[str, Query(pattern="^([0-9a-f]{16})?$")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DestinationPage:
    """The tenant's destinations, without their secrets."""
    found = plane.registry.destinations(tenant_id)
    begin = next((at for at, one in enumerate(found, 1) if one.destination_id == after), 0)
    page = found[begin : begin + limit]
    following = page[-1].destination_id if len(found) > begin + limit else None
    return DestinationPage(items=[DestinationOut.model_validate(one) for one in page], next=following)


@router.post(
    "", status_code=201, openapi_extra=needs("destination:write"), responses=responses(400, 409, 413)
)
def add_destination(
    tenant_id: TenantId, body: DestinationRequest, plane: Plane, actor: Actor, response: Response
) -> DestinationAdded:
    """Register a destination: it gets every export from now on, and older ones when they are made again.

    A webhook's secret is in this answer and in no other.
    """
    if isinstance(body, BucketRequest):
        bucket = Bucket(
            endpoint=body.endpoint,
            bucket=body.bucket,
            prefix=body.prefix,
            region=body.region,
            access_key_id=body.access_key_id.get_secret_value(),
            secret_access_key=body.secret_access_key.get_secret_value(),
        )
        added = plane.destinations.add_bucket(tenant_id, bucket, actor)
    else:
        added = plane.destinations.add_webhook(tenant_id, body.url, actor)
    return _added(added, response)


@router.post(
    "/{destination_id}/rotate", openapi_extra=needs("destination:write"), responses=responses(400, 409, 413)
)
def rotate_secret(
    tenant_id: TenantId, destination_id: DestinationId, plane: Plane, actor: Actor, response: Response
) -> DestinationAdded:
    """A new secret for a webhook, shown this once. For a day messages are signed with both, the new one first."""
    return _added(plane.destinations.rotate(tenant_id, destination_id, actor), response)


@router.post(
    "/{destination_id}/test", openapi_extra=needs("destination:test"), responses=responses(400, 409, 413)
)
def test_destination(
    tenant_id: TenantId, destination_id: DestinationId, plane: Plane, actor: Actor
) -> DestinationTest:
    """Send a `ping`, or write and delete an object, and say what came of it."""
    destination = plane.registry.destination(tenant_id, destination_id)
    try:
        plane.destinations.test(destination)
        tested = DestinationTest(ok=True, detail="it was taken")
    except (ServiceUnavailableError, DeliveryRefusedError, DestinationError) as error:
        tested = DestinationTest(ok=False, detail=str(error))
    plane.registry.note_destination_test(tenant_id, destination_id, tested.detail, actor)
    return tested


@router.delete("/{destination_id}", status_code=204, openapi_extra=needs("destination:write"))
def remove_destination(
    tenant_id: TenantId, destination_id: DestinationId, plane: Plane, actor: Actor
) -> None:
    """Forget a destination, its secrets, and what was still to be delivered there."""
    plane.registry.remove_destination(tenant_id, destination_id, actor)


def _added(added: Added, response: Response) -> DestinationAdded:
    response.headers["Cache-Control"] = "no-store"
    shown = DestinationOut.model_validate(added.destination)
    return DestinationAdded(**shown.model_dump(), secret=added.secret or None)
