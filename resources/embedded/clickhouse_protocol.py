"""ClickHouse's HTTP interface as pure functions: parameters, codings, headers, errors.

What belongs here: what the protocol's bytes mean. What does not: SQL (`clickhouse_statement`), the engine
(`clickhouse_engine`) and sockets (`clickhouse_server`). Source: ClickHouse documentation, "HTTP interface".
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

BAD_ARGUMENTS, NOT_IMPLEMENTED, UNKNOWN_SETTING, INCORRECT_DATA, UNKNOWN_EXCEPTION = 36, 48, 115, 117, 1002

# Parameters that steer the transport; everything else in the URL is a setting. The last five are settings
# of a real server's HTTP handler that mean nothing to an engine without sockets.
TRANSPORT_PARAMETERS = frozenset(
    {
        "query", "database", "default_format", "query_id", "user", "password", "quota_key", "role",
        "session_id", "session_timeout", "session_check", "close_session", "client_protocol_version",
        "compress", "decompress", "buffer_size", "stacktrace", "wait_end_of_query",
        "enable_http_compression", "http_zlib_compression_level", "send_progress_in_http_headers",
        "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close",
    }
)  # fmt: skip
DEFAULT_SESSION_TIMEOUT_S = 60.0  # the server's default_session_timeout
MAX_SESSION_TIMEOUT_S = 3600.0  # the server's max_session_timeout
# Below this a compressed answer saves no packet on a loopback (MTU 65,536).
MIN_COMPRESSED_BYTES = 65_536

_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CODE = re.compile(r"Code: (\d+)\. ")
_CODINGS: dict[str, Literal["gzip", "zstd", "lz4", "brotli"]] = {
    "gzip": "gzip",
    "x-gzip": "gzip",
    "zstd": "zstd",
    "lz4": "lz4",
    "br": "brotli",
}

# HTTP status per error code, grouped as the server's exceptionCodeToHTTPStatus does; any other is a 500.
# 503 and 504 are never used: clients resend such requests by themselves.
_STATUS_CODES = {
    400: {6, 26, 27, 36, 38, 41, 53, 62, 72, 117, 167, 168, 184, 321},  # cannot parse, bad arguments
    403: {192, 193, 194, 516},  # unknown user, wrong password, authentication failed
    404: {46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 336},  # unknown function, table, database, setting ...
    408: {159},  # timeout exceeded
    413: {229},  # query is too large
    501: {48},  # not implemented
}
_STATUS_BY_CODE = {code: status for status, codes in _STATUS_CODES.items() for code in codes}
_CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "Arrow": "application/vnd.apache.arrow.file",
    "ArrowStream": "application/vnd.apache.arrow.stream",
    "Parquet": "application/vnd.apache.parquet",
}


class EngineError(Exception):
    """A ClickHouse error: its code and its text, answered to the client as the server would."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message if message.startswith("Code: ") else f"Code: {code}. DB::Exception: {message}"

    @classmethod
    def from_engine_text(cls, text: str) -> EngineError:
        """The error inside the engine's text; text without a code is an UNKNOWN_EXCEPTION."""
        found = _CODE.search(text)
        if found is None:
            return cls(NOT_IMPLEMENTED if "does not support" in text else UNKNOWN_EXCEPTION, text)
        return cls(int(found.group(1)), text[found.start() :].strip())

    @property
    def http_status(self) -> int:
        """The status a real server answers this code with."""
        return _STATUS_BY_CODE.get(self.code, 500)


@dataclass(frozen=True)
class RequestOptions:
    """What the URL (or form fields) of one request ask for, beside the statement."""

    query: str = ""
    database: str | None = None
    default_format: str = "TabSeparated"
    query_id: str | None = None
    session_id: str | None = None
    session_timeout_s: float = DEFAULT_SESSION_TIMEOUT_S
    session_must_exist: bool = False
    compress_answer: bool = False
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


