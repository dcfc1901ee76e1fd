"""What the exports drill plays with: tenants with receivers, invented rows, one export, in a home of its own.

One export here is what `tenant_exports` does after it has read its rows: publish every file, then deliver.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from assets.export_contract import MARTS, SCORES_DATASET, Dataset
from assets.export_delivery import Doors, Outcome, deliver_all
from assets.export_files import ExportSlice, publish
from resources.destination_settings import DestinationSettings
from resources.destinations.attempts import Attempts
from resources.destinations.book import DestinationBook
from resources.object_store import LocalObjectStore, ObjectStore
from resources.plane_files import PlaneFiles
from resources.registry import Registry, TenantState
from resources.registry.delivery_store import Undelivered
from resources.registry.sessions import now_utc
from resources.settings import Settings
from resources.tenant_gateway import TenantGateway

DATES = (dt.date(2026, 11, 2), dt.date(2026, 11, 3))
DATASETS = (MARTS["kpi_daily"], MARTS["installs"], SCORES_DATASET)
SLICES = len(DATES) * len(DATASETS)
TIMEOUT_S = 20.0  # a machine under load takes seconds; two that hang would open the circuit
HANG_TIMEOUT_S = 0.5  # where a receiver hangs on purpose


class LaterRegistry(Registry):
    """The registry, asked `later` than it is: a drill does not sit through the pauses."""

    later = dt.timedelta()

    def admit(
        self, tenant_id: str, destination_id: str, now: dt.datetime | None = None
    ) -> dt.datetime | None:
        """As the registry's."""
        return super().admit(tenant_id, destination_id, now or now_utc() + self.later)

    def due_tenants(self, now: dt.datetime | None = None) -> list[str]:
        """As the registry's."""
        return super().due_tenants(now or now_utc() + self.later)

    def due_deliveries(self, tenant_id: str, now: dt.datetime | None = None) -> list[Undelivered]:
        """As the registry's."""
        return super().due_deliveries(tenant_id, now or now_utc() + self.later)


@dataclass(frozen=True)
class House:
    """Where the drill happens; plain values, so that a child process can be given it."""

    home: Path
    hosts: frozenset[str]

    @property
    def settings(self) -> Settings:
        """Settings of the home."""
        return Settings(home=self.home)

    def doors(self, timeout_s: float = TIMEOUT_S) -> Doors:
        """The doors of an export, without pauses between attempts."""
        settings = self.settings
        registry = LaterRegistry.from_settings(settings)
        attempts = Attempts(registry, base_delay_s=0.001)
        wire = DestinationSettings(allowed_hosts=self.hosts, timeout_s=timeout_s)
        return Doors(
            store=LocalObjectStore(settings.exports_dir),
            gateway=TenantGateway(settings, attempts, timeout_s=timeout_s),
            registry=registry,
            book=DestinationBook(settings, registry, wire),
            attempts=attempts,
        )


def make_tenant(doors: Doors, settings: Settings, tenant_id: str, plane_url: str) -> None:
    """An active tenant whose plane is there, and knows the global plane's credentials."""
    doors.registry.request(tenant_id, "standard", "drill")
    for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
        doors.registry.transition(tenant_id, state, actor="drill")
    path = PlaneFiles(settings.tenants_dir, tenant_id).global_credentials
    path.parent.mkdir(parents=True, exist_ok=True)
    credentials = {"plane_url": plane_url, "service_token": "token", "signing_key": "key"}
    path.write_text(json.dumps(credentials))


def export_once(doors: Doors, tenant_id: str, number: int) -> Outcome:
    """Publish the tenant's slices with this round's rows, then deliver what is new."""
    published = [
        publish(
            doors.store,
            ExportSlice(tenant_id, dataset, date),
            rows_of(dataset, tenant_id, date, number),
            source_snapshots={"clean.events": number},
            run_id=f"run-{number}",
        )
        for date in DATES
        for dataset in DATASETS
    ]
    return deliver_all(doors, tenant_id, published, f"run-{number}")


def rows_of(dataset: Dataset, tenant_id: str, date: dt.date, number: int) -> pa.Table:
    """Three rows of a dataset; another number gives other rows."""

    def value(name: str, kind: pa.DataType, row: int) -> object:
        if name == "tenant_id":
            return tenant_id
        if pa.types.is_date(kind):
            return date
        if pa.types.is_timestamp(kind):
            return dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
        if pa.types.is_list(kind):
            return [f"{number}"]
        if pa.types.is_string(kind):
            return f"{name}-{row}"
        return row if pa.types.is_uint8(kind) else bool(row) if pa.types.is_boolean(kind) else number + row

    rows = [{field.name: value(field.name, field.type, row) for field in dataset.schema} for row in range(3)]
    return pa.Table.from_pylist(rows, schema=dataset.schema)


def shelf(store: ObjectStore, tenant_id: str) -> dict[str, str]:
    """The published files by key, digested; of a manifest everything but its run id."""
    found = {}
    for key in store.keys(tenant_id):
        content = store.read(key) or b""
        if key.endswith("manifest.json"):
            manifest: Mapping[str, object] = json.loads(content)
            kept = {name: value for name, value in manifest.items() if name != "run_id"}
            content = json.dumps(kept, sort_keys=True).encode()
        if key.endswith((".parquet", "manifest.json")):
            found[key] = hashlib.sha256(content).hexdigest()
    return found
