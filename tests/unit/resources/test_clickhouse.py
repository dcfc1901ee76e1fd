"""The typed ClickHouse client against the real embedded server: values, errors by kind, waiting, recovery."""

from __future__ import annotations

import datetime as dt
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import SecretStr

from resources.clickhouse import (
    EMBEDDED_PASSWORD_FILE,
    RETRYABLE_CODES,
    ClickHouse,
    ClickHouseRefusedError,
    ClickHouseUnavailableError,
    password_of,
)
from resources.embedded.clickhouse_process import ClickHouseProcess, stack_command
from resources.errors import PermanentError, RetryableError, SettingsError
from resources.settings import Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[ClickHouseProcess]:
    settings.first_run_secret(EMBEDDED_PASSWORD_FILE)
    password_file = settings.secrets_dir / EMBEDDED_PASSWORD_FILE
    with ClickHouseProcess(settings.home / "clickhouse", password_file=password_file) as process:
        yield process


@pytest.fixture(scope="module")
def clickhouse(settings: Settings, server: ClickHouseProcess) -> Iterator[ClickHouse]:
    opened = ClickHouse.from_settings(settings.model_copy(update={"clickhouse_port": server.port}))
    yield opened
    opened.close()


def test_settings_name_the_embedded_engine_its_password_and_the_missing_database_is_made(
    clickhouse: ClickHouse, settings: Settings
) -> None:
    assert clickhouse.ping()
    assert clickhouse.query_rows("SELECT currentDatabase() AS d") == [{"d": "marts"}]
    assert (
        clickhouse.password
        == password_of(settings)
        == (settings.secrets_dir / EMBEDDED_PASSWORD_FILE).read_text()
    )
    command = stack_command(settings)
    assert clickhouse.password not in command
    assert command[command.index("--path") + 1] == str(settings.home / "clickhouse")


def test_a_given_server_gets_the_given_password_and_no_secret_is_made(tmp_path: Path) -> None:
    given = Settings(
        home=tmp_path, clickhouse_url="https://ch.example:9443/proxy", clickhouse_password=SecretStr("p")
    )
    client = ClickHouse.from_settings(given)
    assert (client.scheme, client.host, client.port, client.password) == ("https", "ch.example", 9443, "p")
    assert not (tmp_path / "secrets").exists()


def test_rows_arrow_and_commands_bind_parameters_and_keep_types(clickhouse: ClickHouse) -> None:
    clickhouse.command(
        "CREATE TABLE typed (id UInt64, day Date, at DateTime64(3, 'UTC'), note Nullable(String)) ORDER BY id"
    )
    at = dt.datetime(2026, 3, 4, 5, 6, 7, 89000, tzinfo=dt.UTC)
    rows = pa.table({"id": [1, 2], "day": [at.date(), at.date()], "at": [at, at], "note": ["a", None]})
    assert clickhouse.insert_arrow("typed", rows) == 2
    assert clickhouse.insert_arrow("typed", rows.slice(0, 0)) == 0
    found = clickhouse.query_rows("SELECT * FROM typed WHERE id >= {low:UInt64} ORDER BY id", {"low": 2})
    assert found == [{"id": 2, "day": at.date(), "at": at, "note": None}]
    arrow = clickhouse.query_arrow(
        "SELECT note FROM typed WHERE day = {day:Date} ORDER BY id", {"day": at.date()}
    )
    assert arrow.column("note").to_pylist() == ["a", None]
    clickhouse.command("ALTER TABLE typed DELETE WHERE id = {id:UInt64}", {"id": 1}, {"mutations_sync": 1})
    assert clickhouse.query_rows("SELECT count() AS n FROM typed") == [{"n": 1}]


def test_the_retryable_codes_carry_the_names_that_the_engine_gives_them(clickhouse: ClickHouse) -> None:
    sql = "SELECT code, errorCodeToName(code) AS name FROM (SELECT arrayJoin({codes:Array(UInt32)}) AS code)"
    rows = clickhouse.query_rows(sql, {"codes": sorted(RETRYABLE_CODES)})
    assert {row["code"]: row["name"] for row in rows} == RETRYABLE_CODES


@pytest.mark.parametrize(
    ("sql", "code", "kind"),
    [
        ("SELECT * FROM no_such_table", 60, PermanentError),
        ("SELEC", 62, PermanentError),
        ("SELECT * FROM no_such_database.t", 81, PermanentError),
        ("SELECT count() FROM numbers(100000000000) SETTINGS max_execution_time = 0.1", 159, RetryableError),
        (
            "SELECT groupArray(number) FROM numbers(10000000) SETTINGS max_memory_usage = 1000000",
            241,
            RetryableError,
        ),
    ],
)
def test_failures_say_by_type_whether_trying_again_may_help(
    clickhouse: ClickHouse, sql: str, code: int, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        clickhouse.query_rows(sql)
    assert isinstance(caught.value, ClickHouseRefusedError | ClickHouseUnavailableError)
    assert caught.value.code == code


def test_a_wrong_password_is_permanent_and_shown_nowhere(server: ClickHouseProcess) -> None:
    intruder = ClickHouse(server.url, password="guess-4711")
    assert not intruder.ping()
    with pytest.raises(ClickHouseRefusedError) as caught:
        intruder.query_rows("SELECT 1")
    assert caught.value.code == 516
    assert "guess-4711" not in str(caught.value)


def test_one_client_serves_many_threads(clickhouse: ClickHouse) -> None:
    def ask(number: int) -> object:
        return clickhouse.query_rows("SELECT {n:Int64} AS n", {"n": number})[0]["n"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(64))) == list(range(64))


def test_a_refused_connection_is_waited_for_and_then_reported_as_retryable(tmp_path: Path) -> None:
    with ClickHouseProcess(tmp_path) as first:
        port = first.port
    away = ClickHouse(f"http://127.0.0.1:{port}", connect_attempts=3, first_delay_s=0.05)
    assert not away.ping()
    started_s = time.monotonic()
    with pytest.raises(ClickHouseUnavailableError, match="does not answer: start it"):
        away.query_rows("SELECT 1")
    assert 0.15 <= time.monotonic() - started_s < 5

    patient = ClickHouse(f"http://127.0.0.1:{port}", connect_attempts=12)
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.extend(patient.query_rows("SELECT 1 AS x")))
    waiting.start()
    with ClickHouseProcess(tmp_path, port):
        waiting.join(timeout=30)
    assert answers == [{"x": 1}]


def test_a_deleted_directory_is_no_end_the_client_makes_its_database_again(tmp_path: Path) -> None:
    with ClickHouseProcess(tmp_path / "data") as first:
        client = ClickHouse(first.url, database="marts")
        client.command("CREATE TABLE t (a UInt8) ORDER BY a")
        port = first.port
    shutil.rmtree(tmp_path / "data")
    with ClickHouseProcess(tmp_path / "data", port):
        client.command("CREATE TABLE t (a UInt8) ORDER BY a")
        assert client.query_rows("SELECT count() AS n FROM t") == [{"n": 0}]
        client.close()


@pytest.mark.parametrize("url", ["ftp://h:1", "127.0.0.1:8123", "http://"])
def test_a_url_that_is_none_is_refused_when_it_is_given(url: str) -> None:
    with pytest.raises(SettingsError, match="UNMOGROWP_CLICKHOUSE_URL"):
        ClickHouse(url)
