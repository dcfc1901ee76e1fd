"""API keys in the registry: minted, registered, revoked, looked up by digest. Plain keys are never stored."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from resources.errors import ContractError, TenantStateError
from resources.registry.keys import check_kind, digest_of, key_id_of, new_key
from resources.registry.records import KeyRecord
from resources.registry.sessions import Sessions, add_audit, now_utc, tenant_row
from resources.registry.states import STATES_WITH_LIVE_KEYS, TenantState
from resources.registry.tables import KeyRow, TenantRow


class KeyStore(Sessions):
    """Questions and changes of keys."""

    def mint_key(self, tenant_id: str, kind: str, actor: str) -> str:
        """A new key in plain text, shown this once; its id is `key_id_of(key)`.

        Raises:
            TenantNotFoundError: there is no such tenant.
            TenantStateError: the tenant is being deleted or is deleted.
            ContractError: `kind` is unknown.
        """
        key = new_key(kind)
        self.ensure_key(tenant_id, kind, key, actor)
        return key

    def ensure_key(self, tenant_id: str, kind: str, key: str, actor: str) -> bool:
        """Register a key that its holder already has; False when that very key was revoked.

        Lets a provisioning step write a key down first and register it after, so that a crash between
        the two leaves no key that nobody holds.

        Raises:
            TenantNotFoundError: there is no such tenant.
            TenantStateError: the tenant is being deleted or is deleted.
            ContractError: `kind` is unknown, or the key belongs to another tenant or kind.
        """
        check_kind(kind)
        with self.writing() as session:
            tenant = tenant_row(session, tenant_id, lock=True)
            existing = session.get(KeyRow, key_id_of(key))
            if existing is not None:
                if (existing.tenant_id, existing.kind) != (tenant_id, kind):
                    raise ContractError(
                        f"tenant {tenant_id}: this {kind} key is already in use; mint another"
                    )
                return existing.revoked_at is None
            if tenant.state in {TenantState.DELETING, TenantState.DELETED}:
                raise TenantStateError(f"tenant {tenant_id} is {tenant.state} and gets no new keys")
            row = KeyRow(
                key_id=key_id_of(key),
                tenant_id=tenant_id,
                kind=kind,
                digest=digest_of(key),
                created_at=now_utc(),
                created_by=actor,
                revoked_at=None,
            )
            session.add(row)
            add_audit(session, actor, "key.minted", tenant_id, after={"key_id": row.key_id, "kind": kind})
            return True

    def revoke_key(self, tenant_id: str, key_id: str, actor: str) -> bool:
        """Revoke one key of the tenant; False when it has no such key. Revoking twice is revoking once."""
        with self.writing() as session:
            row = session.get(KeyRow, key_id)
            if row is None or row.tenant_id != tenant_id:
                return False
            _revoke(session, row, actor)
            return True

    def revoke_all_keys(self, tenant_id: str, actor: str) -> int:
        """Revoke every live key of the tenant; how many there were."""
        live = select(KeyRow).where(KeyRow.tenant_id == tenant_id, KeyRow.revoked_at.is_(None))
        with self.writing() as session:
            rows = session.scalars(live).all()
            for row in rows:
                _revoke(session, row, actor)
            return len(rows)

    def keys(self, tenant_id: str) -> tuple[KeyRecord, ...]:
        """The tenant's keys, oldest first, without anything secret."""
        query = select(KeyRow).where(KeyRow.tenant_id == tenant_id).order_by(KeyRow.created_at, KeyRow.key_id)
        with self.reading() as session:
            return tuple(
                KeyRecord(row.key_id, row.tenant_id, row.kind, row.created_at, row.created_by, row.revoked_at)
                for row in session.scalars(query)
            )

    def tenant_of_key(self, kind: str, key: str) -> str | None:
        """The tenant of an unrevoked key of a tenant that is provisioning or active; None when it opens nothing.

        Keys are found by their SHA-256, so the time of the look-up says nothing about a key.
        """
        states = [str(state) for state in STATES_WITH_LIVE_KEYS]
        query = (
            select(KeyRow.tenant_id)
            .join(TenantRow, TenantRow.tenant_id == KeyRow.tenant_id)
            .where(KeyRow.digest == digest_of(key), KeyRow.kind == kind)
            .where(KeyRow.revoked_at.is_(None), TenantRow.state.in_(states))
        )
        with self.reading() as session:
            return session.scalar(query)

    def active_key_digests(self, kind: str) -> dict[bytes, str]:
        """SHA-256 digest → tenant id, of unrevoked keys whose tenant is provisioning or active.

        Raises:
            ContractError: `kind` is unknown.
        """
        check_kind(kind)
        states = [str(state) for state in STATES_WITH_LIVE_KEYS]
        query = (
            select(KeyRow.digest, KeyRow.tenant_id)
            .join(TenantRow, TenantRow.tenant_id == KeyRow.tenant_id)
            .where(KeyRow.kind == kind, KeyRow.revoked_at.is_(None), TenantRow.state.in_(states))
        )
        with self.reading() as session:
            return {bytes(digest): tenant_id for digest, tenant_id in session.execute(query)}


def _revoke(session: Session, row: KeyRow, actor: str) -> None:
    if row.revoked_at is None:
        row.revoked_at = now_utc()
        after = {"key_id": row.key_id, "kind": row.kind}
        add_audit(session, actor, "key.revoked", row.tenant_id, after=after)
