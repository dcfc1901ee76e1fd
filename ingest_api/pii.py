"""Personal fields of events: found by the schemas' `x-pii`, replaced by pseudonyms, originals set aside.

The subject of an event is its device, else its user, else the value itself; the vault keeps originals by
subject. How pseudonyms and ciphertext are made is `resources.pii`'s and `resources.vault`'s.
"""

from __future__ import annotations

from collections import defaultdict
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
COARSE_KIND = "ip"  # its pseudonym stands for less than the whole value; of all other kinds the two are one


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
        # No tuples in these: with them the collector walked 10^5 objects again and again, half of a landing's CPU.
        self._fingerprints: dict[str, dict[str, str]] = defaultdict(dict)  # kind → value → fingerprint
        self._tokens: dict[str, str] = {}  # coarse value → pseudonym
        self._stored: set[str] = set()  # subject and fingerprint
        self._fresh: dict[str, Original] = {}

    def pseudonymise(self, event: dict[str, Any], version: str, event_type: str) -> None:
        """Replace the personal fields of a valid event, in place."""
        subject: str | None = None
        for path, kind in personal_fields(version, event_type):
            parent = _parent(event, path)
            value = parent.get(path[-1]) if parent is not None else None
            if value is None or parent is None:
                continue
            parent[path[-1]] = token = self.token(kind, value)
            subject = subject or token
            self.keep(subject, kind, value)

    def token(self, kind: str, value: str) -> str:
        """The pseudonym of a value."""
        if kind != COARSE_KIND:
            return self.fingerprint(kind, value)
        known = self._tokens
        return known.get(value) or known.setdefault(value, self._pii.pseudonym(kind, value))

    def fingerprint(self, kind: str, value: str) -> str:
        """What tells whole values of one kind apart."""
        known = self._fingerprints[kind]
        return known.get(value) or known.setdefault(value, self._pii.fingerprint(kind, value))

    def keep(self, subject: str, kind: str, value: str) -> None:
        """Gather an original for the vault, under the pseudonym of the event's subject."""
        fingerprint = self.fingerprint(kind, value)
        key = subject + fingerprint
        if key not in self._stored and key not in self._fresh:
            self._fresh[key] = Original(subject, kind, fingerprint, self.token(kind, value), value)

    def new_token(self, kind: str, value: str) -> str:
        """The pseudonym of a value that the caller remembers."""
        return self._pii.pseudonym(kind, value)

    def original(self, subject: str, kind: str, token: str, value: str) -> Original:
        """An original that the caller remembers having stored."""
        fingerprint = self._pii.fingerprint(kind, value) if kind == COARSE_KIND else token
        return Original(subject, kind, fingerprint, token, value)

    @property
    def remembered(self) -> int:
        """Entries that are kept to save work: each takes about 150 bytes."""
        return sum(map(len, self._fingerprints.values())) + len(self._tokens) + len(self._stored)

    def store_originals(self, vault: Vault) -> int:
        """Send what is new to the vault; returns when it is durable there. Rows written."""
        if not self._fresh:
            return 0
        written = vault.store(self.tenant_id, self._fresh.values())
        self._stored |= self._fresh.keys()
        self._fresh.clear()
        return written

    def seal(self, body: bytes, quarantine_id: str) -> bytes:
        """A quarantined delivery, encrypted with the tenant's key."""
        return self._pii.seal(body, quarantine_context(quarantine_id))


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
