"""Who is signed in: passwords, short sessions, application keys, and the brake on guessing.

Belongs here: everything that decides whether a credential is good. Cookies and headers belong to
`dependencies` and the routes. Neither passwords nor tokens are ever logged.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass

import jwt
import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from resources.errors import AuthenticationError
from resources.failure_brake import FailureBrake
from resources.plane_settings import TenantPlaneSettings
from tenant_plane.database import app_keys, now_ms, sessions, users

ISSUER = "unmogrowp-tenant-plane"
APP_KEY_PREFIX = "umg_app_"


@dataclass(frozen=True)
class Principal:
    """A signed-in person and the session that says so."""

    user: str
    role: str
    session_id: str
    signed_in_at_s: int
    expires_at_s: int


class Sessions:
    """Signs people in and out against the tenant's own users table; tokens are HS256 JWTs of 15 minutes."""

    def __init__(self, engine: sa.Engine, settings: TenantPlaneSettings) -> None:
        self._engine = engine
        self._tenant_id = settings.id
        self._key = settings.session_key.get_secret_value()
        self._ttl_s = settings.session_ttl_s
        self._max_age_s = settings.session_max_age_s
        self._brake = FailureBrake()
        self._hasher = PasswordHasher()
        self._nobody_hash = self._hasher.hash(secrets.token_hex(16))
        self._hashing = threading.Semaphore(2)  # one argon2 check takes 64 MiB: at most 128 MiB at a time

    def sign_in(self, user: str, password: str, client: str) -> tuple[Principal, str]:
        """Check a password and open a session. An unknown user costs the same time as a wrong password.

        Raises:
            AuthenticationError: user or password is wrong.
            TooManyFailuresError: this client guessed too often.
        """
        key = (user, client)
        self._brake.count(key)
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(users).where(users.c.name == user)).first()
        right = self._password_is(password, self._nobody_hash if row is None else row.password_hash)
        if row is None or not right:
            raise AuthenticationError("user or password is wrong")
        self._brake.clear(key)
        session_id, now_s = secrets.token_hex(16), int(time.time())
        with self._engine.begin() as connection:
            ended = sessions.c.signed_in_at_ms < (now_s - self._max_age_s) * 1000
            connection.execute(sessions.delete().where(ended))
            connection.execute(
                sessions.insert().values(id=session_id, user_name=row.name, signed_in_at_ms=now_s * 1000)
            )
        return self._issue(row.name, row.role, session_id, now_s)

    def verify(self, token: str) -> Principal:
        """The person a token stands for.

        Raises:
            AuthenticationError: not signed by this plane, for another tenant, expired, or signed out.
        """
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                audience=self._tenant_id,
                issuer=ISSUER,
                options={"require": ["exp", "sid", "sub", "role", "auth_time"]},
            )
        except jwt.InvalidTokenError as error:
            raise AuthenticationError("the session is not valid or has ended: sign in") from error
        # the role of now, not the token's: who is demoted is so at once
        query = sa.select(sessions, users.c.role).join(users).where(sessions.c.id == claims["sid"])
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None or row.revoked_at_ms is not None or row.user_name != claims["sub"]:
            raise AuthenticationError("the session was signed out: sign in")
        return Principal(row.user_name, row.role, row.id, claims["auth_time"], claims["exp"])

    def refresh(self, principal: Principal) -> tuple[Principal, str]:
        """A new token for a running session, until its greatest age.

        Raises:
            AuthenticationError: the session is as old as sessions get.
        """
        if time.time() >= principal.signed_in_at_s + self._max_age_s:
            raise AuthenticationError("the session has reached its greatest age: sign in")
        return self._issue(principal.user, principal.role, principal.session_id, principal.signed_in_at_s)

    def sign_out(self, principal: Principal) -> None:
        """End a session: all its tokens stop working now."""
        with self._engine.begin() as connection:
            one = sessions.c.id == principal.session_id
            connection.execute(sessions.update().where(one).values(revoked_at_ms=now_ms()))

    def brake_guessing(self, principal: Principal) -> None:
        """Count an attempt to prove one's own password again: a stolen session must not be used to guess it.

        Raises:
            TooManyFailuresError: too many attempts by this session.
        """
        self._brake.count((principal.user, principal.session_id))

    def _issue(self, user: str, role: str, session_id: str, signed_in_at_s: int) -> tuple[Principal, str]:
        now_s = int(time.time())
        expires_at_s = min(now_s + self._ttl_s, signed_in_at_s + self._max_age_s)
        claims = {
            "iss": ISSUER,
            "aud": self._tenant_id,
            "sub": user,
            "role": role,
            "sid": session_id,
            "iat": now_s,
            "exp": expires_at_s,
            "auth_time": signed_in_at_s,
        }
        token = jwt.encode(claims, self._key, algorithm="HS256")
        return Principal(user, role, session_id, signed_in_at_s, expires_at_s), token

    def _password_is(self, password: str, password_hash: str) -> bool:
        with self._hashing:
            try:
                return self._hasher.verify(password_hash, password)
            except (VerificationError, InvalidHashError):
                return False


def mint_app_key(engine: sa.Engine) -> str:
    """A new key for the tenant's app; only its SHA-256 is kept, so this is the only time it is seen."""
    key = APP_KEY_PREFIX + secrets.token_urlsafe(32)
    with engine.begin() as connection:
        connection.execute(app_keys.insert().values(digest=_digest(key), created_at_ms=now_ms()))
    return key


def app_key_is_active(engine: sa.Engine, key: str) -> bool:
    """Whether an app key was minted here and not revoked. Found by digest, so no secret is compared."""
    query = sa.select(app_keys.c.revoked_at_ms).where(app_keys.c.digest == _digest(key))
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return row is not None and row.revoked_at_ms is None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
