"""Exports from a real ClickHouse and a real lake to files, and from there to a real tenant plane."""

import datetime as dt
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.export_contract import CANDIDATES_SENT, MARTS, SCORES, SCORES_DATASET, mart_sql
from assets.export_delivery import open_doors
from assets.export_files import ExportSlice, conformed, parquet_bytes, publish
from assets.exports import newest_of_slice, tenant_exports
from assets.partitions import TENANT_DIMENSION, range_tags
from ml_assets.features import read_installs, user_features
from resources.clickhouse import ClickHouse
from resources.destinations.attempts import Attempts
from resources.embedded.clickhouse_process import ClickHouseProcess
from resources.errors import ContractError, MixedTenantsError
from resources.lake import Lake, SnapshotChange
from resources.object_store import LocalObjectStore
from resources.registry import Registry
from resources.settings import Settings
from tenant_plane.mart_contract import MART_SCHEMAS
from tenant_plane.reports import trace
from tests.unit.ml_assets.synthetic_users import FIRST_DAY, features
from tests.unit.resources.served import served_plane

DAY = FIRST_DAY
NEXT_DAY = DAY + dt.timedelta(days=1)
INSTALL = {
    "tenant_id": "t1",
    "event_date": DAY,
    "install_id": "i1",
    "app_id": "app",
    "device_id": "d1",
    "install_time": dt.datetime(2026, 11, 1, 12, 0, 0, 123_000, dt.UTC),
    "platform": "ios",
    "country": "DE",
    "match_type": "organic",
    "tier": 5,
    "touch_time": None,
    "ctit_ms": None,
    "source": "organic",
    **dict.fromkeys(("touch_id", "touch_type", "medium", "campaign", "adgroup", "creative"), ""),
    "assists": ["a", "b"],
    "ruleset_hash": "r",
}


def clickhouse_type(field: Any) -> str:
    names = {
        pa.string(): "String",
        pa.date32(): "Date",
        pa.timestamp("ms", tz="UTC"): "DateTime64(3,'UTC')",
        pa.int64(): "Int64",
        pa.uint8(): "UInt8",
        pa.float64(): "Float64",
        pa.list_(pa.string()): "Array(String)",
    }
    return f"Nullable({names[field.type]})" if field.nullable else names[field.type]


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouseProcess(tmp_path_factory.mktemp("clickhouse")) as server:
        ClickHouse(server.url).command("CREATE DATABASE marts")
        door = ClickHouse(server.url, database="marts")
        for name, dataset in MARTS.items():
            columns = ", ".join(f"{field.name} {clickhouse_type(field)}" for field in dataset.schema)
            door.command(f"CREATE TABLE {name} ({columns}) ENGINE MergeTree ORDER BY (tenant_id, event_date)")
        yield door
        door.close()


@dataclass
class Plane:
    """One home with its lake, store and gateway, and the export asset over them."""

    settings: Settings
    clickhouse: ClickHouse
    lake: Lake
    store: LocalObjectStore

    def materialize(self, last: dt.date = DAY) -> dict[str, Any]:
        doors = {
            "lake": self.lake,
            "clickhouse": self.clickhouse,
            "exports_store": self.store,
            "deliveries": open_doors(self.settings, Attempts(count=2, base_delay_s=0.01)),
        }
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions(TENANT_DIMENSION, ["t1", "t2"])
            result = dg.materialize(
                [tenant_exports],
                instance=instance,
                resources={
                    name: dg.ResourceDefinition.hardcoded_resource(door) for name, door in doors.items()
                },
                tags=range_tags("t1", DAY, last),
            )
            metadata = result.asset_materializations_for_node("tenant_exports")[0].metadata
        return {name: value.value for name, value in metadata.items()}

    def manifest(self, dataset: str, day: dt.date = DAY) -> dict[str, Any]:
        content = self.store.read(f"t1/{dataset}/date={day}/manifest.json")
        assert content is not None
        document: dict[str, Any] = json.loads(content)
        return document

    def rows(self, dataset: str, day: dt.date = DAY) -> list[dict[str, Any]]:
        content = self.store.read(f"t1/{dataset}/date={day}/part-0.parquet")
        assert content is not None
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
        return rows


def insert_installs(clickhouse: ClickHouse, *changes: dict[str, Any]) -> None:
    rows = [INSTALL | change for change in changes]
    clickhouse.insert_arrow("installs", pa.Table.from_pylist(rows, schema=MARTS["installs"].schema))


