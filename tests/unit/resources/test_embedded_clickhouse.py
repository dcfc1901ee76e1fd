"""The embedded ClickHouse server, run as it is: clients, sessions, owners, kill -9, concurrency."""

from __future__ import annotations

import datetime as dt
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr

from resources.embedded.clickhouse_process import ClickHouseProcess, server_command, server_environment
from resources.errors import ServiceUnavailableError
from resources.settings import APPLICATION_ROOT, Settings

UTC = dt.UTC
ROWS: list[list[Any]] = [
    [1, "x", ["p", "q"], dt.datetime(2026, 1, 1, tzinfo=UTC)],
    [2, None, [], dt.datetime(2026, 1, 1, 1, 2, 3, 4000, tzinfo=UTC)],
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseProcess]:
    with ClickHouseProcess(tmp_path_factory.mktemp("clickhouse")) as process:
        yield process


def connect(server: ClickHouseProcess, **options: Any) -> Client:
    return clickhouse_connect.get_client(host="127.0.0.1", port=server.port, **options)


@pytest.fixture(scope="module")
def client(server: ClickHouseProcess) -> Iterator[Client]:
    with closing(connect(server)) as opened:
        opened.command(
            "CREATE TABLE kinds (a UInt64, b Nullable(String), c Array(String), d DateTime64(3, 'UTC'))"
            " ENGINE = MergeTree ORDER BY a"
        )
        yield opened


@pytest.mark.parametrize("compress", [True, False, "gzip", "zstd", "lz4"])
def test_rows_and_arrow_tables_come_back_as_they_went_in(
    server: ClickHouseProcess, client: Client, compress: bool | str
) -> None:
    client.command("TRUNCATE TABLE kinds")
    with closing(connect(server, compress=compress)) as coded:
        coded.insert("kinds", ROWS, column_names=["a", "b", "c", "d"])
        arrow = coded.query_arrow("SELECT * FROM kinds ORDER BY a")
        assert arrow.column("c").to_pylist() == [["p", "q"], []]
        coded.insert_arrow("kinds", arrow)
        answer = coded.query("SELECT DISTINCT * FROM kinds ORDER BY a", tz_mode="aware")
        assert [list(row) for row in answer.result_rows] == ROWS
        assert coded.command("SELECT count() FROM kinds") == 4
        large = coded.query_arrow("SELECT number, toString(number) AS s FROM numbers(300000)")
        assert large.column("s")[299_999].as_py() == "299999"


def test_parameters_are_substituted_by_the_server_even_when_they_are_long(client: Client) -> None:
    sql = "SELECT {n:UInt8} + 1, {s:String}, {l:Array(String)}, {none:Nullable(String)}"
    hostile = "a'b\\ \t\n{n:UInt8} я; DROP TABLE kinds"
    for text in (hostile, hostile * 1000):  # the second goes as a multipart form
        row = client.query(sql, parameters={"n": 5, "s": text, "l": ["x", "y'"], "none": None}).result_rows[0]
        assert list(row) == [6, text, ["x", "y'"], None]


