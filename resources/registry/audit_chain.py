"""The audit trail's chain as pure functions: each entry's hash covers all its columns and the hash before it.

Which row follows which, and when the head is signed, is `sessions.add_audit`'s; reading rows is `audit_store`'s.
The bytes under a hash are a contract: changing them breaks every trail that was written before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GENESIS_HASH = "0" * 64  # what the first entry follows
FAULTS_SHOWN = 20  # one edit breaks one or two links; a reader needs the first places, not all


@dataclass(frozen=True, slots=True)
class ChainedEntry:
    """One entry as it is stored, with its place in the chain."""

    audit_id: int
    at: dt.datetime
    actor: str
    action: str
    tenant_id: str | None
    reason: str | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest entry's id and hash, signed with a key that the database does not hold."""

    audit_id: int
    hash: str
    signature: str


@dataclass(frozen=True, slots=True)
class ChainFault:
    """One place where the trail is not what was written, in a sentence. No id: it is about the head."""

    audit_id: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What a walk along the whole trail found. `faults` are the first, `fault_count` is all."""

    entries: int
    head: AuditHead | None
    faults: tuple[ChainFault, ...]
    fault_count: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing was edited, removed, added or cut off."""
        return self.fault_count == 0


def stored_json(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """The value as it reads back from a JSON column: string keys, lists for tuples.

    Raises:
        ValueError: it holds a number that JSON has no word for.
    """
    found: dict[str, Any] = json.loads(json.dumps(dict(value or {}), allow_nan=False))
    return found


def entry_hash(
    *,
    audit_id: int,
    at: dt.datetime,
    actor: str,
    action: str,
    tenant_id: str | None,
    reason: str | None,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    previous_hash: str,
) -> str:
    """SHA-256 over the entry's canonical JSON: keys sorted, no spaces, ASCII, UTC to the microsecond."""
    document = {
        "after": after,
        "audit_id": audit_id,
        "actor": actor,
        "action": action,
        "at": at.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        "before": before,
        "previous_hash": previous_hash,
        "reason": reason,
        "tenant_id": tenant_id,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def head_signature(key: bytes, audit_id: int, newest_hash: str) -> str:
    """HMAC-SHA-256 of the head."""
    return hmac.new(key, f"{audit_id}:{newest_hash}".encode(), hashlib.sha256).hexdigest()


def check_chain(
    entries: Iterable[ChainedEntry],
    head: AuditHead | None,
    signing_key: bytes | None,
    known: Mapping[int, str] | None = None,
) -> ChainVerdict:
    """Walk the trail by id and name what is not as it was written.

    Args:
        entries: every entry, by id.
        head: the stored head.
        signing_key: what heads are signed with; None leaves signatures unchecked.
        known: id → hash of entries that were seen at an earlier look, kept elsewhere.
    """
    faults: list[ChainFault] = []
    expected, last_id, count = GENESIS_HASH, 0, 0
    wanted = dict(known or {})
    for entry in entries:
        count += 1
        faults += _faults_of(entry, expected)
        if (seen := wanted.pop(entry.audit_id, None)) is not None and seen != entry.hash:
            faults.append(ChainFault(entry.audit_id, f"entry {entry.audit_id} is not the one seen before"))
        expected, last_id = entry.hash, entry.audit_id
    faults += [ChainFault(gone, f"entry {gone}, seen before, is missing") for gone in sorted(wanted) if gone]
    faults += _faults_of_head(head, last_id, expected, signing_key)
    return ChainVerdict(count, head, tuple(faults[:FAULTS_SHOWN]), len(faults))


def _faults_of(entry: ChainedEntry, expected_previous: str) -> list[ChainFault]:
    faults = []
    if entry.previous_hash != expected_previous:
        text = f"entry {entry.audit_id} does not follow the one before it: one was removed, added or moved"
        faults.append(ChainFault(entry.audit_id, text))
    fields = {name: getattr(entry, name) for name in ChainedEntry.__slots__ if name != "hash"}
    try:
        is_own = hmac.compare_digest(entry_hash(**fields), entry.hash)
    except (TypeError, ValueError, AttributeError):  # a column holds what was never written there
        is_own = False
    if not is_own:
        faults.append(ChainFault(entry.audit_id, f"entry {entry.audit_id} was changed after it was written"))
    return faults


def _faults_of_head(
    head: AuditHead | None, last_id: int, last_hash: str, signing_key: bytes | None
) -> list[ChainFault]:
    if head is None:
        return [ChainFault(None, "the trail's head is missing: the end may have been cut off")]
    faults = []
    if (head.audit_id, head.hash) != (last_id, last_hash):
        text = f"the head names entry {head.audit_id}, the trail ends with {last_id}: its end was cut off or added"
        faults.append(ChainFault(None, text))
    if signing_key is not None:
        right = head_signature(signing_key, head.audit_id, head.hash)
        if not hmac.compare_digest(right, head.signature):
            faults.append(ChainFault(None, "the head is not signed with the platform's key"))
    return faults
