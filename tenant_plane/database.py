"""The tenant's own database: tables, engine, and migrations under a lock.

Belongs here: what must survive a restart and is not a file of rows (users, sessions, keys, pushes, which
slices are there). Marts and scores are Parquet files beside it. Moments are integer Unix milliseconds.
"""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from resources.errors import SettingsError
from resources.plane_settings import TenantPlaneSettings

ADMIN = "admin"
MIGRATION_LOCK_ID = 0x6D696772  # "migr", within the plane's own database

metadata = sa.MetaData()
users = sa.Table(
    "users",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("password_hash", sa.String(256), nullable=False),
    sa.Column("role", sa.String(32), nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
)
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("user_name", sa.String(128), sa.ForeignKey("users.name"), nullable=False),
    sa.Column("signed_in_at_ms", sa.BigInteger, nullable=False),
    sa.Column("revoked_at_ms", sa.BigInteger),
)
user_changes = sa.Table(
    "user_changes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("user_name", sa.String(128), nullable=False),
    sa.Column("role", sa.String(32)),
)
app_keys = sa.Table(
    "app_keys",
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("revoked_at_ms", sa.BigInteger),
)
pushes = sa.Table(
    "pushes",
    metadata,
    sa.Column("idempotency_key", sa.String(256), primary_key=True),
    sa.Column("target", sa.String(256), nullable=False),
    sa.Column("body_sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("signature", sa.LargeBinary(32), nullable=False, index=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("replaced", sa.Boolean, nullable=False),
    sa.Column("pushed_at_ms", sa.BigInteger, nullable=False, index=True),
)
mart_slices = sa.Table(
    "mart_slices",
    metadata,
    sa.Column("mart", sa.String(64), primary_key=True),
    sa.Column("event_date", sa.Date, primary_key=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("pushed_at_ms", sa.BigInteger, nullable=False),
)
score_sets = sa.Table(
    "score_sets",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("as_of", sa.Date, primary_key=True),
    sa.Column("generated_at_ms", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("pushed_at_ms", sa.BigInteger, nullable=False),
)


def now_ms() -> int:
    """This moment in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def create_engine(settings: TenantPlaneSettings) -> sa.Engine:
    """The engine of the tenant's database: `home/tenant.db` unless `database_url` names another."""
    if settings.database_url:
        return sa.create_engine(settings.database_url, pool_pre_ping=True)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = sa.create_engine(f"sqlite:///{settings.home / 'tenant.db'}")
    sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined] # SQLAlchemy types the DBAPI connection as object
    # a reader never waits for the writer; 5 s is far above the longest transaction here (one row)
    for pragma in ("journal_mode=WAL", "busy_timeout=5000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def migrate(engine: sa.Engine, settings: TenantPlaneSettings) -> None:
    """Bring the schema to the newest version and seed the first administrator; safe from several processes.

    Raises:
        SettingsError: `admin_password_hash` is not an argon2 hash, so nobody could ever sign in.
    """
    password_hash = settings.admin_password_hash.get_secret_value()
    if not password_hash.startswith("$argon2"):
        raise SettingsError(
            f"tenant {settings.id}: UNMOGROWP_TENANT_ADMIN_PASSWORD_HASH must be an argon2 hash: provision it"
        )
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with (settings.home / ".migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed, also by a crash
        with engine.begin() as connection:
            _lock_database(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            _seed_administrator(connection, password_hash)


def _lock_database(connection: sa.Connection) -> None:
    """On a server, let pods of other nodes wait until this migration is committed; the file's lock is one node's."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:id)"), {"id": MIGRATION_LOCK_ID})


def _seed_administrator(connection: sa.Connection, password_hash: str) -> None:
    """Only where there is nobody: an `admin` that the tenant removed must not come back with the first password."""
    if connection.execute(sa.select(users.c.name).limit(1)).first() is None:
        connection.execute(
            users.insert().values(
                name=ADMIN, password_hash=password_hash, role="tenant_admin", created_at_ms=now_ms()
            )
        )


def replace_row(connection: sa.Connection, table: sa.Table, **values: object) -> bool:
    """Insert a row, or overwrite the one with the same primary key. True when there was one."""
    key = sa.and_(*(column == values[column.name] for column in table.primary_key))
    replaced = connection.execute(table.update().where(key).values(**values)).rowcount > 0
    if not replaced:
        connection.execute(table.insert().values(**values))
    return replaced
