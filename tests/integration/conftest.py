"""One embedded platform per session: a real ClickHouse process, a real lake, the real graph run in process."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa
import pytest

from assets.jobs import MART_ASSETS
from assets.partitions import range_tags
from definitions import build_defs
from resources.clickhouse import EMBEDDED_PASSWORD_FILE, ClickHouse
from resources.embedded.clickhouse_process import ClickHouseProcess, local_warehouse
from resources.embedded.stack import free_port
from resources.lake import Lake, slices_json
from resources.registry import Registry, TenantState
from resources.settings import Settings

MARTS = MART_ASSETS


class Engine:
    """The embedded ClickHouse of a home, which tests may kill and start again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.directory = settings.home / "clickhouse"
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.settings.first_run_secret(EMBEDDED_PASSWORD_FILE)
        self._process = ClickHouseProcess(
            self.directory,
            self.settings.clickhouse_port,
            password_file=self.settings.secrets_dir / EMBEDDED_PASSWORD_FILE,
            files=local_warehouse(self.settings),
        )

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()


@dataclass
class Platform:
    """The global plane over one home, driven in process."""

    settings: Settings
    server: Engine
    instance: dg.DagsterInstance
    lake: Lake
    registry: Registry
    defs: dg.Definitions
    landed: int = field(default=0)

    def activate(self, tenant_id: str) -> str:
        """An active tenant with its partition, and without a plane."""
        self.registry.request(tenant_id, "starter", "test")
        self.registry.transition(tenant_id, TenantState.PROVISIONING, actor="test")
        self.registry.transition(tenant_id, TenantState.ACTIVE, actor="test")
        self.instance.add_dynamic_partitions("tenant", [tenant_id])
        return tenant_id

    def land(self, *events: dict[str, Any]) -> int:
        """Commit accepted deliveries to raw.events as the lander does; returns the snapshot's id."""
        rows = [self._raw_row(event) for event in events]
        key = "unmogrowp.offset.test"
        slices: dict[str, list[dt.date]] = {}
        for row in rows:
            slices.setdefault(row["tenant_id"], []).append(row["event_date"])
        return self.lake.append_with_offsets(
            "raw.events",
            pa.Table.from_pylist(rows, schema=self.lake.arrow_schema("raw.events")),
            offsets={key: str(self.landed)},
            expected_offsets={k: v for k, v in self.lake.offsets("raw.events").items() if k == key},
            summary={"unmogrowp.slices": slices_json(slices)},
        )

    def _raw_row(self, event: dict[str, Any]) -> dict[str, Any]:
        self.landed += 1
        at = dt.datetime.fromisoformat(event["timestamp"])
        return {
            "tenant_id": event["tenantId"],
            "received_at": max(at, dt.datetime.now(dt.UTC) - dt.timedelta(days=5)),
            "land_seq": self.landed,
            "event_id": event["eventId"],
            "event_type": event["eventType"],
            "event_time": at,
            "event_date": at.date(),
            "schema_version": "v1",
            "body": json.dumps(event),
        }

    def materialize(
        self, tenant_id: str, first: dt.date, last: dt.date, *assets: str
    ) -> dg.ExecuteInProcessResult:
        """Run these assets (clean and marts when none are named) for one tenant's dates in this process."""
        job = self.defs.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey(name) for name in assets or ("clean_events", *MARTS)]
        return job.execute_in_process(
            asset_selection=keys, tags=range_tags(tenant_id, first, last), instance=self.instance
        )

    def mart(self, name: str, tenant_id: str) -> pl.DataFrame:
        """A tenant's rows of a mart, in a fixed order."""
        clickhouse = ClickHouse.from_settings(self.settings)
        frame = pl.DataFrame(
            clickhouse.query_arrow(f"SELECT * FROM marts.{name} WHERE tenant_id = '{tenant_id}'")
        )
        as_text = {
            column: pl.col(column).list.join("\0") if kind == pl.List(pl.String) else pl.col(column)
            for column, kind in frame.schema.items()
        }
        return frame.sort(list(as_text.values()))

    def marts(self, tenant_id: str) -> dict[str, pl.DataFrame]:
        """All marts of a tenant."""
        return {name: self.mart(name, tenant_id) for name in MARTS}


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("platform")
    settings = Settings(home=home, clickhouse_port=free_port("127.0.0.1", 0, set()))
    registry = Registry(settings.registry_url)
    registry.migrate()
    lake = Lake(settings)
    lake.ensure_tables()
    server = Engine(settings)
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield Platform(settings, server, instance, lake, registry, build_defs(settings))
    server.kill()


@pytest.fixture(scope="session")
def make_event() -> Any:
    """Builds v1 events: make_event(tenant, type, at, **fields)."""

    def make(tenant_id: str, event_type: str, at: dt.datetime, **fields: Any) -> dict[str, Any]:
        return {
            "eventId": str(uuid.uuid4()),
            "tenantId": tenant_id,
            "eventType": event_type,
            "timestamp": at.isoformat(timespec="milliseconds"),
            "deviceId": "d1",
            "appId": "app",
            **fields,
        }

    return make
