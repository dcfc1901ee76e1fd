"""From published files to receivers: the tenant's plane and its own destinations, each with its own failures.

One function delivers, for a run that has just exported and for one that tries again (`redelivery.py`): what failed is
kept in the registry, with the same idempotency key. How a thing is sent is `resources.destinations`'s and
`resources.tenant_gateway`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from assets.export_contract import SCORES
from assets.export_files import MANIFEST_FILE, PART_FILE, Published, content_of
from assets.export_receipts import acknowledge, first_sent_at, is_acknowledged, was_ever_acknowledged
from resources.destination_settings import load_destination_settings
from resources.destinations.attempts import Attempts
from resources.destinations.book import DestinationBook
from resources.destinations.parcels import Parcel
from resources.errors import (
    ArtifactCorruptError,
    CircuitOpenError,
    DeliveryRefusedError,
    DestinationError,
    RetryableError,
)
from resources.object_store import ObjectStore, open_object_store
from resources.registry import Registry
from resources.registry.delivery_store import DeliveryKey, DeliveryState, Failure
from resources.registry.destination_store import PLANE, Destination
from resources.settings import Settings
from resources.tenant_gateway import TenantGateway

SCORE_MODEL = "ltv"  # the name the tenant sees; a new version replaces the day's scores, whatever made them
ROW_COLUMNS_NOT_SENT = ("as_of", "model_name")  # the day and the model are said once, beside the items


@dataclass(frozen=True)
class Doors:
    """What delivering needs."""

    store: ObjectStore
    gateway: TenantGateway
    registry: Registry
    book: DestinationBook
    attempts: Attempts


def open_doors(settings: Settings, attempts: Attempts | None = None) -> Doors:
    """The doors of these settings; every receiver has its circuit in the registry."""
    registry = Registry.from_settings(settings)
    made = attempts or Attempts(registry)
    return Doors(
        store=open_object_store(settings),
        gateway=TenantGateway(settings, made),
        registry=registry,
        book=DestinationBook(settings, registry, load_destination_settings()),
        attempts=made,
    )


@dataclass(frozen=True)
class Receiver:
    """One place a tenant's exports go to, and how one of them is sent there."""

    tenant_id: str
    destination_id: str
    fingerprint: str
    send: Callable[[Published], None] = field(repr=False)


@dataclass
class Outcome:
    """What became of deliveries: (receiver, published) pairs."""

    delivered: list[tuple[str, Published]] = field(default_factory=list)
    waiting: list[tuple[str, Published]] = field(default_factory=list)
    dead: list[tuple[str, Published]] = field(default_factory=list)


def deliver_all(doors: Doors, tenant_id: str, published: Sequence[Published], run_id: str) -> Outcome:
    """Send what is new to each of the tenant's receivers; a receiver that fails keeps nothing from the others."""
    outcome = Outcome()
    for receiver in receivers_of(doors, tenant_id):
        deliver_to(doors, receiver, published, run_id, outcome)
    return outcome


def receivers_of(doors: Doors, tenant_id: str) -> list[Receiver]:
    """The tenant's plane, where it has one (yet), and its destinations."""
    target = doors.gateway.target(tenant_id)
    plane = [] if target is None else [Receiver(tenant_id, PLANE, target.fingerprint, _to_plane(doors))]
    return plane + [_destination_receiver(doors, one) for one in doors.registry.destinations(tenant_id)]


def deliver_to(
    doors: Doors, receiver: Receiver, published: Iterable[Published], run_id: str, outcome: Outcome
) -> None:
    """Send to one receiver what it has not acknowledged yet; a failure is noted, and the next one is sent."""
    destination_id = receiver.destination_id
    for item in published:
        key = DeliveryKey(receiver.tenant_id, destination_id, item.slice.dataset.name, item.slice.date)
        if not is_news(doors.store, receiver, item):
            doors.registry.delivery_done(key)
            continue
        try:
            receiver.send(item)
        except (RetryableError, DeliveryRefusedError, DestinationError) as error:
            state = doors.registry.delivery_failed(failure_of(key, item, run_id, error))
            (outcome.dead if state is DeliveryState.DEAD else outcome.waiting).append((destination_id, item))
        else:
            acknowledge(doors.store, item, destination_id, receiver.fingerprint)
            doors.registry.delivery_done(key)
            outcome.delivered.append((destination_id, item))