@pytest.mark.parametrize(
    ("sql", "code", "name"),
    [
        ("SELECT nope FROM kinds", 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT * FROM nope", 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT throwIf(number = 99999) FROM numbers(100000)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ],
)
def test_errors_carry_the_engines_code_and_name(client: Client, sql: str, code: int, name: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query(sql)
    assert (caught.value.code, caught.value.name) == (code, name)


def test_a_failed_insert_names_its_reason_and_the_next_one_works(client: Client) -> None:
    client.command("TRUNCATE TABLE kinds")
    with pytest.raises(DatabaseError, match="NO_SUCH_COLUMN"):
        client.raw_insert("kinds", ["zz"], b"1\n", fmt="CSV")
    with pytest.raises(DatabaseError, match="INCORRECT_DATA"):
        client.raw_insert("kinds", ["a"], b"one\n", fmt="CSV")
    client.raw_insert("kinds", ["a"], b"1\n2\n", fmt="CSV")
    assert client.command("SELECT count() FROM kinds") == 2


def test_an_empty_answer_still_has_its_columns(client: Client) -> None:
    assert client.query("SELECT * FROM kinds LIMIT 0").column_names == ("a", "b", "c", "d")
    assert client.query_arrow("SELECT a, b FROM kinds WHERE 0").schema.names == ["a", "b"]


def test_raw_http_has_the_servers_headers_formats_and_read_only_get(server: ClickHouseProcess) -> None:
    with httpx.Client(base_url=server.url) as http:
        assert http.get("/ping").text == http.get("/").text == "Ok.\n"
        assert http.get("/health/ready").json() == {"status": "ready"}
        answer = http.post("/", params={"query_id": "q1"}, content="SELECT 1 AS x FORMAT JSONEachRow")
        assert (answer.text, answer.headers["x-clickhouse-query-id"]) == ('{"x":1}\n', "q1")
        assert answer.headers["x-clickhouse-format"] == "JSONEachRow"
        assert answer.headers["x-clickhouse-timezone"] == "UTC"
        assert http.get("/", params={"query": "SELECT 1"}).text == "1\n"
        assert (
            http.get("/", params={"query": "CREATE DATABASE evil"}).headers["x-clickhouse-exception-code"]
            == "164"
        )
        assert http.get("/", params={"query": "SELECT getSetting('readonly')"}).text == "2\n"
        assert http.post("/", content="SELECT 1; SELECT 2").status_code == 400
        assert http.post("/", headers={"Host": "rebound.example"}, content="SELECT 1").status_code == 400
        assert http.post("/", headers={"Origin": "http://x.example"}, content="SELECT 1").status_code == 403
        assert 'clickhouse_requests_total{code="164"} 1.0' in http.get("/metrics").text


def test_a_session_keeps_its_own_state_and_gives_back_what_a_request_set(server: ClickHouseProcess) -> None:
    with closing(connect(server, session_id="one")) as one, closing(connect(server, session_id="two")) as two:
        one.command("CREATE TEMPORARY TABLE mine (a Int8)")
        one.command("INSERT INTO mine VALUES (1)")
        assert one.command("SELECT count() FROM mine") == 1
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
            two.command("SELECT count() FROM mine")
        one.command("SET max_block_size = 123")
        read = "SELECT getSetting('max_block_size'), currentDatabase()"
        assert one.query(read, settings={"max_block_size": 7}).result_rows[0][0] == 7
        assert one.query(read).first_row == (123, "default")
        asked = {"session_id": "one", "query": read, "max_block_size": "9", "no_such_setting": "1"}
        refused = httpx.post(server.url, params=asked)
        assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (404, "115")
        assert one.query(read).first_row == (123, "default")
        assert two.query(read).result_rows[0][0] != 123
        one.command("CREATE DATABASE IF NOT EXISTS other")
        one.command("USE other")
        assert one.query(read).first_row == (123, "other")


def test_a_busy_session_and_an_unknown_one_are_refused(server: ClickHouseProcess) -> None:
    slow = {"session_id": "busy", "query": "SELECT sleep(1)"}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(httpx.post, server.url, params=slow)
        time.sleep(0.4)
        second = httpx.post(server.url, params={**slow, "query": "SELECT 1"})
        assert second.headers["x-clickhouse-exception-code"] == "373"
        assert running.result().status_code == 200
    unknown = httpx.post(
        server.url, params={"session_id": "never", "session_check": "1", "query": "SELECT 1"}
    )
    assert unknown.headers["x-clickhouse-exception-code"] == "372"


def test_eight_threads_with_different_settings_and_databases_never_see_each_others(
    server: ClickHouseProcess, client: Client
) -> None:
    for number in range(4):
        client.command(f"CREATE DATABASE IF NOT EXISTS d{number}")

    def ask(number: int) -> set[tuple[object, ...]]:
        seen: set[tuple[object, ...]] = set()
        database = f"d{number % 4}" if number else "default"
        settings = {"max_block_size": 1000 + number} if number % 2 else {}
        sql = "SELECT getSetting('max_block_size'), currentDatabase(), count() FROM numbers(1000)"
        with closing(connect(server, autogenerate_session_id=False, database=database)) as own:
            for _ in range(25):
                seen.update(map(tuple, own.query(sql, settings=settings).result_rows))
        return seen

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    default_block_size = answers[0].copy().pop()[0]
    for number, seen in enumerate(answers):
        block_size = 1000 + number if number % 2 else default_block_size
        assert seen == {(block_size, f"d{number % 4}" if number else "default", 1000)}


def test_killed_in_the_middle_of_work_it_comes_back_with_every_acknowledged_row(tmp_path: Path) -> None:
    first = ClickHouseProcess(tmp_path)
    with closing(connect(first)) as client:
        client.command("CREATE DATABASE marts")
        client.command("CREATE TABLE marts.t (a UInt64) ENGINE = MergeTree ORDER BY a")
        for batch in range(5):
            client.insert("marts.t", [[batch * 100 + i] for i in range(100)], column_names=["a"])
    first.kill()
    with ClickHouseProcess(tmp_path) as second, closing(connect(second)) as client:
        assert client.query("SELECT count(), uniqExact(a) FROM marts.t").first_row == (500, 500)


def test_a_second_process_on_one_directory_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with ClickHouseProcess(tmp_path) as owner:
        second = subprocess.run(
            server_command(tmp_path, 1), cwd=APPLICATION_ROOT, capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert f"process {owner.pid} already serves {tmp_path}" in second.stderr
        assert len(second.stderr.splitlines()) == 1
        with pytest.raises(ServiceUnavailableError, match="already serves"):
            ClickHouseProcess(tmp_path)


def test_replacing_a_partition_is_atomic_for_readers_and_can_empty_it(server: ClickHouseProcess) -> None:
    with closing(connect(server, autogenerate_session_id=False)) as client:
        for table in ("target", "source"):
            client.command(
                f"CREATE TABLE {table} (tenant_id String, event_date Date, v Int64) ENGINE = MergeTree"
                " PARTITION BY (tenant_id, toYYYYMM(event_date)) ORDER BY (tenant_id, event_date)"
            )
        client.command("INSERT INTO target SELECT 't1', '2026-01-05', 1 FROM numbers(1000)")
        client.command("INSERT INTO target SELECT 't2', '2026-01-05', 1 FROM numbers(10)")

        def read(_: int) -> set[tuple[int, int]]:
            seen: set[tuple[int, int]] = set()
            with closing(connect(server, autogenerate_session_id=False)) as reader:
                for _ in range(40):
                    rows = reader.query(
                        "SELECT count(), sum(v) FROM target WHERE tenant_id = 't1'"
                    ).result_rows
                    seen.update((int(count), int(total)) for count, total in rows)
            return seen

        replace = "ALTER TABLE target REPLACE PARTITION ({tenant:String}, 202601) FROM source"
        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read, number) for number in range(2)]
            for insert in [
                "SELECT 't1', '2026-01-09', 2 FROM numbers(500)",
                "SELECT 't1', '2026-01-05', 1 FROM numbers(1000)",
            ] * 5:
                client.command("TRUNCATE TABLE source")
                client.command("INSERT INTO source " + insert)
                client.command(replace, parameters={"tenant": "t1"})
            for reader in readers:
                assert reader.result() <= {(1000, 1000), (500, 1000)}

        client.command("TRUNCATE TABLE source")
        with pytest.raises(DatabaseError, match="allow_replace_partition_from_empty_source"):
            client.command(replace, parameters={"tenant": "t1"})
        client.command(
            replace, parameters={"tenant": "t1"}, settings={"allow_replace_partition_from_empty_source": 1}
        )
        assert client.query("SELECT tenant_id, count() FROM target GROUP BY 1").result_rows == [("t2", 10)]


def test_s3_credentials_reach_the_server_by_its_environment_only(tmp_path: Path) -> None:
    given = server_environment(
        Settings(home=tmp_path, s3_access_key_id="k", s3_secret_access_key=SecretStr("s"))
    )
    assert (given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"]) == ("k", "s")
    assert "s" not in server_command(tmp_path, 1)


def test_arrow_strings_of_polars_kind_are_inserted(client: Client) -> None:
    client.command("CREATE TABLE large_strings (s String) ENGINE = Memory")
    client.insert_arrow("large_strings", pa.table({"s": pa.array(["ä", "b"], pa.large_string())}))
    assert client.query("SELECT s FROM large_strings ORDER BY s").result_columns == [["b", "ä"]]
