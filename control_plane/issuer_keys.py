"""An OIDC issuer's keys by discovery: fetched, cached, fetched again when one is new. Verifying is `tokens`'."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from control_plane.tokens import VerificationKey, chosen_key, verification_keys
from resources.errors import AuthenticationError, ServiceUnavailableError, SettingsError

FETCH_TIMEOUT_S = 3.0  # a request waits for two fetches at most
DOCUMENT_MAX_BYTES = 256 * 1024  # a JWKS of a hundred RSA keys with certificates has some 200 kB
# A token with an unknown key makes us ask again, but not more often: else every forged one is a request more.
ASK_AGAIN_S = 5.0
# While the issuer is away its last keys go on; a key that was withdrawn meanwhile counts for a day at most.
STALE_MAX_S = 24 * 3600.0
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class DiscoveredKeys:
    """The keys behind `<issuer>/.well-known/openid-configuration`. Safe for several threads."""

    def __init__(self, issuer: str, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Fetch nothing yet.

        Raises:
            SettingsError: the issuer is not an https URL (http is for the loopback alone).
        """
        check_issuer_url(issuer)
        self._issuer = issuer
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str | None, VerificationKey] = {}
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._failure: Exception | None = None

    def key(self, key_id: str | None) -> VerificationKey:
        """The key of this id, asked for again when it is not among the cached ones.

        Raises:
            AuthenticationError: the issuer has no such key.
            ServiceUnavailableError: the issuer does not answer, and the cached keys do not do.
        """
        with self._lock:
            if self._fetched_s is None or self._clock() - self._fetched_s > self._ttl_s:
                self._fetch()
            found = self._usable(key_id)
            if found is None:
                self._fetch()
                found = self._usable(key_id)
            failure = self._failure
        if found is not None:
            return found
        if failure is not None:
            raise ServiceUnavailableError(
                "the identity provider does not answer; try again in a moment"
            ) from failure
        raise AuthenticationError(
            "the access token is signed with a key its issuer does not have; sign in again"
        )

    def _usable(self, key_id: str | None) -> VerificationKey | None:
        if self._fetched_s is None or self._clock() - self._fetched_s > max(STALE_MAX_S, self._ttl_s):
            return None
        return chosen_key(self._keys, key_id)

    def _fetch(self) -> None:
        now_s = self._clock()
        if self._tried_s is not None and now_s - self._tried_s < ASK_AGAIN_S:
            return
        self._tried_s = now_s
        try:
            self._keys = fetched_keys(self._issuer)
        except (httpx.HTTPError, ServiceUnavailableError) as error:
            self._failure = error
        else:
            self._fetched_s, self._failure = now_s, None


def check_issuer_url(url: str) -> None:
    """Pass when an issuer, or its keys, may be fetched from there.

    Raises:
        SettingsError: it may not.
    """
    parts = urlsplit(url)
    is_local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not parts.hostname or parts.username or not (parts.scheme == "https" or is_local):
        raise SettingsError("UNMOGROWP_OIDC_ISSUER must be an https URL without user and password")


def fetched_keys(issuer: str) -> dict[str | None, VerificationKey]:
    """The issuer's keys, asked of it now.

    Raises:
        ServiceUnavailableError: what it answers is no discovery document of this issuer, or no keys.
        httpx.HTTPError: it does not answer, or not with 200.
    """
    with httpx.Client(timeout=FETCH_TIMEOUT_S, follow_redirects=False) as client:
        document = _fetched(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise ServiceUnavailableError("the identity provider's discovery document names another issuer")
        keys_url = str(document.get("jwks_uri"))
        try:
            check_issuer_url(keys_url)
        except SettingsError as error:
            raise ServiceUnavailableError("the identity provider's keys are not at an https URL") from error
        keys = verification_keys(_fetched(client, keys_url))
    if not keys:
        raise ServiceUnavailableError("the identity provider shows no key that signs")
    return keys


def _fetched(client: httpx.Client, url: str) -> dict[str, Any]:
    with client.stream("GET", url) as answer:
        if answer.status_code != httpx.codes.OK:
            raise ServiceUnavailableError(f"the identity provider answers {answer.status_code}")
        content = b""
        for chunk in answer.iter_bytes():
            content += chunk
            if len(content) > DOCUMENT_MAX_BYTES:
                raise ServiceUnavailableError("the identity provider's document is too large")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ServiceUnavailableError("the identity provider's document is not JSON") from error
    if not isinstance(document, dict):
        raise ServiceUnavailableError("the identity provider's document is no JSON object")
    return document
