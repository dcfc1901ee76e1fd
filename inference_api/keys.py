"""Whose key is this: bearer keys of the kinds `export` and `service`, looked up by digest. No scoring."""

from __future__ import annotations

import hmac
import threading
import time
from typing import Protocol

from resources.errors import AuthenticationError, AuthorizationError
from resources.registry import digest_of

KEY_KINDS = ("export", "service")


class KeyDirectory(Protocol):
    """Where active keys are known; the tenant registry is one."""

    def active_key_digests(self, kind: str) -> dict[bytes, str]:
        """SHA-256 digest → tenant id of the keys that work now."""


class Keys:
    """The directory's keys, asked for again every `refresh_s`: a revoked key works that long at most."""

    def __init__(self, directory: KeyDirectory, refresh_s: float) -> None:
        self._directory = directory
        self._refresh_s = refresh_s
        self._digests: dict[bytes, str] = {}
        self._read_at_s = float("-inf")
        self._mutex = threading.Lock()

    def tenant_of(self, key: str) -> str:
        """The tenant that holds this key. Found by SHA-256: the look-up's time says nothing about a key.

        Raises:
            AuthenticationError: no active key of a fitting kind is like this.
        """
        tenant_id = self._current().get(digest_of(key))
        if tenant_id is None:
            raise AuthenticationError(
                "this key scores nothing; mint a key of kind export for an active tenant"
            )
        return tenant_id

    def _current(self) -> dict[bytes, str]:
        with self._mutex:
            if time.monotonic() - self._read_at_s >= self._refresh_s:
                kinds = [self._directory.active_key_digests(kind) for kind in KEY_KINDS]
                self._digests = {digest: tenant for kind in kinds for digest, tenant in kind.items()}
                self._read_at_s = time.monotonic()
            return self._digests


def assert_same_tenant(key_tenant: str, *named: str | None) -> None:
    """Pass when everything that names a tenant names the key's own.

    Raises:
        AuthorizationError: header or body names another tenant.
    """
    for tenant_id in named:
        if tenant_id is not None and not hmac.compare_digest(tenant_id.encode(), key_tenant.encode()):
            raise AuthorizationError(
                "the key is not of the tenant that the request names; use that tenant's key"
            )
