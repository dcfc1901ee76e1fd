"""The brake on guessing passwords: how many wrong ones there may be in a while. What a password is, others know."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from resources.errors import AuthenticationError


class TooManyFailuresError(AuthenticationError):
    """Too many wrong passwords; wait `retry_after_s`."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many failed sign-ins: try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class FailureBrake:
    """Counts sign-in attempts per key in a window; five wrong ones in five minutes, then wait.

    An attempt counts before its password is checked, so parallel guesses do not slip through; success
    clears the count. With five per five minutes a guesser gets 1,440 tries a day.
    """

    def __init__(
        self, *, attempts: int = 5, window_s: float = 300, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._attempts = attempts
        self._window_s = window_s
        self._clock = clock
        self._lock = threading.Lock()
        self._moments: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def count(self, key: tuple[str, str]) -> None:
        """Count one attempt.

        Raises:
            TooManyFailuresError: the window already holds the allowed number.
        """
        now = self._clock()
        with self._lock:
            recent = [moment for moment in self._moments.get(key, []) if now - moment < self._window_s]
            if len(recent) >= self._attempts:
                raise TooManyFailuresError(int(self._window_s - (now - recent[0])) + 1)
            self._moments[key] = [*recent, now]
            self._moments.move_to_end(key)
            while len(self._moments) > 10_000:  # noqa: PLR2004 - about 2 MB; the oldest counts are dropped
                self._moments.popitem(last=False)

    def clear(self, key: tuple[str, str]) -> None:
        """Forget the attempts of one key, after a success."""
        with self._lock:
            self._moments.pop(key, None)
