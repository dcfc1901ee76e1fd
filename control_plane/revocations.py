"""Which access tokens are refused before they expire, read from the registry again every few seconds.

How often is `UNMOGROWP_REVOCATION_POLL_S` (2 s; 10 s at most): a revocation holds in every process after that.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from control_plane.callers import Caller
from resources.errors import AuthenticationError, ServiceUnavailableError
from resources.registry import Registry

EFFECTIVE_WITHIN_S = 10.0  # older knowledge opens nothing


class Revocations:
    """The registry's revocations as this process last read them. Safe for several threads."""

    def __init__(
        self, registry: Registry, poll_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._poll_s = poll_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, dt.datetime] = {}
        self._read_s: float | None = None

    def check(self, caller: Caller, issued_at_s: float) -> None:
        """Pass when neither the subject nor the session was revoked after the token was issued.

        Raises:
            AuthenticationError: one was.
            ServiceUnavailableError: the registry has not answered for ten seconds.
        """
        known = self._fresh()
        for subject in (caller.actor, f"session:{caller.session_id}"):
            not_before = known.get(subject)
            if not_before is not None and issued_at_s < not_before.timestamp():
                raise AuthenticationError("this access was revoked; sign in again")

    def _fresh(self) -> dict[str, dt.datetime]:
        with self._lock:
            now_s = self._clock()
            if self._read_s is None or now_s - self._read_s >= self._poll_s:
                try:
                    self._known = self._registry.revocations()
                    self._read_s = now_s
                except SQLAlchemyError as error:
                    if self._read_s is None or now_s - self._read_s >= EFFECTIVE_WITHIN_S:
                        raise ServiceUnavailableError(
                            "the registry does not answer, so nobody's access can be checked; try again"
                        ) from error
            return self._known
