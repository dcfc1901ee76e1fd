"""Pushes from the global plane: is this body signed by it, is it fresh, was it applied before.

Belongs here: the signature, the replay window and the idempotency ledger. What a body means belongs to the
stores; headers and statuses to the routes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from resources.errors import AuthenticationError, AuthorizationError, ContractError
from tenant_plane.database import now_ms, pushes

REPLAY_WINDOW_S = 300  # the shared push protocol's limit: five minutes of clock difference and transit
LEDGER_AGE_MS = 30 * 24 * 3600 * 1000  # a pusher's retries and dead-letter replays end well before 30 days
_SIGNATURE = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")


@dataclass(frozen=True)
class Push:
    """One verified push: its target path, and what makes a repetition of it recognisable."""

    target: str
    idempotency_key: str
    body_sha256: bytes
    signature: bytes


@dataclass(frozen=True)
class PushResult:
    """Rows stored by a push, and whether they took the place of earlier ones."""

    rows: int
    replaced: bool


def verified_signature(
    header: str, *, key: bytes, method: str, path: str, body: bytes, now_s: float
) -> bytes:
    """The 32 signature bytes of `X-Signature`, HMAC-SHA-256 over `<t>.<method>.<path>.` and the body.

    Raises:
        AuthenticationError: malformed, older or newer than the replay window, or made with another key.
    """
    parts = _SIGNATURE.fullmatch(header)
    if parts is None:
        raise AuthenticationError("X-Signature must read t=<unix seconds>,v1=<64 hex digits>: sign the push")
    if abs(now_s - int(parts[1])) > REPLAY_WINDOW_S:
        raise AuthenticationError(
            f"X-Signature is over {REPLAY_WINDOW_S} s from this clock: sign the push anew"
        )
    expected = hmac.new(key, f"{parts[1]}.{method}.{path}.".encode() + body, hashlib.sha256).digest()
    if not hmac.compare_digest(expected, bytes.fromhex(parts[2])):
        raise AuthenticationError(
            "X-Signature does not match this method, path and body: check the signing key"
        )
    return expected


class PushLedger:
    """Remembers every applied push, so that a repetition gets the first answer and changes nothing."""

    def __init__(self, engine: sa.Engine, tenant_id: str) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._one_at_a_time = threading.Lock()

    def apply(self, push: Push, store: Callable[[], PushResult]) -> PushResult:
        """Run `store` once per idempotency key; a crash between storing and recording repeats the same store.

        Raises:
            ContractError: the key was used for another target or body.
            AuthorizationError: a captured older request is sent again under a new key.
        """
        with self._one_at_a_time:
            earlier = self._earlier_answer(push)
            if earlier is not None:
                return earlier
            result = store()
            with self._engine.begin() as connection:
                connection.execute(
                    pushes.insert().values(
                        idempotency_key=push.idempotency_key,
                        target=push.target,
                        body_sha256=push.body_sha256,
                        signature=push.signature,
                        rows=result.rows,
                        replaced=result.replaced,
                        pushed_at_ms=now_ms(),
                    )
                )
            return result

    def forget_old(self) -> None:
        """Drop records no retry can refer to any more."""
        with self._engine.begin() as connection:
            connection.execute(pushes.delete().where(pushes.c.pushed_at_ms < now_ms() - LEDGER_AGE_MS))

    def _earlier_answer(self, push: Push) -> PushResult | None:
        with self._engine.connect() as connection:
            same_key = connection.execute(
                sa.select(pushes).where(pushes.c.idempotency_key == push.idempotency_key)
            ).first()
            if same_key is not None:
                if (same_key.target, same_key.body_sha256) != (push.target, push.body_sha256):
                    raise ContractError(
                        f"tenant {self._tenant_id}: Idempotency-Key was used for another body or path than "
                        f"{push.target}: use a new key per content"
                    )
                return PushResult(same_key.rows, same_key.replaced)
            if (
                connection.execute(sa.select(pushes).where(pushes.c.signature == push.signature)).first()
                is None
            ):
                return None
            newest = connection.execute(
                sa.select(pushes)
                .where(pushes.c.target == push.target)
                .order_by(pushes.c.pushed_at_ms.desc())
                .limit(1)
            ).one()
        # the key is not signed: the same signed request under a new key is harmless while its body is still
        # the newest one, and a rollback to old numbers when it is not
        if newest.body_sha256 == push.body_sha256:
            return PushResult(newest.rows, newest.replaced)
        raise AuthorizationError(
            f"tenant {self._tenant_id}: this signed push to {push.target} was applied before and has been "
            "replaced since: sign it anew"
        )
