"""When a receiver is left alone: the circuit breaker of one destination as pure functions. No database here.

Closed: everything is sent. Failures in a row open it; then nothing is sent for a while, then one probe. The probe's
success closes it, its failure opens it for twice as long.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from enum import StrEnum

# Six failed attempts take 8 s with the gateway's pauses: a plane that restarts (5 s) does not open its circuit.
OPEN_AFTER = 6
TIMEOUT_WEIGHT = 3  # an attempt that hangs costs 30 s: two of them are enough
COOL_DOWN_FIRST = dt.timedelta(seconds=30)
COOL_DOWN_MAX = dt.timedelta(minutes=15)  # what a receiver that is back waits at most
PROBE_LEASE = dt.timedelta(minutes=2)  # a probe whose process died is given up after this
REASON_MAX_CHARS = 500


class CircuitState(StrEnum):
    """What may be sent now."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Circuit:
    """One destination's circuit. `retry_at` is None while it is closed; `opens` counts openings in a row."""

    failures: int = 0
    opens: int = 0
    opened_at: dt.datetime | None = None
    retry_at: dt.datetime | None = None
    reason: str = ""

    def state(self, now: dt.datetime) -> CircuitState:
        """Where the circuit is."""
        if self.retry_at is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self.retry_at else CircuitState.HALF_OPEN

    def probing(self, now: dt.datetime) -> Circuit:
        """The circuit while one caller probes: closed to everybody else."""
        return replace(self, retry_at=now + PROBE_LEASE)

    def failed(self, now: dt.datetime, reason: str, weight: int = 1) -> Circuit:
        """The circuit after one more failure."""
        failures = self.failures + weight
        noted = replace(self, failures=failures, reason=reason[:REASON_MAX_CHARS])
        if self.retry_at is None and failures < OPEN_AFTER:
            return noted
        cool_down = min(COOL_DOWN_FIRST * 2 ** min(self.opens, 10), COOL_DOWN_MAX)
        return replace(noted, opens=self.opens + 1, opened_at=self.opened_at or now, retry_at=now + cool_down)
