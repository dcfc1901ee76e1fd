"""The vault: originals of personal values, each encrypted under its subject's own key.

Grain: a key per (tenant, subject); a row of originals per (tenant, subject, landing that brought new ones).
A subject's key is random, wrapped by the tenant's key; destroying it makes the subject's originals
unreadable for good, backups included. What a subject is, and which values come here, the lander decides.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.dialects import postgresql, sqlite

from resources.errors import ArtifactCorruptError
from resources.pii import KEY_BYTES, NONCE_BYTES, Keyring, TenantPii

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from resources.settings import Settings

CHUNK_SUBJECTS = 2_000  # per query: SQLite allows 32,766 parameters per statement; 10,000 held 60 MB more
DIGEST_HEX_DIGITS = 32

_metadata = sa.MetaData()
_subjects = sa.Table(
    "vault_subjects",
    _metadata,
    sa.Column("tenant_id", sa.String(31), primary_key=True),
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("wrapped_key", sa.LargeBinary),  # null once destroyed
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("destroyed_at", sa.DateTime(timezone=True)),
    sqlite_with_rowid=False,  # the primary key is the table: half the pages to write
)
_originals = sa.Table(
    "vault_originals",
    _metadata,
    sa.Column("tenant_id", sa.String(31), primary_key=True),
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column(
        "digest", sa.String(32), primary_key=True
    ),  # of the fingerprints: a repeated write is the same row
    sa.Column("fingerprints", sa.Text, nullable=False),  # joined by a blank, sorted
    sa.Column("ciphertext", sa.LargeBinary, nullable=False),
)


class Original(NamedTuple):
    """A personal value on its way to the vault."""

    subject: str
    kind: str
    fingerprint: str  # of the whole value: two addresses of one network have one pseudonym and two of these
    pseudonym: str
    value: str


class Vault:
    """Originals by (tenant, subject). `store` is idempotent and durable when it returns."""

    def __init__(self, url: str, keyring: Keyring) -> None:
        self._keyring = keyring
        # a failed statement is logged without its values: a wrapped key in a log would outlive its subject's erasure
        self._engine = sa.create_engine(url, hide_parameters=True)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _durable_sqlite)
        _metadata.create_all(self._engine)
        self._insert_subjects = _InsertNew(_subjects, self._engine.dialect)
        self._insert_originals = _InsertNew(_originals, self._engine.dialect)

    def store(self, tenant_id: str, originals: Iterable[Original]) -> int:
        """Keep originals that are not there yet; a destroyed subject's are dropped. Returns how many."""
        by_subject: dict[str, dict[str, Original]] = {}
        for item in originals:
            by_subject.setdefault(item.subject, {})[item.fingerprint] = item
        subjects = sorted(by_subject)
        written = 0
        with self._engine.begin() as connection:
            for start in range(0, len(subjects), CHUNK_SUBJECTS):
                chunk = subjects[start : start + CHUNK_SUBJECTS]
                ciphers = self._new_ciphers(
                    connection, tenant_id, [one for one in chunk if one in by_subject[one]]
                )  # met with its own original: most likely for the first time
                older = [subject for subject in chunk if subject not in ciphers]
                kept = _kept_fingerprints(connection, tenant_id, older)
                ciphers |= self._subject_ciphers(connection, tenant_id, older)
                fresh = {
                    subject: [
                        item for key, item in by_subject[subject].items() if key not in kept.get(subject, ())
                    ]
                    for subject in chunk
                    if subject in ciphers
                }
                nonces = _random(NONCE_BYTES, len(fresh))
                rows = [
                    _row(tenant_id, items, ciphers[subject], nonce)
                    for (subject, items), nonce in zip(fresh.items(), nonces, strict=True)
                    if items
                ]
                self._insert_originals(connection, rows)
                written += sum(map(len, fresh.values()))
        return written

    def reveal(self, tenant_id: str, subject: str) -> list[Original]:
        """A subject's originals in the clear, by kind; none once its key is destroyed.

        Raises:
            ArtifactCorruptError: a row was changed after it was written.
        """
        query = sa.select(_originals).where(
            _originals.c.tenant_id == tenant_id, _originals.c.subject == subject
        )
        with self._engine.begin() as connection:
            wrapped = _known_subjects(connection, tenant_id, [subject])
            cipher = self._opened(tenant_id, wrapped).get(subject)
            rows = connection.execute(query).all()
        if cipher is None:
            return []
        found = {
            item.fingerprint: item
            for row in rows
            for item in _decrypted(cipher, row.ciphertext, _bound(tenant_id, subject, row.digest))
        }
        return sorted(found.values(), key=lambda item: (item.kind, item.fingerprint))

    def destroy(self, tenant_id: str, subject: str) -> int:
        """Destroy a subject's key and rows for good; nothing of it is kept again. Returns rows deleted."""
        tombstone = (tenant_id, subject, None, self._now(), self._now())
        with self._engine.begin() as connection:
            self._insert_subjects(connection, [tombstone])
            mine = (_subjects.c.tenant_id == tenant_id) & (_subjects.c.subject == subject)
            connection.execute(
                sa.update(_subjects)
                .where(mine, _subjects.c.destroyed_at.is_(None))
                .values(wrapped_key=None, destroyed_at=dt.datetime.now(dt.UTC))
            )
            deleted = connection.execute(
                sa.delete(_originals).where(
                    _originals.c.tenant_id == tenant_id, _originals.c.subject == subject
                )
            )
        return deleted.rowcount

    def _now(self) -> object:
        """The present as the driver takes it."""
        now = dt.datetime.now(dt.UTC)
        bound = _subjects.c.created_at.type.dialect_impl(self._engine.dialect).bind_processor(
            self._engine.dialect
        )
        return bound(now) if bound else now

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _new_ciphers(
        self, connection: sa.Connection, tenant_id: str, subjects: Sequence[str]
    ) -> dict[str, AESGCM]:
        """Ciphers of subjects that were not there and have got a key now; none where one of them was there."""
        pii = TenantPii(self._keyring, tenant_id)
        keys = dict(zip(subjects, _random(KEY_BYTES, len(subjects)), strict=True))
        now = self._now()
        rows = [
            (tenant_id, subject, pii.seal(key, _key_context(subject)), now, None)
            for subject, key in keys.items()
        ]
        if self._insert_subjects(connection, rows) < len(rows):
            return {}
        return {subject: AESGCM(key) for subject, key in keys.items()}

    def _subject_ciphers(
        self, connection: sa.Connection, tenant_id: str, subjects: Sequence[str]
    ) -> dict[str, AESGCM]:
        """Ciphers of the subjects whose key is not destroyed; unknown subjects get a key."""
        known = _known_subjects(connection, tenant_id, subjects)
        unknown = [subject for subject in subjects if subject not in known]
        made = self._new_ciphers(connection, tenant_id, unknown)
        if len(made) < len(unknown):  # another process was first with some
            known = _known_subjects(connection, tenant_id, subjects)
        return made | self._opened(tenant_id, known)

    def _opened(self, tenant_id: str, wrapped: dict[str, bytes | None]) -> dict[str, AESGCM]:
        pii = TenantPii(self._keyring, tenant_id)
        return {
            subject: AESGCM(pii.unseal(key, _key_context(subject)))
            for subject, key in wrapped.items()
            if key is not None
        }


