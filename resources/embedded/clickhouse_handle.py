"""One connection handle of the chDB engine, with the database and the settings it currently has applied.

What belongs here: making a handle look as one request wants it, and running one statement on it. What does
not: who owns which handle (`clickhouse_engine`) and HTTP (`clickhouse_protocol`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import chdb

from resources.embedded.clickhouse_protocol import BAD_ARGUMENTS, EngineError
from resources.embedded.clickhouse_statement import Statement

# chDB accepts a bare expression as a query (`1 + 1`); a server does not, and typos then get odd messages.
_HANDLE_OPTIONS = "implicit_select=0"
# Written into the handle for good: no later SET may follow, so a session cannot take it per request.
_IRREVERSIBLE_SETTINGS = frozenset({"readonly"})


@dataclass(frozen=True)
class Answer:
    """What one statement gave: its bytes, their format (none without a result set) and the counts."""

    body: bytes
    output_format: str | None
    summary: dict[str, int]


class Handle:
    """A chDB connection. Not safe for two threads at once; opening one costs 0.2 ms.

    `USE`, `SET` and temporary tables live in the handle, so a request without a session gets a new one and
    nothing can leak; a session keeps its handle and its own `USE`/`SET`, under each request's parameters.
    """

    def __init__(self, path: str) -> None:
        self._connection = chdb.connect(f"{path}?{_HANDLE_OPTIONS}")
        self._own_database = "default"
        self._own_settings: dict[str, str] | None = None  # None: as opened
        self._database = "default"
        self._applied: dict[str, str] = {}

    def run(
        self,
        statement: Statement,
        *,
        database: str | None,
        settings: Mapping[str, str],
        parameters: Mapping[str, str],
        default_format: str,
    ) -> Answer:
        """Run one statement with a request's database, settings and `{name:Type}` parameters.

        Raises:
            EngineError: what ClickHouse answers.
        """
        self._use(database or self._own_database)
        started = time.perf_counter_ns()
        if statement.verb == "SET":
            self._apply({})
            self._execute(statement.sql, parameters)
            self._own_settings = self._changed_settings()
            return Answer(b"", None, {"elapsed_ns": time.perf_counter_ns() - started})
        self._apply(settings)
        if statement.input_format is not None:
            return self._insert(statement.sql, statement.input_format, statement.data, started)
        answer = self._execute(statement.sql, parameters, default_format)
        if statement.verb == "USE":
            self._own_database = self._database = self._scalar("SELECT currentDatabase()")
        output_format = (statement.output_format or default_format) if statement.returns_rows else None
        return Answer(answer.body, output_format, answer.summary)

    def close(self) -> None:
        """Give the handle back to the engine, with its temporary tables."""
        self._connection.close()

    def _use(self, database: str) -> None:
        if database != self._database:
            quoted = database.replace("\\", "\\\\").replace("`", "\\`")
            self._execute(f"USE `{quoted}`".encode())
            self._database = database

    def _apply(self, settings: Mapping[str, str]) -> None:
        """Make `settings` the ones in force: set what differs, return what the last request left."""
        changes = {
            name: _quote(value) for name, value in settings.items() if self._applied.get(name) != value
        }
        if self._applied and changes.keys() & _IRREVERSIBLE_SETTINGS:
            names = ", ".join(sorted(_IRREVERSIBLE_SETTINGS))
            raise EngineError(
                BAD_ARGUMENTS, f"{names} cannot be set per request here: use SET in the session"
            )
        for name in self._applied.keys() - settings.keys():
            changes[name] = self._own_value(name)
        if not changes:
            return
        try:
            self._set(changes)
        except EngineError:
            for name in {*changes, *self._applied}:
                with suppress(EngineError):  # the unknown name that failed has nothing to return
                    self._set({name: self._own_value(name)})
            self._applied = {}
            raise
        self._applied = dict(settings)

    def _own_value(self, name: str) -> str:
        own = self._own_settings or {}
        return _quote(own[name]) if name in own else "DEFAULT"

    def _set(self, assignments: Mapping[str, str]) -> None:
        text = ", ".join(f"{name} = {value}" for name, value in assignments.items())
        self._execute(f"SET {text}".encode())

    def _changed_settings(self) -> dict[str, str]:
        sql = b"SELECT name, value FROM system.settings WHERE changed AND name != 'database'"
        rows = self._execute(sql, output_format="JSONCompactEachRow").body.splitlines()
        return dict(json.loads(row) for row in rows)

    def _scalar(self, sql: str) -> str:
        return self._execute(sql.encode(), output_format="RawBLOB").body.decode()

    def _execute(
        self, sql: bytes, parameters: Mapping[str, str] | None = None, output_format: str = "TabSeparated"
    ) -> Answer:
        try:
            # chDB takes bytes as they are (SQL may hold any), though its annotations say str
            text: Any = sql
            result = self._connection.query(text, output_format, params=dict(parameters or {}))
            summary = {
                "read_rows": result.storage_rows_read(),
                "read_bytes": result.storage_bytes_read(),
                "written_rows": result.rows_written(),
                "written_bytes": result.bytes_written(),
                "result_rows": result.rows_read(),
                "result_bytes": result.bytes_read(),
                "elapsed_ns": int(result.elapsed() * 1e9),
            }
            return Answer(bytes(result.bytes() or b""), output_format, summary)
        except RuntimeError as error:  # chdb.ChdbError is one; it carries the engine's text
            raise EngineError.from_engine_text(str(error)) from error

    def _insert(self, sql: Any, input_format: str, data: bytes, started_ns: int) -> Answer:
        try:
            with self._connection.send_insert(sql.decode(), input_format) as inserter:
                inserter.append(data)
                result = inserter.finish()
        except RuntimeError as error:
            raise EngineError.from_engine_text(str(error)) from error
        summary = {
            "written_rows": result.rows_written,
            "written_bytes": result.bytes_written,
            "elapsed_ns": time.perf_counter_ns() - started_ns,
        }
        return Answer(b"", None, summary)


def _quote(value: str) -> str:
    """A setting's value as a literal; ClickHouse casts strings to the setting's type."""
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"