def parse_options(pairs: Iterable[tuple[str, str]], headers: Mapping[str, str]) -> RequestOptions:
    """Sort URL parameters into transport, `param_x` substitutions and settings.

    Raises:
        EngineError: a setting's name is no identifier, or an option of the real server is not served here.
    """
    values = dict(pairs)
    if values.get("compress") == "1" or values.get("decompress") == "1":
        raise EngineError(
            NOT_IMPLEMENTED, "compress=1 is ClickHouse's own block format: use Accept-Encoding instead"
        )
    rest = {name: value for name, value in values.items() if name not in TRANSPORT_PARAMETERS}
    settings = {name: value for name, value in rest.items() if not name.startswith("param_")}
    for name in settings:
        if not _SETTING_NAME.fullmatch(name):
            raise EngineError(UNKNOWN_SETTING, f"Unknown setting {name!r}: a setting's name is an identifier")
    return RequestOptions(
        query=values.get("query", ""),
        database=values.get("database") or headers.get("x-clickhouse-database") or None,
        default_format=values.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated",
        query_id=values.get("query_id") or None,
        session_id=values.get("session_id") or None,
        session_timeout_s=_session_timeout_s(values.get("session_timeout")),
        session_must_exist=values.get("session_check") == "1",
        compress_answer=values.get("enable_http_compression") == "1",
        parameters={name.removeprefix("param_"): v for name, v in rest.items() if name.startswith("param_")},
        settings=settings,
    )


def _session_timeout_s(value: str | None) -> float:
    if value is None:
        return DEFAULT_SESSION_TIMEOUT_S
    if not value.isdecimal() or int(value) > MAX_SESSION_TIMEOUT_S:
        raise EngineError(
            BAD_ARGUMENTS,
            f"session_timeout is whole seconds up to {MAX_SESSION_TIMEOUT_S:.0f}, not {value!r}",
        )
    return float(value)


def parse_form(body: bytes, content_type: str) -> dict[str, str]:
    """Fields of a `multipart/form-data` body; clients send long parameters this way.

    Raises:
        EngineError: the body is malformed, or holds a file (an external table).
    """
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if boundary is None:
        raise EngineError(INCORRECT_DATA, "multipart body without a boundary")
    fields = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.group(1).encode())[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'\bname="([^"]*)"', head)
        if name is None or b"filename=" in head:
            raise EngineError(
                NOT_IMPLEMENTED, "external tables are not served here: insert into a temporary table"
            )
        fields[name.group(1).decode()] = value.decode()
    return fields


def decode_body(body: bytes, coding: str) -> bytes:
    """The body without its Content-Encoding.

    Raises:
        EngineError: the coding is unknown or the bytes do not follow it.
    """
    if coding in {"", "identity"}:
        return body
    try:
        if coding == "deflate":
            return zlib.decompress(body)
        if coding in _CODINGS:
            with pa.CompressedInputStream(pa.BufferReader(body), _CODINGS[coding]) as stream:
                return bytes(stream.read())
    except (OSError, zlib.error) as error:
        raise EngineError(INCORRECT_DATA, f"the body is not valid {coding}: {error}") from error
    raise EngineError(NOT_IMPLEMENTED, f"unknown Content-Encoding {coding!r}: use gzip, zstd, lz4 or br")


def encode_body(body: bytes, accept_encoding: str, asked: bool) -> tuple[bytes, str | None]:
    """The body in the cheapest coding that the client accepts, with the coding's name."""
    if not asked or len(body) < MIN_COMPRESSED_BYTES:
        return body, None
    accepted = {item.split(";")[0].strip().lower() for item in accept_encoding.split(",")}
    for coding in ("lz4", "zstd", "gzip"):
        if coding in accepted:
            return bytes(pa.compress(body, codec=coding, asbytes=True)), coding
    return body, None


def answer_headers(*, query_id: str, output_format: str | None, summary: Mapping[str, int]) -> dict[str, str]:
    """Headers that ClickHouse clients read; a statement without a result set names no format."""
    headers = {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Server-Display-Name": "unmogrowp-embedded",
        "X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in summary.items()}),
        "Content-Type": _CONTENT_TYPES.get(output_format or "", "application/octet-stream"),
    }
    return headers if output_format is None else {**headers, "X-ClickHouse-Format": output_format}
