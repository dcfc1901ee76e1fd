"""Sign-ins of the local issuer, and which access tokens are refused before they expire.

A session is a family of refresh tokens, each good once: presenting an old one again means that two hold the
family, so all of it ends. Revocations say from when on tokens of a subject or session count; every process that
accepts tokens reads them (`control_plane.revocations`).
"""

from __future__ import annotations

import datetime as dt
import hmac
import secrets

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from resources.errors import AuthenticationError
from resources.registry.identity_tables import RevocationRow, UserRow, UserSessionRow
from resources.registry.keys import digest_of
from resources.registry.sessions import Sessions, add_audit, now_utc

SESSION_MAX_AGE = dt.timedelta(hours=12)  # a working day; then the password is asked for again
OVER = "the sign-in has ended; sign in again"


class SessionStore(Sessions):
    """Starting, continuing and ending sign-ins; reading revocations."""

    def start_session(self, user_name: str) -> tuple[str, str]:
        """Session id and first refresh token of a user whose password was right. Ended sessions are cleared away.

        Raises:
            AuthenticationError: the user was disabled meanwhile.
        """
        session_id, secret, now = secrets.token_hex(16), secrets.token_urlsafe(32), now_utc()
        with self.writing() as session:
            user = session.get(UserRow, user_name)
            if user is None or user.disabled_at is not None:
                raise AuthenticationError(OVER)
            session.execute(delete(UserSessionRow).where(UserSessionRow.expires_at < now))
            session.add(
                UserSessionRow(
                    session_id=session_id,
                    user_name=user_name,
                    refresh_digest=digest_of(secret),
                    started_at=now,
                    expires_at=now + SESSION_MAX_AGE,
                    revoked_at=None,
                )
            )
            add_audit(
                session, f"user:{user_name}", "session.started", user.tenant_id, after={"session": session_id}
            )
        return session_id, f"{session_id}.{secret}"

    def continue_session(self, refresh_token: str) -> tuple[str, str, str]:
        """User, session id and the next refresh token; the given one is good no more.

        Raises:
            AuthenticationError: unknown, ended, or used before: then the whole session ends.
        """
        session_id, _, secret = refresh_token.partition(".")
        following = secrets.token_urlsafe(32)
        with self.writing() as session:
            row = session.get(UserSessionRow, session_id)
            if row is None or row.revoked_at is not None or row.expires_at <= now_utc():
                raise AuthenticationError(OVER)
            if hmac.compare_digest(row.refresh_digest, digest_of(secret)):
                row.refresh_digest = digest_of(following)
                return row.user_name, session_id, f"{session_id}.{following}"
            _end(session, row, "session.reuse_detected", f"user:{row.user_name}")
        raise AuthenticationError("this sign-in was used twice and has ended; sign in again")

    def end_session(self, session_id: str, actor: str) -> None:
        """Sign out: the session's refresh token and access tokens end. Ending twice is ending once."""
        with self.writing() as session:
            row = session.get(UserSessionRow, session_id)
            if row is not None and row.revoked_at is None:
                _end(session, row, "session.ended", actor)

    def revoke(self, subject: str, actor: str, reason: str | None = None) -> None:
        """Refuse the access tokens that a subject (`user:ann`) has now, whoever issued them."""
        with self.writing() as session:
            revoke_subject(session, subject)
            add_audit(session, actor, "session.revoked", None, reason=reason, after={"subject": subject})

    def revocations(self) -> dict[str, dt.datetime]:
        """Subject or session → tokens issued before that moment are refused."""
        with self.reading() as session:
            rows = session.execute(select(RevocationRow.subject, RevocationRow.not_before))
            return {row.subject: row.not_before for row in rows}


def revoke_subject(session: Session, subject: str) -> None:
    """Refuse tokens of a subject (`user:…`, `session:…`) that were issued before now."""
    row = session.get(RevocationRow, subject)
    if row is None:
        session.add(RevocationRow(subject=subject, not_before=now_utc()))
    else:
        row.not_before = now_utc()


def revoke_user_sessions(session: Session, user_name: str) -> None:
    """End every sign-in of a user."""
    live = select(UserSessionRow).where(
        UserSessionRow.user_name == user_name, UserSessionRow.revoked_at.is_(None)
    )
    for row in session.scalars(live):
        row.revoked_at = now_utc()


def _end(session: Session, row: UserSessionRow, action: str, actor: str) -> None:
    row.revoked_at = now_utc()
    revoke_subject(session, f"session:{row.session_id}")
    user = session.get(UserRow, row.user_name)
    tenant_id = None if user is None else user.tenant_id
    add_audit(session, actor, action, tenant_id, after={"user": row.user_name, "session": row.session_id})