def is_news(store: ObjectStore, receiver: Receiver, item: Published) -> bool:
    """Whether the receiver has not taken this content yet. Empty scores are news only where there were some."""
    if is_acknowledged(store, item, receiver.destination_id, receiver.fingerprint):
        return False
    is_empty_scores = item.slice.dataset.name == SCORES and not item.rows
    return not is_empty_scores or was_ever_acknowledged(store, item.slice, receiver.destination_id)


def failure_of(key: DeliveryKey, item: Published, run_id: str, error: Exception) -> Failure:
    """What the registry keeps of a failed delivery."""
    return Failure(
        key,
        content_sha256=item.sha256,
        restatement=item.restatement,
        idempotency_key=idempotency_key(item),
        run_id=run_id,
        reason=str(error),
        is_final=isinstance(error, DeliveryRefusedError | DestinationError),
        not_before=error.retry_at if isinstance(error, CircuitOpenError) else None,
    )


def idempotency_key(published: Published) -> str:
    """One key per content and restatement: a repetition is recognised, a change back is not one."""
    slice_ = published.slice
    parts = (slice_.tenant_id, slice_.dataset.name, slice_.date, published.restatement, published.sha256[:16])
    return ":".join(str(part) for part in parts)


def parcel_of(store: ObjectStore, published: Published) -> Parcel:
    """The slice's files and manifest as they lie in the store.

    Raises:
        ArtifactCorruptError: they do not belong together: another run is publishing, or a file was changed.
    """
    content = content_of(store, published)
    manifest = store.read(published.slice.key(MANIFEST_FILE)) or b"{}"
    listed = [file["sha256"] for file in json.loads(manifest).get("files", ())]
    if listed != [published.sha256]:
        raise ArtifactCorruptError(f"{published.slice}: its manifest has changed meanwhile; export it again")
    slice_ = published.slice
    return Parcel(
        tenant_id=slice_.tenant_id,
        mart=slice_.dataset.name,
        date=slice_.date,
        restatement=published.restatement,
        idempotency_key=idempotency_key(published),
        manifest=manifest,
        files={PART_FILE: content},
    )


def _destination_receiver(doors: Doors, destination: Destination) -> Receiver:
    where = json.dumps(dict(destination.config), sort_keys=True)
    fingerprint = hashlib.sha256(f"{destination.destination_id}|{where}".encode()).hexdigest()[:16]

    def send(item: Published) -> None:
        parcel = parcel_of(doors.store, item)
        doors.attempts.make(
            destination.tenant_id,
            destination.destination_id,
            lambda: doors.book.deliver(destination, parcel),
        )

    return Receiver(destination.tenant_id, destination.destination_id, fingerprint, send)


def _to_plane(doors: Doors) -> Callable[[Published], None]:
    def send(item: Published) -> None:
        slice_, content = item.slice, content_of(doors.store, item)
        if slice_.dataset.name == SCORES:
            _push_scores(doors, item, content)
            return
        doors.gateway.push_mart(
            slice_.tenant_id,
            slice_.dataset.name,
            slice_.date,
            content,
            idempotency_key=idempotency_key(item),
            restatement=item.restatement,
        )

    return send


def _push_scores(doors: Doors, item: Published, content: bytes) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - only where scores are pushed

    table = pq.read_table(pa.BufferReader(content))
    doors.gateway.push_scores(
        item.slice.tenant_id,
        model=SCORE_MODEL,
        as_of=item.slice.date,
        rows=table.drop_columns(list(ROW_COLUMNS_NOT_SENT)).to_pylist(),
        generated_at=first_sent_at(doors.store, item),
        idempotency_key=idempotency_key(item),
        restatement=item.restatement,
    )
