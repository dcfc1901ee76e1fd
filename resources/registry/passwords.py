"""Passwords: made, hashed by argon2id, compared in a time that tells nothing. Never logged, never stored plain."""

from __future__ import annotations

import secrets
import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from resources.errors import ContractError

PASSWORD_MAX_CHARS = 1024  # hashing reads all of it
_hasher = PasswordHasher()
CHECKS_AT_ONCE = 2  # one takes 64 MiB
_hashing = threading.Semaphore(CHECKS_AT_ONCE)


def new_password() -> str:
    """A password nobody can guess: 24 characters of 144 random bits."""
    return secrets.token_urlsafe(18)


def hash_password(password: str) -> str:
    """The argon2id hash, salt and cost inside.

    Raises:
        ContractError: it is empty or absurdly long.
    """
    if not 0 < len(password) <= PASSWORD_MAX_CHARS:
        raise ContractError(f"a password has 1 to {PASSWORD_MAX_CHARS} characters; choose another")
    with _hashing:
        return _hasher.hash(password)


def password_fits(password: str, password_hash: str | None) -> bool:
    """Whether it is the password. Without a hash (nobody of that name) it takes as long and is False."""
    if len(password) > PASSWORD_MAX_CHARS:
        return False
    with _hashing:
        try:
            _hasher.verify(password_hash or _nobody_hash(), password)
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


@cache
def _nobody_hash() -> str:
    return _hasher.hash(secrets.token_hex(16))
