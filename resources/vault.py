"""The vault: originals of personal values, each encrypted under its subject's own key.

Grain: a key per (tenant, subject); a row of originals per (tenant, subject, landing that brought new ones).
A subject's key is random, wrapped by the tenant's key; destroying it makes the subject's originals
unreadable for good, backups included. What a subject is, and which values come here, the lander decides.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

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
                kept = _kept_fingerprints(connection, tenant_id, chunk)
                ciphers = self._subject_ciphers(connection, tenant_id, chunk)
                fresh = {
                    subject: [
                        item for key, item in by_subject[subject].items() if key not in kept.get(subject, ())
                    ]
                    for subject in chunk
                    if subject in ciphers
                }
                rows = [_row(tenant_id, items, ciphers[subject]) for subject, items in fresh.items() if items]
                _insert_new(connection, _originals, rows)
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
            cipher = self._existing_ciphers(connection, tenant_id, [subject]).get(subject)
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
        tombstone: dict[str, object] = {
            "tenant_id": tenant_id,
            "subject": subject,
            "wrapped_key": None,
            "created_at": _now(),
            "destroyed_at": _now(),
        }
        with self._engine.begin() as connection:
            _insert_new(connection, _subjects, [tombstone])
            mine = (_subjects.c.tenant_id == tenant_id) & (_subjects.c.subject == subject)
            connection.execute(
                sa.update(_subjects)
                .where(mine, _subjects.c.destroyed_at.is_(None))
                .values(wrapped_key=None, destroyed_at=_now())
            )
            deleted = connection.execute(
                sa.delete(_originals).where(
                    _originals.c.tenant_id == tenant_id, _originals.c.subject == subject
                )
            )
        return deleted.rowcount

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _subject_ciphers(
        self, connection: sa.Connection, tenant_id: str, subjects: Sequence[str]
    ) -> dict[str, AESGCM]:
        """Ciphers of the subjects whose key is not destroyed; unknown subjects get a key."""
        pii = TenantPii(self._keyring, tenant_id)
        known = _known_subjects(connection, tenant_id, subjects)
        fresh = {subject: os.urandom(KEY_BYTES) for subject in subjects if subject not in known}
        now = _now()
        rows: list[dict[str, object]] = [
            {
                "tenant_id": tenant_id,
                "subject": subject,
                "wrapped_key": pii.seal(key, f"subject/{subject}"),
                "created_at": now,
                "destroyed_at": None,
            }
            for subject, key in fresh.items()
        ]
        if _insert_new(connection, _subjects, rows) < len(rows):  # another process was first with some
            return self._existing_ciphers(connection, tenant_id, subjects)
        opened = {
            subject: pii.unseal(key, f"subject/{subject}")
            for subject, key in known.items()
            if key is not None
        }
        return {subject: AESGCM(key) for subject, key in (opened | fresh).items()}

    def _existing_ciphers(
        self, connection: sa.Connection, tenant_id: str, subjects: Sequence[str]
    ) -> dict[str, AESGCM]:
        pii = TenantPii(self._keyring, tenant_id)
        wrapped = _known_subjects(connection, tenant_id, subjects)
        return {
            subject: AESGCM(pii.unseal(key, f"subject/{subject}"))
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
    query = sa.select(_subjects.c.subject, _subjects.c.wrapped_key).where(
        _subjects.c.tenant_id == tenant_id, _subjects.c.subject.in_(subjects)
    )
    return {row.subject: row.wrapped_key for row in connection.execute(query)}


def _insert_new(connection: sa.Connection, table: sa.Table, rows: list[dict[str, object]]) -> int:
    """Insert rows whose primary key is not there yet; how many were not."""
    if not rows:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows).rowcount


def _kept_fingerprints(
    connection: sa.Connection, tenant_id: str, subjects: Sequence[str]
) -> dict[str, set[str]]:
    query = sa.select(_originals.c.subject, _originals.c.fingerprints).where(
        _originals.c.tenant_id == tenant_id, _originals.c.subject.in_(subjects)
    )
    kept: dict[str, set[str]] = {}
    for row in connection.execute(query):
        kept.setdefault(row.subject, set()).update(row.fingerprints.split())
    return kept


def _row(tenant_id: str, items: list[Original], cipher: AESGCM) -> dict[str, object]:
    """One subject's new originals, encrypted together."""
    subject = items[0].subject
    fingerprints = " ".join(sorted(item.fingerprint for item in items))
    digest = hashlib.sha256(fingerprints.encode()).hexdigest()[:DIGEST_HEX_DIGITS]
    nonce = os.urandom(NONCE_BYTES)
    plain = orjson.dumps([tuple(item) for item in items])
    return {
        "tenant_id": tenant_id,
        "subject": subject,
        "digest": digest,
        "fingerprints": fingerprints,
        "ciphertext": nonce + cipher.encrypt(nonce, plain, _bound(tenant_id, subject, digest)),
    }


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


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