@pytest.fixture
def plane(tmp_path: Path, clickhouse: ClickHouse) -> Plane:
    settings = Settings(home=tmp_path)
    lake = Lake(settings)
    lake.ensure_tables()
    with closing(Registry.from_settings(settings)) as registry:
        registry.migrate()
        registry.request("t1", "starter", "test")
    clickhouse.command("TRUNCATE TABLE installs")
    others = ({"tenant_id": "t2"}, {"event_date": NEXT_DAY})
    insert_installs(clickhouse, {"install_id": "i2"}, {"install_id": "i1"}, *others)
    return Plane(settings, clickhouse, lake, LocalObjectStore(settings.exports_dir))


def write_scores(lake: Lake, users: int = 3) -> None:
    known = features("t1", users, days=1)
    scores = known.select(
        "tenant_id",
        "as_of",
        "app_id",
        "user_id",
        pl.lit("ltv_t1").alias("model_name"),
        pl.lit("1").alias("model_version"),
        pl.lit(1.5).alias("score"),
        pl.lit(3, dtype=pl.Int64).alias("horizon_days"),
    )
    for table, frame in (("ml.user_features", known), ("ml.scores", scores)):
        lake.replace_slice(table, frame, tenant_id="t1", date=DAY, run_id="test")


def test_a_slice_s_files_hold_its_own_rows_in_order_and_the_manifest_describes_them(plane: Plane) -> None:
    write_scores(plane.lake)
    metadata = plane.materialize(last=NEXT_DAY)
    assert metadata["rows"] == {**dict.fromkeys(MARTS, 0), "installs": 3, SCORES: 3}
    assert [row["install_id"] for row in plane.rows("installs")] == ["i1", "i2"]
    assert plane.rows("installs")[0] == INSTALL
    manifest = plane.manifest("installs")
    content = (plane.settings.exports_dir / f"t1/installs/date={DAY}/part-0.parquet").read_bytes()
    assert manifest["files"] == [
        {
            "name": "part-0.parquet",
            "rows": 2,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "schema_version": "v1",
        }
    ]
    assert manifest["restatement"] == 0
    assert plane.manifest(SCORES)["source_snapshots"]["ml.scores"] is not None
    assert not (plane.settings.exports_dir / "t2").exists()


def test_exporting_again_changes_no_byte(plane: Plane) -> None:
    write_scores(plane.lake)
    plane.materialize()
    before = {key: plane.store.read(key) for key in plane.store.keys("t1")}
    assert plane.materialize()["restated"] == 0
    assert {key: plane.store.read(key) for key in plane.store.keys("t1")} == before


def test_only_changed_content_is_a_restatement(plane: Plane) -> None:
    plane.materialize()
    insert_installs(plane.clickhouse, {"install_id": "i3"})
    assert plane.materialize()["restated"] == 1
    assert plane.manifest("installs")["restatement"] == 1
    assert plane.manifest("kpi_daily")["restatement"] == 0


def test_a_crash_before_the_manifest_counts_one_restatement_as_the_run_would_have(plane: Plane) -> None:
    plane.materialize()
    insert_installs(plane.clickhouse, {"install_id": "i3"})
    slice_ = ExportSlice("t1", MARTS["installs"], DAY)
    rows = pa.Table.from_pylist([INSTALL], schema=MARTS["installs"].schema)
    plane.store.write(slice_.key("part-0.parquet"), parquet_bytes(rows))  # died here, with other content even
    plane.materialize()
    assert plane.manifest("installs")["restatement"] == 1
    assert len(plane.rows("installs")) == 3


def test_a_plane_gets_what_is_new_once_and_a_restatement_again(plane: Plane, tmp_path: Path) -> None:
    write_scores(plane.lake)
    assert plane.materialize()["pushed"] == 0  # no plane yet: the exports wait
    with served_plane(plane.settings.tenants_dir, "t1", tmp_path / "plane"):
        assert plane.materialize()["pushed"] == len(MARTS) + 1
        assert plane.materialize()["pushed"] == 0
        insert_installs(plane.clickhouse, {"install_id": "i3"})
        assert plane.materialize()["pushed"] == 1
    stored = pq.read_table(tmp_path / "plane" / "marts" / "installs" / f"date={DAY}" / "data.parquet")
    assert {*stored["install_id"].to_pylist()} == {"i1", "i2", "i3"}
    with served_plane(plane.settings.tenants_dir, "t1", tmp_path / "another"):
        assert plane.materialize()["pushed"] == len(MARTS) + 1  # a new instance has acknowledged nothing