def open_vault(settings: Settings) -> Vault:
    """The vault of these settings: `HOME/vault.db`, or the database server where one is configured."""
    path: Path = settings.home / "vault.db"
    settings.home.mkdir(parents=True, exist_ok=True)
    return Vault(settings.database_url or f"sqlite:///{path}", Keyring(settings.keys()))


def _known_subjects(
    connection: sa.Connection, tenant_id: str, subjects: Sequence[str]
) -> dict[str, bytes | None]:
    if not subjects:
        return {}
    query = sa.select(_subjects.c.subject, _subjects.c.wrapped_key).where(
        _subjects.c.tenant_id == tenant_id, _subjects.c.subject.in_(subjects)
    )
    return {row.subject: row.wrapped_key for row in connection.execute(query)}


class _InsertNew:
    """Inserts rows, values in the columns' order, whose primary key is not there yet; says how many were not.

    By the driver's own statement, because SQLAlchemy spends 10 µs on the parameters of a row.
    """

    def __init__(self, table: sa.Table, dialect: sa.Dialect) -> None:
        maker = postgresql if dialect.name == "postgresql" else sqlite
        compiled = maker.insert(table).on_conflict_do_nothing().compile(dialect=dialect)
        self._sql = str(compiled)
        self._is_named = not dialect.positional
        self._names = table.columns.keys()

    def __call__(self, connection: sa.Connection, rows: Sequence[tuple[object, ...]]) -> int:
        if not rows:
            return 0
        named: Any = [dict(zip(self._names, row, strict=True)) for row in rows] if self._is_named else rows
        return connection.exec_driver_sql(self._sql, named).rowcount


def _kept_fingerprints(
    connection: sa.Connection, tenant_id: str, subjects: Sequence[str]
) -> dict[str, set[str]]:
    if not subjects:
        return {}
    query = sa.select(_originals.c.subject, _originals.c.fingerprints).where(
        _originals.c.tenant_id == tenant_id, _originals.c.subject.in_(subjects)
    )
    kept: dict[str, set[str]] = {}
    for row in connection.execute(query):
        kept.setdefault(row.subject, set()).update(row.fingerprints.split())
    return kept


def _row(tenant_id: str, items: list[Original], cipher: AESGCM, nonce: bytes) -> tuple[object, ...]:
    """One subject's new originals, encrypted together."""
    subject = items[0].subject
    fingerprints = " ".join(sorted([item.fingerprint for item in items]))
    digest = hashlib.sha256(fingerprints.encode()).hexdigest()[:DIGEST_HEX_DIGITS]
    plain = orjson.dumps([tuple(item) for item in items])
    sealed = nonce + cipher.encrypt(nonce, plain, _bound(tenant_id, subject, digest))
    return tenant_id, subject, digest, fingerprints, sealed


def _random(size: int, count: int) -> list[bytes]:
    """Random keys or nonces, by one call to the system instead of one each."""
    data = os.urandom(size * count)
    return [data[start : start + size] for start in range(0, len(data), size)]


def _key_context(subject: str) -> str:
    """What a subject's wrapped key is bound to."""
    return f"subject/{subject}"


def _decrypted(cipher: AESGCM, sealed: bytes, bound: bytes) -> list[Original]:
    try:
        plain = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except InvalidTag as error:
        raise ArtifactCorruptError("an original in the vault was changed after it was written") from error
    return [Original(*item) for item in orjson.loads(plain)]


def _bound(tenant_id: str, subject: str, digest: str) -> bytes:
    return f"{tenant_id}\0{subject}\0{digest}".encode()


def _durable_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DB-API connection, which has no type
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # the lake commit that follows must not outlive these rows
    cursor.execute("PRAGMA busy_timeout=30000")
    # 64 MiB of log before it is merged: a landing writes a page per new subject, and merging each cost a quarter more
    cursor.execute("PRAGMA wal_autocheckpoint=16000")
    cursor.close()
