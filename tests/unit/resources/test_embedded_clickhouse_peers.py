"""The embedded ClickHouse server with its two peers, unchanged: `dbt build`, and PyIceberg's tables."""

from __future__ import annotations

import datetime as dt
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DateType, LongType, NestedField, StringType, TimestamptzType

from resources.clickhouse import ClickHouse
from resources.embedded.clickhouse_process import ClickHouseProcess
from resources.settings import child_environment

DAY_1, DAY_2 = dt.date(2026, 1, 1), dt.date(2026, 1, 2)
SUM_OF_VALUES = "SELECT sum(value) AS total FROM"
ACCESS_KEY, SECRET_KEY = "lake-access-key", "lake-secret-key"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseProcess]:
    environment = child_environment(
        AWS_ACCESS_KEY_ID=ACCESS_KEY, AWS_SECRET_ACCESS_KEY=SECRET_KEY, AWS_REGION="us-east-1"
    )
    directory, files = tmp_path_factory.mktemp("clickhouse"), tmp_path_factory.getbasetemp()
    with ClickHouseProcess(directory, environment=environment, files=files) as process:
        yield process


@pytest.fixture(scope="module")
def clickhouse(server: ClickHouseProcess) -> Iterator[ClickHouse]:
    client = ClickHouse(server.url, database="marts")
    yield client
    client.close()


DBT_FILES = {
    "dbt_project.yml": """
name: smallest
version: "1.0"
profile: smallest
model-paths: [models]
flags: {send_anonymous_usage_stats: false}
""",
    "models/days.sql": """
{{ config(materialized='table', order_by='n') }}
SELECT number AS n, toDate('2026-01-01') + number AS day FROM numbers({{ var('days') }})
""",
    "models/growing.sql": """
{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='n', order_by='n') }}
SELECT n, day, {{ var('days') }} AS run FROM {{ ref('days') }}
{% if is_incremental() %} WHERE n >= (SELECT max(n) FROM {{ this }}) {% endif %}
""",
    "models/slices.sql": """
{{ config(materialized='incremental', incremental_strategy='insert_overwrite',
          partition_by='day', order_by='n') }}
SELECT n, day, {{ var('days') }} AS run FROM {{ ref('days') }}
{% if is_incremental() %} WHERE n >= 2 {% endif %}
""",
    "models/schema.yml": """
models:
  - name: days
    config: {contract: {enforced: true}}
    columns:
      - {name: n, data_type: UInt64, data_tests: [unique, not_null]}
      - {name: day, data_type: Date}
  - name: growing
    columns: [{name: n, data_tests: [unique]}]
""",
}


def dbt_build(project: Path, days: int) -> dict[str, str]:
    """Status per node of `dbt build`, in a process of its own as the stack runs it."""
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "build"]
    command += [
        "--project-dir",
        str(project),
        "--profiles-dir",
        str(project),
        "--vars",
        json.dumps({"days": days}),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=project)
    assert done.returncode == 0, done.stdout
    results = json.loads((project / "target/run_results.json").read_text())["results"]
    return {result["unique_id"]: result["status"] for result in results}


def test_dbt_builds_tables_increments_contracts_and_tests(
    tmp_path: Path, server: ClickHouseProcess, clickhouse: ClickHouse
) -> None:
    profile = {
        "type": "clickhouse",
        "schema": "built",
        "host": "127.0.0.1",
        "port": server.port,
        "threads": 4,
    }
    profiles = {"smallest": {"target": "here", "outputs": {"here": profile}}}
    for name, text in {**DBT_FILES, "profiles.yml": json.dumps(profiles)}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for days in (3, 5):
        statuses = dbt_build(tmp_path, days)
        assert set(statuses.values()) == {"success", "pass"}
        assert len(statuses) == 6
    for table, runs in (("growing", [3, 3, 5, 5, 5]), ("slices", [3, 3, 5, 5, 5])):
        found = clickhouse.query_rows("SELECT run FROM built.{t:Identifier} ORDER BY n", {"t": table})
        assert [row["run"] for row in found] == runs


SCHEMA = Schema(
    NestedField(1, "tenant_id", StringType(), required=True),
    NestedField(2, "event_date", DateType(), required=True),
    NestedField(3, "event_time", TimestamptzType(), required=True),
    NestedField(4, "country", StringType()),
    NestedField(5, "value", LongType()),
)
SPEC = PartitionSpec(
    PartitionField(1, 1000, IdentityTransform(), "tenant_id"),
    PartitionField(2, 1001, IdentityTransform(), "event_date"),
)


