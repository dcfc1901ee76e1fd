"""Answers kept under idempotency keys for a day, so that a repeated request is answered and not done again.

Bodies come sealed: an answer may hold a key that is nowhere else stored. How is `control_plane.kept_answers`'.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import delete

from resources.registry.identity_tables import KeptAnswerRow
from resources.registry.sessions import Sessions, now_utc

KEPT_FOR = dt.timedelta(hours=24)
# A request takes seconds; one that has begun and not ended for this long died with its process.
ABANDONED_AFTER = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What is known of a key: which request it came with, and the answer unless that is still being made."""

    request_digest: bytes
    status: int | None
    sealed_answer: bytes | None


class AnswerStore(Sessions):
    """Beginning, keeping and forgetting answers."""

    def begin_answer(self, actor: str, key_digest: bytes, request_digest: bytes) -> KeptAnswer | None:
        """None when this request is the key's first and may be done now; else what is known of the key."""
        now = now_utc()
        with self.writing() as session:
            session.execute(delete(KeptAnswerRow).where(KeptAnswerRow.began_at < now - KEPT_FOR))
            row = session.get(KeptAnswerRow, (actor, key_digest))
            if row is not None and (row.status is not None or row.began_at > now - ABANDONED_AFTER):
                return KeptAnswer(bytes(row.request_digest), row.status, row.sealed_answer)
            if row is not None:
                session.delete(row)
                session.flush()
            session.add(
                KeptAnswerRow(
                    actor=actor,
                    key_digest=key_digest,
                    request_digest=request_digest,
                    status=None,
                    sealed_answer=None,
                    began_at=now,
                )
            )
            return None

    def keep_answer(self, actor: str, key_digest: bytes, status: int, sealed_answer: bytes) -> None:
        """Keep the answer of a request that was begun."""
        with self.writing() as session:
            row = session.get(KeptAnswerRow, (actor, key_digest))
            if row is not None:
                row.status, row.sealed_answer = status, sealed_answer

    def forget_answer(self, actor: str, key_digest: bytes) -> None:
        """Let the key be used again: its request failed and did nothing."""
        with self.writing() as session:
            row = session.get(KeptAnswerRow, (actor, key_digest))
            if row is not None and row.status is None:
                session.delete(row)
