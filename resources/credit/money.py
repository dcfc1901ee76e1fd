"""Allotting an integer amount by quotas so that the parts sum to it, to the unit. No model belongs here."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

from resources.credit.paths import weighted_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.credit.paths import FloatArray, IntArray

_LOW_BITS = 31  # halves of an int64: sums of either stay below 2^53, where floats are exact, up to 4 M paths


def allot(total: int, quotas: Sequence[Fraction]) -> list[int]:
    """Whole units per quota that sum to `total` exactly: floors first, the rest to the largest remainders.

    Equal remainders go to the earlier one; a quota of 0 gets nothing.

    Args:
        total: the amount to allot; quotas sum to it but for rounding.
        quotas: each part's exact claim, in the unit of `total`.
    """
    parts = [floor(quota) for quota in quotas]
    claimants = [position for position, quota in enumerate(quotas) if quota]
    if not claimants:
        return parts
    each, leftover = divmod(total - sum(parts), len(claimants))
    claimants.sort(key=lambda position: parts[position] - quotas[position])  # largest remainder first; stable
    for place, position in enumerate(claimants):
        parts[position] += each + (place < leftover)
    return parts


def allot_by_shares(total: int, shares: FloatArray) -> list[int]:
    """Whole units in proportion to `shares`; all 0 if the shares are."""
    exact = [Fraction(float(share)) for share in shares]
    whole = sum(exact)
    return allot(total, [share * total / whole if whole else Fraction(0) for share in exact])


def summed_by_channel(
    codes: IntArray, weights: FloatArray, amounts: IntArray, channel_count: int
) -> list[Fraction]:
    """Per channel the sum of weight × amount; exact where the weights are 0 and 1, whatever the amounts.

    A float holds integers up to 2^53 only, which is 9 billion units in micros: too few for rupiah.
    """
    high, low = amounts >> _LOW_BITS, amounts & ((1 << _LOW_BITS) - 1)
    sums = [weighted_counts(codes, weights * half, channel_count) for half in (high, low)]
    return [Fraction(float(h)) * (1 << _LOW_BITS) + Fraction(float(lo)) for h, lo in zip(*sums, strict=True)]
