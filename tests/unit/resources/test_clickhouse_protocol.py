"""The embedded ClickHouse server's pure parts: statements, parameters, codings, errors, the lock."""

from __future__ import annotations

import gzip
import time
import zlib
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped] # the package has no stubs
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from resources.embedded import clickhouse_protocol as protocol
from resources.embedded.clickhouse_server import authenticate
from resources.embedded.clickhouse_statement import parse_statement
from resources.embedded.directory_lock import DirectoryLock
from resources.errors import DirectoryLockedError


@pytest.mark.parametrize(
    ("sql", "verb", "output_format", "reads"),
    [
        (b"SELECT 1", "SELECT", None, True),
        (b"-- why\n/* FORMAT CSV; */ select 1 FORMAT JSON", "SELECT", "JSON", True),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "SELECT", "JSON", True),
        (b"SELECT 1 SETTINGS max_threads = 1\n FORMAT Native;", "SELECT", "Native", True),
        (b"SELECT format FROM t", "SELECT", None, True),
        (b"SELECT 1 AS format FORMAT Arrow", "SELECT", "Arrow", True),
        (b"SELECT 'x FORMAT CSV'", "SELECT", None, True),
        (b"SELECT $doc$ ; FORMAT CSV $doc$ FORMAT TSV", "SELECT", "TSV", True),
        (b"(SELECT 1) UNION ALL (SELECT 2) FORMAT TSV", "SELECT", "TSV", True),
        (b"WITH 1 AS x SELECT x", "WITH", None, True),
        (b"WITH 1 AS x INSERT INTO t SELECT x", "WITH", None, False),
        (b"INSERT INTO t SELECT 1 FORMAT Native", "INSERT", "Native", False),
        (b"INSERT INTO t VALUES ('a;b'), ('FORMAT CSV')", "INSERT", None, False),
        (b"ALTER TABLE t DELETE WHERE a = 1", "ALTER", None, False),
        (b"KILL QUERY WHERE 1", "KILL", None, False),
    ],
)
def test_statement_is_read_to_its_verb_and_output_format(
    sql: bytes, verb: str, output_format: str | None, reads: bool
) -> None:
    statement = parse_statement(sql)
    assert (statement.verb, statement.output_format, statement.only_reads) == (verb, output_format, reads)
    assert statement.input_format is None


@pytest.mark.parametrize(
    ("sql", "head", "input_format", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x01\x00\n;'", b"INSERT INTO t ", "Native", b"\x01\x00\n;'"),
        (
            b'INSERT INTO `a`.`b` (`x`, "y") SETTINGS z=1 FORMAT CSV 1,2\n',
            b'INSERT INTO `a`.`b` (`x`, "y") SETTINGS z=1 ',
            "CSV",
            b"1,2\n",
        ),
        (b"INSERT INTO format FORMAT TSV\n\n1\n", b"INSERT INTO format ", "TSV", b"\n1\n"),
        (b"INSERT INTO t FORMAT Arrow", b"INSERT INTO t ", "Arrow", b""),
    ],
)
def test_inline_data_starts_after_the_format_and_stays_byte_for_byte(
    sql: bytes, head: bytes, input_format: str, data: bytes
) -> None:
    statement = parse_statement(sql)
    assert (statement.sql, statement.input_format, statement.data) == (head, input_format, data)


@pytest.mark.parametrize(
    "sql", [b"SELECT 1; DROP TABLE t", b"INSERT INTO t VALUES (1); SELECT 2", b"", b" -- x"]
)
def test_two_statements_or_none_are_a_syntax_error(sql: bytes) -> None:
    with pytest.raises(protocol.EngineError) as caught:
        parse_statement(sql)
    assert (caught.value.code, caught.value.http_status) == (62, 400)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_and_never_crash_the_reader(text: bytes) -> None:
    try:
        statement = parse_statement(text)
    except protocol.EngineError:
        return
    assert statement.sql or statement.data


@pytest.mark.parametrize("tail", [b"a''\\'", b"/*", b"$a$", b"'", b"((", b"`\\"])
def test_unterminated_text_is_read_in_linear_time(tail: bytes) -> None:
    started_s = time.perf_counter()
    assert parse_statement(b"SELECT '" + tail * 100_000).verb == "SELECT"
    assert parse_statement(b"SELECT " + tail * 100_001).verb == "SELECT"
    assert time.perf_counter() - started_s < 5  # 0.1 s measured; quadratic reading takes minutes


