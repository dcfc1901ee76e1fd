"""The embedded ClickHouse engine: one data directory, a handle per request or per session.

What belongs here: who owns the directory and which handle a request runs on. What does not: how a handle
runs a statement (`clickhouse_handle`) and HTTP (`clickhouse_server`).
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import chdb

from resources.embedded.clickhouse_handle import Answer, Handle
from resources.embedded.clickhouse_protocol import EngineError, RequestOptions
from resources.embedded.clickhouse_statement import Statement
from resources.embedded.directory_lock import DirectoryLock

SESSION_NOT_FOUND, SESSION_IS_LOCKED, READONLY = 372, 373, 164

_MIB = 1024**2
# The engine's own defaults suit a server of its own: 90 % of the memory and 5 GiB per cache. The marts' marks
# and index of a demo are under 1 MiB; these caches hold those of some 10^9 rows.
_CACHE_BYTES = {
    "mark_cache_size": 256 * _MIB,
    "primary_index_cache_size": 256 * _MIB,
    "index_mark_cache_size": 64 * _MIB,
    "query_condition_cache_size": 32 * _MIB,
    "parquet_metadata_cache_size": 64 * _MIB,
    "iceberg_metadata_files_cache_size": 64 * _MIB,
}
_MAX_MEMORY_BYTES = 8 * 1024**3


def default_memory_limit_bytes() -> int:
    """Half of the machine's memory, 8 GiB at most: the rest is for dagster, dbt and the person."""
    return min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2, _MAX_MEMORY_BYTES)


@dataclass
class _Session:
    """A handle between the requests of one session id; `busy` while a request runs on it."""

    handle: Handle
    timeout_s: float
    last_used_s: float = field(default_factory=time.monotonic)
    busy: bool = True


class Engine:
    """chDB on one directory, safe for many threads.

    Raises:
        DirectoryLockedError: another process owns the directory.
    """

    def __init__(self, directory: Path, max_memory_bytes: int | None = None) -> None:
        self._path = str(directory.resolve())
        self._lock = DirectoryLock(directory.resolve())
        self._mutex = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        options = {
            "timezone": "UTC",
            "max_server_memory_usage": max_memory_bytes or default_memory_limit_bytes(),
            **_CACHE_BYTES,
        }
        # The engine lives as long as one handle is open: this one, which takes the server's options.
        self._anchor = chdb.connect(f"{self._path}?{urlencode(options)}")

    def run(self, statement: Statement, options: RequestOptions, *, read_only: bool = False) -> Answer:
        """Run one statement as a request's options say.

        Raises:
            EngineError: what ClickHouse answers.
        """
        if read_only and not statement.only_reads:
            raise EngineError(READONLY, "Cannot execute query in readonly mode: send it with POST, not GET")
        settings = options.settings
        if read_only and options.session_id is None:  # the engine holds it too; a session could not undo it
            settings = {**settings, "readonly": "2"}
        with self._handle(options) as handle:
            return handle.run(
                statement,
                database=options.database,
                settings=settings,
                parameters=options.parameters,
                default_format=options.default_format,
            )

    @property
    def session_count(self) -> int:
        """Sessions that hold a handle now."""
        return len(self._sessions)

    def close(self) -> None:
        """Close every handle, then the engine, then let the next owner in."""
        with self._mutex:
            for session in self._sessions.values():
                session.handle.close()
            self._sessions.clear()
        self._anchor.close()
        self._lock.release()

    @contextmanager
    def _handle(self, options: RequestOptions) -> Iterator[Handle]:
        self._close_idle_sessions()
        if options.session_id is None:
            handle = Handle(self._path)
            try:
                yield handle
            finally:
                handle.close()
            return
        session = self._enter_session(options.session_id, options)
        try:
            yield session.handle
        finally:
            session.last_used_s = time.monotonic()
            session.busy = False

    def _enter_session(self, session_id: str, options: RequestOptions) -> _Session:
        with self._mutex:
            session = self._sessions.get(session_id)
            if session is None:
                if options.session_must_exist:
                    raise EngineError(
                        SESSION_NOT_FOUND, f"Session {session_id} not found: it ended or never began"
                    )
                session = _Session(Handle(self._path), options.session_timeout_s)
                self._sessions[session_id] = session
            elif session.busy:
                raise EngineError(
                    SESSION_IS_LOCKED,
                    f"Session {session_id} is locked by another request: use one per thread",
                )
            session.busy = True
            session.timeout_s = options.session_timeout_s
            return session

    def _close_idle_sessions(self) -> None:
        now_s = time.monotonic()
        with self._mutex:
            ended = [
                session_id
                for session_id, session in self._sessions.items()
                if not session.busy and now_s - session.last_used_s > session.timeout_s
            ]
            for session_id in ended:
                self._sessions.pop(session_id).handle.close()


def new_query_id() -> str:
    """An id for a request that brought none."""
    return str(uuid.uuid4())
