"""Who a write token belongs to: the registry's key digests, cached for a moment.

A revoked key works for `key_cache_s` at most; when the registry cannot be asked any more, no key works (503)
rather than a revoked one. Keys are made and revoked in `resources.registry`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import Protocol

from resources.errors import AuthenticationError, ServiceUnavailableError

logger = logging.getLogger(__name__)
# A token minted just now is not in the cache yet: ask again, but not more often than this for made-up tokens.
UNKNOWN_TOKEN_REFRESH_S = 0.25


class KeySource(Protocol):
    """The part of the registry that the door needs."""

    def active_key_digests(self, kind: str) -> dict[bytes, str]:
        """SHA-256 digest → tenant id, of the unrevoked keys of a kind."""
        ...


class KeyCache:
    """Tenant of a write token."""

    def __init__(self, source: KeySource, max_age_s: float) -> None:
        self._source = source
        self._max_age_s = max_age_s
        self._tenants: dict[bytes, str] = {}
        self._loaded_at = float("-inf")
        self._lock = asyncio.Lock()

    def known_tenant_of(self, token: bytes) -> str | None:
        """The tenant as far as the cache knows it now; None where `tenant_of` has to look further."""
        if time.monotonic() - self._loaded_at > self._max_age_s:
            return None
        return self._tenants.get(hashlib.sha256(token).digest())

    async def tenant_of(self, token: bytes) -> str:
        """The tenant whose token this is. Looking up a digest tells nothing of the token by its timing.

        Raises:
            AuthenticationError: it is nobody's, or revoked.
            ServiceUnavailableError: the registry cannot be asked.
        """
        digest = hashlib.sha256(token).digest()
        if time.monotonic() - self._loaded_at > self._max_age_s:
            await self._load(self._max_age_s)
        tenant = self._tenants.get(digest)
        if tenant is None and time.monotonic() - self._loaded_at > UNKNOWN_TOKEN_REFRESH_S:
            await self._load(UNKNOWN_TOKEN_REFRESH_S)
            tenant = self._tenants.get(digest)
        if tenant is None:
            raise AuthenticationError(
                "the write token is unknown or revoked: ask your administrator for a new one"
            )
        return tenant

    async def _load(self, max_age_s: float) -> None:
        async with self._lock:
            if time.monotonic() - self._loaded_at <= max_age_s:
                return  # another request loaded meanwhile
            started_at = time.monotonic()
            try:
                self._tenants = await asyncio.to_thread(self._source.active_key_digests, "ingest")
            except Exception as error:
                logger.exception("the registry did not answer")
                raise ServiceUnavailableError(
                    "the registry of keys cannot be asked: send again later"
                ) from error
            self._loaded_at = started_at