def rows(tenant_id: str, day: dt.date, values: list[int | None]) -> pa.Table:
    at = dt.datetime(day.year, day.month, day.day, 1, 2, 3, 456789, tzinfo=dt.UTC)
    return pa.Table.from_pylist(
        [
            {
                "tenant_id": tenant_id,
                "event_date": day,
                "event_time": at,
                "country": "TR" if value else None,
                "value": value,
            }
            for value in values
        ],
        schema=SCHEMA.as_arrow(),
    )


def table_with_slices(catalog: SqlCatalog) -> Table:
    catalog.create_namespace("clean")
    table = catalog.create_table("clean.events", SCHEMA, partition_spec=SPEC)
    for arrow in (rows("a", DAY_1, [1, 2, None]), rows("a", DAY_2, [4]), rows("b", DAY_1, [8, 16])):
        table.append(arrow)
    return table


def pinned(table: Table) -> str:
    return table.metadata_location.removeprefix(table.location()).lstrip("/")


def test_a_pinned_iceberg_table_is_read_with_its_types_its_pruning_and_its_overwrites(
    tmp_path: Path, clickhouse: ClickHouse
) -> None:
    catalog = SqlCatalog(
        "lake", uri=f"sqlite:///{tmp_path / 'catalog.db'}", warehouse=str(tmp_path / "warehouse")
    )
    table = table_with_slices(catalog)
    location = table.location().removeprefix("file://")
    before = f"icebergLocal('{location}', SETTINGS iceberg_metadata_file_path = '{pinned(table)}')"
    found = clickhouse.query_arrow(
        "SELECT * FROM " + before + " WHERE tenant_id = {t:String} AND event_date = {d:Date} ORDER BY value",
        {"t": "a", "d": DAY_1},
    )
    assert found.column("value").to_pylist() == [1, 2, None]
    assert found.column("country").to_pylist() == ["TR", "TR", None]
    assert found.column("event_time").type == pa.timestamp("us", tz="UTC")
    assert found.column("event_time")[0].as_py() == dt.datetime(2026, 1, 1, 1, 2, 3, 456789, tzinfo=dt.UTC)

    (tmp_path / "warehouse/clean/events/metadata/99999-left-by-a-lost-commit.metadata.json").write_text("{")
    table.overwrite(rows("a", DAY_1, [32]), f"tenant_id = 'a' AND event_date = '{DAY_1}'")
    after = f"icebergLocal('{location}', SETTINGS iceberg_metadata_file_path = '{pinned(table)}')"
    totals = "SELECT tenant_id, event_date, sum(value) AS total FROM {} GROUP BY ALL ORDER BY ALL"
    assert [row["total"] for row in clickhouse.query_rows(totals.format(before))] == [3, 4, 24]
    assert [row["total"] for row in clickhouse.query_rows(totals.format(after))] == [32, 4, 24]

    for file in (tmp_path / "warehouse/clean/events/data/tenant_id=b").rglob("*.parquet"):
        file.unlink()  # a query that prunes never opens the other slices' files
    slice_a = f"{SUM_OF_VALUES} {after} WHERE tenant_id = 'a' AND event_date = '2026-01-02'"
    assert clickhouse.query_rows(slice_a) == [{"total": 4}]


@pytest.fixture
def s3_endpoint(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "s3/lake").mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rclone = Path(sys.executable).with_name("rclone")
    command = [str(rclone), "serve", "s3", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    command += ["--addr", f"127.0.0.1:{port}", str(tmp_path / "s3")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=child_environment(HOME=str(tmp_path)))
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


def test_an_iceberg_table_on_s3_is_read_with_the_servers_own_credentials(
    tmp_path: Path, clickhouse: ClickHouse, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_REQUIRED"
    )  # rclone knows no checksum trailers
    options = {
        "uri": f"sqlite:///{tmp_path / 'catalog.db'}",
        "warehouse": "s3://lake/warehouse",
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        "s3.endpoint": s3_endpoint,
        "s3.access-key-id": ACCESS_KEY,
        "s3.secret-access-key": SECRET_KEY,
        "s3.region": "us-east-1",
    }
    table = table_with_slices(SqlCatalog("lake", **options))
    url = table.location().replace("s3://", f"{s3_endpoint}/")
    source = f"icebergS3('{url}', SETTINGS iceberg_metadata_file_path = '{pinned(table)}')"
    found = clickhouse.query_rows(f"{SUM_OF_VALUES} {source} WHERE tenant_id = 'a'")
    assert found == [{"total": 7}]