def test_url_parameters_are_transport_substitutions_or_settings() -> None:
    pairs = [("query", "SELECT 1"), ("database", "marts"), ("param_x", "1"), ("max_threads", "2")]
    options = protocol.parse_options([*pairs, ("wait_end_of_query", "1"), ("session_timeout", "9")], {})
    assert (options.query, options.database) == ("SELECT 1", "marts")
    assert (options.parameters, options.settings) == ({"x": "1"}, {"max_threads": "2"})
    assert options.session_timeout_s == 9


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        (("a = 1, b", "1"), 115),
        (("session_timeout", "-1"), 36),
        (("session_timeout", "9999"), 36),
        (("compress", "1"), 48),
    ],
)
def test_parameters_that_cannot_be_served_name_their_error(pair: tuple[str, str], code: int) -> None:
    with pytest.raises(protocol.EngineError) as caught:
        protocol.parse_options([pair], {})
    assert caught.value.code == code


def test_form_fields_keep_their_bytes_and_files_are_refused() -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT\r\n1\n\r\n--B--\r\n'
    assert protocol.parse_form(body, "multipart/form-data; boundary=B") == {"query": "SELECT\r\n1\n"}
    with pytest.raises(protocol.EngineError, match="external tables"):
        protocol.parse_form(body.replace(b'"query"', b'"t"; filename="t"'), "multipart/form-data; boundary=B")


def test_bodies_are_decoded_from_every_coding_that_clients_use() -> None:
    body = b"row\n" * 1000
    coded = {
        "gzip": gzip.compress(body),
        "deflate": zlib.compress(body),
        "zstd": zstandard.compress(body),
        "lz4": lz4.frame.compress(body),
        "": body,
    }
    assert {name: protocol.decode_body(value, name) for name, value in coded.items()} == dict.fromkeys(
        coded, body
    )
    for coding, broken in (("gzip", coded["gzip"][:-9]), ("zstd", b"nonsense"), ("snappy", b"")):
        with pytest.raises(protocol.EngineError):
            protocol.decode_body(broken, coding)


@pytest.mark.parametrize(
    ("accepted", "asked", "size", "coding"),
    [
        ("lz4,zstd,br,gzip", True, 10**6, "lz4"),
        ("gzip;q=1.0, br", True, 10**6, "gzip"),
        ("gzip", False, 10**6, None),
        ("gzip", True, 100, None),
        ("br", True, 10**6, None),
    ],
)
def test_answers_are_compressed_only_when_asked_and_worth_it(
    accepted: str, asked: bool, size: int, coding: str | None
) -> None:
    content, name = protocol.encode_body(b"x" * size, accepted, asked)
    assert name == coding
    assert protocol.decode_body(content, name or "") == b"x" * size


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("Code: 60. DB::Exception: no. (UNKNOWN_TABLE)", 60, 404),
        ("Streaming insert finish failed: Code: 27. DB::Exception: no", 27, 400),
        ("Code: 241. DB::Exception: memory", 241, 500),
        ("send_insert does not support this", 48, 501),
        ("anything", 1002, 500),
    ],
)
def test_engine_errors_keep_their_code_and_get_the_servers_status(text: str, code: int, status: int) -> None:
    error = protocol.EngineError.from_engine_text(text)
    assert (error.code, error.http_status) == (code, status)
    assert error.message.startswith(f"Code: {code}. DB::Exception: ")


def test_a_right_password_enters_by_each_of_the_three_ways_and_nothing_else_does() -> None:
    basic = {"authorization": "Basic ZGVmYXVsdDpzZWNyZXQ="}  # default:secret
    for headers, query in (
        (basic, {}),
        ({"x-clickhouse-user": "default", "x-clickhouse-key": "secret"}, {}),
        ({}, {"user": "default", "password": "secret"}),
    ):
        authenticate(headers, query, "secret")
    for headers, query, password in (
        ({}, {}, "secret"),
        (basic, {}, "other"),
        ({"authorization": "Basic !"}, {}, "secret"),
        ({}, {"user": "root", "password": "secret"}, "secret"),
        ({"origin": "https://example.org", **basic}, {}, "secret"),
        ({"origin": "null"}, {}, None),
    ):
        with pytest.raises(protocol.EngineError) as caught:
            authenticate(headers, query, password)
        assert (caught.value.code, caught.value.http_status) == (516, 403)


def test_a_directory_has_one_owner_and_the_next_after_release(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path), pytest.raises(DirectoryLockedError, match="already serves"):
        DirectoryLock(tmp_path)
    DirectoryLock(tmp_path).release()
