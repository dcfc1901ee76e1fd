"""Making and naming API keys. Pure: nothing is stored here, and no key is ever logged.

A key is `umg_<kind>_<43 characters>`: 256 random bits, so its SHA-256 needs no salt or stretching. Only
the digest is stored; the key id is the digest's first 16 hexadecimal digits and may be shown to anyone.
"""

from __future__ import annotations

import hashlib
import secrets

from resources.errors import ContractError

KEY_KINDS = ("ingest", "export", "service")


def new_key(kind: str) -> str:
    """A fresh key in plain text.

    Raises:
        ContractError: `kind` is none of `KEY_KINDS`.
    """
    check_kind(kind)
    return f"umg_{kind}_{secrets.token_urlsafe(32)}"


def check_kind(kind: str) -> None:
    """Pass when `kind` is one of `KEY_KINDS`.

    Raises:
        ContractError: it is not.
    """
    if kind not in KEY_KINDS:
        raise ContractError(f"key kind {kind!r} is unknown; use one of {', '.join(KEY_KINDS)}")


def digest_of(key: str) -> bytes:
    """SHA-256 of the key, 32 bytes: what the registry stores and looks up."""
    return hashlib.sha256(key.encode()).digest()


def key_id_of(key: str) -> str:
    """The public name of a key: 16 hexadecimal digits."""
    return digest_of(key).hex()[:16]
