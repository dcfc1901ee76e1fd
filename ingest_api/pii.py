"""Personal fields of events: found by the schemas' `x-pii`, replaced by pseudonyms, originals set aside.

The subject of an event is its device, else its user, else the value itself; the vault keeps originals by
subject. How pseudonyms and ciphertext are made is `resources.pii`'s and `resources.vault`'s.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from resources.pii import Keyring, TenantPii
from resources.vault import Original
from schemas import event_schemas

if TYPE_CHECKING:
    from resources.vault import Vault

    Path = tuple[str, ...]

# Kinds that name a subject, best first.
SUBJECT_KINDS = ("device_id", "user_id")
# Values whose token (and presence in the vault) is remembered per tenant: about 300 bytes each.
REMEMBERED_VALUES = 200_000


@cache
def personal_fields(version: str, event_type: str) -> tuple[tuple[Path, str], ...]:
    """(path, kind) of the fields marked `x-pii`, those that name the subject first."""
    found = _marked(event_schemas(version)[event_type], ())
    rank = {kind: place for place, kind in enumerate(SUBJECT_KINDS)}
    return tuple(sorted(found, key=lambda field: rank.get(field[1], len(rank))))


def _marked(schema: dict[str, Any], path: Path) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    for name, member in schema.get("properties", {}).items():
        if "x-pii" in member:
            found.append(((*path, name), member["x-pii"]))
        found += _marked(member, (*path, name))
    return found


class TenantEvents:
    """Pseudonymises one tenant's events and gathers the originals that the vault has not seen from here."""

    def __init__(self, keyring: Keyring, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self._pii = TenantPii(keyring, tenant_id)
        self._tokens: dict[tuple[str, str], tuple[str, str]] = {}  # (kind, value) → pseudonym, fingerprint
        self._stored: set[tuple[str, str, str]] = set()
        self._fresh: dict[tuple[str, str, str], Original] = {}

    def pseudonymise(self, event: dict[str, Any], version: str, event_type: str) -> None:
        """Replace the personal fields of a valid event, in place."""
        subject: str | None = None
        for path, kind in personal_fields(version, event_type):
            parent = _parent(event, path)
            value = parent.get(path[-1]) if parent is not None else None
            if value is None or parent is None:
                continue
            token, fingerprint = self._tokens.get((kind, value)) or self._new_token(kind, value)
            parent[path[-1]] = token
            subject = subject or token
            key = (subject, kind, value)
            if key not in self._stored and key not in self._fresh:
                self._fresh[key] = Original(subject, kind, fingerprint, token, value)

    def store_originals(self, vault: Vault) -> int:
        """Send what is new to the vault; returns when it is durable there. Rows written."""
        if not self._fresh:
            return 0
        written = vault.store(self.tenant_id, self._fresh.values())
        if len(self._stored) + len(self._fresh) > REMEMBERED_VALUES:
            self._stored.clear()
        self._stored |= self._fresh.keys()
        self._fresh.clear()
        return written

    def seal(self, body: bytes, quarantine_id: str) -> bytes:
        """A quarantined delivery, encrypted with the tenant's key."""
        return self._pii.seal(body, quarantine_context(quarantine_id))

    def _new_token(self, kind: str, value: str) -> tuple[str, str]:
        if len(self._tokens) >= REMEMBERED_VALUES:
            self._tokens.clear()
        fingerprint = self._pii.fingerprint(kind, value)
        token = (
            self._pii.pseudonym(kind, value) if kind == "ip" else fingerprint
        )  # the same but for addresses
        self._tokens[kind, value] = (token, fingerprint)
        return token, fingerprint


def quarantine_context(quarantine_id: str) -> str:
    """What a sealed quarantine body is bound to."""
    return f"quarantine/{quarantine_id}"


def _parent(event: dict[str, Any], path: Path) -> dict[str, Any] | None:
    parent: Any = event
    for name in path[:-1]:
        parent = parent.get(name)
        if not isinstance(parent, dict):
            return None
    return parent  # type: ignore[no-any-return]  # JSON: a dict by the schema or the check above