def test_an_empty_score_set_is_pushed_only_where_there_was_one(plane: Plane, tmp_path: Path) -> None:
    with served_plane(plane.settings.tenants_dir, "t1", tmp_path / "plane"):
        assert plane.materialize()["pushed"] == len(MARTS)
        write_scores(plane.lake)
        assert plane.materialize()["pushed"] == 1
        write_scores(plane.lake, users=0)
        assert plane.materialize()["pushed"] == 1


def test_the_contract_is_the_one_that_tenant_planes_accept() -> None:
    assert {name: dataset.schema for name, dataset in MARTS.items()} == MART_SCHEMAS


def test_of_a_conversion_the_first_candidates_in_the_waterfall_s_order_are_sent(plane: Plane) -> None:
    dataset = MARTS["touch_decisions"]
    plain = {pa.string(): "", pa.uint8(): 1, pa.int64(): 0, pa.date32(): DAY}
    empty = {field.name: plain.get(field.type, INSTALL["install_time"]) for field in dataset.schema}
    rows = [
        empty
        | {"tenant_id": "t7", "app_id": "app", "conversion_id": conversion, "touch_id": f"{number:03}"}
        | {"waterfall_position": 0 if number < 20 else 300 - number}
        for conversion, candidates in (("many", 200), ("few", 3))
        for number in range(candidates)
    ]
    plane.clickhouse.insert_arrow("touch_decisions", pa.Table.from_pylist(rows, schema=dataset.schema))
    sent = plane.clickhouse.query_arrow(mart_sql(dataset), {"tenant_id": "t7", "date": DAY}).to_pylist()
    first = [f"{number:03}" for number in range(200 - CANDIDATES_SENT, 200)]
    assert [row["touch_id"] for row in sent] == ["000", "001", "002", *first]
    assert CANDIDATES_SENT == trace.CANDIDATES_SENT  # the page says that there may be more


def test_rows_of_another_tenant_or_date_and_nulls_are_never_exported(tmp_path: Path) -> None:
    slice_ = ExportSlice("t1", MARTS["installs"], DAY)
    loose = pa.schema([pa.field(field.name, field.type) for field in MARTS["installs"].schema])

    def table(**change: Any) -> pa.Table:
        return pa.Table.from_pylist([INSTALL, INSTALL | change], schema=loose)

    with pytest.raises(MixedTenantsError, match="t2"):
        conformed(table(tenant_id="t2"), slice_)
    with pytest.raises(ContractError, match="another date"):
        conformed(table(event_date=NEXT_DAY), slice_)
    with pytest.raises(ContractError, match="campaign holds nulls"):
        conformed(table(campaign=None), slice_)
    with pytest.raises(ContractError, match="contract"):
        conformed(table().drop_columns(["tier"]), slice_)
    store = LocalObjectStore(tmp_path)
    with pytest.raises(MixedTenantsError):
        publish(store, slice_, table(tenant_id="t2"), source_snapshots={}, run_id="r")
    assert store.keys("t1") == []


def test_a_manifest_names_the_newest_snapshot_of_its_own_slice() -> None:
    now = dt.datetime.now(dt.UTC)
    changes = [
        SnapshotChange(1, now, {"t1": (DAY,)}, {}),
        SnapshotChange(2, now, {"t1": (NEXT_DAY,), "t2": (DAY,)}, {}),
    ]
    assert newest_of_slice(changes, "t1", DAY) == 1
    assert newest_of_slice(changes, "t3", DAY) is None


def test_scores_are_exported_in_their_declared_columns() -> None:
    assert SCORES_DATASET.date_column == "as_of"
    assert SCORES_DATASET.schema.field("ctit_ms").nullable
    assert not SCORES_DATASET.schema.field("score").nullable


def test_installs_are_read_for_features_as_the_mart_has_them(plane: Plane) -> None:
    installs = read_installs(plane.clickhouse, "t1", [DAY, NEXT_DAY])
    assert sorted(installs["install_id"].to_list()) == ["i1", "i1", "i2"]
    assert set(installs["tenant_id"].to_list()) == {"t1"}
    nothing_happened = plane.lake.read_slices("clean.events", "t1", [DAY])
    (row,) = user_features(nothing_happened, installs, DAY, currency="USD").to_dicts()
    assert (row["user_id"], row["is_organic"], row["sessions"]) == ("d1", True, 0)
    assert row["hours_observed"] == pytest.approx(12 - 0.123 / 3600)
