"""`Idempotency-Key` on every POST: a repeated request gets the first one's answer and does nothing.

Keys are the caller's own, kept for 24 hours. Successes are kept; a request that failed did nothing, so the same key
does it again. Answers are sealed with a key from the keyring: one may hold a secret that is shown once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Coroutine
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from control_plane.context import ControlPlane, caller_of
from resources.errors import IdempotencyKeyError, RequestInFlightError
from resources.platform_keys import KEPT_ANSWERS, platform_key
from resources.registry.answer_store import KeptAnswer

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_NONCE_BYTES = 12  # AES-GCM's native size
_KEPT_HEADERS = ("content-type", "location", "cache-control")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


async def answered_once(plane: ControlPlane, request: Request, answer: Handler) -> Response:
    """The answer, made now or kept from the first request with this key.

    Raises:
        IdempotencyKeyError: the key is malformed, or came with another request before.
        RequestInFlightError: the first request is still being done.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return await answer(request)
    if _KEY.fullmatch(key) is None:
        raise IdempotencyKeyError(f"{HEADER} is 1 to 255 visible ASCII characters; a random UUID does")
    actor, key_digest = caller_of(request).actor, hashlib.sha256(key.encode()).digest()
    asked = _request_digest(request, await request.body())
    known = await run_in_threadpool(plane.registry.begin_answer, actor, key_digest, asked)
    seal = _Seal(platform_key(plane.settings, KEPT_ANSWERS), actor, key_digest)
    if known is not None:
        return _replayed(known, asked, seal)
    try:
        response = await answer(request)
    except BaseException:
        await run_in_threadpool(plane.registry.forget_answer, actor, key_digest)
        raise
    sealed = seal.close(response)
    await run_in_threadpool(plane.registry.keep_answer, actor, key_digest, response.status_code, sealed)
    return response


def _replayed(known: KeptAnswer, asked: bytes, seal: _Seal) -> Response:
    if known.request_digest != asked:
        raise IdempotencyKeyError(f"this {HEADER} came with another request before; use a new one")
    if known.status is None or known.sealed_answer is None:
        raise RequestInFlightError(
            "the first request with this key is being done right now; ask again in a moment"
        )
    response = seal.open(known.sealed_answer, known.status)
    response.headers[REPLAYED] = "true"
    return response


def _request_digest(request: Request, body: bytes) -> bytes:
    """What makes two requests the same: method, path, query, body."""
    parts = (request.method.encode(), request.url.path.encode(), request.url.query.encode(), body)
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


class _Seal:
    """Closes and opens answers of one caller and key; no other's opens under it."""

    def __init__(self, key: bytes, actor: str, key_digest: bytes) -> None:
        self._cipher = AESGCM(key)
        self._context = key_digest + actor.encode()

    def close(self, response: Response) -> bytes:
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        head = json.dumps(headers).encode()
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, head + b"\n" + bytes(response.body), self._context)

    def open(self, sealed: bytes, status: int) -> Response:
        plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._context)
        head, _, body = plain.partition(b"\n")
        return Response(body, status_code=status, headers=json.loads(head))
