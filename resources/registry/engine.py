"""Opening the registry's database and bringing its schema up to date. No queries of the domain here."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

MIGRATIONS_DIR = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_MS = 10_000  # a writer holds the file for milliseconds; ten seconds outlast a stalled disk
MIGRATION_LOCK_KEY = 0x756D6772  # "umgr": any constant does, as long as nobody else's lock has it
WRITE_LOCK_KEY = MIGRATION_LOCK_KEY + 1
WRITES = "unmogrowp_writes"  # execution option: this transaction will write


def open_engine(database_url: str) -> Engine:
    """An engine over SQLite (WAL, foreign keys on, waiting for locks) or PostgreSQL (psycopg)."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    if url.drivername in {"postgresql", "postgres"}:
        url = url.set(drivername="postgresql+psycopg")
    return create_engine(url, pool_pre_ping=True)


def wait_for_turn(connection: Connection) -> None:
    """Hold back until no other transaction writes: PostgreSQL's part of what `BEGIN IMMEDIATE` is to SQLite."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITE_LOCK_KEY})


def migrate(engine: Engine, audit_key: Callable[[], bytes | None] | None = None) -> None:
    """Bring the schema to the newest revision; several processes may call this at once.

    One transaction holds the whole upgrade: SQLite's write lock and a PostgreSQL advisory lock make the
    others wait, and then find nothing left to do. `audit_key` signs the head of a trail that was not chained.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR).replace("%", "%%"))
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK_KEY})
        wait_for_turn(connection)
        config.attributes["connection"] = connection
        config.attributes["audit_key"] = audit_key
        command.upgrade(config, "head")


def _sqlite_engine(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite_connection(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    if not isinstance(connection, sqlite3.Connection):
        raise TypeError(f"expected a sqlite3 connection, got {type(connection).__name__}")
    connection.isolation_level = None  # SQLAlchemy begins, not the driver: see _begin_sqlite
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")  # an answered request survives a power cut
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:  # the first switch to WAL does not wait for busy_timeout
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    """Writers take the write lock first: a read that upgrades later fails at once when another wrote."""
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
