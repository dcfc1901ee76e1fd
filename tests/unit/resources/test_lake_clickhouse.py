"""ClickHouse reading the lake on S3: the store's credentials are in the server's environment alone."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path

import httpx

from resources.clickhouse import ClickHouse
from resources.embedded.clickhouse_process import ClickHouseProcess, local_warehouse, server_environment
from resources.lake import Lake
from tests.support.lake_rows import DAY, NEXT, clean_rows
from tests.support.servers import S3Server

REVENUE = "SELECT sum(revenue_micros) AS micros, count() AS events FROM {} WHERE tenant_id = 't1' AND event_date = '{}'"


def test_clickhouse_reads_a_clean_slice_from_s3_and_no_sql_holds_a_credential(
    tmp_path: Path, s3: S3Server
) -> None:
    settings = s3.settings(tmp_path / "home", "warehouse")
    server = ClickHouseProcess(
        settings.home / "clickhouse",
        environment=server_environment(settings),
        files=local_warehouse(settings),
    )
    with (
        closing(Lake(settings)) as lake,
        server,
        closing(ClickHouse(server.url, database="marts")) as clickhouse,
    ):
        lake.ensure_tables()

        def replace(tenant: str, date: dt.date, amounts: list[int]) -> str:
            rows = clean_rows(lake, tenant, date, amounts)
            lake.replace_slice("clean.events", rows, tenant_id=tenant, date=date, run_id="r")
            return lake.clickhouse_source("clean.events")

        def revenue(source: str) -> tuple[int | None, int]:
            [row] = clickhouse.query_rows(REVENUE.format(source, DAY))
            return row["micros"], row["events"]

        replace("t2", DAY, [1000])
        replace("t1", NEXT, [100])
        pinned = replace("t1", DAY, [1, 2])
        newest = replace("t1", DAY, [7])
        assert (revenue(pinned), revenue(newest)) == ((3, 2), (7, 1))
        assert revenue(replace("t1", DAY, [])) == (None, 0)
        for secret in (s3.access_key_id, s3.secret_access_key):
            assert secret not in pinned + newest
        metadata_url = lake.table("clean.events").metadata_location.replace("s3://", f"{s3.endpoint}/")
        assert httpx.get(metadata_url, trust_env=False).is_client_error  # the store reads no unsigned request
