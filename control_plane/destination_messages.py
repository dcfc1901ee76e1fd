"""Bodies of requests and answers about destinations and deliveries: camelCase JSON. No logic, and no secret twice."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from control_plane.messages import Message
from resources.registry.circuits import CircuitState
from resources.registry.delivery_store import DeliveryState

Text = Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^[\x21-\x7e]+$")]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=256)]


class WebhookRequest(Message):
    """A receiver that is told of every export and restatement."""

    kind: Literal["webhook"]
    url: Text = Field(examples=["https://example.com/unmogrowp"], description="https, of a public host")


class BucketRequest(Message):
    """A bucket that every export is written into."""

    kind: Literal["s3"]
    endpoint: Text = Field(examples=["https://s3.eu-central-1.amazonaws.com"], description="https, public")
    bucket: str = Field(min_length=3, max_length=63)
    prefix: str = Field(default="", max_length=200, description="what every key begins with")
    region: str = Field(default="us-east-1", pattern=r"^[a-z0-9-]{1,40}$")
    access_key_id: Secret = Field(description="of a key that may write there; never shown again")
    secret_access_key: Secret = Field(description="never shown again")


DestinationRequest = Annotated[WebhookRequest | BucketRequest, Field(discriminator="kind")]


class DestinationOut(Message):
    """One destination, without its secrets."""

    destination_id: str
    kind: str
    config: dict[str, Any] = Field(description="where: url, or endpoint, bucket, prefix, region")
    created_at: dt.datetime
    created_by: str


class DestinationAdded(DestinationOut):
    """A destination just registered or rotated. `secret` is shown this once; null where we made none."""

    secret: str | None


class DestinationPage(Message):
    """A tenant's destinations, oldest first; `next` is the `after` of the following page."""

    items: list[DestinationOut]
    next: str | None


class DestinationTest(Message):
    """What came of something harmless sent there."""

    ok: bool
    detail: str


class DeliveryOut(Message):
    """An export that is not delivered: waiting for its next try, or dead."""

    delivery_id: str
    destination_id: str
    mart: str
    date: dt.date
    state: DeliveryState
    restatement: int
    content_sha256: str
    idempotency_key: str
    run_id: str
    reason: str
    attempts: int
    first_failed_at: dt.datetime
    last_failed_at: dt.datetime
    next_try_at: dt.datetime | None


class DeliveryPage(Message):
    """Deliveries by id; `next` is the `after` of the following page."""

    items: list[DeliveryOut]
    next: str | None


class ReceiverStatus(Message):
    """One receiver that something is the matter with."""

    tenant_id: str
    destination_id: str = Field(description="`plane`, or a destination's id")
    circuit: CircuitState
    failures: int = Field(description="in a row")
    retry_at: dt.datetime | None = Field(description="when an open circuit lets one probe through")
    reason: str
    waiting: int
    dead: int


class StatusPage(Message):
    """Receivers by tenant and destination; `next` is the `after` of the following page. Not there: all is well."""

    items: list[ReceiverStatus]
    next: str | None
