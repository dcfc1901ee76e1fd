"""Random draws that several parts of the world share: delays, times of day, ids. Pure; no events here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulator import parameters as p

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Texts = NDArray[np.str_]
Rng = np.random.Generator

# share of a day's activity per UTC hour: a trough at night, a peak in the evening
_HOUR_SHARES: Floats = np.asarray(
    (
        *(2.2, 1.6, 1.2, 1.0, 1.0, 1.4, 2.2, 3.2, 4.0, 4.4, 4.6, 4.8),
        *(5.2, 5.0, 4.8, 4.8, 5.0, 5.6, 6.4, 7.0, 7.2, 6.6, 5.2, 3.6),  # from noon
    ),
    dtype=np.float64,
)


def choose(rng: Rng, count: int, shares: Sequence[float]) -> Ints:
    """`count` indexes drawn with these probabilities."""
    weights = np.asarray(shares, dtype=np.float64)
    return rng.choice(len(weights), size=count, p=weights / weights.sum()).astype(np.int64)


def happens(rng: Rng, count: int, share: float) -> Bools:
    """`count` independent coin throws."""
    return rng.random(count) < share


def time_of_day_ms(rng: Rng, count: int) -> Ints:
    """Milliseconds after midnight, along the daily curve."""
    hours = choose(rng, count, _HOUR_SHARES.tolist())
    return hours * p.HOUR_MS + rng.integers(0, p.HOUR_MS, size=count)


def time_in_days_ms(rng: Rng, count: int, start_ms: int, days: int) -> Ints:
    """Epoch milliseconds within the `days` complete days from `start_ms`."""
    return start_ms + rng.integers(0, days, size=count) * p.DAY_MS + time_of_day_ms(rng, count)


def click_to_install_ms(rng: Rng, count: int) -> Ints:
    """CTIT of honest installs: 75 % below 1 h, 94 % below 24 h, at least 10 s, inside the click window."""
    fast = happens(rng, count, p.CTIT_FAST_SHARE)
    median = np.where(fast, p.CTIT_FAST_MEDIAN_MS, p.CTIT_SLOW_MEDIAN_MS)
    sigma = np.where(fast, p.CTIT_FAST_SIGMA, p.CTIT_SLOW_SIGMA)
    delay = (median * np.exp(sigma * rng.standard_normal(count))).astype(np.int64)
    # 0.2 % of the draws lie beyond the window and 0.1 % below the minimum: spread them, a spike would show
    delay = np.where(delay > p.CTIT_MAX_MS, rng.integers(p.DAY_MS, p.CTIT_MAX_MS, size=count), delay)
    return np.where(delay < p.CTIT_MIN_MS, rng.integers(p.CTIT_MIN_MS, p.MINUTE_MS, size=count), delay)


def view_to_install_ms(rng: Rng, count: int) -> Ints:
    """Time from the view that caused an install to the install, inside the view window."""
    delay = (p.VIEW_MEDIAN_MS * np.exp(p.VIEW_SIGMA * rng.standard_normal(count))).astype(np.int64)
    spread = rng.integers(p.HOUR_MS, p.VIEW_MAX_MS, size=count)
    return np.where((delay > p.VIEW_MAX_MS) | (delay < p.MINUTE_MS), spread, delay)


def uuids(rng: Rng, count: int) -> Texts:
    """Version 4 UUIDs as text."""
    raw = np.frombuffer(rng.bytes(16 * count), dtype=np.uint8).reshape(count, 16).copy()
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x40
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
    text = raw.tobytes().hex()
    return np.array(
        [
            f"{text[i : i + 8]}-{text[i + 8 : i + 12]}-{text[i + 12 : i + 16]}"
            f"-{text[i + 16 : i + 20]}-{text[i + 20 : i + 32]}"
            for i in range(0, 32 * count, 32)
        ],
        dtype="U36",
    )


def addresses(rng: Rng, count: int) -> list[str]:
    """IPv4 addresses of the block reserved for benchmarks (198.18.0.0/15): nobody's."""
    numbers = rng.integers(0, 2**17, size=count).tolist()
    return [f"198.{18 + (n >> 16)}.{(n >> 8) & 255}.{n & 255}" for n in numbers]


def rfc3339(times_ms: Ints) -> list[str]:
    """Epoch milliseconds as RFC 3339 text in UTC with milliseconds."""
    stamps: list[str] = np.datetime_as_string(times_ms.astype("datetime64[ms]"), timezone="UTC").tolist()
    return stamps
